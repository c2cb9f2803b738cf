"""The guide to data, and the commands import and export: every one of them runs as it stands there."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from rollouts import EpisodeStore
from rollouts.runs.files import read_json
from rollouts.runs.stage import Stage
from tests.faults.helpers import call

pytestmark = pytest.mark.slow  # whole pipelines, as the guide has them

GUIDE = (Path(__file__).parents[2] / "docs" / "guide" / "data.md").read_text()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all of the guide was done."""
    folder = tmp_path_factory.mktemp("guide")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for language, block in re.findall(r"```(bash|python)\n(.*?)```", GUIDE, re.DOTALL):
            if language == "python":
                exec(block, {})
                continue
            for line in block.splitlines():
                name, *arguments = shlex.split(line.removeprefix("worldmodels "))
                if "minari" in line:
                    pytest.importorskip("minari", reason="minari is not installed: pip install 'minari[hdf5]'")
                assert call(name.replace("-", "_"), *arguments, "--workers", 0) == 0, line
    return folder


def test_what_was_exported_and_imported_is_what_was_collected(folder: Path):
    original = EpisodeStore(folder / "runs/toy/rollouts/episodes")
    back = EpisodeStore(folder / "runs/from-minari/rollouts/episodes")
    films = EpisodeStore(folder / "runs/from-films/rollouts/episodes")
    for one, same, filmed in zip(original, back, films, strict=True):
        assert np.array_equal(one.observations, same.observations)
        assert np.array_equal(one.actions, same.actions)
        assert np.array_equal(one.rewards, filmed.rewards)
    assert Stage(folder / "runs/from-films", "vae").complete
    assert len(EpisodeStore(folder / "runs/by-hand/rollouts/episodes")) == 3
    assert json.loads((folder / "model/model.json").read_text())["latent_size"] == 32
    assert read_json(folder / "runs/by-hand/run.json") == {"preset": "laptop"}


def test_published_weights_become_an_agent_by_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    calls = []
    monkeypatch.setattr("agents.cli.import_episodes.import_weights", lambda *arguments: calls.append(arguments))
    (tmp_path / "vae.json").touch()
    (tmp_path / "rnn.json").touch()
    assert call("import", "--source", tmp_path, "--run", tmp_path / "run") == 0
    assert calls == [(tmp_path, tmp_path / "run")]


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        ("import", (), "--source PATH --run runs/NAME"),
        ("import", ("--source", "nowhere", "--run", "r", "--kind", "videos"), "There is nothing at nowhere"),
        ("export", ("--what", "onnx"), "--out FOLDER"),
        ("export", ("--what", "videos", "--run", "pretrained/carracing", "--out", "o"), "no 'rollouts' stage yet"),
        ("export", ("--what", "videos", "--run", "nowhere", "--out", "o"), "nowhere"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(command: str, arguments: tuple[str, ...], message: str, refused):
    assert message in refused(command, *arguments)

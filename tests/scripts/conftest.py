"""A run made by the scripts, one after the other, and a way to call them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.helpers import call

COMMON = ("--workers", 0)


@pytest.fixture(scope="session")
def scripted_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory that the scripts made, a round of iteration included. Read it, do not write to it."""
    run = tmp_path_factory.mktemp("scripted") / "run"
    assert call("collect", "--preset", "tiny", "--run", run, *COMMON) == 0
    for script in ("train_vae", "train_mdnrnn", "train_controller", "iterate"):
        assert call(script, "--run", run, *COMMON) == 0
    return run


@pytest.fixture
def run(scripted_run: Path, tmp_path: Path) -> Path:
    """A copy of it to break. Its files are links: replace them, never write into them."""
    return Path(shutil.copytree(scripted_run, tmp_path / "run", copy_function=os.link))


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Calls a script that must refuse: exit status 2, one sentence on stderr, nothing written. Returns the sentence."""
    monkeypatch.chdir(tmp_path)

    def refuse(script: str, *arguments: object) -> str:
        before = _state(tmp_path)
        capsys.readouterr()
        assert call(script, *arguments, *COMMON) == 2
        output = capsys.readouterr()
        sentences = [line for line in output.err.splitlines() if line.startswith("Error: ")]
        assert len(sentences) == 1, output.err
        assert output.err.rstrip().endswith(sentences[0])
        assert "Traceback" not in output.err
        after = _state(tmp_path)
        assert before.items() <= after.items()
        assert all(_is_empty(file) for file in after.keys() - before.keys())
        return sentences[0]

    return refuse


def _is_empty(file: Path) -> bool:
    """A stage in which nothing was made yet may hold what it was asked for; that does not bind anyone."""
    return file.name in ("config.json", "manifest.json") or "tfevents" in file.name or not file.stat().st_size


def _state(folder: Path) -> dict[Path, int]:
    return {file: file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()}

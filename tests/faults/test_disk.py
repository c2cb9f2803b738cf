"""A full disk: one sentence, nothing half-written, and the same command goes on when there is space again."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.helpers import call, differences

COMMON = ("--workers", 0)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 40 MB: V's weights fit, its checkpoints do not."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(place)], capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("takes the right to mount")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def error_line(capsys: pytest.CaptureFixture[str]) -> str:
    (sentence,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Error: ")]
    return sentence


def test_a_stage_goes_on_when_there_is_space_again(
    small_disk: Path, finished: Path, capsys: pytest.CaptureFixture[str]
):
    run = small_disk / "run"
    shutil.copytree(finished / "rollouts", run / "rollouts")
    command = ("train_vae", "--preset", "tiny", "--run", run, *COMMON)
    assert call(*command) == 2
    sentence = error_line(capsys)
    assert "The disk is full" in sentence
    assert "state.pt" in sentence
    assert not [file for file in run.rglob("*") if file.suffix in (".tmp", ".pt", ".safetensors")]
    subprocess.run(["mount", "-o", "remount,size=400m", str(small_disk)], check=True)
    assert call(*command) == 0
    assert differences(finished / "vae", run / "vae") == []


@pytest.mark.parametrize("name", ["film.mp4", "film.gif", "score.json"])
def test_a_result_that_does_not_fit_is_told_and_leaves_nothing(
    name: str, small_disk: Path, finished: Path, capsys: pytest.CaptureFixture[str]
):
    subprocess.run(["mount", "-o", "remount,size=16k", str(small_disk)], check=True)
    (small_disk / "full").write_bytes(bytes(16384))
    script = "evaluate" if name.endswith("json") else "watch"
    options = ("--episodes", 2) if script == "evaluate" else ("--watch.max-steps", 8)
    assert call(script, "--agent", finished, "--out", small_disk / name, *options, *COMMON) == 2
    assert "disk" in error_line(capsys).lower()
    assert [file.name for file in small_disk.iterdir()] == ["full"]


@pytest.mark.parametrize(
    ("stage", "script"),
    [
        ("rollouts", "collect"),
        ("vae", "train_vae"),
        ("mdnrnn", "train_mdnrnn"),
        ("controller", "train_controller"),
        ("round-1", "iterate"),
    ],
)
def test_every_stage_tells_of_a_full_disk_and_goes_on(
    stage: str,
    script: str,
    finished: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    """The disk fills up at the fourth file."""
    run = Path(shutil.copytree(finished, tmp_path / "run", copy_function=os.link))
    shutil.rmtree(run / stage)
    if script != "iterate":
        shutil.rmtree(run / "round-1")
    written = 0

    def full(descriptor: int) -> None:
        nonlocal written
        written += 1
        if written == 4:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        assert call(script, "--run", run, *COMMON) == 2
    assert "The disk is full" in error_line(capsys)
    assert not list(run.rglob("*.tmp"))
    assert call(script, "--run", run, *COMMON) == 0
    own = {"evaluation.json", "real.mp4", "dream.mp4"} if script == "iterate" else set()
    assert set(differences(finished / stage, run / stage)) == own


def test_a_line_of_a_log_that_does_not_fit_is_told(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "history.jsonl")

    run = Path(shutil.copytree(finished, tmp_path / "run", copy_function=os.link))
    shutil.rmtree(run / "controller")
    with monkeypatch.context() as patched:
        patched.setattr("agents.learning.learn.append_json_line", full)
        assert call("train_controller", "--run", run, *COMMON) == 2
    assert "history.jsonl: No space left on device" in error_line(capsys)
    assert call("train_controller", "--run", run, *COMMON) == 0
    assert differences(finished / "controller", run / "controller") == []


def test_an_error_that_is_not_the_disks_keeps_its_traceback(finished: Path, monkeypatch: pytest.MonkeyPatch):
    def bug(*_: object) -> None:
        raise FileNotFoundError(errno.ENOENT, "No such file", "forgotten")

    monkeypatch.setattr("agents.agent.find_agent", bug)
    with pytest.raises(FileNotFoundError):
        call("watch", "--agent", finished)

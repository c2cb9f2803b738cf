"""Two processes on one run: one works, the other says so. Ends by signals, and links."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rollouts.errors import UserError
from rollouts.runs import lock as locks
from rollouts.runs.files import read_json, remove_folder, replace_folder, write_json
from rollouts.runs.lock import NAME, lock
from rollouts.runs.place import place
from tests.faults.helpers import call, differences

ROOT = Path(__file__).parents[2]
HOLD = "import sys; from pathlib import Path; from rollouts.runs.lock import lock; held = lock(Path(sys.argv[1]));"


def holder(folder: Path, then: str = "print('held', flush=True); sys.stdin.read()") -> subprocess.Popen[str]:
    """Another process that takes a folder, and holds it until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD + then, str(folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


@pytest.mark.parametrize(
    ("stage", "command"),
    [("rollouts", "collect"), ("vae", "train_vae"), ("mdnrnn", "train_mdnrnn"), ("controller", "train_controller")],
)
def test_the_second_process_says_who_works_and_stops(
    stage: str, command: str, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    write_json(run / stage / "manifest.json", {**read_json(run / stage / "manifest.json"), "complete": False})
    other = holder(run / stage)
    before = sorted(run.rglob("*"))
    try:
        assert call(command, "--run", run, "--workers", 0) == 2
        error = capsys.readouterr().err
        assert f"Another process works in {run / stage} (" in error
        assert re.search(rf"process {other.pid}, since 20\d\d-\d\d-\d\dT", error)
        assert sorted(run.rglob("*")) == before
    finally:
        other.communicate()
    assert call(command, "--run", run, "--workers", 0) == 0
    assert not (run / stage / NAME).exists()


def test_the_lock_of_a_process_that_was_killed_is_taken_over(tmp_path: Path):
    other = holder(tmp_path)
    with pytest.raises(UserError, match="Another process works"):
        lock(tmp_path)
    other.kill()
    other.communicate()
    assert (tmp_path / NAME).exists()
    held = lock(tmp_path)
    assert json.loads(held.path.read_text())["pid"] == os.getpid()


def test_a_process_may_take_a_folder_twice_and_lets_go_when_it_forgets(tmp_path: Path):
    one, other = lock(tmp_path), lock(tmp_path)
    assert one is other
    assert json.loads(one.path.read_text())["pid"] == os.getpid()
    del one, other
    assert not (tmp_path / NAME).exists()
    holder(tmp_path, "print('held', flush=True)").communicate()


@pytest.mark.parametrize(
    ("where", "process", "taken_over"),
    [("here", "gone", True), ("here", "alive", False), ("elsewhere", "gone", False)],
)
def test_where_a_disk_knows_no_locks_the_file_itself_says_who_is_there(
    where: str, process: str, taken_over: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A process of another machine or container is never taken for gone."""

    def refuse(descriptor: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks, "_take", refuse)
    monkeypatch.setattr(locks, "PATIENCE_S", 0.0)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    pid = gone.pid if process == "gone" else os.getppid()
    signature = {"host": "box", "pid": pid, "since": "then", "place": place() if where == "here" else "other"}
    (tmp_path / NAME).write_text(json.dumps(signature))
    if taken_over:
        held = lock(tmp_path)
        assert json.loads(held.path.read_text())["pid"] == os.getpid()
    else:
        with pytest.raises(UserError, match=r"box, process \d+, since then.*knows no locks.*delete .*\.lock"):
            lock(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_lets_the_step_end_and_a_checkpoint_be_written(
    number: signal.Signals, status: int, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """After step 5 of 9: neither a step that is logged (every 2) nor one with a checkpoint (every 4)."""
    run = tmp_path / "run"
    shutil.copytree(finished / "rollouts", run / "rollouts")
    from worldmodels import fit_vae

    steps, original = [], fit_vae.vae_loss

    def signalled(*args: object, **kwargs: object) -> object:
        steps.append(1)
        if len(steps) == 5:
            os.kill(os.getpid(), number)
        return original(*args, **kwargs)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(fit_vae, "vae_loss", signalled)
        assert call("train_vae", "--run", run, "--preset", "tiny", "--workers", 0) == status
    from worldmodels.training.checkpoint import load_state

    assert load_state(run / "vae" / "state.pt", "cpu")["step"] == len(steps) == 5
    assert call("train_vae", "--run", run, "--preset", "tiny", "--workers", 0) == 0
    assert differences(finished / "vae", run / "vae") == []


def test_checkpoints_are_written_by_time_as_well_and_change_nothing(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from worldmodels.training import loop

    run, saved, original = tmp_path / "run", [], loop.save_state
    shutil.copytree(finished / "rollouts", run / "rollouts")
    monkeypatch.setattr(loop, "SAVE_EVERY", 0.0)
    monkeypatch.setattr(loop, "save_state", lambda state, path: (saved.append(state["step"]), original(state, path)))
    assert call("train_vae", "--run", run, "--preset", "tiny", "--workers", 0) == 0
    assert saved == [2, 4, 6, 8, 9]
    assert differences(finished / "vae", run / "vae") == []


def test_nothing_is_deleted_through_a_link(tmp_path: Path):
    theirs = tmp_path / "theirs"
    (theirs / "photos").mkdir(parents=True)
    (theirs / "photos" / "a.jpg").touch()
    link, new = tmp_path / "link", tmp_path / "new"
    link.symlink_to(theirs)
    new.mkdir()
    with pytest.raises(UserError, match="is a link to"):
        remove_folder(link)
    replace_folder(new, link)
    assert not link.is_symlink()
    assert (theirs / "photos" / "a.jpg").exists()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("linked", ["latents/training", "latents"])
def test_a_linked_cache_costs_nobody_a_file(linked: str, finished: Path, tmp_path: Path):
    run, victim = Path(shutil.copytree(finished, tmp_path / "run")), tmp_path / "victim"
    for name in ("training", "mine"):
        (victim / name).mkdir(parents=True)
        (victim / name / "precious").touch()
        (victim / name / "episode-0000000001.npz").touch()
    shutil.rmtree(run / linked)
    (run / linked).symlink_to(victim)
    shutil.rmtree(run / "mdnrnn")
    assert call("train_mdnrnn", "--run", run, "--workers", 0) == 0
    for name in ("training", "mine"):
        assert (victim / name / "precious").exists()
        assert (victim / name / "episode-0000000001.npz").exists()


def test_a_cache_holds_on_to_what_the_program_did_not_write(finished: Path, tmp_path: Path):
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    cache = run / "latents" / "training"
    (old,) = (folder for folder in cache.iterdir())
    old.rename(cache / "0123456789ab")
    (cache / "notes").mkdir()
    (cache / "notes" / "precious").touch()
    (cache / "0123456789ab" / "precious").touch()
    shutil.rmtree(run / "mdnrnn")
    assert call("train_mdnrnn", "--run", run, "--workers", 0) == 0
    assert (cache / "notes" / "precious").exists()
    assert [file.name for file in (cache / "0123456789ab").iterdir()] == ["precious"]


def test_a_signal_outside_of_a_training_ends_a_command_at_once(monkeypatch: pytest.MonkeyPatch):
    from agents.cli.errors import tell_errors

    def work() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as end:
        tell_errors(work)
    assert end.value.code == 143
    assert signal.getsignal(signal.SIGTERM) == before

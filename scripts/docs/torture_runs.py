"""What the torture of runs works on: commands of a second or two, each in a process that is forked and can be killed.

The parent imports everything and computes nothing, so a fork costs milliseconds where a new interpreter costs seconds.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from rollouts.runs.files import read_json, write_json
from tests.faults.helpers import call, differences

TRACEBACK = 70  #: exit status of a command that ended with an exception of Python's
LIMIT_S = 600.0  #: a command that takes longer hangs
LARGE = 200_000  #: bytes from which on a file of a copy is linked: it is never written in place
CPU = ("--device", "cpu")
RUN_OPTIONS = ("--preset", "tiny", "--workers", "0", *CPU)
IMAGES = {
    "gan": ("--model", "gan", "--data", "ring", "--preset", "tiny"),
    "vae": ("--model", "vae", "--data", "digits-8x8", "--preset", "tiny"),
}


@dataclass(frozen=True)
class Ended:
    """What became of a command."""

    status: int  #: its exit status; negative for a signal
    output: str
    seconds: float
    hung: bool = False


def warm() -> None:
    """Import what the commands import, so that no fork has to."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for module in (
        *("torch.utils.tensorboard.writer", "cv2", "av", "gymnasium", "cma", "mlxtend", "sklearn.datasets"),
        *("agents.cli.pipeline", "agents.cli.iterate", "agents.cli.evaluate", "agents.cli.train_images"),
        *("agents.cli.train_controller", "agents.cli.sample_images", "agents.live", "rollouts.envs.toy"),
    ):
        try:
            import_module(module)
        except ImportError:  # an extra that is not installed
            continue


def forked(work: Callable[[], int], log: Path, kill_after: float | None = None) -> Ended:
    """Do ``work`` in a forked process, whose output goes to a file; kill it after some seconds if that is asked for."""
    began = time.monotonic()
    sys.stdout.flush()
    sys.stderr.flush()
    process = os.fork()
    if process == 0:
        _be_the_child(work, log)
    while True:
        pid, status = os.waitpid(process, os.WNOHANG)
        seconds = time.monotonic() - began
        if pid:
            code = os.waitstatus_to_exitcode(status)
            return Ended(code, log.read_text(errors="replace") if log.exists() else "", seconds)
        if seconds > LIMIT_S or (kill_after is not None and seconds > kill_after):
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            words = log.read_text(errors="replace") if log.exists() else ""
            return Ended(-signal.SIGKILL, words, seconds, hung=seconds > LIMIT_S)
        time.sleep(0.002)


def _be_the_child(work: Callable[[], int], log: Path) -> None:
    status = TRACEBACK
    try:
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for stream in (1, 2):
            os.dup2(file, stream)
        sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
        try:
            status = work()
        except BaseException:  # counted by the parent
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def command(name: str, *options: object) -> Callable[[], int]:
    """A command of ``scripts/``, with the preset of tests/faults."""
    return lambda: call(name, *options)


@dataclass(frozen=True)
class Step:
    """A command that makes, or reads, a part of a run."""

    name: str  #: of the script
    makes: str  #: the folder or file in the run that it writes; empty if what it writes lies elsewhere
    options: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()  #: folders and files of the run that must be there

    def work(self, run: Path) -> Callable[[], int]:
        """It, on this run."""
        where = "--agent" if self.name == "evaluate" else "--run"
        return command(self.name, where, run, *self.options)

    def result(self, run: Path) -> Path:
        return run / self.makes


DREAM = ("--controller.world", "dream", "--controller.temperature", "1.1")
#: Every stage, by the name under which it is reported.
STAGES = {
    "rollouts": Step("collect", "rollouts", RUN_OPTIONS[:4]),
    "vae": Step("train_vae", "vae", RUN_OPTIONS[:2] + CPU, ("rollouts",)),
    "mdnrnn": Step("train_mdnrnn", "mdnrnn", RUN_OPTIONS[:2] + CPU, ("rollouts", "vae")),
    "controller": Step("train_controller", "controller", RUN_OPTIONS, ("rollouts", "vae", "mdnrnn")),
    "controller in the dream": Step(
        "train_controller", "controller", (*RUN_OPTIONS, *DREAM), ("rollouts", "vae", "mdnrnn")
    ),
    "round-1": Step("iterate", "round-1", RUN_OPTIONS, ("rollouts", "vae", "mdnrnn", "controller", "latents")),
    "pipeline": Step("pipeline", "", RUN_OPTIONS),
    "images: gan": Step("train_images", "images", (*IMAGES["gan"], *CPU)),
    "images: vae": Step("train_images", "images", (*IMAGES["vae"], *CPU)),
}


def copy(source: Path, target: Path, names: tuple[str, ...] | None = None) -> None:
    """A copy of a run, or of some of its folders; large files are linked, for they are never written in place."""

    def place(one: str, other: str) -> None:
        size = Path(one).stat().st_size
        if size > LARGE:
            os.link(one, other)
        else:
            shutil.copy2(one, other)

    target.mkdir(parents=True, exist_ok=True)
    for entry in source.iterdir():
        if names is not None and entry.name not in names:
            continue
        if entry.is_dir():
            shutil.copytree(entry, target / entry.name, copy_function=place)
        else:
            place(str(entry), str(target / entry.name))


def reopened(stage: Path) -> None:
    """Mark a finished stage as unfinished."""
    manifest = stage / "manifest.json"
    facts = read_json(manifest)
    write_json(manifest, {**facts, "complete": False})


def unlike(reference: Path, result: Path) -> list[str]:
    """Files in which two results differ."""
    if reference.is_file() or result.is_file():
        both = reference.is_file() and result.is_file()
        return [] if both and reference.read_bytes() == result.read_bytes() else [reference.name]
    return differences(reference, result)

"""What people see while they wait: one progress bar, one way to say a sentence."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

DISTRIBUTION = "worldmodels-toolkit"  #: this project's name on a package index, where those of its folders are taken
CLONE = Path(__file__).parents[1]
QUIET = os.environ.get("RANK", "0") != "0"
"""In a group of processes that torchrun started, the first one speaks for all."""
IN_NOTEBOOK = any(base.__name__ == "tqdm_notebook" for base in tqdm.__mro__)


def say(sentence: str) -> None:
    """Print one line without tearing a progress bar apart."""
    if not QUIET:
        tqdm.write(sentence, file=sys.stderr)


def progress_bar(total: int, description: str, unit: str, done: int = 0) -> Any:
    """A progress bar on stderr; when that is a file, a line every 30 seconds instead of a stream of updates."""
    live = sys.stderr.isatty() or IN_NOTEBOOK
    return tqdm(
        total=total,
        initial=done,
        desc=description,
        unit=unit,
        file=sys.stderr,
        dynamic_ncols=live,
        mininterval=0.3 if live else 30.0,
        maxinterval=60.0,
        smoothing=0.05,
        leave=True,
        disable=QUIET,
    )


def duration(seconds: float) -> str:
    """``95 -> '1 min 35 s'``, ``7300 -> '2 h 02 min'``."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"


def size(count: float) -> str:
    """Bytes for people: ``3_200_000 -> '3.2 MB'``."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


COMMANDS_ARE_SCRIPTS = False  #: whether the reader calls ``python scripts/NAME.py``, not ``worldmodels NAME``


def command(name: str, *words: object) -> str:
    """How the reader calls a command: ``worldmodels train-vae --run runs/car``, or the script in a clone."""
    called = f"python scripts/{name.replace('-', '_')}.py" if COMMANDS_ARE_SCRIPTS else f"worldmodels {name}"
    return f"{called} {quoted(*words)}".rstrip()


def quoted(*words: object) -> str:
    """Words as a shell takes them: ``quoted("--run", "runs/a b") -> "--run 'runs/a b'"``."""
    return shlex.join(map(str, words))


def extra(name: str) -> str:
    """How the reader installs an optional part: ``pip install -e '.[ray]'`` in a clone, by the project's name else."""
    here = CLONE / "pyproject.toml"
    return f"pip install -e '.[{name}]'" if here.exists() else f"pip install '{DISTRIBUTION}[{name}]'"

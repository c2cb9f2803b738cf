"""What there is under runs/: every run with its stages, its newest score and its age.

worldmodels runs
worldmodels runs list --folder elsewhere
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from agents.cli.options import Command
from agents.cli.places import RUNS
from rollouts.console import command, duration
from rollouts.errors import UserError
from rollouts.runs.files import read_json
from rollouts.runs.layout import Run, runs_in

STAGES = {"rollouts": "episodes", "vae": "V", "mdnrnn": "M", "controller": "C", "images": "images"}
COLUMNS = ("run", "preset", "finished", "rounds", "score", "validation", "last change")


@dataclass(frozen=True)
class Arguments:
    """Where to look."""

    action: Annotated[Literal["list"], tyro.conf.Positional] = "list"
    """list: a line for every run."""
    folder: Path = RUNS
    """Where runs are."""


def body(arguments: Arguments) -> None:
    """Show the table."""
    print(table(arguments.folder))


def table(folder: Path) -> str:
    """A line for every run, the one that changed last first.

    Raises:
        UserError: there is none.
    """
    runs = [run for run in runs_in(folder) if run.manifests]
    if not runs:
        raise UserError(f"There is no run under {folder}/ yet. Start one: {command('pipeline', '--preset', 'quick')}")
    changed = {run: max(path.stat().st_mtime for path in run.manifests) for run in runs}
    rows = [_row(run, changed[run]) for run in sorted(runs, key=lambda run: -changed[run])]
    widths = [max(map(len, column)) for column in zip(COLUMNS, *rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (COLUMNS, *rows)
    )


def _row(run: Run, changed: float) -> tuple[str, ...]:
    try:
        finished = " ".join(letter for stage, letter in STAGES.items() if run.stage(stage).complete)
        newest = run.newest("controller")
        preset = str(read_json(run.note).get("preset", "")) if run.note.exists() else ""
        validation = newest.controller.manifest.get("validation") if newest else None
        score = _score(newest) if newest else ""
        rounds = str(newest.number) if newest else ""
    except UserError as error:
        return run.path.name, "", f"({str(error).split('. ')[0]})", "", "", "", duration(time.time() - changed)
    validated = "" if validation is None else f"{validation:.1f}"
    return run.path.name, preset, finished, rounds, score, validated, duration(time.time() - changed)


def _score(run: Run) -> str:
    if not run.evaluation.exists():
        return ""
    report: dict[str, Any] = read_json(run.evaluation)
    return f"{report['mean']:.1f} ± {report['sd']:.1f} ({len(report['episodes'])})"


COMMAND = Command(__doc__, Arguments, body, main=("folder",))

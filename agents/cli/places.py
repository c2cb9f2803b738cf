"""Where runs are: all of them under ``runs/``, the newest, a new one, and the agent that is meant by default."""

from __future__ import annotations

from pathlib import Path

from rollouts.console import command
from rollouts.errors import UserError
from rollouts.runs.layout import Run, runs_in

RUNS = Path("runs")


def all_runs() -> list[Path]:
    """The agents' runs under ``runs/``, the newest first."""
    runs = [run.path for run in runs_in(RUNS) if run.note.exists()]
    return sorted(runs, key=lambda path: path.stat().st_mtime, reverse=True)


def newest_run() -> Path | None:
    """The run that was begun last, if there is any."""
    return next(iter(all_runs()), None)


def required_run() -> Path:
    """The run that was begun last.

    Raises:
        UserError: there is none.
    """
    if (run := newest_run()) is None:
        raise UserError(f"There is no run under {RUNS}/ yet. Start one: {command('pipeline', '--preset', 'quick')}")
    return run


def new_run(prefix: str) -> Path:
    """A directory under ``runs/`` that does not exist yet."""
    number = 1
    while (run := RUNS / f"{prefix}-{number}").exists():
        number += 1
    return run


def default_agent() -> Path:
    """The newest run under ``runs/`` that has an agent, or the first pretrained one.

    Raises:
        UserError: there is neither.
    """
    from agents.agent import pretrained_agents  # here: it brings PyTorch, which most of this file does not need

    finished = [run for run in all_runs() if Run(run).controller.complete]
    agents = [*finished, *map(Path, pretrained_agents())]
    if not agents:
        raise UserError(f"There is no run under {RUNS}/ yet that has an agent. Make one: {command('quickstart')}")
    return agents[0]


def newest_images() -> Path:
    """The newest finished run of train-images.

    Raises:
        UserError: there is none.
    """
    runs = [run for run in runs_in(RUNS) if run.images.weights.exists()]
    if not runs:
        raise UserError(f"There is no finished image run under {RUNS}/. Make one: {command('train-images')}")
    return max(runs, key=lambda run: run.images.weights.stat().st_mtime).path

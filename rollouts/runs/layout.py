"""Where runs and their rounds are: the run directory is round 0, and ``round-1``, ``round-2``, ... lie in it."""

from __future__ import annotations

from pathlib import Path

from rollouts.errors import UserError
from rollouts.runs.stage import Stage

#: Released agents: data, not code, which lie with the agents and can be loaded from every room.
PRETRAINED = Path(__file__).parents[2] / "agents" / "pretrained"


def located(name: str | Path) -> Path:
    """A run directory as it was given, or that of ``pretrained/NAME``, which came with the package."""
    path = Path(name)
    if not path.exists() and path.parts and path.parts[0] == "pretrained":
        return PRETRAINED.joinpath(*path.parts[1:])
    return path


def round_folder(run: Path, number: int) -> Path:
    """Round 0 is the run itself."""
    return run if number == 0 else run / f"round-{number}"


def restart_folder(folder: Path, number: int) -> Path:
    """Where a run or a round keeps the tries that came before its controller."""
    return folder / "restarts" / str(number)


def round_number(folder: Path) -> int:
    """Which round a folder is; 0 for any that is not called ``round-N``."""
    number = folder.name.removeprefix("round-")
    return int(number) if number != folder.name and number.isdecimal() else 0


def newest_round(run: Path, stage: str) -> Path | None:
    """The folder of the newest round in which a stage is finished."""
    rounds = {0: run, **{number: folder for folder in run.glob("round-*") if (number := round_number(folder))}}
    finished = [number for number, folder in rounds.items() if Stage(folder, stage).complete]
    return rounds[max(finished)] if finished else None


def trained(name: str | Path, stage: str, made_by: str) -> Path:
    """The weights of a finished stage in the newest round of a run that has it, or of ``pretrained/NAME``.

    Raises:
        UserError: there is no such run, or it has no such stage.
    """
    path = located(name)
    if not path.exists():
        raise UserError(f"There is no run at {path}.")
    return Stage.require(newest_round(path, stage) or path, stage, made_by).path / "weights.safetensors"

"""Release: put the newest agent of a run into agents/pretrained/NAME, with a model card, so that anyone can watch it.

worldmodels release --agent runs/car --name mine
worldmodels evaluate --agent pretrained/mine --out agents/pretrained/mine/evaluation.json
worldmodels release --agent runs/car --name mine
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agents.cli.options import AgentName, Command
from agents.cli.places import default_agent
from agents.records.release import release
from rollouts.errors import UserError


@dataclass(frozen=True)
class Arguments:
    """Whom to release, and under which name."""

    agent: AgentName = None
    """Run directory, or one of its rounds. Default: the newest run."""
    name: str | None = None
    """What it is called: pretrained/NAME. Must be given."""
    kept: Path | None = None
    """The run as results.py has kept it, docs/results/NAME. Commands and costs in the card are then those, which
    include a run that this one began with."""


def body(arguments: Arguments) -> None:
    """Release; the second time, the card has the score of the released files."""
    if arguments.name is None:
        raise UserError("A released agent needs a name: --name NAME. One of a name that is there replaces it.")
    release(arguments.agent or default_agent(), arguments.name, arguments.kept)


COMMAND = Command(__doc__, Arguments, body, main=("agent", "name", "kept"))

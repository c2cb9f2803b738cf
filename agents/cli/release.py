"""Release: put the newest agent of a run into agents/pretrained/NAME, with a model card, so that anyone can watch it.

worldmodels release --agent runs/car --name mine
worldmodels evaluate --agent pretrained/mine --out agents/pretrained/mine/evaluation.json
worldmodels release --agent runs/car --name mine
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agents.cli.options import default_agent, main
from agents.records.release import release
from rollouts.errors import UserError


def body(arguments: Any) -> None:
    """Release; the second time, the card has the score of the released files."""
    if arguments.name is None:
        raise UserError("A released agent needs a name: --name NAME. One of a name that is there replaces it.")
    release(arguments.agent or default_agent(), arguments.name, arguments.kept)


def run() -> None:
    """Parse the command line, and do it."""
    main(
        __doc__,
        body,
        extra=(
            ("agent", str | None, None, "Run directory, or one of its rounds. Default: the newest run."),
            ("name", str | None, None, "What it is called: pretrained/NAME. Must be given."),
            (
                "kept",
                Path | None,
                None,
                "The run as results.py has kept it, docs/results/NAME: commands and costs in the card are then those, "
                "which include a run that this one began with.",
            ),
        ),
        device=False,
        workers=False,
        needs_run=False,
    )

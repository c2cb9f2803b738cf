"""Iterate: collect with the current agent, refit V and M, evolve again, for as many rounds as asked.

worldmodels iterate --run runs/car --iterate.rounds 2
worldmodels iterate --run runs/car --iterate.rounds 2 --iterate.controller.world dream
"""

from __future__ import annotations

from typing import Any

from agents.cli.options import main
from agents.pipeline.iterate import iterate
from worldmodels.training.checkpoint import pick_device


def body(arguments: Any) -> None:
    """Run the rounds that are not finished yet."""
    iterate(arguments.iterate, arguments.run, arguments.workers, pick_device(arguments.device))


def run() -> None:
    """Parse the command line, and do it."""
    main(__doc__, body, ("iterate",))

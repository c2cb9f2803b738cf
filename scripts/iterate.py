"""Iterate: collect with the current agent, refit V and M, evolve again, for as many rounds as asked.

python scripts/iterate.py --run runs/car --iterate.rounds 2
python scripts/iterate.py --run runs/car --iterate.rounds 2 --iterate.controller.world dream
"""

from __future__ import annotations

from typing import Any

from cli import main

from agents.iterate import iterate
from worldmodels.checkpoint import pick_device


def body(arguments: Any) -> None:
    """Run the rounds that are not finished yet."""
    iterate(arguments.iterate, arguments.run, arguments.workers, pick_device(arguments.device))


if __name__ == "__main__":
    main(__doc__, body, ("iterate",))

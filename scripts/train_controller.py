"""C: evolve the controller (CMA-ES, or PGPE with ClipUp), in the real environment or in the dream.

python scripts/train_controller.py --run runs/car
python scripts/train_controller.py --run runs/car --controller.world dream --controller.temperature 1.15
"""

from __future__ import annotations

from typing import Any

from cli import main

from agents.evolution import evolve
from worldmodels.checkpoint import pick_device


def body(arguments: Any) -> None:
    """Evolve, or evolve on."""
    evolve(arguments.controller, arguments.run, arguments.env, arguments.workers, pick_device(arguments.device))


if __name__ == "__main__":
    main(__doc__, body, ("env", "controller"))

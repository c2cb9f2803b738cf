"""C: evolve the controller (CMA-ES, or PGPE with ClipUp), in the real environment or in the dream.

worldmodels train-controller --run runs/car
worldmodels train-controller --run runs/car --controller.world dream --controller.temperature 1.15
worldmodels train-controller --run runs/copy --start-from runs/car --controller.principal 48
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agents.agent import find_agent
from agents.cli.options import main
from agents.learning.learn import evolve
from rollouts.console import say
from rollouts.runs.files import file_hash
from rollouts.runs.stage import Stage
from worldmodels.training.checkpoint import pick_device


def body(arguments: Any) -> None:
    """Evolve, or evolve on."""
    start = arguments.start_from
    if start is not None:
        stage = Stage.require(find_agent(start), "controller", "train-controller")
        start, vae = stage.path, arguments.run / "vae" / "weights.safetensors"
        if vae.exists() and stage.manifest["inputs"].get("vae") != file_hash(vae):
            say(f"Note: {start} was evolved on another V than this run's: its weights on z mean something else here.")
    evolve(arguments.controller, arguments.run, arguments.env, arguments.workers, pick_device(arguments.device), start)


def run() -> None:
    """Parse the command line, and do it."""
    main(
        __doc__,
        body,
        ("env", "controller"),
        extra=(
            (
                "start_from",
                Path | None,
                None,
                "Begin with the weights of this agent (a run directory or pretrained/NAME) instead of zeros; they fit "
                "its own V and M only. They are kept should nothing better be found.",
            ),
        ),
    )

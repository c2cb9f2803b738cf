"""C: learn to act (CMA-ES, PGPE with ClipUp, or another learner), in the real environment or in the dream.

worldmodels train-controller --run runs/car
worldmodels train-controller --run runs/car --controller.world dream --controller.temperature 1.15
worldmodels train-controller --run runs/car --controller.learner sac --controller.generations 150
worldmodels train-controller --run runs/copy --start-from runs/car --controller.principal 48
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from agents.agent import find_agent
from agents.cli.options import Command, Device, PresetName, RunDirectory, Tracking, WorkerCount
from agents.learning.config import ControllerConfig
from agents.learning.learn import evolve
from rollouts.console import say
from rollouts.envs.config import EnvConfig
from rollouts.pools.processes import default_workers
from rollouts.runs.files import file_hash
from rollouts.runs.layout import Run
from worldmodels.training.checkpoint import pick_device


@dataclass(frozen=True)
class Arguments:
    """Which run's C to learn, and how."""

    run: RunDirectory
    preset: PresetName
    env: EnvConfig
    controller: ControllerConfig
    start_from: Path | None = None
    """Begin with the weights of this agent (a run directory or pretrained/NAME) instead of zeros. They fit its own V
    and M only. They are kept should nothing better be found."""
    device: Device = "auto"
    track: Tracking = ()
    workers: WorkerCount = field(default_factory=default_workers)


def body(arguments: Arguments) -> None:
    """Evolve, or evolve on."""
    start = arguments.start_from
    if start is not None:
        stage = Run(find_agent(start)).controller.require()
        start, vae = stage.path, Run(arguments.run).vae.weights
        if vae.exists() and stage.manifest["inputs"].get("vae") != file_hash(vae):
            say(f"Note: {start} was evolved on another V than this run's: its weights on z mean something else here.")
    evolve(arguments.controller, arguments.run, arguments.env, arguments.workers, pick_device(arguments.device), start)


COMMAND = Command(
    __doc__,
    Arguments,
    body,
    main=(
        *("run", "preset", "start_from", "device", "workers", "env.id"),
        *("controller.world", "controller.spec.features", "controller.learner", "controller.generations"),
        *("controller.population", "controller.rollouts", "controller.sigma", "controller.strategy"),
        *("controller.principal", "controller.max_steps", "controller.patience", "controller.temperature"),
        "controller.seed",
    ),
)

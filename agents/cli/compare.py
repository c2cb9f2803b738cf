"""Compare: what does C need to see, and what is the best way to evolve it? The paper's ablation, and more.

worldmodels compare --run runs/car --controller.rollouts 4 --controller.generations 40
worldmodels compare --run runs/car --compare.variants zh z untrained --controller.generations 60

Every variant differs in one thing from a linear controller on [z, h]: what it sees (z, z-hidden, zch), an M that was
never trained (untrained), the strategy (principal, sep-cma, pgpe), what it is told (ranked), or how a generation's
episodes are spent (more-rollouts, more-candidates). All are evolved from zero in the real world, with the run's own
options unless others are given, and scored on 100 episodes of the stock environment.

The table is written to RUN/comparison/comparison.md and .json, complete up to the last finished variant. It can be
stopped at any moment; the same command continues.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from agents.cli.options import Command, Device, PresetName, RunDirectory, Tracking, WorkerCount
from agents.learning.config import ControllerConfig
from agents.studies.comparison import CompareConfig, compare, markdown
from rollouts.pools.processes import default_workers
from worldmodels.training.checkpoint import pick_device


@dataclass(frozen=True)
class Arguments:
    """Which run's world model, what to vary, and how to evolve."""

    run: RunDirectory
    preset: PresetName
    controller: ControllerConfig
    compare: CompareConfig = field(default_factory=CompareConfig)
    device: Device = "auto"
    track: Tracking = ()
    workers: WorkerCount = field(default_factory=default_workers)


def body(arguments: Arguments) -> None:
    """Evolve and score every variant, show the table."""
    device = pick_device(arguments.device)
    report = compare(arguments.compare, arguments.controller, arguments.run, arguments.workers, device)
    print(markdown(report))


COMMAND = Command(
    __doc__,
    Arguments,
    body,
    main=(
        *("run", "preset", "device", "track", "workers", "compare.variants", "compare.episodes", "compare.round"),
        *("controller.spec.features", "controller.generations", "controller.population", "controller.rollouts"),
        *("controller.sigma", "controller.strategy", "controller.max_steps", "controller.seed"),
    ),
)

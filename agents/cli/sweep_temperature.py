"""Sweep: how hard should the dream be? The paper's table of temperatures, for any run with a world model.

worldmodels sweep-temperature --run runs/takecover --controller.generations 40
worldmodels sweep-temperature --run runs/takecover --sweep.temperatures 0.5 1.15 --controller.generations 60

At every temperature a controller is evolved in the dream alone, with the run's own options unless others are given;
the generation that real validation games prefer is then scored in 200 dreams and 200 real games. A cold dream (well
below 1) repeats what is likeliest, and C learns to live off its flaws: a high score in the dream, a poor one in
reality. A hot dream (above 1) is wilder than reality. Choose a temperature by the validation column; the real column is
the test of that choice, and no longer one if the choice is made by it.

The table is written to RUN/temperatures/temperatures.md and .json, complete up to the last finished temperature. It
can be stopped at any moment; the same command continues. --controller.dropout 0 dreams as the paper did.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from agents.cli.options import Command, Device, PresetName, RunDirectory, WorkerCount
from agents.learning.config import ControllerConfig
from agents.studies.temperatures import SweepConfig, markdown, sweep
from rollouts.pools.processes import default_workers
from rollouts.runs.layout import Run
from worldmodels.training.checkpoint import pick_device


@dataclass(frozen=True)
class Arguments:
    """Which run's world model, what to vary, and how to evolve."""

    run: RunDirectory
    preset: PresetName
    controller: ControllerConfig
    sweep: SweepConfig = field(default_factory=SweepConfig)
    device: Device = "auto"
    workers: WorkerCount = field(default_factory=default_workers)


def body(arguments: Arguments) -> None:
    """Evolve and score at every temperature, show the table."""
    device = pick_device(arguments.device)
    report = sweep(arguments.sweep, arguments.controller, arguments.run, arguments.workers, device)
    print(markdown(report))
    print(f"Every game's score: {Run(Path(report['world_model'])).report('temperatures')}")


COMMAND = Command(
    __doc__,
    Arguments,
    body,
    main=(
        *("run", "preset", "device", "workers", "sweep.temperatures", "sweep.episodes", "sweep.round"),
        *("controller.spec.features", "controller.generations", "controller.population", "controller.rollouts"),
        *("controller.sigma", "controller.strategy", "controller.max_steps", "controller.seed"),
    ),
)

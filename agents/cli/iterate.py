"""Iterate: collect with the current agent, refit V and M, evolve again, for as many rounds as asked.

worldmodels iterate --run runs/car --iterate.rounds 2
worldmodels iterate --run runs/car --iterate.rounds 2 --iterate.controller.world dream
"""

from __future__ import annotations

from dataclasses import dataclass, field

from agents.cli.options import Command, Device, PresetName, RunDirectory, Tracking, WorkerCount
from agents.pipeline.iterate import IterateConfig, iterate
from rollouts.pools.processes import default_workers
from worldmodels.training.checkpoint import pick_device


@dataclass(frozen=True)
class Arguments:
    """Which run to go on with, and how."""

    run: RunDirectory
    preset: PresetName
    iterate: IterateConfig
    device: Device = "auto"
    track: Tracking = ()
    workers: WorkerCount = field(default_factory=default_workers)


def body(arguments: Arguments) -> None:
    """Run the rounds that are not finished yet."""
    iterate(arguments.iterate, arguments.run, arguments.workers, pick_device(arguments.device))


COMMAND = Command(
    __doc__,
    Arguments,
    body,
    main=(
        *("run", "preset", "device", "track", "workers"),
        *("iterate.rounds", "iterate.episodes", "iterate.max_steps", "iterate.noise", "iterate.refit_vae"),
        *("iterate.human", "iterate.fresh", "iterate.vae.steps", "iterate.mdnrnn.steps"),
        *("iterate.controller.world", "iterate.controller.generations", "iterate.controller.population"),
        *("iterate.controller.rollouts", "iterate.controller.sigma", "iterate.controller.temperature"),
    ),
)

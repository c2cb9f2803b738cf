"""The whole pipeline on one run directory: collect, V, M, C, iterate, evaluate, watch. Finished stages are skipped.

worldmodels pipeline --preset tiny
worldmodels pipeline --preset quick --run runs/quickstart
"""

from __future__ import annotations

from dataclasses import dataclass, field

from agents.cli.options import Command, Device, PresetName, RunDirectory, Tracking, WorkerCount
from agents.evaluation import EvaluateConfig
from agents.learning.config import ControllerConfig
from agents.pipeline.iterate import IterateConfig
from agents.pipeline.run import run_pipeline
from agents.viewing.watch import WatchConfig
from rollouts.collect import CollectConfig
from rollouts.envs.config import EnvConfig
from rollouts.pools.processes import default_workers
from worldmodels.configs import MDNRNNConfig, VAEConfig
from worldmodels.training.checkpoint import pick_device


@dataclass(frozen=True)
class Arguments:
    """All stages, in order."""

    run: RunDirectory
    preset: PresetName
    env: EnvConfig
    collect: CollectConfig
    vae: VAEConfig
    mdnrnn: MDNRNNConfig
    controller: ControllerConfig
    iterate: IterateConfig
    evaluate: EvaluateConfig
    watch: WatchConfig
    device: Device = "auto"
    track: Tracking = ()
    workers: WorkerCount = field(default_factory=default_workers)


def body(arguments: Arguments) -> None:
    """All stages in order."""
    run_pipeline(arguments, arguments.run, arguments.workers, pick_device(arguments.device))


COMMAND = Command(
    __doc__,
    Arguments,
    body,
    main=(
        *("run", "preset", "device", "track", "workers", "env.id", "env.action_repeat", "collect.episodes"),
        *("vae.latent_size", "vae.steps", "mdnrnn.hidden_size", "mdnrnn.steps"),
        *("controller.world", "controller.generations", "controller.population", "iterate.rounds"),
        "evaluate.episodes",
    ),
    starts_run=True,
)

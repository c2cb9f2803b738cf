"""V: train the variational autoencoder on a run's episodes.

worldmodels train-vae --run runs/car
worldmodels train-vae --run runs/car --vae.latent-size 64 --vae.steps 20000
worldmodels train-vae --run runs/dodger --preset takecover --start-from pretrained/takecover --vae.steps 600
torchrun --nproc-per-node 2 -- scripts/train_vae.py --run runs/car        # on two GPUs
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agents.cli.options import Command, Device, PresetName, RunDirectory, Tracking
from rollouts.runs.layout import Run
from worldmodels.configs import VAEConfig
from worldmodels.fit_vae import fit_vae
from worldmodels.training.distributed import process_group


@dataclass(frozen=True)
class Arguments:
    """Which run's V to train, and how."""

    run: RunDirectory
    preset: PresetName
    vae: VAEConfig
    start_from: Path | None = None
    """Begin with the V of this run, or of pretrained/NAME"""
    device: Device = "auto"
    track: Tracking = ()


def body(arguments: Arguments) -> None:
    """Train, or train on."""
    run = Run(arguments.run)
    run.rollouts.require()
    start = None if arguments.start_from is None else Run.named(arguments.start_from).trained("vae").weights
    with process_group(arguments.device) as device:
        fit_vae(arguments.vae, run.path, [run.episodes], device, start)


COMMAND = Command(
    __doc__,
    Arguments,
    body,
    main=(
        *("run", "preset", "start_from", "device", "track", "vae.latent_size", "vae.steps", "vae.batch_size"),
        *("vae.learning_rate", "vae.decay", "vae.kl_floor", "vae.motion_weight", "vae.motion_lag", "vae.precision"),
        *("vae.memory_gb", "vae.seed", "vae.checkpoint_every"),
    ),
    joins_group=True,
)

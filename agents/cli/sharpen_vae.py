"""Sharpen V: go on training a run's V with an adversarial term (VAE/GAN), on the same episodes.

worldmodels sharpen-vae --run runs/car --adversarial-weight 10
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from agents.cli.options import Command, Device, Tracking
from agents.cli.places import required_run
from rollouts.runs.layout import Run
from worldmodels.generative.sharpen_vae import VAEGANConfig, fit_vae_gan
from worldmodels.training.checkpoint import pick_device


@dataclass(frozen=True)
class Arguments:
    """Which V, and how."""

    run: Path | None = None
    """Run directory with episodes and a trained V. Default: the newest one under runs/."""
    config: VAEGANConfig = field(default_factory=VAEGANConfig)
    device: Device = "auto"
    track: Tracking = ()


def body(arguments: Arguments) -> None:
    """Train, or train on."""
    run = Run(arguments.run or required_run())
    run.rollouts.require()
    fit_vae_gan(arguments.config, run.path, [run.episodes], pick_device(arguments.device))


COMMAND = Command(
    __doc__,
    Arguments,
    body,
    main=(
        *("run", "device", "track", "config.steps", "config.batch_size", "config.adversarial_weight"),
        *("config.learning_rate", "config.critic_learning_rate", "config.width", "config.kl_floor", "config.seed"),
    ),
    flat=True,
)

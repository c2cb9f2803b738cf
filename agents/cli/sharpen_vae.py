"""Sharpen V: go on training a run's V with an adversarial term (VAE/GAN), on the same episodes.

worldmodels sharpen-vae --run runs/car --adversarial-weight 10
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import tyro

from agents.cli.options import shown, tell_errors
from rollouts.episodes import EpisodeStore
from rollouts.runs.stage import Stage
from worldmodels.generative.sharpen_vae import VAEGANConfig, fit_vae_gan
from worldmodels.training.checkpoint import pick_device


@dataclass(frozen=True)
class Arguments:
    """Which V, and how."""

    run: Path
    """Run directory with episodes and a trained V."""
    config: VAEGANConfig = field(default_factory=VAEGANConfig)
    device: str = "auto"
    """auto, cpu, cuda or mps."""


def body() -> None:
    """Train, or train on."""
    arguments = tyro.cli(Arguments, description=shown(__doc__), config=(tyro.conf.OmitArgPrefixes,))
    rollouts = Stage.require(arguments.run, "rollouts", "collect")
    stores = [EpisodeStore(rollouts.path / "episodes")]
    fit_vae_gan(arguments.config, arguments.run, stores, pick_device(arguments.device))


def run() -> None:
    """Parse the command line, and do it."""
    tell_errors(body)

"""Sharpen V: go on training a run's V with an adversarial term (VAE/GAN), on the same episodes.

python scripts/train_vae_gan.py --run runs/car --adversarial-weight 10
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import tyro
from cli import shown, tell_errors

from rollouts.episodes import EpisodeStore
from rollouts.stage import Stage
from worldmodels.checkpoint import pick_device
from worldmodels.generative.sharpen_vae import VAEGANConfig, fit_vae_gan


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
    rollouts = Stage.require(arguments.run, "rollouts", "collect.py")
    stores = [EpisodeStore(rollouts.path / "episodes")]
    fit_vae_gan(arguments.config, arguments.run, stores, pick_device(arguments.device))


if __name__ == "__main__":
    tell_errors(body)

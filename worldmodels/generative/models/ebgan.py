"""EBGAN: a generator against an autoencoder whose error is an energy, up to a margin."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from rollouts.errors import require_at_least, require_positive
from worldmodels.generative.models.autoencoder_gan import AutoencoderGANConfig
from worldmodels.generative.models.base import Shape
from worldmodels.generative.models.gan import GANModel
from worldmodels.generative.networks.dcgan import dcgan_generator
from worldmodels.generative.networks.perceptrons import mlp_generator
from worldmodels.generative.objectives.augment import augmenter
from worldmodels.generative.objectives.ebgan import EBGAN


@dataclass(frozen=True)
class EBGANConfig(AutoencoderGANConfig):
    """A generator against an energy: the error of an autoencoder."""

    margin: float = 0.5
    """Energy (mean squared error of a pixel) to which fakes are raised; well above that of data."""
    pull_away: float = 0.1
    """Times the pull-away term, which keeps fakes apart; 0.1 is the paper's."""

    def build(self, shape: Shape, device: torch.device) -> GANModel:
        if shape.size:
            generator = dcgan_generator(shape.size, shape.channels, self.latent_size, self.width)
        else:
            generator = mlp_generator(shape.channels, self.latent_size, self.width)
        game = EBGAN(
            generator.to(device),
            self.critic(shape).to(device),
            *self.optimisers(),
            self.margin,
            self.pull_away,
            self.average_decay,
            augmenter(self.diffaugment),
        )
        return GANModel(game, ("energy_real", "energy_fake"))

    def for_points(self) -> EBGANConfig:
        # In one dimension all codes are parallel or opposite, and nothing can be pulled away.
        return replace(super().for_points(), margin=1.0, pull_away=0.0)

    def check(self) -> None:
        super().check()
        require_positive(self, ("margin",))
        require_at_least(0, self, ("pull_away",))

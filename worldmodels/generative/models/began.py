"""BEGAN: a generator against an autoencoder."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from worldmodels.generative.models.autoencoder_gan import AutoencoderGANConfig
from worldmodels.generative.models.base import Shape
from worldmodels.generative.models.gan import GANModel
from worldmodels.generative.networks.coders import began_generator
from worldmodels.generative.networks.perceptrons import mlp_generator
from worldmodels.generative.objectives.augment import augmenter
from worldmodels.generative.objectives.began import BEGAN


@dataclass(frozen=True)
class BEGANConfig(AutoencoderGANConfig):
    """A generator against an autoencoder."""

    learning_rate: float = 5e-4
    """Step size of the generator."""
    gamma: float = 1.0
    """Ratio of the errors on fakes and on data to hold; lower is sharper and less diverse: at 0.75, most digits are
    the one that is easiest to reconstruct, 1."""
    gain: float = 0.05
    """Step size of the balance k. The paper's 0.001 is meant for a hundred times as many steps."""

    def build(self, shape: Shape, device: torch.device) -> GANModel:
        if shape.size:
            generator = began_generator(shape.size, shape.channels, self.latent_size, self.width)
        else:
            generator = mlp_generator(shape.channels, self.latent_size, self.width)
        game = BEGAN(
            generator.to(device),
            self.critic(shape).to(device),
            *self.optimisers(),
            self.gamma,
            self.gain,
            self.average_decay,
            augmenter(self.diffaugment),
        )
        return GANModel(game, ("convergence", "k"))

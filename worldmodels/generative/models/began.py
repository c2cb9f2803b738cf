"""BEGAN: a generator against an autoencoder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import torch

from rollouts.errors import require_below_one, require_positive
from worldmodels.generative.models.base import ImageConfig, Shape, adam
from worldmodels.generative.models.gan import GeneratorModel
from worldmodels.generative.networks.coders import began_critic, began_generator, mlp_coder
from worldmodels.generative.networks.modules import Autoencoder
from worldmodels.generative.networks.perceptrons import mlp_generator
from worldmodels.generative.objectives.augment import Policy, augmenter, refuse_augmented_points
from worldmodels.generative.objectives.began import BEGAN
from worldmodels.generative.objectives.units import Unit
from worldmodels.training.loop import Stateful


@dataclass(frozen=True)
class BEGANConfig(ImageConfig):
    """A generator against an autoencoder."""

    learning_rate: float = 5e-4
    """Step size of the generator."""
    critic_learning_rate: float = 1e-3
    """Step size of the autoencoder, which must learn to reconstruct before it can judge."""
    beta1: float = 0.5
    """Adam's first moment."""
    gamma: float = 1.0
    """Ratio of the errors on fakes and on data to hold; lower is sharper and less diverse: at 0.75, most digits are
    the one that is easiest to reconstruct, 1."""
    gain: float = 0.05
    """Step size of the balance k. The paper's 0.001 is meant for a hundred times as many steps."""
    diffaugment: Policy = "none"
    """Disturb what the autoencoder sees, real and fake alike, so that few pictures last longer."""
    average_decay: float = 0.995
    """Of the moving average of the generator that samples are drawn from; 0 is no averaging."""

    def build(self, shape: Shape, device: torch.device) -> BEGANModel:
        if shape.size:
            generator = began_generator(shape.size, shape.channels, self.latent_size, self.width)
            critic = began_critic(shape.size, shape.channels, self.latent_size, self.width)
        else:
            generator = mlp_generator(shape.channels, self.latent_size, self.width)
            # A code as long as a point could reproduce any point, and would judge none.
            code = min(self.latent_size, shape.channels - 1)
            encoder, features, decoder = mlp_coder(shape.channels, code, self.width)
            critic = Autoencoder(encoder, features, code, decoder)
        make_adam = partial(adam, betas=(self.beta1, 0.999))
        game = BEGAN(
            generator.to(device),
            critic.to(device),
            partial(make_adam, rate=self.learning_rate),
            partial(make_adam, rate=self.critic_learning_rate),
            self.gamma,
            self.gain,
            self.average_decay,
            augmenter(self.diffaugment),
        )
        return BEGANModel(game)

    def for_photos(self) -> BEGANConfig:
        return replace(super().for_photos(), diffaugment="all", average_decay=0.998)

    def check_networks(self, points: bool) -> None:
        super().check_networks(points)
        refuse_augmented_points(self.diffaugment, points)

    def check(self) -> None:
        super().check()
        require_positive(self, ("critic_learning_rate",))
        require_below_one(self, ("average_decay", "beta1"))


class BEGANModel(GeneratorModel):
    """A generator and the autoencoder that judges it by how well it can reproduce its images."""

    def __init__(self, game: BEGAN) -> None:
        super().__init__(game.average.network, ("convergence", "k"))
        self.game = game

    def units(self) -> list[Unit]:
        return self.game.units()

    def parts(self) -> dict[str, Stateful]:
        return self.game.parts()

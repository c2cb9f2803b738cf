"""EBGAN: a generator against an autoencoder whose error is an energy, up to a margin."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import torch

from rollouts.errors import require_at_least, require_below_one, require_positive
from worldmodels.generative.models.base import ImageConfig, Shape, adam
from worldmodels.generative.models.gan import GeneratorModel
from worldmodels.generative.networks.coders import began_critic, mlp_coder
from worldmodels.generative.networks.dcgan import dcgan_generator
from worldmodels.generative.networks.modules import Autoencoder
from worldmodels.generative.networks.perceptrons import mlp_generator
from worldmodels.generative.objectives.augment import Policy, augmenter, refuse_augmented_points
from worldmodels.generative.objectives.ebgan import EBGAN
from worldmodels.generative.objectives.units import Unit
from worldmodels.training.loop import Stateful


@dataclass(frozen=True)
class EBGANConfig(ImageConfig):
    """A generator against an energy: the error of an autoencoder."""

    critic_learning_rate: float = 1e-3
    """Step size of the autoencoder, which must learn to reconstruct before it can judge."""
    beta1: float = 0.5
    """Adam's first moment."""
    margin: float = 0.5
    """Energy (mean squared error of a pixel) to which fakes are raised; well above that of data."""
    pull_away: float = 0.1
    """Times the pull-away term, which keeps fakes apart; 0.1 is the paper's."""
    diffaugment: Policy = "none"
    """Disturb what the autoencoder sees, real and fake alike, so that few pictures last longer."""
    average_decay: float = 0.995
    """Of the moving average of the generator that samples are drawn from; 0 is no averaging."""

    def build(self, shape: Shape, device: torch.device) -> EBGANModel:
        if shape.size:
            generator = dcgan_generator(shape.size, shape.channels, self.latent_size, self.width)
            critic = began_critic(shape.size, shape.channels, self.latent_size, self.width)
        else:
            generator = mlp_generator(shape.channels, self.latent_size, self.width)
            # A code as long as a point could reproduce any point, and would judge none.
            code = min(self.latent_size, shape.channels - 1)
            encoder, features, decoder = mlp_coder(shape.channels, code, self.width)
            critic = Autoencoder(encoder, features, code, decoder)
        make_adam = partial(adam, betas=(self.beta1, 0.999))
        game = EBGAN(
            generator.to(device),
            critic.to(device),
            partial(make_adam, rate=self.learning_rate),
            partial(make_adam, rate=self.critic_learning_rate),
            self.margin,
            self.pull_away,
            self.average_decay,
            augmenter(self.diffaugment),
        )
        return EBGANModel(game)

    def for_points(self) -> EBGANConfig:
        # In one dimension all codes are parallel or opposite, and nothing can be pulled away.
        return replace(super().for_points(), margin=1.0, pull_away=0.0)

    def for_photos(self) -> EBGANConfig:
        return replace(super().for_photos(), diffaugment="all", average_decay=0.998)

    def check_networks(self, points: bool) -> None:
        super().check_networks(points)
        refuse_augmented_points(self.diffaugment, points)

    def check(self) -> None:
        super().check()
        require_positive(self, ("critic_learning_rate", "margin"))
        require_at_least(0, self, ("pull_away",))
        require_below_one(self, ("average_decay", "beta1"))


class EBGANModel(GeneratorModel):
    """A generator and the energy that judges it."""

    def __init__(self, game: EBGAN) -> None:
        super().__init__(game.average.network, ("energy_real", "energy_fake"))
        self.game = game

    def units(self) -> list[Unit]:
        return self.game.units()

    def parts(self) -> dict[str, Stateful]:
        return self.game.parts()

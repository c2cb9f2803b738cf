"""What BEGAN and EBGAN share: options, and the autoencoder that judges samples by how well it copies them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from rollouts.errors import require_below_one, require_positive
from worldmodels.generative.models.base import ImageConfig, Shape, adam
from worldmodels.generative.networks.coders import began_critic, mlp_coder
from worldmodels.generative.networks.modules import Autoencoder
from worldmodels.generative.objectives.augment import Policy, refuse_augmented_points
from worldmodels.generative.objectives.players import MakeOptimiser

C = TypeVar("C", bound="AutoencoderGANConfig")


@dataclass(frozen=True)
class AutoencoderGANConfig(ImageConfig):
    """A generator against an autoencoder."""

    critic_learning_rate: float = 1e-3
    """Step size of the autoencoder, which must learn to reconstruct before it can judge."""
    beta1: float = 0.5
    """Adam's first moment."""
    diffaugment: Policy = "none"
    """Disturb what the autoencoder sees, real and fake alike, so that few pictures last longer."""
    average_decay: float = 0.995
    """Of the moving average of the generator that samples are drawn from; 0 is no averaging."""

    def critic(self, shape: Shape) -> Autoencoder:
        """The autoencoder: BEGAN's for images, of perceptrons for points."""
        if shape.size:
            return began_critic(shape.size, shape.channels, self.latent_size, self.width)
        # A code as long as a point could reproduce any point, and would judge none.
        code = min(self.latent_size, shape.channels - 1)
        encoder, features, decoder = mlp_coder(shape.channels, code, self.width)
        return Autoencoder(encoder, features, code, decoder)

    def optimisers(self) -> tuple[MakeOptimiser, MakeOptimiser]:
        """Make Adam for the generator, and for the autoencoder."""
        make_adam = partial(adam, betas=(self.beta1, 0.999))
        return partial(make_adam, rate=self.learning_rate), partial(make_adam, rate=self.critic_learning_rate)

    def for_photos(self: C) -> C:
        return replace(super().for_photos(), diffaugment="all", average_decay=0.998)

    def check_networks(self, points: bool) -> None:
        super().check_networks(points)
        refuse_augmented_points(self.diffaugment, points)

    def check(self) -> None:
        super().check()
        require_positive(self, ("critic_learning_rate",))
        require_below_one(self, ("average_decay", "beta1"))

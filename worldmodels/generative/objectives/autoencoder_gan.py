"""What BEGAN and EBGAN share: a generator against an autoencoder, which judges samples by how well it copies them."""

from __future__ import annotations

from torch import Tensor

from worldmodels.generative.networks.modules import Autoencoder, Generator
from worldmodels.generative.objectives.gan import Augment, MakeOptimiser
from worldmodels.generative.objectives.units import Average, Batch, Loss, Unit
from worldmodels.training.loop import Stateful


class AutoencoderGAN:
    """Both networks, their optimisers, and a step of each; children have the losses.

    Args:
        average_decay: of the moving average of the generator, which is what samples are drawn from.
        augment: disturbs whatever the autoencoder sees, real and fake, differentiably (``augment.py``).
    """

    def __init__(
        self,
        generator: Generator,
        critic: Autoencoder,
        generator_optimiser: MakeOptimiser,
        critic_optimiser: MakeOptimiser,
        average_decay: float,
        augment: Augment | None,
    ) -> None:
        self.generator, self.critic = generator, critic
        self.generator_optimiser, self.critic_optimiser = generator_optimiser(generator), critic_optimiser(critic)
        self.average, self.augment = Average(generator, average_decay), augment

    def generate(self, batch: Batch) -> Tensor:
        """As many fakes as there are data in the batch."""
        return self.generator(batch.normal(len(batch.x), self.generator.latent_size))

    def shown(self, x: Tensor, batch: Batch) -> Tensor:
        """Samples as the autoencoder sees them."""
        return x if self.augment is None else self.augment(x, batch)

    def critic_loss(self, batch: Batch) -> Loss:
        """The autoencoder's side, on detached fakes."""
        raise NotImplementedError

    def generator_loss(self, batch: Batch) -> Loss:
        """The generator's side, on fresh fakes."""
        raise NotImplementedError

    def units(self) -> list[Unit]:
        """The autoencoder's update, then the generator's."""
        return [
            Unit("critic", self.critic_optimiser, self.critic_loss),
            Unit("generator", self.generator_optimiser, self.generator_loss, after=self.average.update),
        ]

    def parts(self) -> dict[str, Stateful]:
        """What a checkpoint must hold."""
        return {
            "generator": self.generator,
            "critic": self.critic,
            "generator_optimiser": self.generator_optimiser,
            "critic_optimiser": self.critic_optimiser,
            "average": self.average,
        }

"""What all games of two players share: a generator, whatever judges its samples, and a step of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from torch import Tensor, nn, optim

from worldmodels.generative.networks.modules import Generator
from worldmodels.generative.objectives.units import Average, Batch, Loss, Unit, do_nothing
from worldmodels.training.loop import Stateful

Augment = Callable[[Tensor, Batch], Tensor]
MakeOptimiser = Callable[[nn.Module], optim.Optimizer]
Judge = TypeVar("Judge", bound=nn.Module)


class Players(Generic[Judge]):
    """Both networks and their optimisers; children have the losses.

    Args:
        average_decay: of the moving average of the generator, which is what samples are drawn from.
        augment: disturbs whatever the critic sees, real and fake, differentiably (``augment.py``).
    """

    critic_steps = 1  #: critic updates before each generator update
    after_critic: Callable[[], None] = staticmethod(do_nothing)  #: called after each of them

    def __init__(
        self,
        generator: Generator,
        critic: Judge,
        generator_optimiser: MakeOptimiser,
        critic_optimiser: MakeOptimiser,
        average_decay: float = 0.0,
        augment: Augment | None = None,
    ) -> None:
        self.generator, self.critic = generator, critic
        self.generator_optimiser, self.critic_optimiser = generator_optimiser(generator), critic_optimiser(critic)
        self.average, self.augment = Average(generator, average_decay), augment

    def generate(self, batch: Batch) -> Tensor:
        """As many fakes as there are data in the batch, with their labels."""
        labels = batch.labels if self.generator.classes else None
        return self.generator(batch.normal(len(batch.x), self.generator.latent_size), labels)

    def shown(self, x: Tensor, batch: Batch) -> Tensor:
        """Samples as the critic sees them."""
        return x if self.augment is None else self.augment(x, batch)

    def critic_loss(self, batch: Batch) -> Loss:
        """The critic's side, on detached fakes."""
        raise NotImplementedError

    def generator_loss(self, batch: Batch) -> Loss:
        """The generator's side, on fresh fakes."""
        raise NotImplementedError

    def units(self) -> list[Unit]:
        """The critic's updates, then the generator's."""
        return [
            Unit("critic", self.critic_optimiser, self.critic_loss, self.critic_steps, self.after_critic),
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

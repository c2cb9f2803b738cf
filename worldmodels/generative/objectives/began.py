"""BEGAN as update units."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from worldmodels.generative.networks.modules import Autoencoder, Generator
from worldmodels.generative.objectives.gan import Augment, MakeOptimiser
from worldmodels.generative.objectives.losses import autoencoder_error, began_convergence, began_critic, began_next_k
from worldmodels.generative.objectives.units import Average, Batch, Loss, Unit
from worldmodels.training.loop import Stateful


class BEGAN:
    """A generator against an autoencoder that reconstructs real images well and fakes badly. Berthelot et al. (2017).

    ``k`` balances the two; it is part of the state.

    Args:
        gamma: the ratio E L(G(z)) / E L(x) to hold; lower gives sharper and more uniform images.
        gain: lambda_k of the paper, the step size of k.
        augment: disturbs whatever the autoencoder sees, real and fake, differentiably (``augment.py``).
    """

    def __init__(
        self,
        generator: Generator,
        critic: Autoencoder,
        generator_optimiser: MakeOptimiser,
        critic_optimiser: MakeOptimiser,
        gamma: float = 0.75,
        gain: float = 1e-3,
        average_decay: float = 0.0,
        augment: Augment | None = None,
    ) -> None:
        self.generator, self.critic, self.gamma, self.gain = generator, critic, gamma, gain
        self.generator_optimiser, self.critic_optimiser = generator_optimiser(generator), critic_optimiser(critic)
        self.average = Average(generator, average_decay)
        self.k = torch.zeros(())
        self.augment = augment

    def generate(self, batch: Batch) -> Tensor:
        """As many fakes as there are data in the batch."""
        return self.generator(batch.normal(len(batch.x), self.generator.latent_size))

    def _shown(self, x: Tensor, batch: Batch) -> Tensor:
        return x if self.augment is None else self.augment(x, batch)

    def errors(self, x: Tensor) -> Tensor:
        """L(x) of every sample, ``[N]``."""
        return autoencoder_error(x, self.critic(x))

    def critic_loss(self, batch: Batch) -> Loss:
        """The autoencoder's side; moves ``k`` once, after using it."""
        with torch.no_grad():
            fake = self.generate(batch)
        real_error, fake_error = self.errors(self._shown(batch.x, batch)), self.errors(self._shown(fake, batch))
        k = self.k.to(real_error.device)
        loss = began_critic(real_error, fake_error, k)
        means = batch.mean_of_all(real_error), batch.mean_of_all(fake_error)
        self.k = began_next_k(k, *means, self.gamma, self.gain)
        convergence = began_convergence(real_error, fake_error, self.gamma)
        return Loss(loss.total, {"critic": loss.total, "convergence": convergence, "k": k})

    def generator_loss(self, batch: Batch) -> Loss:
        loss = self.errors(self._shown(self.generate(batch), batch)).mean()
        return Loss(loss, {"generator": loss})

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
            "balance": self,
        }

    def state_dict(self) -> dict[str, Any]:
        return {"k": self.k}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.k = state_dict["k"]

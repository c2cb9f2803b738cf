"""BEGAN as update units."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from worldmodels.generative.networks.modules import Autoencoder, Generator
from worldmodels.generative.objectives.losses import autoencoder_error, began_convergence, began_critic, began_next_k
from worldmodels.generative.objectives.players import Augment, MakeOptimiser, Players
from worldmodels.generative.objectives.units import Batch, Loss
from worldmodels.training.loop import Stateful


class BEGAN(Players[Autoencoder]):
    """A generator against an autoencoder that reconstructs real images well and fakes badly. Berthelot et al. (2017).

    ``k`` balances the two; it is part of the state.

    Args:
        gamma: the ratio E L(G(z)) / E L(x) to hold; lower gives sharper and more uniform images.
        gain: lambda_k of the paper, the step size of k.
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
        super().__init__(generator, critic, generator_optimiser, critic_optimiser, average_decay, augment)
        self.gamma, self.gain, self.k = gamma, gain, torch.zeros(())

    def errors(self, x: Tensor) -> Tensor:
        """L(x) of every sample, ``[N]``."""
        return autoencoder_error(x, self.critic(x))

    def critic_loss(self, batch: Batch) -> Loss:
        """The autoencoder's side; moves ``k`` once, after using it."""
        with torch.no_grad():
            fake = self.generate(batch)
        real_error, fake_error = self.errors(self.shown(batch.x, batch)), self.errors(self.shown(fake, batch))
        k = self.k.to(real_error.device)
        loss = began_critic(real_error, fake_error, k)
        means = batch.mean_of_all(real_error), batch.mean_of_all(fake_error)
        self.k = began_next_k(k, *means, self.gamma, self.gain)
        convergence = began_convergence(real_error, fake_error, self.gamma)
        return Loss(loss.total, {"critic": loss.total, "convergence": convergence, "k": k})

    def generator_loss(self, batch: Batch) -> Loss:
        loss = self.errors(self.shown(self.generate(batch), batch)).mean()
        return Loss(loss, {"generator": loss})

    def parts(self) -> dict[str, Stateful]:
        return {**super().parts(), "balance": self}

    def state_dict(self) -> dict[str, Any]:
        return {"k": self.k}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.k = state_dict["k"]

"""BiGAN and ALI as update units. Donahue et al. (2017); Dumoulin et al. (2017)."""

from __future__ import annotations

import torch
from torch import Tensor

from worldmodels.generative.networks.pairs import Inference, PairCritic
from worldmodels.generative.objectives.losses import logistic_critic
from worldmodels.generative.objectives.players import MakeOptimiser
from worldmodels.generative.objectives.units import Average, Batch, Loss, Unit
from worldmodels.training.loop import Stateful
from worldmodels.vae import reparameterise


class BiGAN:
    """A critic tells pairs (x, E(x)) from pairs (G(z), z); where it cannot, E and G undo each other.

    Generator and encoder lower the same loss with the sides exchanged, the non-saturating form of both papers.
    """

    def __init__(
        self,
        pair: Inference,
        critic: PairCritic,
        pair_optimiser: MakeOptimiser,
        critic_optimiser: MakeOptimiser,
        average_decay: float = 0.0,
    ) -> None:
        self.pair, self.critic = pair, critic
        self.pair_optimiser, self.critic_optimiser = pair_optimiser(pair), critic_optimiser(critic)
        self.average = Average(pair, average_decay)

    def logits(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Of pairs that begin with data, and of pairs that begin with latents, ``[N, 1]`` each."""
        mean, logvar = self.pair.encode(batch.x)
        z = batch.normal(*mean.shape)
        code = mean if logvar is None else reparameterise(mean, logvar, batch.normal(*mean.shape))
        both = self.critic(torch.cat([batch.x, self.pair.generator(z)]), torch.cat([code, z]))
        return both[: len(mean)], both[len(mean) :]

    def critic_loss(self, batch: Batch) -> Loss:
        loss = logistic_critic(*self.logits(batch))
        return Loss(loss.total, {"critic": loss.total, "critic_real": loss.real, "critic_fake": loss.fake})

    def pair_loss(self, batch: Batch) -> Loss:
        data, latents = self.logits(batch)
        loss = logistic_critic(latents, data)
        return Loss(loss.total, {"generator": loss.real, "encoder": loss.fake})

    def units(self) -> list[Unit]:
        """The critic's update, then that of generator and encoder."""
        return [
            Unit("critic", self.critic_optimiser, self.critic_loss),
            Unit("pair", self.pair_optimiser, self.pair_loss, after=self.average.update),
        ]

    def parts(self) -> dict[str, Stateful]:
        """What a checkpoint must hold."""
        return {
            "pair": self.pair,
            "critic": self.critic,
            "pair_optimiser": self.pair_optimiser,
            "critic_optimiser": self.critic_optimiser,
            "average": self.average,
        }

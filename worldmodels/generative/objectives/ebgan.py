"""EBGAN as update units, and its losses as pure functions. Zhao et al. (2017)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from worldmodels.generative.networks.modules import Autoencoder, Generator
from worldmodels.generative.objectives.gan import Augment, MakeOptimiser
from worldmodels.generative.objectives.losses import CriticLoss, wide
from worldmodels.generative.objectives.units import Average, Batch, Loss, Unit
from worldmodels.training.loop import Stateful


def energy(x: Tensor, reconstruction: Tensor) -> Tensor:
    """Mean squared error per pixel of every sample, ``[N, ...] -> [N]``."""
    return (x - wide(reconstruction)).square().flatten(1).mean(1)


def ebgan_critic(real: Tensor, fake: Tensor, margin: float) -> CriticLoss:
    """``E D(x) + E max(0, m - D(G(z)))`` of energies ``[N]`` (eq. 1). The generator's loss is ``E D(G(z))``."""
    real_term, fake_term = real.mean(), F.relu(margin - fake).mean()
    return CriticLoss(real_term + fake_term, real_term, fake_term)


def pull_away(codes: Tensor) -> Tensor:
    """``1 / (N (N - 1)) sum_(i != j) cos(s_i, s_j)^2`` of codes ``[N, D]``: 1 where all are parallel, 0 where all are
    orthogonal (eq. 4)."""
    directions = F.normalize(codes, dim=1)
    count = len(codes)
    return ((directions @ directions.T).square().sum() - directions.square().sum(1).square().sum()) / (
        count * (count - 1)
    )


class EBGAN:
    """A generator that lowers the energy of its fakes, against an autoencoder that raises it up to a margin.

    Args:
        margin: energy from which on a fake is bad enough.
        pull_away_weight: times the pull-away term of the fakes' codes.
        augment: disturbs whatever the autoencoder sees, real and fake, differentiably (``augment.py``).
    """

    def __init__(
        self,
        generator: Generator,
        critic: Autoencoder,
        generator_optimiser: MakeOptimiser,
        critic_optimiser: MakeOptimiser,
        margin: float,
        pull_away_weight: float = 0.1,
        average_decay: float = 0.0,
        augment: Augment | None = None,
    ) -> None:
        self.generator, self.critic, self.margin, self.pull_away_weight = generator, critic, margin, pull_away_weight
        self.generator_optimiser, self.critic_optimiser = generator_optimiser(generator), critic_optimiser(critic)
        self.average, self.augment = Average(generator, average_decay), augment

    def generate(self, batch: Batch) -> Tensor:
        """As many fakes as there are data in the batch."""
        return self.generator(batch.normal(len(batch.x), self.generator.latent_size))

    def _shown(self, x: Tensor, batch: Batch) -> Tensor:
        return x if self.augment is None else self.augment(x, batch)

    def critic_loss(self, batch: Batch) -> Loss:
        with torch.no_grad():
            fake = self._shown(self.generate(batch), batch)
        real = self._shown(batch.x, batch)
        energies = energy(real, self.critic(real)), energy(fake, self.critic(fake))
        loss = ebgan_critic(*energies, self.margin)
        return Loss(
            loss.total, {"critic": loss.total, "energy_real": energies[0].mean(), "energy_fake": energies[1].mean()}
        )

    def generator_loss(self, batch: Batch) -> Loss:
        fake = self._shown(self.generate(batch), batch)
        codes = self.critic.encode(fake)
        loss = energy(fake, self.critic.decode(codes)).mean()
        if not self.pull_away_weight:
            return Loss(loss, {"generator": loss})
        apart = pull_away(wide(codes))
        return Loss(loss + self.pull_away_weight * apart, {"generator": loss, "pull_away": apart})

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

"""EBGAN as update units, and its losses as pure functions. Zhao et al. (2017)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from worldmodels.generative.networks.modules import Autoencoder, Generator
from worldmodels.generative.objectives.losses import CriticLoss, wide
from worldmodels.generative.objectives.players import Augment, MakeOptimiser, Players
from worldmodels.generative.objectives.units import Batch, Loss


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


class EBGAN(Players[Autoencoder]):
    """A generator that lowers the energy of its fakes, against an autoencoder that raises it up to a margin.

    Args:
        margin: energy from which on a fake is bad enough.
        pull_away_weight: times the pull-away term of the fakes' codes.
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
        super().__init__(generator, critic, generator_optimiser, critic_optimiser, average_decay, augment)
        self.margin, self.pull_away_weight = margin, pull_away_weight

    def critic_loss(self, batch: Batch) -> Loss:
        with torch.no_grad():
            fake = self.shown(self.generate(batch), batch)
        real = self.shown(batch.x, batch)
        energies = energy(real, self.critic(real)), energy(fake, self.critic(fake))
        loss = ebgan_critic(*energies, self.margin)
        return Loss(
            loss.total, {"critic": loss.total, "energy_real": energies[0].mean(), "energy_fake": energies[1].mean()}
        )

    def generator_loss(self, batch: Batch) -> Loss:
        fake = self.shown(self.generate(batch), batch)
        codes = self.critic.encode(fake)
        loss = energy(fake, self.critic.decode(codes)).mean()
        if not self.pull_away_weight:
            return Loss(loss, {"generator": loss})
        apart = pull_away(wide(codes))
        return Loss(loss + self.pull_away_weight * apart, {"generator": loss, "pull_away": apart})

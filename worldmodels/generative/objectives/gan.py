"""Adversarial objectives: any loss, penalty, constraint, architecture and conditioning, as update units."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from worldmodels.generative.networks.modules import Critic, Generator
from worldmodels.generative.objectives.augment import AdaptiveAugment
from worldmodels.generative.objectives.losses import Adversarial
from worldmodels.generative.objectives.penalties import (
    Score,
    batch_norms,
    clip_weights,
    dragan_penalty,
    gradient_penalty,
    refuse_batch_norm,
)
from worldmodels.generative.objectives.players import Augment, MakeOptimiser, Players
from worldmodels.generative.objectives.units import Batch, Loss
from worldmodels.training.loop import Stateful

Penalty = Callable[[Score, Tensor, Tensor, Batch], Tensor]
"""(critic with labels filled in, real, fake, batch) -> scalar."""


def between_real_and_fake(score: Score, real: Tensor, fake: Tensor, batch: Batch) -> Tensor:
    """The gradient penalty of WGAN-GP, with its random numbers drawn."""
    return gradient_penalty(score, real, fake, batch.uniform(len(real)))


def around_real(score: Score, real: Tensor, fake: Tensor, batch: Batch) -> Tensor:
    """The penalty of DRAGAN, with its random numbers drawn."""
    return dragan_penalty(score, real, batch.uniform(*real.shape), batch.uniform(len(real)))


class GAN(Players[Critic]):
    """A generator against a critic.

    Args:
        game: the losses of both sides.
        critic_steps: critic updates before each generator update, every one on fresh data and fresh fakes.
        penalty: a term of the critic's loss, times ``penalty_weight``.
        clip: bound on the critic's parameters after each of its updates.
        average_decay: of the moving average of the generator, which is what samples are drawn from.
        augment: disturbs whatever the critic sees, real and fake, differentiably (``augment.py``).
        adaptive: the same, and learns from the critic's logits how much.

    Raises:
        ValueError: a penalty on per-sample gradients meets a critic that normalises over its batch.
    """

    def __init__(
        self,
        generator: Generator,
        critic: Critic,
        game: Adversarial,
        generator_optimiser: MakeOptimiser,
        critic_optimiser: MakeOptimiser,
        critic_steps: int = 1,
        penalty: Penalty | None = None,
        penalty_weight: float = 10.0,
        clip: float | None = None,
        average_decay: float = 0.0,
        augment: Augment | None = None,
        adaptive: AdaptiveAugment | None = None,
    ) -> None:
        if penalty:
            refuse_batch_norm(critic)
        players = (generator, critic, generator_optimiser, critic_optimiser)
        super().__init__(*players, average_decay, adaptive or augment)
        self.game, self.adaptive = game, adaptive
        self.critic_steps, self.penalty, self.penalty_weight, self.clip = critic_steps, penalty, penalty_weight, clip
        if clip is not None:
            self.after_critic = partial(clip_weights, critic, clip)
        self._apart = bool(batch_norms(critic))

    def critic_loss(self, batch: Batch) -> Loss:
        labels = self._labels(batch)
        with torch.no_grad():
            fake = self.shown(self.generate(batch), batch)
            real = self.shown(batch.x, batch)
        logits = self._judge(real, fake, labels)
        loss = self.game.critic(*logits)
        terms = {"critic": loss.total, "critic_real": loss.real, "critic_fake": loss.fake}
        terms |= self._adapt(logits[0], batch)
        if self.penalty is None:
            return Loss(loss.total, terms)
        penalty = self.penalty(lambda x: self.critic(x, labels), real, fake, batch)
        return Loss(loss.total + self.penalty_weight * penalty, {**terms, "penalty": penalty})

    def _labels(self, batch: Batch) -> Tensor | None:
        """What a conditional critic is told."""
        return batch.labels if self.critic.classes else None

    def _adapt(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Let an adaptive disturbance look at the logits of data; its probability, to be logged."""
        if self.adaptive is None:
            return {}
        self.adaptive.observe(logits.detach(), batch)
        return {"disturbed": self.adaptive.probability}

    def _judge(self, real: Tensor, fake: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        """Logits of both: in one pass, which is faster, unless they would share the statistics of a normalisation."""
        if self._apart:
            return self.critic(real, labels), self.critic(fake, labels)
        both = self.critic(torch.cat([real, fake]), None if labels is None else torch.cat([labels, labels]))
        return both[: len(real)], both[len(real) :]

    def generator_loss(self, batch: Batch) -> Loss:
        fake = self.shown(self.generate(batch), batch)
        loss = self.game.generator(self.critic(fake, self._labels(batch)))
        return Loss(loss, {"generator": loss})

    def parts(self) -> dict[str, Stateful]:
        return {**super().parts(), **({} if self.adaptive is None else {"adaptive": self.adaptive})}

"""GANs whose critic also tells what a sample was made from: its class (AC-GAN), or a part of its noise (InfoGAN)."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from worldmodels.generative.networks.heads import CodedGenerator, TwoHeads
from worldmodels.generative.objectives.gan import GAN
from worldmodels.generative.objectives.losses import wide
from worldmodels.generative.objectives.units import Batch, Loss


class AuxiliaryGAN(GAN):
    """Both sides also lower the error of the critic's second head on fakes. Children say what that error is.

    Args:
        weight: times that error.
    """

    generator: Any
    critic: TwoHeads
    error_name: str

    def __init__(self, *rules: Any, weight: float = 1.0) -> None:
        super().__init__(*rules)
        self.weight = weight

    def error(self, guess: Tensor, source: Tensor) -> Tensor:
        """Of the second head's output for samples ``[N, K]``, against their source."""
        raise NotImplementedError

    def fakes(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Fakes, and their source: the labels, or the latents."""
        raise NotImplementedError

    def real_error(self, guess: Tensor, batch: Batch) -> Tensor:
        """The same error on data, where these have labels."""
        return guess.new_zeros(())

    def critic_loss(self, batch: Batch) -> Loss:
        with torch.no_grad():
            fake, source = self.fakes(batch)
            fake, real = self.shown(fake, batch), self.shown(batch.x, batch)
        (real_logits, real_guess), (fake_logits, fake_guess) = self._both(real, fake)
        loss = self.game.critic(real_logits, fake_logits)
        error = self.error(fake_guess, source) + self.real_error(real_guess, batch)
        total = loss.total + self.weight * error
        adapted = self._adapt(real_logits, batch)
        terms = {"critic": loss.total, "critic_real": loss.real, "critic_fake": loss.fake, **adapted}
        if self.penalty is not None:
            penalty = self.penalty(self.critic, real, fake, batch)
            total, terms = total + self.penalty_weight * penalty, {**terms, "penalty": penalty}
        return Loss(total, terms)

    def _both(self, real: Tensor, fake: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """As :meth:`GAN._judge`, in one pass unless they would share the statistics of a normalisation."""
        if self._apart:
            return self.critic.both(real), self.critic.both(fake)
        logits, guess = (part.split(len(real)) for part in self.critic.both(torch.cat([real, fake])))
        return (logits[0], guess[0]), (logits[1], guess[1])

    def generator_loss(self, batch: Batch) -> Loss:
        fake, source = self.fakes(batch)
        logits, guess = self.critic.both(self.shown(fake, batch))
        loss, error = self.game.generator(logits), self.error(guess, source)
        return Loss(loss + self.weight * error, {"generator": loss, self.error_name: error})


class ACGAN(AuxiliaryGAN):
    """The generator takes a class, the critic does not: it names the class of data and of fakes. Odena et al. (2017).

    Both sides lower ``-E log P(class | x)``: of real and fake samples for the critic, of fakes for the generator.
    """

    error_name = "class_error"

    def fakes(self, batch: Batch) -> tuple[Tensor, Tensor]:
        assert batch.labels is not None
        return self.generate(batch), batch.labels

    def error(self, guess: Tensor, source: Tensor) -> Tensor:
        return F.cross_entropy(wide(guess), source)

    def real_error(self, guess: Tensor, batch: Batch) -> Tensor:
        assert batch.labels is not None
        return self.error(guess, batch.labels)


class InfoGAN(AuxiliaryGAN):
    """Some of the noise is a code c that can be read off the sample. Chen et al. (2016).

    The second head is Q(c | x); ``H(c) + E log Q(c | x)`` is a lower bound of the information I(c; x), and both sides
    raise it. Of the code, the first part is one of ``categories``, the rest are numbers from U(-1, 1), whose Q is
    Gaussian with variance 1.
    """

    generator: CodedGenerator
    error_name = "code_error"

    def fakes(self, batch: Batch) -> tuple[Tensor, Tensor]:
        z = batch.normal(len(batch.x), self.generator.latent_size)
        return self.generator(z), z

    def error(self, guess: Tensor, source: Tensor) -> Tensor:
        """``-E log Q(c | x)`` less the constant ``log(2 pi) / 2`` of every number."""
        categories, guess = self.generator.categories, wide(guess)
        chosen, numbers = self.generator.code(source)
        squares = (guess[:, categories:] - numbers).square().sum(1)
        return F.cross_entropy(guess[:, :categories], chosen) + 0.5 * squares.mean()


def information_bound(log_q: Tensor, categories: int) -> Tensor:
    """``H(c) + E log Q(c | x)`` in nats, from ``log Q`` of the true codes ``[N]``, c uniform over ``categories``.

    A lower bound of the mutual information, reached by the true posterior. Chen et al. (2016), eq. 4.
    """
    return math.log(categories) + log_q.mean()

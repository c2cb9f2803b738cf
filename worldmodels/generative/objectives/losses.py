"""Adversarial losses as pure functions of logits.

A critic loss is ``(real logits, fake logits) -> CriticLoss``, a generator loss ``fake logits -> scalar``; both are to
be minimised. Logits have any shape ``[N, ...]`` (one per sample, or a map of patches); each side is averaged by itself,
so the two batches may differ in size. Half-precision logits are widened first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class CriticLoss(NamedTuple):
    """``total = real + fake``, each averaged over its batch."""

    total: Tensor
    real: Tensor
    fake: Tensor


class Adversarial(NamedTuple):
    """The two sides of a game."""

    critic: Callable[[Tensor, Tensor], CriticLoss]
    generator: Callable[[Tensor], Tensor]


def wide(logits: Tensor) -> Tensor:
    """Half precision as single; everything else unchanged."""
    return logits if logits.dtype == torch.float64 else logits.float()


def _pair(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    if real.shape[1:] != fake.shape[1:]:
        raise ValueError(f"logits of real {list(real.shape)} and fake {list(fake.shape)} samples differ in shape")
    return wide(real), wide(fake)


def _critic_loss(real: Tensor, fake: Tensor) -> CriticLoss:
    return CriticLoss(real.mean() + fake.mean(), real.mean(), fake.mean())


def logistic_critic(real: Tensor, fake: Tensor) -> CriticLoss:
    """``-E log D(x) - E log(1 - D(G(z)))`` with ``D = sigmoid(logit)``. Goodfellow et al. (2014), eq. 1."""
    real, fake = _pair(real, fake)
    return _critic_loss(F.softplus(-real), F.softplus(fake))


def minimax_generator(fake: Tensor) -> Tensor:
    """``E log(1 - D(G(z)))``: minus the critic's fake term. Its gradient vanishes where the critic is sure."""
    return -F.softplus(wide(fake)).mean()


def non_saturating_generator(fake: Tensor) -> Tensor:
    """``-E log D(G(z))``. Goodfellow et al. (2014), section 3: stronger gradients early in training."""
    return F.softplus(-wide(fake)).mean()


def least_squares_critic(real: Tensor, fake: Tensor) -> CriticLoss:
    """``E (D(x) - 1)^2 / 2 + E D(G(z))^2 / 2``. Mao et al. (2017), eq. 9 (a = 0, b = c = 1)."""
    real, fake = _pair(real, fake)
    return _critic_loss(0.5 * (real - 1).square(), 0.5 * fake.square())


def least_squares_generator(fake: Tensor) -> Tensor:
    """``E (D(G(z)) - 1)^2 / 2``. Mao et al. (2017), eq. 9."""
    return 0.5 * (wide(fake) - 1).square().mean()


def wasserstein_critic(real: Tensor, fake: Tensor) -> CriticLoss:
    """``E f(G(z)) - E f(x)``: minus an estimate of the earth mover's distance. Arjovsky et al. (2017), eq. 3."""
    real, fake = _pair(real, fake)
    return _critic_loss(-real, fake)


def wasserstein_generator(fake: Tensor) -> Tensor:
    """``-E f(G(z))``; also the generator's loss of the hinge game."""
    return -wide(fake).mean()


def hinge_critic(real: Tensor, fake: Tensor) -> CriticLoss:
    """``E max(0, 1 - f(x)) + E max(0, 1 + f(G(z)))``. Lim & Ye (2017); Miyato et al. (2018), eq. 16."""
    real, fake = _pair(real, fake)
    return _critic_loss(F.relu(1 - real), F.relu(1 + fake))


MINIMAX = Adversarial(logistic_critic, minimax_generator)
NON_SATURATING = Adversarial(logistic_critic, non_saturating_generator)
LEAST_SQUARES = Adversarial(least_squares_critic, least_squares_generator)
WASSERSTEIN = Adversarial(wasserstein_critic, wasserstein_generator)
HINGE = Adversarial(hinge_critic, wasserstein_generator)


def autoencoder_error(x: Tensor, reconstruction: Tensor) -> Tensor:
    """BEGAN's L(x): absolute error per pixel, averaged over a sample, ``[N, ...] -> [N]``."""
    return (x - reconstruction).abs().flatten(1).mean(1)


def began_critic(real_error: Tensor, fake_error: Tensor, k: Tensor) -> CriticLoss:
    """``E L(x) - k E L(G(z))``. Berthelot et al. (2017), section 3.3. The generator's loss is ``E L(G(z))``."""
    return _critic_loss(real_error, -k * fake_error)


def began_next_k(k: Tensor, real_error: Tensor, fake_error: Tensor, gamma: float, gain: float) -> Tensor:
    """``k + gain (gamma L(x) - L(G(z)))`` within [0, 1]: holds ``E L(G(z)) = gamma E L(x)``."""
    return (k + gain * (gamma * real_error.mean() - fake_error.mean())).clamp(0, 1).detach()


def began_convergence(real_error: Tensor, fake_error: Tensor, gamma: float) -> Tensor:
    """``M = L(x) + |gamma L(x) - L(G(z))|``: falls as training proceeds. Berthelot et al. (2017), section 3.4.1."""
    real = real_error.mean()
    return real + (gamma * real - fake_error.mean()).abs()

"""f-GAN: a game for every f-divergence. Nowozin et al. (2016).

``D_f(P || Q) = E_Q f(p / q)`` is the largest value of ``E_P T(x) - E_Q f*(T(x))`` over functions T, where f* is the
convex conjugate of f; it is reached at ``T = f'(p / q)``. A critic's logit v becomes such a T by an activation g that
maps all numbers into the domain of f*; here a larger logit always means more real.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from worldmodels.generative.objectives.losses import Adversarial, CriticLoss, wide

Function = Callable[[Tensor], Tensor]
LOG_2 = math.log(2)


class Divergence(NamedTuple):
    """Pure functions of tensors; tables 1, 2 and 6 of the paper."""

    f: Function  #: the generator function, of p / q > 0
    activation: Function  #: g, of a logit
    conjugate: Function  #: f*, of T
    conjugate_of_activation: Function  #: f*(g(v)), in a form that does not overflow earlier than it must


KL = Divergence(
    lambda u: u * u.log(),
    lambda v: v,
    lambda t: torch.exp(t - 1),
    lambda v: torch.exp(v - 1),
)
REVERSE_KL = Divergence(
    lambda u: -u.log(),
    lambda v: -torch.exp(-v),
    lambda t: -1 - torch.log(-t),
    lambda v: v - 1,
)
PEARSON = Divergence(
    lambda u: (u - 1).square(),
    lambda v: v,
    lambda t: 0.25 * t.square() + t,
    lambda v: 0.25 * v.square() + v,
)
SQUARED_HELLINGER = Divergence(
    lambda u: (u.sqrt() - 1).square(),
    lambda v: 1 - torch.exp(-v),
    lambda t: t / (1 - t),
    lambda v: torch.exp(v) - 1,
)
JENSEN_SHANNON = Divergence(  # as the paper defines it: twice the usual one
    lambda u: u * u.log() - (u + 1) * ((u + 1) / 2).log(),
    lambda v: LOG_2 - F.softplus(-v),
    lambda t: -torch.log(2 - torch.exp(t)),
    lambda v: F.softplus(v) - LOG_2,
)
TOTAL_VARIATION = Divergence(
    lambda u: 0.5 * (u - 1).abs(),
    lambda v: 0.5 * torch.tanh(v),
    lambda t: t,
    lambda v: 0.5 * torch.tanh(v),
)


def f_game(divergence: Divergence) -> Adversarial:
    """The critic's loss is minus the bound on the divergence; the generator maximises ``E g(v)`` of its fakes.

    The latter is what the paper's section 3.2 does in place of minimising ``-E f*(g(v))``, as the non-saturating loss
    does in place of the saturating one.
    """

    def critic(real: Tensor, fake: Tensor) -> CriticLoss:
        on_real = -divergence.activation(wide(real)).mean()
        on_fake = divergence.conjugate_of_activation(wide(fake)).mean()
        return CriticLoss(on_real + on_fake, on_real, on_fake)

    def generator(fake: Tensor) -> Tensor:
        return -divergence.activation(wide(fake)).mean()

    return Adversarial(critic, generator)

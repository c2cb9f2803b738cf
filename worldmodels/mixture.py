"""What M says of the next step: a mixture of Gaussians for every latent dimension (Bishop 1994; Graves 2013)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from itertools import accumulate
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Mixture(NamedTuple):
    """A mixture of K Gaussians for every latent dimension; each tensor is ``[..., latent_size, K]``."""

    logits: Tensor
    mean: Tensor
    log_std: Tensor


class Prediction(NamedTuple):
    """What M says of the next step. ``reward``, ``termination`` and ``fall`` are ``[...]``, or None without a head.

    The last two are logits: of the end, and of a fall of the variable that was watched.
    """

    mixture: Mixture
    reward: Tensor | None
    termination: Tensor | None
    fall: Tensor | None = None


def together(members: Sequence[Prediction]) -> Prediction:
    """What several say with equal weight: the mixture of their mixtures, the mean reward, the mean probability of the
    end and of a fall."""
    weights = [F.log_softmax(one.mixture.logits, dim=-1) for one in members]
    mixture = Mixture(
        torch.cat(weights, dim=-1) - math.log(len(members)),
        torch.cat([one.mixture.mean for one in members], dim=-1),
        torch.cat([one.mixture.log_std for one in members], dim=-1),
    )
    rewards = [one.reward for one in members if one.reward is not None]
    ends = [one.termination for one in members if one.termination is not None]
    fallen = [one.fall for one in members if one.fall is not None]
    end, fall = (
        torch.sigmoid(torch.stack(logits)).mean(0).logit(eps=1e-6) if logits else None for logits in (ends, fallen)
    )
    return Prediction(mixture, torch.stack(rewards).mean(0) if rewards else None, end, fall)


def mixture_nll(mixture: Mixture, target: Tensor) -> Tensor:
    """Negative log likelihood of ``target [..., latent_size]`` in nats, for every dimension on its own.

    ``-log sum_k pi_k N(z; mu_k, s_k^2)``, Bishop (1994).
    """
    log_weights = F.log_softmax(mixture.logits, dim=-1)
    standardised = (target[..., None] - mixture.mean) * torch.exp(-mixture.log_std)
    log_normal = -0.5 * standardised.square() - mixture.log_std - 0.5 * math.log(2 * math.pi)
    return -torch.logsumexp(log_weights + log_normal, dim=-1)


def mixture_entropy(logits: Tensor) -> Tensor:
    """Entropy in nats of the mixture weights: 0 when one component rules, log K when all weigh the same."""
    log_weights = F.log_softmax(logits, dim=-1)
    return -(log_weights.exp() * log_weights).sum(-1)


def likeliest(mixture: Mixture) -> Tensor:
    """The mean of every dimension's likeliest component, ``[..., latent_size]``: a sample at temperature 0."""
    chosen = mixture.logits.argmax(-1, keepdim=True)
    return mixture.mean.gather(-1, chosen).squeeze(-1)


def sample_mixture(mixture: Mixture, temperature: float, uniform: Tensor, normal: Tensor) -> Tensor:
    """Draw the next latent: component by inverse CDF of ``softmax(logits / tau)``, then ``mu + s sqrt(tau) eps``.

    Args:
        mixture: ``[..., latent_size, K]`` each.
        temperature: tau >= 0; 1 is the model as fitted, 0 the mean of the likeliest component.
        uniform: noise in [0, 1), broadcastable to ``[..., latent_size]``.
        normal: standard normal noise, likewise.
    """
    if temperature == 0:
        return likeliest(mixture)
    largest = reduce(torch.maximum, mixture.logits.unbind(-1))  # in the same layout; amax would choose its own
    shifted = mixture.logits - largest[..., None]
    weights = torch.exp(shifted if temperature == 1 else shifted / temperature).unbind(-1)
    passed = list(accumulate(weights))
    threshold = uniform * passed[-1]
    means, log_stds = mixture.mean.unbind(-1), mixture.log_std.unbind(-1)
    mean, log_std = means[0], log_stds[0]
    for k in range(1, len(weights)):
        beyond = threshold >= passed[k - 1]  # u lies past the first k components: take at least component k
        mean, log_std = torch.where(beyond, means[k], mean), torch.where(beyond, log_stds[k], log_std)
    return mean + torch.exp(log_std) * (math.sqrt(temperature) * normal)

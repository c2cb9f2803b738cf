"""Terms of autoencoders and VAEs, in nats per sample: summed over pixels and latent units, never averaged over them.

Everything takes and gives batches, ``[N, ...] -> [N]``; what is averaged over the batch says so.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from worldmodels.generative.objectives.losses import wide
from worldmodels.vae import kl_to_standard_normal

LOG_2PI = math.log(2 * math.pi)
ACTIVE_KL = 0.02
"""Nats below which a latent unit's mean KL says it carries nothing."""
ACTIVE_VARIANCE = 0.01
"""Variance of a unit's posterior mean over the data below which it is inactive. Burda et al. (2016), section 5."""


def bernoulli_nll(logits: Tensor, x: Tensor) -> Tensor:
    """``-log p(x)`` of independent Bernoulli pixels; targets between 0 and 1 give the cross-entropy. ``[N]``.

    That they lie there is for ``datasets.to_tensor`` to see to: a look at them here would wait for the device.
    """
    return F.binary_cross_entropy_with_logits(wide(logits), x, reduction="none").flatten(1).sum(1)


def gaussian_nll(mean: Tensor, x: Tensor, logvar: Tensor | float) -> Tensor:
    """``-log N(x; mean, exp(logvar))`` of independent pixels, constants included, ``[N]``.

    ``logvar`` is a number, a learned scalar, or has the shape of ``x``.
    """
    mean = wide(mean)
    logvar = torch.as_tensor(logvar, dtype=mean.dtype, device=mean.device)
    return (0.5 * (LOG_2PI + logvar + (x - mean).square() * torch.exp(-logvar))).flatten(1).sum(1)


def bits_per_dimension(nats: Tensor, dimensions: int, levels: int = 256) -> Tensor:
    """``nats / (D log 2) + log2(levels)``: of data with so many levels, from a density of their values in [0, 1].

    A pixel of 8 bits is a cell of width 1/256, whose probability is about its density times that width. For
    probabilities of discrete values, which are no densities, ``levels`` is 1. Theis et al. (2016), section 3.1.
    """
    return nats / (dimensions * math.log(2)) + math.log2(levels)


class ELBO(NamedTuple):
    """Batch means, in nats. ``distortion + rate`` is an upper bound of ``-log p(x)``; ``loss`` is what is minimised."""

    loss: Tensor
    distortion: Tensor
    rate: Tensor


def elbo(nll: Tensor, kl_per_unit: Tensor, kl_weight: float = 1.0, free_nats: float = 0.0) -> ELBO:
    """``distortion + kl_weight * rate``: the trade-off between data and prior (λ), beta-VAE's β.

    Args:
        nll: ``-log p(x | z)``, ``[N]``.
        kl_per_unit: ``[N, D]``.
        kl_weight: above 1 presses information out of the latents, below 1 lets more in. Higgins et al. (2017).
        free_nats: KL per unit, averaged over the batch, below which nothing is gained by lowering it further.
            Kingma et al. (2016), eq. 15.
    """
    means = kl_per_unit.mean(0)
    distortion, rate = nll.mean(), means.sum()
    charged = means.clamp(min=free_nats).sum() if free_nats else rate
    return ELBO(distortion + kl_weight * charged, distortion, rate)


def gaussian_log_prob(z: Tensor, mean: Tensor | float = 0.0, logvar: Tensor | float = 0.0) -> Tensor:
    """``log N(z; mean, exp(logvar))`` summed over the last dimension."""
    mean, logvar = (torch.as_tensor(value, dtype=z.dtype, device=z.device) for value in (mean, logvar))
    return (-0.5 * (LOG_2PI + logvar + (z - mean).square() * torch.exp(-logvar))).sum(-1)


class Mixture(NamedTuple):
    """A mixture of K Gaussians with independent units."""

    log_weights: Tensor  #: [K]
    mean: Tensor  #: [K, D]
    logvar: Tensor  #: [K, D]


def mixture_log_prob(z: Tensor, mixture: Mixture) -> Tensor:
    """``log sum_k w_k N(z; mean_k, exp(logvar_k))`` of ``[..., D]``."""
    parts = gaussian_log_prob(z.unsqueeze(-2), mixture.mean, mixture.logvar)
    return torch.logsumexp(mixture.log_weights + parts, -1)


def sampled_kl(z: Tensor, mean: Tensor, logvar: Tensor, prior: Mixture) -> Tensor:
    """``log q(z | x) - log p(z)`` for z ~ q, ``[N, D] -> [N]``: its mean is the KL, which has no closed form here."""
    return gaussian_log_prob(z, mean, logvar) - mixture_log_prob(z, prior)


def importance_log_weights(
    nll: Tensor, z: Tensor, mean: Tensor, logvar: Tensor, prior: Mixture | None = None
) -> Tensor:
    """``log p(x | z) + log p(z) - log q(z | x)`` for z ~ q: ``nll [K, N]``, ``z [K, N, D]`` -> ``[K, N]``.

    Args:
        prior: N(0, 1) where there is none.
    """
    log_prior = gaussian_log_prob(z) if prior is None else mixture_log_prob(z, prior)
    return -nll + log_prior - gaussian_log_prob(z, mean, logvar)


def iwae_bound(log_weights: Tensor) -> Tensor:
    """``log 1/K sum_k w_k``, ``[K, N] -> [N]``: a lower bound of log p(x) that rises with K. Burda et al. (2016)."""
    return torch.logsumexp(log_weights, 0) - math.log(len(log_weights))


def sparsity_kl(activations: Tensor, rho: float) -> Tensor:
    """``sum_j KL(Bernoulli(rho) || Bernoulli(rho_j))``, rho_j the batch mean of unit j's activation in (0, 1).

    Ng (2011), "Sparse autoencoder", section 3. ``[N, D]`` -> scalar.
    """
    mean = activations.mean(0).clamp(1e-6, 1 - 1e-6)
    return (rho * torch.log(rho / mean) + (1 - rho) * torch.log((1 - rho) / (1 - mean))).sum()


class CollapseReport(NamedTuple):
    """Which latent units carry information."""

    kl_per_unit: Tensor  #: nats, mean over the data, [D]
    variance_of_mean: Tensor  #: of the posterior mean over the data, [D]
    active_by_kl: int
    active_by_variance: int

    @property
    def collapsed(self) -> bool:
        """No unit carries anything: the decoder ignores its input."""
        return self.active_by_kl == 0


def kl_to_their_sum(mean: Tensor, logvar: Tensor) -> Tensor:
    """Mean KL of each posterior ``[N, D]`` to the Gaussian with the moments of all together, ``[D]``: 0 where all are
    the same, whatever the prior; the usual KL where they make up N(0, 1)."""
    together = mean.var(0, correction=0) + logvar.exp().mean(0)
    return 0.5 * (together.log() - logvar.mean(0))


def collapse_report(mean: Tensor, logvar: Tensor, learned_prior: bool = False) -> CollapseReport:
    """Active units of posteriors ``[N, D]`` over a data set, by KL and by the variance of their means.

    Args:
        learned_prior: the KL to N(0, 1) would say nothing; take that of :func:`kl_to_their_sum`.
    """
    kl = kl_to_their_sum(mean, logvar) if learned_prior else kl_to_standard_normal(mean, logvar).mean(0)
    variance = mean.var(0)
    return CollapseReport(kl, variance, int((kl > ACTIVE_KL).sum()), int((variance > ACTIVE_VARIANCE).sum()))

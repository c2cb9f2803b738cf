"""Objectives of autoencoders and VAEs, each one update unit."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from worldmodels.generative.networks.modules import VAE, Autoencoder
from worldmodels.generative.objectives.elbo import (
    bernoulli_nll,
    elbo,
    gaussian_nll,
    importance_log_weights,
    iwae_bound,
    sampled_kl,
    sparsity_kl,
)
from worldmodels.generative.objectives.losses import wide
from worldmodels.generative.objectives.units import Batch, Loss, Unit
from worldmodels.training.loop import Stateful
from worldmodels.vae import kl_to_standard_normal, reparameterise

LikelihoodName = Literal["bernoulli", "gaussian", "gaussian-learned", "gaussian-per-pixel"]


class Likelihood(NamedTuple):
    """What a decoder's output means."""

    nll: Callable[[Tensor, Tensor], Tensor]  #: (output, x) -> nats, [N]
    mean: Callable[[Tensor], Tensor]  #: output -> E[x]
    binary: bool = False  #: a probability of zeros and ones; for what lies between it is no likelihood
    spread: Callable[[Tensor], Tensor] | None = None  #: output -> standard deviation of x, where it is not all the same


BERNOULLI = Likelihood(bernoulli_nll, torch.sigmoid, binary=True)


def gaussian(logvar: Tensor | float) -> Likelihood:
    """The output is the mean; one log variance for all pixels, fixed or learned."""
    return Likelihood(lambda mean, x: gaussian_nll(mean, x, logvar), lambda mean: mean)


def fixed_gaussian(variance: float) -> Likelihood:
    """As :func:`gaussian`, from a variance."""
    return gaussian(math.log(variance))


GREY_LEVEL = 2 * math.log(1 / 256)
"""Log variance of pixels at which a Gaussian is as narrow as one of 256 grey levels. Below it, the density of pixels
that are always black would grow without bound, and would say nothing of the probability of a grey level."""


def gaussian_per_pixel(variance: float) -> Likelihood:
    """The output is the mean and, in as many further channels, the log variance of every pixel, which begins around
    that of ``variance`` and stays above :data:`GREY_LEVEL`."""

    def halves(output: Tensor) -> tuple[Tensor, Tensor]:
        mean, raw = output.chunk(2, 1)
        return mean, GREY_LEVEL + F.softplus(wide(raw) + math.log(variance) - GREY_LEVEL)

    def nll(output: Tensor, x: Tensor) -> Tensor:
        mean, logvar = halves(output)
        return gaussian_nll(mean, x, logvar)

    return Likelihood(nll, lambda output: halves(output)[0], spread=lambda output: (0.5 * halves(output)[1]).exp())


def likelihood_of(name: LikelihoodName, variance: float, logvar: Tensor | None = None) -> Likelihood:
    """The likelihood of that name; ``logvar`` is the one that is learned."""
    if name == "bernoulli":
        return BERNOULLI
    if name == "gaussian-per-pixel":
        return gaussian_per_pixel(variance)
    return fixed_gaussian(variance) if logvar is None else gaussian(logvar)


class AutoencoderObjective:
    """Reconstruct through a bottleneck, ``-log p(x | code)``.

    Args:
        noise: standard deviation of what is added to the input but not to the target (denoising; Vincent et al. 2008).
        sparsity_weight: times the KL between ``sparsity`` and the code's mean activations (sparse; Ng 2011).
    """

    def __init__(
        self,
        model: Autoencoder,
        likelihood: Likelihood,
        optimiser: torch.optim.Optimizer,
        noise: float = 0.0,
        sparsity_weight: float = 0.0,
        sparsity: float = 0.05,
    ) -> None:
        if sparsity_weight and not model.sigmoid_code:
            raise ValueError("sparsity is defined for codes between 0 and 1: use Autoencoder(..., sigmoid_code=True)")
        self.model, self.likelihood, self.optimiser, self.noise = model, likelihood, optimiser, noise
        self.sparsity_weight, self.sparsity = sparsity_weight, sparsity

    def loss(self, batch: Batch) -> Loss:
        x = batch.x + self.noise * batch.normal(*batch.x.shape) if self.noise else batch.x
        code = wide(self.model.encode(x))
        distortion = self.likelihood.nll(self.model.decode(code), batch.x).mean()
        if not self.sparsity_weight:
            return Loss(distortion, {"distortion": distortion})
        sparsity = sparsity_kl(code, self.sparsity)
        return Loss(distortion + self.sparsity_weight * sparsity, {"distortion": distortion, "sparsity": sparsity})

    def units(self) -> list[Unit]:
        return [Unit("autoencoder", self.optimiser, self.loss)]

    def parts(self) -> dict[str, Stateful]:
        """What a checkpoint must hold."""
        return {"model": self.model, "optimiser": self.optimiser}


class VAEObjective:
    """The (conditional) variational bound with a trade-off between data and prior.

    Args:
        kl_weight: on the KL (λ, or β of the beta-VAE).
        free_nats: KL per latent unit that costs nothing.
        draws: latents of each sample; the loss is the mean over them.
    """

    def __init__(
        self,
        model: VAE,
        likelihood: Likelihood,
        optimiser: torch.optim.Optimizer,
        kl_weight: float = 1.0,
        free_nats: float = 0.0,
        draws: int = 1,
    ) -> None:
        self.model, self.likelihood, self.optimiser = model, likelihood, optimiser
        self.kl_weight, self.free_nats, self.draws = kl_weight, free_nats, draws

    def loss(self, batch: Batch) -> Loss:
        labels = batch.labels if self.model.classes else None
        mean, logvar = (wide(part) for part in self.model.encode(batch.x, labels))
        drawn = [reparameterise(mean, logvar, batch.normal(*mean.shape)) for _ in range(self.draws)]
        nll = torch.stack([self.likelihood.nll(self.model.decode(z, labels), batch.x) for z in drawn]).mean(0)
        if self.model.prior is None:
            kl = kl_to_standard_normal(mean, logvar)
        else:
            prior = self.model.prior(self.model.encode)
            kl = torch.stack([sampled_kl(z, mean, logvar, prior) for z in drawn]).mean(0)[:, None]
        bound = elbo(nll, kl, self.kl_weight, self.free_nats)
        return Loss(bound.loss, {"loss": bound.loss, "distortion": bound.distortion, "rate": bound.rate})

    def units(self) -> list[Unit]:
        return [Unit("vae", self.optimiser, self.loss)]

    def parts(self) -> dict[str, Stateful]:
        """What a checkpoint must hold."""
        return {"model": self.model, "optimiser": self.optimiser}


@torch.no_grad()
def log_likelihood_bound(
    model: VAE, likelihood: Likelihood, x: Tensor, labels: Tensor | None, samples: int, rng: torch.Generator
) -> Tensor:
    """The importance-weighted bound of log p(x), in nats, ``[N]``; one sample gives the sampled ELBO."""
    mean, logvar = model.encode(x, labels)
    prior = None if model.prior is None else model.prior(model.encode)
    weights = []
    for _ in range(samples):
        z = reparameterise(mean, logvar, torch.randn(mean.shape, generator=rng, dtype=mean.dtype).to(mean.device))
        nll = likelihood.nll(model.decode(z, labels), x)
        weights.append(importance_log_weights(nll[None], z[None], mean, logvar, prior)[0])
    return iwae_bound(torch.stack(weights))

"""Objectives of autoencoders and VAEs, each one update unit; and the adversarial term that makes a VAE crisper."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from worldmodels.generative.elbo import (
    bernoulli_nll,
    elbo,
    gaussian_nll,
    importance_log_weights,
    iwae_bound,
    sparsity_kl,
)
from worldmodels.generative.losses import NON_SATURATING, Adversarial, wide
from worldmodels.generative.networks import VAE, Autoencoder
from worldmodels.generative.units import Batch, Loss, Unit
from worldmodels.training.loop import Stateful
from worldmodels.vae import kl_to_standard_normal, reparameterise


class Likelihood(NamedTuple):
    """What a decoder's output means."""

    nll: Callable[[Tensor, Tensor], Tensor]  #: (output, x) -> nats, [N]
    mean: Callable[[Tensor], Tensor]  #: output -> E[x]


BERNOULLI = Likelihood(bernoulli_nll, torch.sigmoid)


def gaussian(logvar: Tensor | float) -> Likelihood:
    """The output is the mean; one log variance for all pixels, fixed or learned."""
    return Likelihood(lambda mean, x: gaussian_nll(mean, x, logvar), lambda mean: mean)


def fixed_gaussian(variance: float) -> Likelihood:
    """As :func:`gaussian`, from a variance."""
    return gaussian(math.log(variance))


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
    """

    def __init__(
        self,
        model: VAE,
        likelihood: Likelihood,
        optimiser: torch.optim.Optimizer,
        kl_weight: float = 1.0,
        free_nats: float = 0.0,
    ) -> None:
        self.model, self.likelihood, self.optimiser = model, likelihood, optimiser
        self.kl_weight, self.free_nats = kl_weight, free_nats

    def loss(self, batch: Batch) -> Loss:
        labels = batch.labels if self.model.classes else None
        mean, logvar = (wide(part) for part in self.model.encode(batch.x, labels))
        output = self.model.decode(reparameterise(mean, logvar, batch.normal(*mean.shape)), labels)
        nll = self.likelihood.nll(output, batch.x)
        bound = elbo(nll, kl_to_standard_normal(mean, logvar), self.kl_weight, self.free_nats)
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
    weights = []
    for _ in range(samples):
        z = reparameterise(mean, logvar, torch.randn(mean.shape, generator=rng, dtype=mean.dtype).to(mean.device))
        nll = likelihood.nll(model.decode(z, labels), x)
        weights.append(importance_log_weights(nll[None], z[None], mean, logvar)[0])
    return iwae_bound(torch.stack(weights))


class FrameVAE(Protocol):
    """V, or any module that encodes frames to Gaussians and decodes latents to frames in [0, 1]."""

    latent_size: int

    def encode(self, frames: Tensor) -> tuple[Tensor, Tensor]: ...
    def decode(self, z: Tensor) -> Tensor: ...


class AdversarialVAE:
    """VAE/GAN: a VAE whose reconstructions and prior samples must also pass for real. After Larsen et al. (2016).

    Differs from the paper in that the reconstruction error stays on pixels: V's latents keep their meaning for M, the
    adversarial term only sharpens.

    Args:
        model_loss: ``(reconstruction, frames, mean, logvar) -> total, reconstruction, kl``, e.g. V's own ``vae_loss``.
        adversarial_weight: nats that the critic's opinion of one frame is worth.
    """

    def __init__(
        self,
        model: FrameVAE,
        critic: nn.Module,
        model_loss: Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]],
        optimiser: torch.optim.Optimizer,
        critic_optimiser: torch.optim.Optimizer,
        adversarial_weight: float,
        game: Adversarial = NON_SATURATING,
    ) -> None:
        self.model, self.critic, self.model_loss, self.game = model, critic, model_loss, game
        self.optimiser, self.critic_optimiser = optimiser, critic_optimiser
        self.adversarial_weight = adversarial_weight

    def _fakes(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        mean, logvar = self.model.encode(batch.x)
        made = self.model.decode(reparameterise(mean, logvar, batch.normal(*mean.shape)))
        return made, self.model.decode(batch.normal(*mean.shape)), mean, logvar

    def critic_loss(self, batch: Batch) -> Loss:
        """Real frames against reconstructions and samples of the prior."""
        with torch.no_grad():
            made, sampled, _, _ = self._fakes(batch)
        loss = self.game.critic(self.critic(batch.x), self.critic(torch.cat([made, sampled])))
        return Loss(loss.total, {"critic": loss.total})

    def vae_loss(self, batch: Batch) -> Loss:
        """The VAE's own loss and what the critic says."""
        made, sampled, mean, logvar = self._fakes(batch)
        total, reconstruction, kl = self.model_loss(made, batch.x, mean, logvar)
        adversarial = self.game.generator(self.critic(torch.cat([made, sampled])))
        terms = {"reconstruction": reconstruction, "kl": kl, "adversarial": adversarial}
        return Loss(total + self.adversarial_weight * adversarial, terms)

    def units(self) -> list[Unit]:
        """The critic's update, then the VAE's."""
        return [
            Unit("critic", self.critic_optimiser, self.critic_loss),
            Unit("vae", self.optimiser, self.vae_loss),
        ]

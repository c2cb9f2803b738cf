"""Autoencoders, and variational ones: a code, a reconstruction, and (for the latter) a prior to draw from."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from rollouts.errors import UserError, require_at_least, require_positive
from worldmodels.generative.models.base import (
    ImageConfig,
    ImageModel,
    LatentModel,
    Shape,
    View,
    adam,
    labelled_classes,
)
from worldmodels.generative.models.views import reconstructions
from worldmodels.generative.networks import priors
from worldmodels.generative.networks.coders import Coder, CoderArchitecture, coder
from worldmodels.generative.networks.modules import VAE, Autoencoder
from worldmodels.generative.networks.priors import MixturePrior, VampPrior
from worldmodels.generative.objectives.autoencoders import (
    AutoencoderObjective,
    LikelihoodName,
    VAEObjective,
    likelihood_of,
    log_likelihood_bound,
)
from worldmodels.generative.objectives.elbo import CollapseReport, bits_per_dimension, collapse_report, sampled_kl
from worldmodels.generative.objectives.units import Batch, Unit
from worldmodels.generative.sheets import rows_below
from worldmodels.pictures import Frames
from worldmodels.training.loop import Stateful
from worldmodels.training.randomness import generator_for

PriorName = Literal["normal", "mixture", "vamp"]
IMPORTANCE_SAMPLES = 50


@dataclass(frozen=True)
class CoderConfig(ImageConfig):
    """What autoencoders and VAEs share."""

    likelihood: LikelihoodName = "bernoulli"
    """What the reconstruction error is: cross-entropy, or squared error by a variance: fixed, one that is learned, or
    one for each pixel that the decoder gives (mu and sigma of z; the last two for a VAE only)."""
    architecture: CoderArchitecture = "conv"
    """Networks for images: convolutions of stride 2; pooled, as LeNet; dense (fully connected); or linear, whose code
    are principal components. Points take perceptrons, or linear."""
    variance: float = 0.1
    """Of the Gaussian likelihood, per pixel; where it is learned, the start, which must be well below the data's own
    variance: latents carry nothing until the likelihood is narrower than what they could explain."""
    weight_decay: float = 0.0
    """Times half the squared length of all weights, added to the loss: a Gaussian prior on them."""

    def check(self) -> None:
        super().check()
        require_positive(self, ("variance",))
        require_at_least(0, self, ("weight_decay",))

    def check_networks(self, points: bool) -> None:
        super().check_networks(points)
        if points and self.architecture in ("pooled", "dense"):
            raise UserError(f"--architecture {self.architecture} is for pictures, and these are points; leave it out.")


@dataclass(frozen=True)
class AutoencoderConfig(CoderConfig):
    """A code and a reconstruction, without a prior."""

    noise: float = 0.0
    """Standard deviation of noise on the input but not on the target (denoising)."""
    sparsity_weight: float = 0.0
    """Times the KL between --sparsity and the mean activation of the code."""
    sparsity: float = 0.05
    """Target of the mean activation of a code unit."""

    def build(self, shape: Shape, device: torch.device) -> AutoencoderModel:
        if self.likelihood not in ("bernoulli", "gaussian"):
            raise ValueError("an autoencoder without a prior would learn a variance of 0: use --likelihood gaussian")
        encoder, features, decoder = _coder(self, shape)
        network = Autoencoder(encoder, features, self.latent_size, decoder, self.sparsity_weight > 0).to(device)
        likelihood = likelihood_of(self.likelihood, self.variance)
        objective = AutoencoderObjective(
            network,
            likelihood,
            adam(network, self.learning_rate, weight_decay=self.weight_decay),
            self.noise,
            self.sparsity_weight,
            self.sparsity,
        )
        return AutoencoderModel(objective)

    def for_points(self) -> AutoencoderConfig:
        architecture: CoderArchitecture = "linear" if self.architecture == "linear" else "conv"
        return replace(super().for_points(), likelihood="gaussian", architecture=architecture)

    def check(self) -> None:
        super().check()
        require_at_least(0, self, ("noise", "sparsity_weight"))
        if not 0 < self.sparsity < 1:
            raise UserError(f"--sparsity must be in (0, 1), got {self.sparsity}.")


@dataclass(frozen=True)
class VAEConfig(CoderConfig):
    """A variational autoencoder."""

    prior: PriorName = "normal"
    """Of the latents: N(0, 1), a mixture of Gaussians that is learned, or vamp, the mixture of the encoder's posteriors
    of pseudo-inputs that are learned."""
    components: int = 20
    """Gaussians in a learned prior."""
    kl_weight: float = 1.0
    """Trade-off between data and prior (lambda, beta): above 1 favours the prior."""
    free_nats: float = 0.0
    """KL per latent unit that costs nothing (free bits)."""
    draws: int = 1
    """Latents drawn for each picture in a step (L in the bound's first term): more are less noisy, and slower."""
    conditional: bool = False
    """Give the label to encoder and decoder."""

    def build(self, shape: Shape, device: torch.device) -> VAEModel:
        classes = labelled_classes(shape) if self.conditional else 0
        if self.prior == "vamp" and classes:
            raise ValueError("the pseudo-inputs of --prior vamp have no labels: use --prior mixture")
        encoder, features, decoder = _coder(self, shape, classes)
        learned = self.likelihood == "gaussian-learned"
        network = VAE(encoder, features, self.latent_size, decoder, classes, learned, self._prior(shape)).to(device)
        if network.output_logvar is not None:
            nn.init.constant_(network.output_logvar, math.log(self.variance))
        likelihood = likelihood_of(self.likelihood, self.variance, network.output_logvar)
        optimiser = adam(network, self.learning_rate, weight_decay=self.weight_decay)
        return VAEModel(VAEObjective(network, likelihood, optimiser, self.kl_weight, self.free_nats, self.draws))

    def _prior(self, shape: Shape) -> nn.Module | None:
        if self.prior == "normal":
            return None
        if self.prior == "mixture":
            return MixturePrior(self.latent_size, self.components)
        sample = (shape.channels, shape.size, shape.size) if shape.size else (shape.channels,)
        return VampPrior(sample, self.components)

    @property
    def takes_labels(self) -> bool:
        return self.conditional

    def for_points(self) -> VAEConfig:
        architecture: CoderArchitecture = "linear" if self.architecture == "linear" else "conv"
        likelihood: LikelihoodName = (
            "gaussian-per-pixel" if self.likelihood == "gaussian-per-pixel" else "gaussian-learned"
        )
        return replace(super().for_points(), likelihood=likelihood, variance=0.01, architecture=architecture)

    def check(self) -> None:
        super().check()
        require_positive(self, ("components", "draws"))
        require_at_least(0, self, ("kl_weight", "free_nats"))
        if self.free_nats and self.prior != "normal":
            raise UserError("--free-nats counts the KL of each unit, which only --prior normal has; drop one of them.")


def _coder(config: AutoencoderConfig | VAEConfig, shape: Shape, classes: int = 0) -> Coder:
    if not shape.size and config.likelihood == "bernoulli":
        raise ValueError("points need --likelihood gaussian or gaussian-learned, not bernoulli")
    outputs = (2 if config.likelihood == "gaussian-per-pixel" else 1) * shape.channels
    return coder(config.architecture, shape.size, shape.channels, config.latent_size, config.width, classes, outputs)


class AutoencoderModel(ImageModel):
    """A code without a prior: it reconstructs, and draws nothing."""

    draws = False
    headline = ("distortion",)

    def __init__(self, objective: AutoencoderObjective) -> None:
        self.objective, self.likelihood = objective, objective.likelihood
        self.network: Autoencoder = objective.model
        self.latent_size = self.network.latent_size

    def units(self) -> list[Unit]:
        return self.objective.units()

    def parts(self) -> dict[str, Stateful]:
        return self.objective.parts()

    def draw(self, count: int, rng: torch.Generator, condition: Tensor | None = None) -> Tensor:
        raise UserError(
            "An autoencoder has no distribution of codes to draw from: look at its reconstructions "
            "(--show reconstructions), or train a VAE."
        )

    @torch.no_grad()
    def encode(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.network.eval().encode(x)

    def decode(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.likelihood.mean(self.network.eval().decode(z))

    def views(self) -> dict[str, View]:
        return {"reconstructions": lambda batch: reconstructions(self, batch)}

    @torch.no_grad()
    def measures(self, batch: Batch) -> dict[str, Any]:
        error = (self.decode(self.encode(batch.x)) - batch.x).square().flatten(1).sum(1).mean()
        return {"squared_error": float(error)}


class VAEModel(LatentModel):
    """A Gaussian over latents for every sample, and a prior over them."""

    headline = ("distortion", "rate")

    def __init__(self, objective: VAEObjective) -> None:
        self.objective, self.likelihood = objective, objective.likelihood
        self.network: VAE = objective.model
        self.latent_size, self.classes = self.network.latent_size, self.network.classes
        self.normal_latents = self.network.prior is None

    def units(self) -> list[Unit]:
        return self.objective.units()

    def parts(self) -> dict[str, Stateful]:
        return self.objective.parts()

    @torch.no_grad()
    def latent(self, count: int, rng: torch.Generator) -> Tensor:
        if self.network.prior is None:
            return super().latent(count, rng)
        self.network.eval()
        return priors.sample(self.network.prior(self.network.encode), count, rng)

    @torch.no_grad()
    def encode(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.network.eval().encode(x, condition)[0]

    def decode(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.likelihood.mean(self.network.eval().decode(z, condition))

    def views(self) -> dict[str, View]:
        views = {**super().views(), "reconstructions": lambda batch: reconstructions(self, batch)}
        return {**views, "spread": self._spread} if self.likelihood.spread is not None else views

    @torch.no_grad()
    def _spread(self, batch: Batch, count: int = 20) -> Frames:
        """Originals, the means of their pixels, and how far from these pixels may be: white is the farthest of all."""
        assert self.likelihood.spread is not None
        x, labels = batch.x[:count], self.condition(batch)
        labels = None if labels is None else labels[:count]
        output = self.network.eval().decode(self.encode(x, labels), labels)
        spread = self.likelihood.spread(output)
        return rows_below([x, self.likelihood.mean(output), spread / spread.max()])

    @torch.no_grad()
    def latents(self, batch: Batch) -> CollapseReport:
        return collapse_report(*self.network.eval().encode(batch.x, self.condition(batch)), not self.normal_latents)

    def _kl(self, x: Tensor, labels: Tensor | None, report: CollapseReport) -> Tensor:
        """Mean KL to the prior, in nats: exact, or of one sample each where the prior is learned."""
        if self.network.prior is None:
            return report.kl_per_unit.sum()
        mean, logvar = self.network.encode(x, labels)
        z = mean + (0.5 * logvar).exp() * torch.randn(mean.shape, generator=generator_for(0, 2)).to(mean)
        return sampled_kl(z, mean, logvar, self.network.prior(self.network.encode)).mean()

    @torch.no_grad()
    def measures(self, batch: Batch) -> dict[str, Any]:
        """Bounds in nats, each under the name of what it bounds, and which latent units are active.

        ``elbo`` and ``iwae`` are bounds of log p(x); those called ``conditional`` of log p(x | class), which is
        larger. A Bernoulli likelihood of pixels that are neither 0 nor 1 is not normalised, so what it gives is called
        ``cross_entropy``: it compares models of this kind with each other, and with nothing else.
        """
        x, labels = batch.x, self.condition(batch)
        report = self.latents(batch)
        elbo, iwae = (
            float(log_likelihood_bound(self.network, self.likelihood, x, labels, k, generator_for(0, k)).mean())
            for k in (1, IMPORTANCE_SAMPLES)
        )
        binary = self.likelihood.binary
        proper = not binary or bool(((x == 0) | (x == 1)).all())
        prefix = ("conditional_" if self.classes else "") + ("" if proper else "cross_entropy_")
        bounds = {f"{prefix}elbo": elbo, f"{prefix}iwae_{IMPORTANCE_SAMPLES}": iwae}
        if proper and x.ndim == 4:
            bits = bits_per_dimension(torch.tensor(-elbo), math.prod(x.shape[1:]), 1 if binary else 256)
            bounds[f"{prefix}bits_per_dimension"] = float(bits)
        error = (self.decode(self.encode(x, labels), labels) - x).square().flatten(1).sum(1).mean()
        return {
            **bounds,
            "squared_error": float(error),
            "kl": float(self._kl(x, labels, report)),
            "active_units": report.active_by_kl,
            "latent_size": self.latent_size,
        }


AE = AutoencoderConfig(latent_size=16, learning_rate=1e-3, decay=True)
SPARSE_AE = replace(AE, latent_size=64, sparsity_weight=3.0)
DENOISING_AE = replace(AE, noise=0.3)
VAE_QUICK = VAEConfig(latent_size=16, learning_rate=1e-3, decay=True)
LINEAR_AE = replace(AE, architecture="linear", likelihood="gaussian")
DENSE_AE = replace(AE, architecture="dense")
LENET_AE = replace(AE, architecture="pooled")
CVAE = replace(VAE_QUICK, conditional=True)
SIGMA_VAE = replace(VAE_QUICK, likelihood="gaussian-per-pixel", variance=0.01)
MIXTURE_VAE = replace(VAE_QUICK, prior="mixture")
VAMP_VAE = replace(VAE_QUICK, prior="vamp", components=50)

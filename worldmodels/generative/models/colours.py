"""Diverse colours: a conditional VAE that gives several colourings of one grey picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rollouts.errors import require_at_least, require_positive
from worldmodels.generative.data.batches import spread
from worldmodels.generative.data.inputs import read_grey
from worldmodels.generative.data.making import luma
from worldmodels.generative.data.two_photos import TWO_PHOTOS
from worldmodels.generative.measures.similarity import similarity
from worldmodels.generative.models.base import ImageConfig, ImageModel, Shape, View, adam
from worldmodels.generative.models.translators import require_condition
from worldmodels.generative.networks.coders import conv_coder
from worldmodels.generative.networks.modules import VAE
from worldmodels.generative.networks.unet import unet
from worldmodels.generative.objectives.autoencoders import fixed_gaussian
from worldmodels.generative.objectives.elbo import CollapseReport, collapse_report, elbo
from worldmodels.generative.objectives.losses import wide
from worldmodels.generative.objectives.units import Batch, Loss, Unit
from worldmodels.generative.sheets import rows_below
from worldmodels.pictures import Frames
from worldmodels.training.loop import Stateful
from worldmodels.vae import kl_to_standard_normal, reparameterise

COLOURINGS = 5  #: of each grey picture, that are shown and measured
CHUNK = 100  #: pictures that are coloured at once


@dataclass(frozen=True)
class ColoursConfig(ImageConfig):
    """Grey pictures to coloured ones, of which there are many."""

    data: str = TWO_PHOTOS
    latent_size: int = 8
    """Length of the latent vector: what is free in the colours of a picture whose greys are known."""
    batch_size: int = 8
    width: int = 16
    learning_rate: float = 1e-3
    decay: bool = True
    variance: float = 0.005
    """Of the Gaussian likelihood of every colour value, which lie in [0, 1]."""
    kl_weight: float = 1.0
    """Trade-off between data and prior: above 1 favours the prior."""

    def build(self, shape: Shape, device: torch.device) -> ColoursModel:
        if shape.channels != 3:
            raise ValueError("colours are to be learnt, and these pictures are grey")
        encoder, features, _ = conv_coder(shape.size, 4, self.latent_size, self.width)
        # Every pixel of the decoder's input has the latents beside its grey; it tells how the colours differ from it.
        decoder = unet(shape.size, 1 + self.latent_size, 3, self.width, norm=None, dropout=0.0)
        network = VAE(encoder, features, self.latent_size, decoder).to(device)
        return ColoursModel(network, adam(network, self.learning_rate), self.variance, self.kl_weight, shape)

    def check(self) -> None:
        super().check()
        require_positive(self, ("variance",))
        require_at_least(0, self, ("kl_weight",))


class ColoursModel(ImageModel):
    """p(colours | grey, z) with z ~ N(0, 1). Sohn et al. (2015); Deshpande et al. (2017) for colours."""

    headline, condition_channels = ("distortion", "rate"), 1

    def __init__(
        self, network: VAE, optimiser: torch.optim.Optimizer, variance: float, kl_weight: float, shape: Shape
    ) -> None:
        self.network: VAE = network
        self.optimiser, self.kl_weight, self.shape = optimiser, kl_weight, shape
        self.likelihood, self.latent_size = fixed_gaussian(variance), network.latent_size

    def condition_of(self, x: Tensor, rng: torch.Generator) -> Tensor:
        return luma(x)

    def read_input(self, path: Path, fit: Any) -> Tensor:
        return read_grey(path, self.shape.size, fit)

    def posterior(self, x: Tensor, grey: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of q(z | colours, grey)."""
        mean, logvar = self.network.encode(torch.cat([grey, x], 1))
        return wide(mean), wide(logvar)

    def coloured(self, z: Tensor, grey: Tensor) -> Tensor:
        """Means of p(colours | grey, z), ``[N, 3, S, S]``, about in [0, 1]."""
        planes = z[:, :, None, None].expand(-1, -1, *grey.shape[2:])
        return grey + wide(self.network.decode(torch.cat([2 * grey - 1, planes.to(grey.dtype)], 1)))

    def loss(self, batch: Batch) -> Loss:
        grey = require_condition(batch.condition)
        mean, logvar = self.posterior(batch.x, grey)
        output = self.coloured(reparameterise(mean, logvar, batch.normal(*mean.shape)), grey)
        bound = elbo(
            self.likelihood.nll(output, batch.x).to(mean), kl_to_standard_normal(mean, logvar), self.kl_weight
        )
        return Loss(bound.loss, {"loss": bound.loss, "distortion": bound.distortion, "rate": bound.rate})

    def units(self) -> list[Unit]:
        return [Unit("vae", self.optimiser, self.loss)]

    def parts(self) -> dict[str, Stateful]:
        return {"model": self.network, "optimiser": self.optimiser}

    @torch.no_grad()
    def draw(self, count: int, rng: torch.Generator, condition: Tensor | None = None) -> Tensor:
        """A colouring of each of the first ``count`` grey pictures."""
        grey = require_condition(condition)[:count].to(self.device)
        z = torch.randn(len(grey), self.latent_size, generator=rng).to(self.device)
        parts = zip(z.split(CHUNK), grey.split(CHUNK), strict=True)
        return torch.cat([self.coloured(*part) for part in parts]).clamp(0, 1)

    def several(self, count: int, rng: torch.Generator, grey: Tensor) -> Tensor:
        """So many colourings of every grey picture, ``[count, N, 3, S, S]``."""
        return torch.stack([self.draw(len(grey), rng, grey) for _ in range(count)])

    def views(self) -> dict[str, View]:
        return {"samples": self._colourings}

    def _colourings(self, batch: Batch) -> Frames:
        """Grey pictures above several colourings of each, and the true one."""
        chosen = spread(10, len(batch.x))
        grey, x = require_condition(batch.condition)[chosen], batch.x[chosen]
        return rows_below([grey, *self.several(COLOURINGS, batch.rng, grey), x])

    @torch.no_grad()
    def latents(self, batch: Batch) -> CollapseReport:
        return collapse_report(*self.posterior(batch.x, require_condition(batch.condition)))

    @torch.no_grad()
    def measures(self, batch: Batch) -> dict[str, Any]:
        """One colouring against the truth, the best of several (by squared error), and how far apart those are."""
        grey = require_condition(batch.condition)
        outputs = self.several(COLOURINGS, batch.rng, grey)
        errors = (outputs - batch.x).square().flatten(2).mean(2)
        best = outputs[errors.argmin(0), torch.arange(len(grey), device=outputs.device)]
        report = self.latents(batch)
        return {
            **similarity(outputs[0], batch.x),
            f"psnr_best_of_{COLOURINGS}": similarity(best, batch.x)["psnr"],
            "diversity_l1": float((outputs[:-1] - outputs[1:]).abs().mean()),
            "baseline": "the grey picture",
            **{f"baseline_{name}": value for name, value in similarity(grey.expand_as(batch.x), batch.x).items()},
            "kl": float(report.kl_per_unit.sum()),
            "active_units": report.active_by_kl,
        }

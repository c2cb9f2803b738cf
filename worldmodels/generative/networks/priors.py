"""Priors of a VAE that are learned: mixtures of Gaussians."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from worldmodels.generative.objectives.elbo import Mixture

Encode = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Samples to mean and log variance."""


class MixturePrior(nn.Module):
    """Weights, means and variances of ``components`` Gaussians, all learned."""

    def __init__(self, latent_size: int, components: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(components))
        self.mean = nn.Parameter(torch.randn(components, latent_size))
        self.logvar = nn.Parameter(torch.zeros(components, latent_size))

    def forward(self, encode: Encode) -> Mixture:
        """The mixture; the encoder is not needed."""
        return Mixture(self.weights.log_softmax(0), self.mean, self.logvar)


class VampPrior(nn.Module):
    """The mixture of the encoder's posteriors of pseudo-inputs, which are learned. Tomczak & Welling (2018).

    Args:
        shape: of a sample; images are kept in [0, 1].
    """

    def __init__(self, shape: tuple[int, ...], components: int) -> None:
        super().__init__()
        self.images = len(shape) == 3
        self.inputs = nn.Parameter(torch.randn(components, *shape))

    def forward(self, encode: Encode) -> Mixture:
        """The mixture of the encoder's Gaussians."""
        mean, logvar = encode(torch.sigmoid(self.inputs) if self.images else self.inputs)
        return Mixture(mean.new_full((len(mean),), -math.log(len(mean))), mean, logvar)


def sample(mixture: Mixture, count: int, rng: torch.Generator) -> Tensor:
    """Draws ``[count, D]``."""
    weights, mean, logvar = (part.detach().cpu() for part in mixture)
    chosen = torch.multinomial(weights.exp(), count, replacement=True, generator=rng)
    return mean[chosen] + (0.5 * logvar[chosen]).exp() * torch.randn(count, mean.shape[1], generator=rng)

"""The networks of BiGAN and ALI: generator and encoder together, and a critic that sees a sample and its latents."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from worldmodels.generative.networks.dcgan import leaky_relu
from worldmodels.generative.networks.modules import Critic, Generator
from worldmodels.layers import initialise_he


class Inference(nn.Module):
    """A generator and an encoder; no more is needed to draw and to encode.

    Args:
        encoder: samples to ``features`` features.
        stochastic: it gives a Gaussian over latents, not a point.
    """

    def __init__(self, generator: Generator, encoder: nn.Module, features: int, stochastic: bool) -> None:
        super().__init__()
        self.generator, self.encoder = generator, encoder
        self.mean = nn.Linear(features, generator.latent_size)
        self.logvar = nn.Linear(features, generator.latent_size) if stochastic else None

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Mean ``[N, latent_size]`` and, of a Gaussian, log variance."""
        features = self.encoder(x)
        return self.mean(features), None if self.logvar is None else self.logvar(features)


class PairCritic(nn.Module):
    """Samples and latents ``[N, latent_size]`` to one logit each, ``[N, 1]``: a critic's features and the latents
    meet in two dense layers."""

    def __init__(self, critic: Critic, latent_size: int, width: int) -> None:
        super().__init__()
        assert isinstance(critic.head, nn.Linear)
        self.body = critic.body
        self.joint = nn.Sequential(
            nn.Linear(critic.head.in_features + latent_size, width),
            leaky_relu(),
            nn.Linear(width, width),
            leaky_relu(),
            nn.Linear(width, 1),
        )
        initialise_he(self.joint)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return self.joint(torch.cat([self.body(x), z], 1))

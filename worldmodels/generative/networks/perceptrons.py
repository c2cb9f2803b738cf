"""Multilayer perceptrons, for points."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from worldmodels.generative.networks.dcgan import Conditioning
from worldmodels.generative.networks.modules import Critic, Generator
from worldmodels.layers import Activation


def mlp(sizes: list[int], activation: Activation = nn.ReLU) -> nn.Sequential:
    """Linear layers with the activation between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), activation()]
    return nn.Sequential(*layers[:-1])


def mlp_generator(dimensions: int, latent_size: int = 2, width: int = 128, classes: int = 0) -> Generator:
    """Three hidden ReLU layers, for points; the toy network of Gulrajani et al. (2017), there of width 512."""
    return Generator(latent_size, mlp([latent_size + classes, width, width, width, dimensions]), classes)


def mlp_critic(dimensions: int, width: int = 128, classes: int = 0, conditioning: Conditioning = "none") -> Critic:
    """As :func:`mlp_generator`, from points to one logit."""
    planes = classes if conditioning == "planes" else 0
    body = nn.Sequential(*mlp([dimensions + planes, width, width, width]), nn.ReLU())
    return Critic(body, nn.Linear(width, 1), classes, width if conditioning == "projection" else 0)

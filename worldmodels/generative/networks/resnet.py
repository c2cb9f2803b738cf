"""A small pair of residual networks."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from worldmodels.generative.networks.dcgan import Conditioning, halvings
from worldmodels.generative.networks.modules import Critic, Generator
from worldmodels.layers import project


class ResidualUp(nn.Module):
    """Pre-activation block that doubles the side: norm, ReLU, resize, 3x3, norm, ReLU, 3x3, plus a 1x1 shortcut.

    Gulrajani et al. (2017), appendix F.
    """

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(out)
        self.conv1, self.conv2 = nn.Conv2d(channels, out, 3, padding=1), nn.Conv2d(out, out, 3, padding=1)
        self.shortcut = nn.Conv2d(channels, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(_double(F.relu(self.norm1(x))))
        return self.conv2(F.relu(self.norm2(h))) + self.shortcut(_double(x))


class ResidualDown(nn.Module):
    """Block that halves the side by averaging, without normalisation; the first block of a critic skips its ReLU."""

    def __init__(self, channels: int, out: int, first: bool = False) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(channels, out, 3, padding=1), nn.Conv2d(out, out, 3, padding=1)
        self.shortcut, self.first = nn.Conv2d(channels, out, 1), first

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv2(F.relu(self.conv1(x if self.first else F.relu(x))))
        return F.avg_pool2d(h, 2) + F.avg_pool2d(self.shortcut(x), 2)


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0)


def resnet_generator(size: int, channels: int, latent_size: int = 128, width: int = 64, classes: int = 0) -> Generator:
    """Residual blocks of constant ``width`` from 4x4 (or 7x7) up to ``size``, tanh."""
    doublings = halvings(size)
    body = nn.Sequential(
        *project(latent_size + classes, width, size >> doublings),
        *(ResidualUp(width, width) for _ in range(doublings)),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, channels, 3, padding=1),
        nn.Tanh(),
    )
    return Generator(latent_size, body, classes)


class SumOverPixels(nn.Module):
    """``[N, C, H, W] -> [N, C]``."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sum((2, 3))


def resnet_critic(
    size: int, channels: int, width: int = 64, classes: int = 0, conditioning: Conditioning = "none"
) -> Critic:
    """Residual blocks of constant ``width`` down to 4x4 (or 7x7), summed over pixels, one logit."""
    planes = classes if conditioning == "planes" else 0
    body = nn.Sequential(
        ResidualDown(channels + planes, width, first=True),
        *(ResidualDown(width, width) for _ in range(halvings(size) - 1)),
        nn.ReLU(),
        SumOverPixels(),
    )
    return Critic(body, nn.Linear(width, 1), classes, width if conditioning == "projection" else 0)

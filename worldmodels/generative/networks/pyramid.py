"""The networks of one level of a LAPGAN."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldmodels.generative.networks.dcgan import leaky_relu
from worldmodels.layers import initialise_he


def halved(x: Tensor) -> Tensor:
    """Pictures ``[N, C, S, S]`` of half the side: the mean of every four pixels."""
    return F.avg_pool2d(x, 2)


def doubled(x: Tensor) -> Tensor:
    """Pictures ``[N, C, S, S]`` of twice the side, without what was lost by halving them."""
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


class Residual(nn.Module):
    """Adds what is missing to an enlarged picture: three convolutions on it and a plane of noise."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels + 1, 2 * width, 5, padding=2),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.Conv2d(2 * width, 2 * width, 5, padding=2),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.Conv2d(2 * width, channels, 5, padding=2),
        )

    def forward(self, low: Tensor, noise: Tensor) -> Tensor:
        """``low [N, C, S/2, S/2]`` and noise ``[N, 1, S, S]`` to pictures ``[N, C, S, S]``."""
        large = doubled(low)
        return large + self.body(torch.cat([large, noise], 1))


class ResidualCritic(nn.Module):
    """One logit ``[N, 1]`` for a picture and its half size: it sees the residual, and the half size enlarged."""

    classes = 0

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(2 * channels, width, 4, 2, 1),
            leaky_relu(),
            nn.Conv2d(width, 2 * width, 4, 2, 1),
            leaky_relu(),
        )
        self.head = nn.Linear(2 * width, 1)
        initialise_he(self)

    def forward(self, x: Tensor, low: Tensor) -> Tensor:
        large = doubled(low)
        return self.head(self.body(torch.cat([x - large, large], 1)).mean((2, 3)))

"""The U-Net of pix2pix: down to the whole picture's content, up again, with every level's detail handed across."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from worldmodels.generative.networks.dcgan import leaky_relu
from worldmodels.layers import Normalisation, initialise_he, initialise_normal

LARGEST = 8  #: times the width: filters of all inner levels
NOISY = 3  #: innermost levels with dropout


class UNet(nn.Module):
    """``[N, channels, S, S] -> [N, out, S, S]`` in [-1, 1]. Isola et al. (2017), section 6.1.1.

    Levels are lists, from the outermost down and from the innermost up: what a level going up sees is what came from
    below beside what the level going down left at that side.
    """

    def __init__(self, downs: list[nn.Module], ups: list[nn.Module]) -> None:
        super().__init__()
        self.downs, self.ups = nn.ModuleList(downs), nn.ModuleList(ups)

    def forward(self, x: Tensor) -> Tensor:
        beside: list[Tensor] = []
        for down in self.downs:
            x = down(x)
            beside.append(x)
        x = self.ups[0](beside.pop())
        for up in self.ups[1:]:
            x = up(torch.cat([x, beside.pop()], 1))
        return x


def levels(size: int) -> int:
    """How often a side can be halved: 256 -> 8 (1), 96 -> 5 (3).

    Raises:
        ValueError: fewer than two times.
    """
    count = (size & -size).bit_length() - 1
    if count < 2:
        raise ValueError(
            f"a U-Net halves pictures at least twice, which {size}x{size} do not allow; resize them to a multiple of "
            f"4, better of 16, such as {max(16, round(size / 16) * 16)}"
        )
    return count


def unet(
    size: int,
    channels: int,
    out: int,
    width: int = 64,
    norm: Normalisation | None = nn.InstanceNorm2d,
    dropout: float = 0.5,
) -> UNet:
    """As many levels as the side can be halved; ``width`` filters in the outermost, up to eight times as many inside.

    54,413,955 parameters for 256x256 RGB to RGB with batch normalisation. Neither the outermost level nor the innermost
    one going down is normalised. Dropout is in the innermost levels going up, never in the last one.
    """
    count = levels(size)
    filters = [width * min(2**level, LARGEST) for level in range(count)]
    bias = norm is not nn.BatchNorm2d  # which would subtract it again
    downs: list[nn.Module] = [nn.Conv2d(channels, filters[0], 4, 2, 1, bias=bias)]
    for level in range(1, count):
        layers = [leaky_relu(), nn.Conv2d(filters[level - 1], filters[level], 4, 2, 1, bias=bias)]
        if norm and level < count - 1:
            layers.append(norm(filters[level]))
        downs.append(nn.Sequential(*layers))
    ups: list[nn.Module] = []
    for level in reversed(range(1, count)):
        inputs = filters[level] * (1 if level == count - 1 else 2)
        layers = [nn.ReLU(), nn.ConvTranspose2d(inputs, filters[level - 1], 4, 2, 1, bias=bias)]
        if norm:
            layers.append(norm(filters[level - 1]))
        if dropout and len(ups) < NOISY:
            layers.append(nn.Dropout(dropout))
        ups.append(nn.Sequential(*layers))
    ups.append(nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(2 * filters[0], out, 4, 2, 1), nn.Tanh()))
    network = UNet(downs, ups)
    if norm:
        initialise_normal(network)
    else:
        initialise_he(network)
        initialise_normal(ups[-1])  # a small picture to begin with
    return network

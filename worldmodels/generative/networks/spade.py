"""The translator of GauGAN: from a map of what is where, which every normalisation is told again."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from worldmodels.generative.networks.dcgan import halvings, leaky_relu
from worldmodels.layers import initialise_normal

INNER = 32  #: filters between a map and what it makes of a normalisation's output; 128 in the paper
PlainNorm = type[nn.InstanceNorm2d] | type[nn.BatchNorm2d]
LARGEST = 8  #: times the width: filters of the innermost block


class SpatiallyAdaptive(nn.Module):
    """Normalised ``x [N, channels, H, W]``, then ``gamma x + beta`` with values of the map at every pixel.

    A normalisation alone takes away what is the same everywhere in a map, so all of what a plain area of sky says.
    Park et al. (2019), eq. 1; as in their code gamma is ``1 +`` the convolution's output.
    """

    def __init__(self, channels: int, planes: int, norm: PlainNorm) -> None:
        super().__init__()
        self.norm = norm(channels, affine=False)
        self.shared = nn.Sequential(nn.Conv2d(planes, INNER, 3, padding=1), nn.ReLU())
        self.gamma, self.beta = (nn.Conv2d(INNER, channels, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor, plan: Tensor) -> Tensor:
        """``plan [N, planes, S, S]``, the map, is brought to the side of ``x``."""
        told = self.shared(F.interpolate(plan, x.shape[2:]))
        return self.norm(x) * (1 + self.gamma(told)) + self.beta(told)


class SpadeBlock(nn.Module):
    """Two normalisations, activations and 3x3 convolutions, added to the input. Park et al. (2019), figure 4."""

    def __init__(self, channels: int, out: int, planes: int, norm: PlainNorm) -> None:
        super().__init__()
        self.norms = nn.ModuleList([SpatiallyAdaptive(channels, planes, norm) for _ in range(2)])
        self.activation = leaky_relu()
        self.convolutions = nn.ModuleList([nn.Conv2d(channels, count, 3, padding=1) for count in (channels, out)])
        self.shortcut = nn.Conv2d(channels, out, 1, bias=False)

    def forward(self, x: Tensor, plan: Tensor) -> Tensor:
        inner = x
        for norm, convolution in zip(self.norms, self.convolutions, strict=True):
            inner = convolution(self.activation(norm(inner, plan)))
        return self.shortcut(x) + inner


class Spade(nn.Module):
    """``[N, channels, S, S] -> [N, out, S, S]`` in [-1, 1], from the smallest map upwards: a block, twice the side.

    ``width`` filters in the outermost block. Dropout after the first block is the noise.

    Raises:
        ValueError: the side cannot be halved down to 4 to 8.
    """

    def __init__(self, size: int, channels: int, out: int, width: int, norm: PlainNorm, dropout: float) -> None:
        super().__init__()
        doublings = halvings(size)
        filters = [width * min(2**level, LARGEST) for level in reversed(range(doublings + 1))]
        self.start = size >> doublings
        self.first = nn.Conv2d(channels, filters[0], 3, padding=1)
        pairs = zip(filters, [*filters[1:], width], strict=True)
        self.blocks = nn.ModuleList([SpadeBlock(before, after, channels, norm) for before, after in pairs])
        self.noise = nn.Dropout(dropout)
        self.last = nn.Sequential(leaky_relu(), nn.Conv2d(width, out, 3, padding=1), nn.Tanh())
        initialise_normal(self)

    def forward(self, plan: Tensor) -> Tensor:
        x = self.first(F.interpolate(plan, (self.start, self.start)))
        for number, block in enumerate(self.blocks):
            x = F.interpolate(x, scale_factor=2.0) if number else x
            x = block(x, plan)
            x = x if number else self.noise(x)
        return self.last(x)

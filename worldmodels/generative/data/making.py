"""Inputs that are computed from the pictures themselves, so that a translator learns from any one folder.

Each is a pure function of pictures ``[N, C, S, S]`` in [0, 1] and of randomness; what it gives is in [0, 1] too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

InputName = Literal["grey", "masked", "shrunk", "edges", "road"]
LUMA = (0.299, 0.587, 0.114)  #: ITU-R 601
LINES = 0.1  #: share of the pixels that may be an edge
FAINT = 0.08  #: slope per pixel below which nothing is an edge


@dataclass(frozen=True)
class InputKind:
    """How an input is computed from a picture, and what it still has of the picture."""

    make: Callable[[Tensor, torch.Generator], Tensor]
    planes: Callable[[int], int]  #: channels of the pictures -> channels of the input
    begins: bool = False
    """The first channels of the input are a picture to begin with: only the difference has to be learnt. It is
    also the baseline that a translator must beat."""
    holes: bool = False  #: the last channel is 1 where the picture is unknown; elsewhere it is kept
    baseline: str = "the mean of all pictures"  #: the trivial translation, in words
    drawn: bool = False  #: somebody may draw it by hand


def input_kind(name: InputName, hole: float = 0.5, shrink: int = 4) -> InputKind:
    """A kind of input by its name.

    Args:
        hole: largest side of a hole, as a share of the picture's.
        shrink: how many times smaller the input of super-resolution is.
    """
    if name == "grey":
        return InputKind(lambda x, rng: luma(x), lambda channels: 1, begins=True, baseline="the grey picture")
    if name == "masked":
        return InputKind(
            lambda x, rng: masked(x, random_holes(x, hole, rng)),
            lambda channels: channels + 1,
            begins=True,
            holes=True,
            baseline="holes in the mean colour of the rest",
        )
    if name == "shrunk":
        return InputKind(
            lambda x, rng: enlarged(shrunk(x, shrink), x.shape[-1]),
            lambda channels: channels,
            begins=True,
            baseline="bicubic enlargement",
        )
    if name == "edges":
        return InputKind(lambda x, rng: edges(x), lambda channels: 1, drawn=True)
    return InputKind(lambda x, rng: road(x), lambda channels: 1, drawn=True)


def luma(x: Tensor) -> Tensor:
    """Grey pictures ``[N, 1, S, S]``."""
    if x.shape[1] == 1:
        return x
    return (x * x.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)


def random_holes(x: Tensor, largest: float, rng: torch.Generator) -> Tensor:
    """One rectangle per picture, its sides between half of ``largest`` and all of it: 1 inside, ``[N, 1, S, S]``."""
    count, side = len(x), x.shape[-1]
    most = max(1, round(largest * side))
    least = (most + 1) // 2
    sides = (least + (torch.rand(2, count, generator=rng) * (most - least + 1)).long()).clamp(max=most)
    first = (torch.rand(2, count, generator=rng) * (side - sides + 1)).long()
    place = torch.arange(side)
    down, across = (
        (place >= start[:, None]) & (place < (start + length)[:, None])
        for start, length in zip(first, sides, strict=True)
    )
    return (down[:, None, :, None] & across[:, None, None, :]).to(x)


def masked(x: Tensor, holes: Tensor) -> Tensor:
    """Pictures with holes in the mean colour of their rest, and the holes as one more plane, ``[N, C + 1, S, S]``."""
    kept = 1 - holes
    mean = (x * kept).sum((2, 3), keepdim=True) / kept.sum((2, 3), keepdim=True).clamp(min=1)
    return torch.cat([x * kept + mean * holes, holes], 1)


def shrunk(x: Tensor, times: int) -> Tensor:
    """Averaged over blocks of ``times`` by ``times`` pixels."""
    return F.avg_pool2d(x, times)


def enlarged(x: Tensor, size: int) -> Tensor:
    """Bicubic enlargement to a side of ``size``."""
    return F.interpolate(x, (size, size), mode="bicubic", align_corners=False).clamp(0, 1)


def edges(x: Tensor) -> Tensor:
    """A line drawing, dark on white ``[N, 1, S, S]``: the steepest pixels across each edge.

    The slope of the blurred luma by Sobel's masks; kept where it is largest across its main direction, is among the
    steepest of its picture, and is not faint. After Canny (1986), without his tracing of lines.
    """
    grey = F.pad(luma(x), (2, 2, 2, 2), mode="replicate")
    row = grey.new_tensor([1.0, 2.0, 1.0]) / 4
    smooth = F.conv2d(grey, (row[:, None] * row)[None, None])
    slope = grey.new_tensor([-1.0, 0.0, 1.0]) / 2
    across = F.conv2d(smooth, (row[:, None] * slope)[None, None])
    down = F.conv2d(smooth, (slope[:, None] * row)[None, None])
    steep = (across.square() + down.square()).sqrt()
    beside = F.pad(steep, (1, 1, 1, 1), mode="replicate")
    left, right = beside[..., 1:-1, :-2], beside[..., 1:-1, 2:]
    above, below = beside[..., :-2, 1:-1], beside[..., 2:, 1:-1]
    upright = (steep >= left) & (steep > right)
    ridge = torch.where(across.abs() >= down.abs(), upright, (steep >= above) & (steep > below))
    least = torch.quantile((steep * ridge).flatten(1), 1 - LINES, dim=1)[:, None, None, None].clamp(min=FAINT)
    return 1 - (ridge & (steep >= least)).to(x)


def road(x: Tensor) -> Tensor:
    """What is no meadow in CarRacing's pictures, white on black ``[N, 1, S, S]``: the road, its kerbs and the car.

    Meadows are green: their green exceeds red and blue by a tenth.
    """
    red, green, blue = x.unbind(1)
    return 1 - (green > torch.maximum(red, blue) + 0.1).to(x)[:, None]

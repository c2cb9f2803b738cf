"""A judge of pictures of coloured shapes: size, colour, shape and place from pixels alone, without anything learnt."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from worldmodels.generative.data.captioned import ATTRIBUTES, COLOURS, SHAPES, SIDE, SIZES, Scenes, coverage

SEEN = 0.2  #: how far from the background, of the largest possible distance, a pixel of a shape is
LEAST = 12  #: pixels of a shape, in a picture of 32x32
NEAR = 3.5  #: pixels from the middle within which a shape is in the middle


def judged(pictures: Tensor) -> Scenes:
    """What is on pictures ``[N, 3, S, S]`` in [0, 1]; -1 for all of it where there is no shape.

    The background is the median of the border, the shape what differs from it. Its colour is the nearest known one,
    its place that of its centre of mass, its size that of its area, and its shape the one which, drawn at that place
    and size, covers it best.
    """
    x = pictures.detach().float().cpu().clamp(0, 1).permute(0, 2, 3, 1).double().numpy()
    count, side = x.shape[:2]
    border = np.concatenate([x[:, 0], x[:, -1], x[:, :, 0], x[:, :, -1]], 1)
    differs = np.sqrt(np.square(x - np.median(border, 1)[:, None, None]).sum(-1) / 3)
    most = np.quantile(differs.reshape(count, -1), 0.99, axis=1)[:, None, None]
    mask = np.where(differs > np.maximum(SEEN, 0.5 * most), 1.0, 0.0)
    area = mask.sum((1, 2))
    there = area >= LEAST * (side / SIDE) ** 2
    safe = np.maximum(area, 1)
    places = np.arange(side) + 0.5
    across, down = (mask.sum(1) * places).sum(1) / safe, (mask.sum(2) * places).sum(1) / safe
    scenes = Scenes(
        _size(np.sqrt(safe / np.pi) * SIDE / side),
        _colour(x, mask, safe),
        _shape(mask, np.sqrt(safe / np.pi), across, down),
        _place((across / side - 0.5) * SIDE, (down / side - 0.5) * SIDE),
    )
    return Scenes(*(np.where(there, part, -1) for part in scenes))


def _size(radius: NDArray[np.float64]) -> NDArray[np.int64]:
    small, large = SIZES.values()
    return (radius > np.sqrt(small * large)).astype(np.int64)


def _colour(x: NDArray[np.float64], mask: NDArray[np.float64], area: NDArray[np.float64]) -> NDArray[np.int64]:
    mean = (x * mask[..., None]).sum((1, 2)) / area[:, None]
    palette = np.array(list(COLOURS.values())) / 255
    return np.square(mean[:, None] - palette).sum(-1).argmin(1)


def _shape(
    mask: NDArray[np.float64], radius: NDArray[np.float64], across: NDArray[np.float64], down: NDArray[np.float64]
) -> NDArray[np.int64]:
    overlaps = []
    for number in range(len(SHAPES)):
        drawn = coverage(np.full(len(mask), number), radius, across, down, mask.shape[1])
        overlaps.append(np.minimum(mask, drawn).sum((1, 2)) / np.maximum(mask, drawn).sum((1, 2)))
    return np.argmax(overlaps, 0)


def _place(across: NDArray[np.float64], down: NDArray[np.float64]) -> NDArray[np.int64]:
    names = ATTRIBUTES["place"]
    sideways = np.where(across < 0, names.index("left"), names.index("right"))
    upright = np.where(down < 0, names.index("top"), names.index("bottom"))
    beside = np.where(np.abs(across) > np.abs(down), sideways, upright)
    return np.where(np.maximum(np.abs(across), np.abs(down)) < NEAR, names.index("middle"), beside)


def shares_right(named: Scenes, judgement: Scenes) -> dict[str, float]:
    """Of the attributes that captions name, the share that the judge sees: by attribute, and ``all`` together."""
    right = [(a == b)[a >= 0] for a, b in zip(named, judgement, strict=True)]
    by_name = {name: float(part.mean()) for name, part in zip(ATTRIBUTES, right, strict=True) if len(part)}
    return {"all": float(np.concatenate(right).mean()), **by_name}

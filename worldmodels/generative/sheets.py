"""Drawing: pictures side by side, points as dots, animations. Pure functions of tensors in [0, 1]."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from rollouts.runs.files import atomic_path
from worldmodels.pictures import Frames, grid, to_uint8


def enlargement(size: int) -> int:
    """How much a grid of pictures of this side is enlarged: small ones (and points) twice, large ones not at all."""
    return 1 if size > 100 else 2


def fitting(sheet: Frames) -> int:
    """How much a sheet ``[H, W, 3]`` is enlarged to be looked at: up to four times, as long as it fits on a screen."""
    return max(min(1330 // sheet.shape[1], 4), 1)


def picture(x: Tensor, columns: int) -> Frames:
    """Images ``[N, C, S, S]`` in [0, 1] as a grid, clips ``[N, T, C, S, S]`` as a row each, or points ``[N, 2+]`` as a
    scatter plot of [-2, 2]^2."""
    if x.ndim == 5:
        return grid(rgb(x.flatten(0, 1)), x.shape[1])
    return grid(rgb(x), columns) if x.ndim == 4 else scatter(x)


def rgb(x: Tensor) -> Frames:
    """Images ``[N, C, S, S]`` in [0, 1], C = 1 or 3, as uint8 ``[N, S, S, 3]``."""
    return to_uint8(x if x.shape[1] == 3 else x.expand(-1, 3, -1, -1))


def scatter(points: Tensor, side: int = 256, reach: float = 2.0) -> Frames:
    """Dark dots on white; the first two coordinates, x to the right, y upwards."""
    canvas = np.full((side, side, 3), 255, np.uint8)
    places = ((points[:, :2].detach().cpu().numpy() / reach + 1) / 2 * side).astype(int)
    inside = ((places >= 0) & (places < side)).all(1)
    canvas[side - 1 - places[inside, 1], places[inside, 0]] = (20, 60, 140)
    return canvas


def rows_below(parts: Sequence[Tensor], columns: int = 10) -> Frames:
    """The same pictures in several versions, ``[N, C, S, S]`` each, one below the other, in rows of up to ``columns``.

    Points ``[N, 2+]`` become scatter plots side by side.
    """
    if parts[0].ndim != 4:
        return np.concatenate([scatter(part) for part in parts], 1)
    columns = min(len(parts[0]), columns)
    missing = np.full((-len(parts[0]) % columns, *parts[0].shape[2:], 3), 235, np.uint8)  # of the last row
    versions = [np.concatenate([rgb(part), missing]) for part in parts]
    rows = [version[i : i + columns] for i in range(0, len(versions[0]), columns) for version in versions]
    return grid(np.concatenate(rows), columns)


def save_gif(frames: Sequence[Frames], path: Path, milliseconds: int = 80) -> None:
    """An endless animation of pictures ``[H, W, 3]``."""
    first, *rest = [Image.fromarray(frame) for frame in frames]
    with atomic_path(path) as temporary:
        first.save(temporary, format="GIF", save_all=True, append_images=rest, duration=milliseconds, loop=0)

"""Does V see what matters? Linear probes from z to things computed from pixels, and the patches that it draws worst.

A reconstruction error says how much of a picture is missed, not what. A controller is linear in z, so what a linear
probe reads from z is what it can act on; what no probe finds there is not seen, however good the picture looks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from worldmodels.pictures import grid

Frames = NDArray[np.uint8]
Floats = NDArray[np.float64]
LAG = 4  #: steps between the two frames of which what moves is the difference
MOVED = 0.15  #: a pixel has moved if a colour of it changed by more than this
STILL = 0.05  #: where more of a picture moves than this, it is the camera
SIZES = {"small": (2, 8), "middle": (8, 32), "large": (32, 256)}  #: pixels of a moving thing: as a rule, far to near
HEIGHTS = (0.35, 0.5, 0.65, 0.8)  #: of the rows in which edges are looked for, as shares of the picture
RIDGE = 1e-3  #: of the probes, on standardised z
FEWEST = 5  #: moments per latent without which a probe says nothing
PATCH = 8  #: side of the patches that are compared


def probe(z: Floats, targets: Floats) -> float | None:
    """How much of ``targets [N]`` a linear probe on ``z [N, Z]`` explains where it was not fitted, as R².

    It is fitted by ridge regression to all but every fifth block of 25 moments, and asked about those: neighbours in
    time are alike, and must not stand on both sides. None where there are too few moments, or nothing to explain.
    """
    tested = np.arange(len(z)) // 25 % 5 == 4
    if (~tested).sum() < FEWEST * z.shape[1] or not tested.any() or targets[tested].std() == 0:
        return None
    scaled = (z - z[~tested].mean(0)) / z[~tested].std(0).clip(min=1e-6)
    middle = targets[~tested].mean()
    gram = scaled[~tested].T @ scaled[~tested] + RIDGE * (~tested).sum() * np.eye(z.shape[1])
    weights = np.linalg.solve(gram, scaled[~tested].T @ (targets[~tested] - middle))
    missed = targets[tested] - middle - scaled[tested] @ weights
    return 1 - float((missed**2).mean() / targets[tested].var())


def moving_things(frame: Frames, earlier: Frames) -> list[tuple[float, int]]:
    """Column of the centre (0 to 1) and size in pixels of each thing that moved between two frames ``[H, W, 3]``.

    Nothing where so much has moved that it was the camera.
    """
    change = cv2.absdiff(frame, earlier).max(axis=2)
    moved = (change > 255 * MOVED).astype(np.uint8)
    if moved.mean() > STILL:
        return []
    _, _, stats, centres = cv2.connectedComponentsWithStats(moved, connectivity=8)
    rows = zip(centres[1:, 0], stats[1:, cv2.CC_STAT_AREA], strict=True)  # the first one is all that stands still
    return [((float(x) + 0.5) / frame.shape[1], int(area)) for x, area in rows]


def edges(frame: Frames) -> tuple[Floats, Floats]:
    """Columns (0 to 1) of the strongest steps of colour left and right of the middle, in some rows: ``[heights]``."""
    rows = frame[[int(height * len(frame)) for height in HEIGHTS]].astype(float)
    steps, half = np.abs(np.diff(rows, axis=1)).sum(2), frame.shape[1] // 2
    left, right = steps[:, :half].argmax(1) + 1, steps[:, half:].argmax(1) + half + 1
    return left / frame.shape[1], right / frame.shape[1]


def what_z_tells(z: Floats, frames: Frames, earlier: Frames) -> dict[str, Any]:
    """R² of probes on held-out moments: where the largest moving thing of each size is, and where edges are.

    Args:
        z: ``[N, Z]`` of ``frames [N, H, W, 3]``; earlier: the frames :data:`LAG` steps before them.

    Returns:
        ``moving``: by size the number of ``moments`` in which there was just one such thing, and the ``r2`` of its
        column; ``edges``: the mean R² over :data:`HEIGHTS` of the steps of colour left and right of the middle.
    """
    places_of: dict[str, list[tuple[int, float]]] = {name: [] for name in SIZES}
    for moment, (frame, before) in enumerate(zip(frames, earlier, strict=True)):
        things = moving_things(frame, before)
        for name, (least, most) in SIZES.items():
            columns = [column for column, size in things if least <= size < most]
            if len(columns) == 1:
                places_of[name].append((moment, columns[0]))
    moving = {}
    for name, places in places_of.items():
        moments, where = np.array([m for m, _ in places], int), np.array([c for _, c in places], float)
        moving[name] = {"moments": len(places), "r2": probe(z[moments], where) if places else None}
    sides = np.stack([np.stack(edges(frame)) for frame in frames])  # [N, sides, heights]
    steps = [[probe(z, sides[:, side, height]) for height in range(len(HEIGHTS))] for side in (0, 1)]
    return {"moving": moving, "edges": dict(zip(("left", "right"), map(_mean, steps), strict=True))}


def _mean(values: list[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return float(np.mean(numbers)) if numbers else None


def worst_patches(
    frames: Frames, reconstruct: Callable[[Frames], Frames], count: int = 8
) -> tuple[Frames, list[tuple[int, int, int]]]:
    """The patches with the largest squared error, at most one of a frame, framed in originals above reconstructions.

    Returns:
        the picture, and for each patch its frame, row and column, the worst first.
    """
    drawn = reconstruct(frames)
    squares = ((frames.astype(np.float32) - drawn) ** 2).sum(3)
    side = frames.shape[1] // PATCH
    patches = squares[:, : side * PATCH, : side * PATCH].reshape(-1, side, PATCH, side, PATCH)
    errors = patches.sum((2, 4)).reshape(-1, side**2)
    chosen = np.argsort(-errors.max(1), kind="stable")[:count]
    places = [(int(frame), *divmod(int(errors[frame].argmax()), side)) for frame in chosen]
    rows = np.concatenate([frames[chosen], drawn[chosen]]).copy()
    for number, (_, row, column) in enumerate(places):
        for picture in (rows[number], rows[number + len(places)]):
            top, left = row * PATCH, column * PATCH
            cv2.rectangle(picture, (left, top), (left + PATCH - 1, top + PATCH - 1), (255, 0, 255))
    return grid(rows, len(places)), places

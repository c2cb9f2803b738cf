"""Distributions of points whose every property is known: where the modes are, how wide, how far apart.

Scales as in the toy experiments of Gulrajani et al. (2017), so that all live within about [-1.5, 1.5]^2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float32]


class Modes(NamedTuple):
    """The components of a mixture of equally likely round Gaussians."""

    centres: NDArray[np.float64]  #: [K, 2]
    sd: float


#: 8 Gaussians on a circle of radius 2, sd 0.02, everything divided by sqrt 2.
RING = Modes(
    np.stack([2 * np.array([np.cos(a), np.sin(a)]) for a in np.arange(8) * np.pi / 4]) / 2**0.5,
    0.02 / 2**0.5,
)
#: 5 x 5 Gaussians at distance 2, sd 0.05, everything divided by 2 sqrt 2.
GRID = Modes(np.array([[x, y] for x in range(-4, 5, 2) for y in range(-4, 5, 2)]) / 8**0.5, 0.05 / 8**0.5)


def mixture(modes: Modes, count: int, rng: np.random.Generator) -> tuple[Points, NDArray[np.int64]]:
    """``count`` points ``[count, 2]`` and the mode each was drawn from ``[count]``."""
    which = rng.integers(len(modes.centres), size=count)
    points = modes.centres[which] + modes.sd * rng.standard_normal((count, 2))
    return points.astype(np.float32), which


def swiss_roll(count: int, rng: np.random.Generator) -> tuple[Points, None]:
    """The roll ``t (cos t, sin t)``, t from 1.5 pi to 4.5 pi, noise 0.25, divided by 7.5."""
    t = 1.5 * np.pi * (1 + 2 * rng.random(count))
    points = np.stack([t * np.cos(t), t * np.sin(t)], 1) + 0.25 * rng.standard_normal((count, 2))
    return (points / 7.5).astype(np.float32), None


def line(theta: float, count: int, rng: np.random.Generator) -> Points:
    """``(theta, U(0, 1))``: the parallel lines of Arjovsky et al. (2017), example 1.

    Between the lines 0 and theta != 0: KL = infinity, JS = log 2, earth mover's distance = |theta|.
    """
    return np.stack([np.full(count, theta), rng.random(count)], 1).astype(np.float32)


def lines(count: int, rng: np.random.Generator) -> tuple[Points, NDArray[np.int64]]:
    """Two parallel lines, x = -1 and x = 1, y ~ U(-1, 1), and which one a point is on."""
    which = rng.integers(2, size=count)
    return np.stack([2.0 * which - 1, rng.uniform(-1, 1, count)], 1).astype(np.float32), which


Sampler = Callable[[int, np.random.Generator], tuple[Points, NDArray[np.int64] | None]]

DISTRIBUTIONS: dict[str, Sampler] = {
    "ring": lambda count, rng: mixture(RING, count, rng),
    "grid": lambda count, rng: mixture(GRID, count, rng),
    "swiss-roll": swiss_roll,
    "lines": lines,
}
MODES = {"ring": RING, "grid": GRID}

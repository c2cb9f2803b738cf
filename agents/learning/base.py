"""What every evolution strategy offers: ask for candidates, tell their fitness."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Strategy(Protocol):
    """It maximises fitness; its whole course is a function of its arguments and of the fitness that it is told."""

    @property
    def best(self) -> Array:
        """The candidate of highest fitness ever ``[P]``."""

    @property
    def best_fitness(self) -> float: ...

    def ask(self) -> Array:
        """The next candidates ``[C, P]``."""

    def tell(self, fitness: Array) -> None:
        """Fitness ``[C]`` of the candidates just asked for; larger is better."""

    @property
    def mean(self) -> Array:
        """The distribution's mean ``[P]``: under noise a better answer than any single candidate."""

    @property
    def sigma(self) -> float:
        """Overall step size."""

    @property
    def state(self) -> dict[str, Any]:
        """Between two generations: all that :meth:`restore` needs, as numbers, strings and arrays."""

    def restore(self, state: Mapping[str, Any]) -> bool:
        """Go on from a state. False if another version made it; nothing is changed then."""


def centred_ranks(fitness: Array) -> Array:
    """Ranks spread evenly over [-0.5, 0.5]; equal values share the mean of their ranks."""
    _, position, counts = np.unique(fitness, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts + 1) / 2
    return ranks[position] / max(len(fitness) - 1, 1) - 0.5


def chance(rng: np.random.Generator) -> str:
    """The state of a random generator as JSON, for :func:`set_chance`."""
    return json.dumps(rng.bit_generator.state)


def set_chance(rng: np.random.Generator, state: str) -> None:
    """Go on where :func:`chance` was asked."""
    rng.bit_generator.state = json.loads(state)

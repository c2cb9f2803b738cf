"""Evolution strategies behind one interface: ask for candidates, tell their fitness."""

from __future__ import annotations

from typing import Literal

from agents.learning.base import Array, Strategy
from agents.learning.cma_es import CMAES
from agents.learning.pgpe import PGPE

StrategyName = Literal["cma", "sep-cma", "pgpe"]


def make_strategy(
    name: StrategyName, start: Array, sigma: float, population: int, seed: int, max_speed: float | None = None
) -> Strategy:
    """``cma`` is full CMA-ES, ``sep-cma`` adapts a diagonal only, ``pgpe`` follows a gradient estimate.

    Args:
        start: initial mean ``[P]``.
        sigma: initial step size.
        max_speed: see :class:`PGPE`.
    """
    if name == "pgpe":
        return PGPE(start, sigma, population, seed, max_speed)
    return CMAES(start, sigma, population, seed, separable=name == "sep-cma")

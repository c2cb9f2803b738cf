"""CMA-ES, with a full or a diagonal covariance (Hansen 2016), through pycma."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from agents.learning.base import Array


class CMAES:
    """CMA-ES through pycma.

    Args:
        start: initial mean ``[P]``.
        sigma: initial step size.
        separable: adapt a diagonal, which can be learnt in tens of generations where a full matrix of 867 x 867 takes
            thousands.
    """

    def __init__(self, start: Array, sigma: float, population: int, seed: int, separable: bool = False) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pycma warns that matplotlib, which it draws with, is not there
            import cma  # takes a second, which no worker and no other script should wait for
            from cma.sigma_adaptation import CMAAdaptSigmaCSA
        rng = np.random.default_rng(seed)
        options: dict[str, Any] = {
            "popsize": population,
            # Own random numbers: pycma's seed would set NumPy's global one.
            "seed": np.nan,
            "randn": lambda *shape: rng.standard_normal(shape),
            # pycma 4.5 takes TPA for N >= 300, which reads its step size off two single noisy evaluations.
            "AdaptSigma": CMAAdaptSigmaCSA,
            "CMA_diagonal": separable,
            "verbose": -9,
        }
        self._es = cma.CMAEvolutionStrategy(np.array(start, float), sigma, options)
        self.best: Array = np.array(start, float)
        self.best_fitness = -np.inf
        self._asked: list[Array] = []

    def ask(self) -> Array:
        self._asked = self._es.ask()
        return np.array(self._asked)

    def tell(self, fitness: Array) -> None:
        self._es.tell(self._asked, list(-np.asarray(fitness, float)))
        if fitness.max() > self.best_fitness:
            self.best, self.best_fitness = np.array(self._asked[int(fitness.argmax())]), float(fitness.max())

    @property
    def mean(self) -> Array:
        return np.array(self._es.mean)

    @property
    def sigma(self) -> float:
        return float(self._es.sigma)

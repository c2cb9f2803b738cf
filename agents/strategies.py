"""Evolution strategies behind one interface: ask for candidates, tell their fitness."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Covariance = Literal["full", "diagonal"]


class CMAES:
    """CMA-ES through pycma: maximises fitness; its whole course is a function of its arguments and what it is told.

    Args:
        start: initial mean ``[P]``.
        sigma: initial step size.
        covariance: ``full``, or ``diagonal`` (separable CMA-ES), which can be learnt in tens of generations where a
            full matrix of 867 x 867 takes thousands.
    """

    def __init__(
        self, start: NDArray[np.float64], sigma: float, population: int, seed: int, covariance: Covariance = "full"
    ) -> None:
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
            "CMA_diagonal": covariance == "diagonal",
            "verbose": -9,
        }
        self._es = cma.CMAEvolutionStrategy(np.array(start, float), sigma, options)
        self.best: NDArray[np.float64] = np.array(start, float)
        self.best_fitness = -np.inf
        self._asked: list[NDArray[np.float64]] = []

    def ask(self) -> NDArray[np.float64]:
        """The next candidates ``[C, P]``."""
        self._asked = self._es.ask()
        return np.array(self._asked)

    def tell(self, fitness: NDArray[np.float64]) -> None:
        """Fitness ``[C]`` of the candidates just asked for; larger is better."""
        self._es.tell(self._asked, list(-np.asarray(fitness, float)))
        if fitness.max() > self.best_fitness:
            self.best, self.best_fitness = np.array(self._asked[int(fitness.argmax())]), float(fitness.max())

    @property
    def mean(self) -> NDArray[np.float64]:
        """The distribution's mean: under noise a better answer than any single candidate."""
        return np.array(self._es.mean)

    @property
    def sigma(self) -> float:
        """Overall step size."""
        return float(self._es.sigma)

"""CMA-ES, with a full or a diagonal covariance (Hansen 2016), through pycma."""

from __future__ import annotations

import copy
import operator
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from agents.learning.base import Array, chance, set_chance

#: The parts of pycma's object in which its course is kept; the rest are options, logs and empty archives.
PARTS = ("", "sm", "adapt_sigma", "sigma_vec", "fit", "best", "best.last")


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
        rng = self._rng = np.random.default_rng(seed)
        self._version = str(cma.__version__)
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
        self._candidates: list[Array] = []

    def ask(self) -> Array:
        self._candidates = self._es.ask()
        return np.array(self._candidates)

    def tell(self, fitness: Array) -> None:
        self._es.tell(self._candidates, list(-np.asarray(fitness, float)))
        if fitness.max() > self.best_fitness:
            self.best, self.best_fitness = np.array(self._candidates[int(fitness.argmax())]), float(fitness.max())

    @property
    def mean(self) -> Array:
        return np.array(self._es.mean)

    @property
    def sigma(self) -> float:
        return float(self._es.sigma)

    @property
    def state(self) -> dict[str, Any]:
        """Every number of pycma's object: resuming takes no time, whatever the number of generations."""
        parts = {
            name: {key: _copied(value) for key, value in vars(part).items() if _is_plain(value)}
            for name, part in self._parts()
        }
        own = {"best": self.best, "best_fitness": self.best_fitness, "chance": chance(self._rng)}
        return {"cma": self._version, "parts": parts, **own}

    def restore(self, state: Mapping[str, Any]) -> bool:
        if state["cma"] != self._version:
            return False
        self.tell(np.arange(float(len(self.ask()))))  # pycma makes some of its parts in the first generation only
        for name, part in self._parts():
            vars(part).update(copy.deepcopy(state["parts"][name]))
        self.best, self.best_fitness = state["best"], state["best_fitness"]
        set_chance(self._rng, state["chance"])
        return True

    def _parts(self) -> Iterator[tuple[str, Any]]:
        yield from ((name, operator.attrgetter(name)(self._es) if name else self._es) for name in PARTS)


def _is_plain(value: Any) -> bool:
    """A number, a string, an array, or a list of such."""
    if type(value) in (list, tuple, range):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str | np.generic | np.ndarray)


def _copied(value: Any) -> Any:
    """pycma keeps the places of candidates that it mirrored as a range, which no file of ours holds."""
    return list(value) if isinstance(value, range) else copy.deepcopy(value)

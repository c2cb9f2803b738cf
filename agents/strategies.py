"""Evolution strategies behind one interface: ask for candidates, tell their fitness."""

from __future__ import annotations

import warnings
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
StrategyName = Literal["cma", "sep-cma", "pgpe"]

# PGPE with ClipUp, as its authors set it (Toklu et al. 2020, and their code).
RADIUS_PER_SPEED = 15.0  #: radius of the initial search distribution, in largest steps
STD_LEARNING_RATE = 0.1
STD_MAX_CHANGE = 0.2  #: largest relative change of a standard deviation in one generation


class Strategy(Protocol):
    """It maximises fitness; its whole course is a function of its arguments and of what it is told."""

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


class PGPE:
    """Policy gradients with parameter-based exploration (Sehnke et al. 2010), the mean moved by ClipUp.

    Candidates come in pairs ``mean + noise, mean - noise``; fitness enters as centred ranks. The gradient estimate
    averages over the whole population, so noise in single evaluations costs little, and nothing has to be learnt
    about 867 x 867 covariances.

    Args:
        start: initial mean ``[P]``.
        sigma: initial standard deviation of every parameter.
        population: even.
        max_speed: largest Euclidean length of a step of the mean. None takes the rule of thumb of Toklu, Liskowski
            and Srivastava (2020): a fifteenth of the initial distribution's radius, ``sigma sqrt(P)``. With few
            candidates and a goal nearby, a third of that goes further: steps in a poor direction cancel out slowly.
    """

    def __init__(self, start: Array, sigma: float, population: int, seed: int, max_speed: float | None = None) -> None:
        self.mean: Array = np.array(start, float)
        self.std: Array = np.full(len(self.mean), float(sigma))
        self.best, self.best_fitness = self.mean.copy(), -np.inf
        self._climber = ClipUp(len(self.mean), max_speed or sigma * len(self.mean) ** 0.5 / RADIUS_PER_SPEED)
        self._rng, self._pairs = np.random.default_rng(seed), population // 2
        self._noise: Array = np.zeros((self._pairs, len(self.mean)))

    def ask(self) -> Array:
        self._noise = self.std * self._rng.standard_normal(self._noise.shape)
        return np.concatenate([self.mean + self._noise, self.mean - self._noise])

    def tell(self, fitness: Array) -> None:
        winner = int(fitness.argmax())
        if fitness[winner] > self.best_fitness:
            sign = 1 if winner < self._pairs else -1
            self.best, self.best_fitness = self.mean + sign * self._noise[winner % self._pairs], float(fitness[winner])
        plus, minus = np.split(centred_ranks(fitness), 2)
        towards, wider = pgpe_gradients(self._noise, plus, minus, self.std)
        change = np.clip(STD_LEARNING_RATE * wider, -STD_MAX_CHANGE * self.std, STD_MAX_CHANGE * self.std)
        self.mean, self.std = self.mean + self._climber.step(towards), self.std + change

    @property
    def sigma(self) -> float:
        return float(np.sqrt(np.mean(self.std**2)))


def pgpe_gradients(noise: Array, plus: Array, minus: Array, std: Array) -> tuple[Array, Array]:
    """Symmetric-sampling estimates for the mean and the standard deviations (Sehnke et al. 2010).

    ``E[towards] = std^2 grad f`` for a linear f: the plain gradient, scaled by what each parameter is explored with.

    Args:
        noise: ``[K, P]``, each row drawn from N(0, std^2).
        plus, minus: fitness of ``mean + noise`` and ``mean - noise``, ``[K]``.
        std: ``[P]``.

    Returns:
        (towards, wider): directions of higher fitness for the mean and for ``std``, ``[P]`` each.
    """
    middle = (plus + minus) / 2
    towards = (plus - minus) / 2 @ noise / len(noise)
    wider = (middle - middle.mean()) @ ((noise**2 - std**2) / std) / len(noise)
    return towards, wider


def centred_ranks(fitness: Array) -> Array:
    """Ranks spread evenly over [-0.5, 0.5]; equal values share the mean of their ranks."""
    _, position, counts = np.unique(fitness, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts + 1) / 2
    return ranks[position] / max(len(fitness) - 1, 1) - 0.5


class ClipUp:
    """Gradient ascent with a normalised gradient, momentum and a speed limit (Toklu et al. 2020, algorithm 1).

    Args:
        size: number of parameters.
        max_speed: the largest Euclidean length of a step; the step size is half of it.
    """

    def __init__(self, size: int, max_speed: float, momentum: float = 0.9) -> None:
        self.max_speed, self.momentum, self.velocity = max_speed, momentum, np.zeros(size)

    def step(self, gradient: Array) -> Array:
        """The change ``[P]`` to make; a gradient of zero leaves momentum alone to act."""
        length = float(np.linalg.norm(gradient))
        push = gradient * (self.max_speed / 2 / length) if length else 0.0
        velocity = self.momentum * self.velocity + push
        speed = float(np.linalg.norm(velocity))
        self.velocity = velocity * (self.max_speed / speed) if speed > self.max_speed else velocity
        return self.velocity

"""PGPE with ClipUp: a gradient estimate over the whole population."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from agents.learning.base import Array, centred_ranks, chance, set_chance

# PGPE with ClipUp, as its authors set it (Toklu et al. 2020, and their code).
RADIUS_PER_SPEED = 15.0  #: radius of the initial search distribution, in largest steps
STD_LEARNING_RATE = 0.1
STD_MAX_CHANGE = 0.2  #: largest relative change of a standard deviation in one generation


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

    @property
    def state(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("mean", "std", "best", "best_fitness")}
        return {**own, "velocity": self._climber.velocity, "chance": chance(self._rng)}

    def restore(self, state: Mapping[str, Any]) -> bool:
        for name in ("mean", "std", "best", "best_fitness"):
            setattr(self, name, state[name])
        self._climber.velocity = state["velocity"]
        set_chance(self._rng, state["chance"])
        return True


def pgpe_gradients(noise: Array, plus: Array, minus: Array, std: Array) -> tuple[Array, Array]:
    """Symmetric-sampling estimates for the mean and the standard deviations (Sehnke et al. 2010).

    ``E[towards] = std^2 grad f`` for a linear f: the plain gradient, scaled by what each parameter is explored with.

    Args:
        noise: ``[K, P]``, each row drawn from N(0, std^2).
        plus: fitness of ``mean + noise``, ``[K]``.
        minus: fitness of ``mean - noise``, ``[K]``.
        std: ``[P]``.

    Returns:
        (towards, wider): directions of higher fitness for the mean and for ``std``, ``[P]`` each.
    """
    middle = (plus + minus) / 2
    towards = (plus - minus) / 2 @ noise / len(noise)
    wider = (middle - middle.mean()) @ ((noise**2 - std**2) / std) / len(noise)
    return towards, wider


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

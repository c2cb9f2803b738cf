"""A law for CarRacing that reads the simulator's state: a yardstick of what the road allows, no result.

It aims at a point some way ahead on the road's middle, and drives as fast as the bends ahead let it brake in time:
the target speed is the least ``sqrt(grip / curvature + 2 braking distance)`` over the next tiles, ``grip`` being the
sideways and ``braking`` the backward acceleration that the tyres bear.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from typing import Any, cast

import cma
import numpy as np
from numpy.typing import NDArray

from rollouts.envs.config import EnvConfig
from rollouts.envs.image_env import ImageEnv, make_env
from rollouts.seeds import VALIDATION

Array = NDArray[np.float64]
TILE = 3.5  #: length of a tile of the road
NEAR = 12  #: tiles before and behind the last one among which the nearest is looked for


@dataclass(frozen=True)
class Law:
    """The law's coefficients: lengths in the simulator's units, of which a tile has 3.5, and seconds."""

    aim: float = 8.0  #: how far ahead it aims, standing
    aim_per_speed: float = 0.12  #: and further, by the speed
    steering: float = 2.0  #: of the angle to that point
    damping: float = 0.05  #: of the turn that the car is in
    grip: float = 130.0
    braking: float = 25.0
    bend: float = 3.0  #: tiles over which a bend's curvature is measured
    sight: float = 16.0  #: tiles ahead that count
    top: float = 110.0  #: speed that is enough anywhere
    gas: float = 0.1  #: by how much the speed falls short
    brake: float = 0.05  #: by how much it is too high
    slack: float = 3.0  #: too high by so much before it brakes
    ease: float = 0.5  #: less gas the more it steers


class Driver:
    """One episode of the law in an environment."""

    def __init__(self, law: Law, env: ImageEnv) -> None:
        self.law = law
        self.world = cast(Any, env.unwrapped)
        self.road: NDArray[np.complex128] = np.array([complex(x, y) for _, _, x, y in self.world.track])
        step = np.diff(self.road, append=self.road[:1])
        reach = max(round(law.bend), 1)
        heading = np.angle(step)
        turn = np.angle(np.exp(1j * (np.roll(heading, -reach) - heading)))
        self.curvature = np.abs(np.roll(turn, reach // 2)) / (reach * TILE)
        self.tile = int(np.abs(self.road - self._position).argmin())

    @property
    def _position(self) -> complex:
        return complex(*self.world.car.hull.position)

    def __call__(self) -> NDArray[np.float32]:
        """The action vector: steer, gas, brake."""
        law, hull, count = self.law, self.world.car.hull, len(self.road)
        around = (self.tile + np.arange(-NEAR, NEAR + 1)) % count
        self.tile = int(around[np.abs(self.road[around] - self._position).argmin()])
        speed = float(hull.linearVelocity.length)
        ahead = self._at(max(law.aim + law.aim_per_speed * speed, TILE))
        nose = 1j * np.exp(1j * hull.angle)
        error = float(np.angle((ahead - self._position) / nose))
        steer = np.clip(-law.steering * error + law.damping * hull.angularVelocity, -1.0, 1.0)
        target = self._target()
        surplus = speed - target
        gas = np.clip(-law.gas * surplus - law.ease * abs(steer), 0.0, 1.0)
        brake = np.clip(law.brake * (surplus - law.slack), 0.0, 0.9)
        return np.array([steer, gas if surplus < 0 else 0.0, brake], np.float32)

    def _at(self, distance: float) -> complex:
        """The point of the road's middle so far ahead."""
        tiles, part = divmod(distance / TILE, 1.0)
        first, second = (self.road[(self.tile + int(tiles) + k) % len(self.road)] for k in (0, 1))
        return complex(first + part * (second - first))

    def _target(self) -> float:
        law = self.law
        steps = np.arange(max(round(law.sight), 1))
        curvature = np.maximum(self.curvature[(self.tile + steps) % len(self.road)], 1e-4)
        bearable = np.sqrt(max(law.grip, 1.0) / curvature + 2 * max(law.braking, 0.0) * TILE * steps)
        return float(min(bearable.min(), law.top))


def drive(law: Law, env: ImageEnv, seed: int) -> tuple[float, int]:
    """One whole episode: its return, and how many decisions it took."""
    env.reset(seed=seed)
    driver, total, steps, over = Driver(law, env), 0.0, 0, False
    while not over:
        _, reward, terminated, truncated, _ = env.step(driver())
        total, steps, over = total + reward, steps + 1, terminated or truncated
    return total, steps


def fit(law: Law, env: EnvConfig, generations: int, episodes: int, seed: int = 0) -> tuple[Law, list[float]]:
    """Better coefficients, by CMA-ES on validation seeds, every coefficient in units of what it begins as.

    Returns:
        the law at the distribution's mean, and the mean fitness of every generation.
    """
    start, course = np.array(astuple(law)), list[float]()
    search = cma.CMAEvolutionStrategy(np.ones(len(start)), 0.15, {"popsize": 16, "seed": seed + 1, "verbose": -9})
    world = make_env(env)
    for generation in range(generations):
        candidates = search.ask()
        tracks = [VALIDATION + 10_000 + generation * episodes + number for number in range(episodes)]
        returns = [mean_return(law_of(start * np.abs(point)), world, tracks) for point in candidates]
        search.tell(candidates, [-value for value in returns])
        course.append(float(np.mean(returns)))
    world.close()
    return law_of(start * np.abs(search.mean)), course


def mean_return(law: Law, env: ImageEnv, seeds: Sequence[int]) -> float:
    """Over one episode for each seed."""
    return float(np.mean([drive(law, env, seed)[0] for seed in seeds]))


def law_of(values: Array) -> Law:
    """Coefficients in the order of the fields."""
    return Law(**{field.name: float(value) for field, value in zip(fields(Law), values, strict=True)})

"""A law for CarRacing that reads the simulator's state: a yardstick of what the road allows, no result.

It aims at a point some way ahead on the road's middle, and drives as fast as the bends ahead let it brake in time:
the target speed is the least ``sqrt(grip / curvature + 2 braking distance)`` over the next tiles, ``grip`` being the
sideways and ``braking`` the backward acceleration that the tyres bear.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, fields
from typing import Any, cast

import cma
import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from rollouts.console import say
from rollouts.envs.config import EnvConfig
from rollouts.envs.presets import resolve
from rollouts.policies import POLICIES
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


class Undrawn:
    """The stock environment without its pictures, for policies that do not look: the same physics and rewards, at a
    hundred times the speed."""

    def __init__(self, config: EnvConfig) -> None:
        preset = resolve(config)
        assert preset.action is not None
        self.repeat, self.action_spec = preset.action_repeat, preset.action
        self.env = gym.make(preset.id, max_episode_steps=preset.max_episode_steps, disable_env_checker=True)
        self.world = cast(Any, self.env.unwrapped)
        picture = np.zeros(self.env.observation_space.shape or (), np.uint8)
        vars(self.world)["_render"] = lambda mode: picture  # shadows the method: there is no switch for drawing

    def reset(self, seed: int) -> None:
        self.env.reset(seed=seed)

    def step(self, action: NDArray[np.float32]) -> tuple[float, bool]:
        """One decision: its reward, and whether the episode is over."""
        total = 0.0
        for _ in range(self.repeat):
            _, reward, terminated, truncated, _ = self.env.step(action)
            total += float(reward)
            if terminated or truncated:
                return total, True
        return total, False


class Driver:
    """One episode of the law in an environment."""

    def __init__(self, law: Law, env: Undrawn) -> None:
        self.law, self.world = law, env.world
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


def drive(law: Law | None, env: Undrawn, seed: int) -> tuple[float, int]:
    """One whole episode of the law, or of a car that nobody drives: its return, and how many decisions it took."""
    env.reset(seed)
    still = np.zeros(3, np.float32)
    return play(Driver(law, env) if law is not None else lambda: still, env)


def drive_at_random(env: Undrawn, seed: int) -> tuple[float, int]:
    """The same of the random policy."""
    env.reset(seed)
    policy = POLICIES["random"](seed, env.action_spec)
    unseen = np.zeros(0, np.uint8)
    return play(lambda: policy(unseen), env)


def play(act: Callable[[], NDArray[np.float32]], env: Undrawn) -> tuple[float, int]:
    """An episode that has just begun, to its end."""
    total, steps, over = 0.0, 0, False
    while not over:
        reward, over = env.step(act())
        total, steps = total + reward, steps + 1
    return total, steps


def fit(law: Law, env: EnvConfig, generations: int, episodes: int, seed: int = 0) -> tuple[Law, list[float]]:
    """Better coefficients, by CMA-ES on validation seeds, every coefficient in units of what it begins as.

    Returns:
        the law at the distribution's mean, and the mean fitness of every generation.
    """
    start, course = np.array(astuple(law)), list[float]()
    search = cma.CMAEvolutionStrategy(np.ones(len(start)), 0.15, {"popsize": 16, "seed": seed + 1, "verbose": -9})
    world = Undrawn(env)
    for generation in range(generations):
        candidates = search.ask()
        tracks = [VALIDATION + 10_000 + generation * episodes + number for number in range(episodes)]
        returns = [mean_return(law_of(start * np.abs(point)), world, tracks) for point in candidates]
        search.tell(candidates, [-value for value in returns])
        course.append(float(np.mean(returns)))
        say(f"generation {generation + 1} of {generations}: {course[-1]:.1f} on average, the best {max(returns):.1f}")
    return law_of(start * np.abs(search.mean)), course


def mean_return(law: Law, env: Undrawn, seeds: Sequence[int]) -> float:
    """Over one episode for each seed."""
    return float(np.mean([drive(law, env, seed)[0] for seed in seeds]))


def law_of(values: Array) -> Law:
    """Coefficients in the order of the fields."""
    return Law(**{field.name: float(value) for field, value in zip(fields(Law), values, strict=True)})


#: Six generations of :func:`fit` with two tracks a candidate, from grip 60, top 80 and steering 1.2.
LAW = Law(
    aim=8.653,
    aim_per_speed=0.1678,
    steering=0.8583,
    damping=0.05154,
    grip=112.99,
    braking=33.31,
    bend=3.234,
    sight=13.23,
    top=101.0,
    gas=0.1236,
    brake=0.05381,
    slack=3.829,
    ease=0.6034,
)

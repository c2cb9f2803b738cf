"""Exploration policies: how to behave before there is anything to go by.

A policy is made anew for every episode from a NumPy generator (a function of the episode's seed), and maps the
frame it sees to an action vector. How much of the world the first data show decides how far V and M can go: random
actions in every step cancel out, so policies that hold or drift see more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from rollouts.envs.actions import ActionSpec
from rollouts.envs.config import Frame

Action = NDArray[np.float32]
PolicyName = Literal["default", "random", "held", "brownian", "linear", "sweep", "roaming"]


class Policy(Protocol):
    """Acts for one episode."""

    def __call__(self, frame: Frame) -> Action: ...


PolicyFactory = Callable[[int, ActionSpec], Policy]
"""``(episode seed, action spec) -> policy``. Must be picklable: it travels to worker processes."""


class RandomPolicy:
    """A fresh uniform action in every step."""

    hold = (1, 1)

    def __init__(self, seed: int, spec: ActionSpec) -> None:
        self.rng = np.random.default_rng(seed)
        self.spec, self.left = spec, 0
        self.action = np.zeros(spec.size, np.float32)

    def __call__(self, frame: Frame) -> Action:
        if self.left == 0:
            self.left = int(self.rng.integers(self.hold[0], self.hold[1] + 1))
            self.action = self.rng.uniform(self.spec.low, self.spec.high).astype(np.float32)
            if self.spec.kind == "discrete":
                self.action = np.eye(self.spec.size, dtype=np.float32)[int(np.argmax(self.action))]
        self.left -= 1
        return self.action


class HeldPolicy(RandomPolicy):
    """A uniform action held for 1 to 10 steps (the paper's Take Cover policy)."""

    hold = (1, 10)


class SweepPolicy:
    """From one limit of every action to the other and back, with a rest now and then.

    Each episode has a length of its own for a sweep, from 10 to 160 steps, which varies by a third from one sweep to
    the next; one sweep in four is followed by a uniform action for 1 to 20 steps. Where random actions cancel out and
    stay in the middle of a room, sweeps see all of it, at full speed and at its walls.
    """

    def __init__(self, seed: int, spec: ActionSpec) -> None:
        self.rng = np.random.default_rng(seed)
        self.spec, self.left, self.resting = spec, 0, False
        self.length = 10 * 16 ** self.rng.uniform()
        self.upward = self.rng.random(spec.size) < 0.5
        self.action = np.zeros(spec.size, np.float32)

    def __call__(self, frame: Frame) -> Action:
        if self.left == 0:
            self.resting = not self.resting and self.rng.random() < 0.25
            if self.resting:
                self.left, self.action = int(self.rng.integers(1, 21)), self._within(self.rng.random(self.spec.size))
            else:
                self.left = max(1, round(self.length * self.rng.uniform(2 / 3, 4 / 3)))
                self.upward, self.action = ~self.upward, self._within(self.upward)
        self.left -= 1
        return self.action

    def _within(self, shares: NDArray[np.float64] | NDArray[np.bool_]) -> Action:
        """Shares of the way from the lower limits to the upper ones as an action; of discrete ones, the largest."""
        if self.spec.kind == "discrete":  # one after the other
            return np.eye(self.spec.size, dtype=np.float32)[int(self.rng.integers(self.spec.size))]
        low, high = np.array(self.spec.low), np.array(self.spec.high)
        return (low + shares * (high - low)).astype(np.float32)


def roaming(seed: int, spec: ActionSpec) -> Policy:
    """Every second episode held actions, the others sweeps."""
    return SweepPolicy(seed, spec) if seed % 2 else HeldPolicy(seed, spec)


class BrownianPolicy:
    """Actions that drift: each step adds N(0, 1/50) half-ranges, within the limits (Brownian motion at 50 fps).

    It starts where the zero controller acts, so a car begins on half gas instead of standing on its brake.
    """

    def __init__(self, seed: int, spec: ActionSpec) -> None:
        self.rng = np.random.default_rng(seed)
        self.spec = spec
        self.low, self.high = np.array(spec.low), np.array(spec.high)
        self.value = np.clip(np.array(spec.offset), self.low, self.high)

    def __call__(self, frame: Frame) -> Action:
        self.value += np.sqrt(1 / 50) * (self.high - self.low) / 2 * self.rng.standard_normal(self.spec.size)
        self.value = np.clip(self.value, self.low, self.high)
        if self.spec.kind == "discrete":
            return np.eye(self.spec.size, dtype=np.float32)[int(np.argmax(self.value))]
        return self.value.astype(np.float32)


class LinearPolicy:
    """A random linear map of an 8x8 thumbnail with heavy-tailed (Cauchy) weights, drawn once per episode.

    In the spirit of the paper's data collection, which gave an untrained agent Cauchy weights: each episode has a
    consistent, sometimes extreme, way to behave.
    """

    def __init__(self, seed: int, spec: ActionSpec) -> None:
        rng = np.random.default_rng(seed)
        self.spec = spec
        self.weights = rng.standard_cauchy((spec.size, 64)) * rng.uniform(0, 0.1)
        self.bias = rng.standard_cauchy(spec.size) * rng.uniform(0, 0.5)

    def __call__(self, frame: Frame) -> Action:
        thumbnail = cv2.resize(frame, (8, 8), interpolation=cv2.INTER_AREA).mean(axis=2) / 127.5 - 1
        raw = self.weights @ thumbnail.reshape(-1) + self.bias
        if self.spec.kind == "discrete":
            return np.eye(self.spec.size, dtype=np.float32)[int(np.argmax(raw))]
        action = np.array(self.spec.scale) * np.tanh(raw) + np.array(self.spec.offset)
        return np.clip(action, self.spec.low, self.spec.high).astype(np.float32)


POLICIES: dict[str, PolicyFactory] = {
    "random": RandomPolicy,
    "held": HeldPolicy,
    "brownian": BrownianPolicy,
    "linear": LinearPolicy,
    "sweep": SweepPolicy,
    "roaming": roaming,
}

"""People at the wheel: keys that are held become the action vector, smoothly, and take over from the agent."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rollouts.envs.actions import ActionSpec
from rollouts.envs.config import Binding, EnvConfig
from rollouts.envs.presets import resolve

Action = NDArray[np.float32]

_AXES: tuple[Binding, ...] = (("left", "right"), ("down", "up"), ("1", "2"), ("3", "4"), ("5", "6"), ("7", "8"))
DIGITS = tuple("123456789")
KEYS = frozenset(("left", "right", "up", "down", *DIGITS))

FULL_TURN = 0.2
"""Seconds from rest to the limit of an action: a key is pressed at once, a hand turns a wheel."""


def action_names(env: EnvConfig, spec: ActionSpec) -> tuple[str, ...]:
    """What the numbers of the action vector are called, in the environment's preset or by their places."""
    names = resolve(env).action_names if _of_preset(env, spec) else ()
    return names if len(names) == spec.size else tuple(f"action {number + 1}" for number in range(spec.size))


def bindings(env: EnvConfig, spec: ActionSpec) -> tuple[Binding, ...]:
    """The keys of every number of the action vector: those of the environment's preset; where it has none, digits for a
    choice, and arrows, then pairs of digits, for continuous actions. What is left over has no keys."""
    chosen = resolve(env).keys if _of_preset(env, spec) else ()
    if len(chosen) != spec.size:
        chosen = tuple((None, digit) for digit in DIGITS) if spec.kind == "discrete" else _AXES
    return (*chosen, *[(None, None)] * spec.size)[: spec.size]


def _of_preset(env: EnvConfig, spec: ActionSpec) -> bool:
    """Whether names and keys of the preset are for these actions, not for another choice of them (CarRacing's)."""
    action = resolve(env).action
    return action is None or action.kind == spec.kind


class Driver:
    """Somebody who may take over at any moment; with no key held, the agent goes on.

    Attributes:
        held: names out of :data:`KEYS` that are down.
        keeps_wheel: the agent stays out of it, also when no key is held.
    """

    def __init__(self, env: EnvConfig, spec: ActionSpec) -> None:
        self.spec, self.bindings = spec, bindings(env, spec)
        self.held: frozenset[str] = frozenset()
        self.keeps_wheel = False
        self._last = self.rest()

    @property
    def drives(self) -> bool:
        """Whether the next action is this driver's."""
        return self.keeps_wheel or any(key in self.held for pair in self.bindings for key in pair)

    def rest(self) -> Action:
        """Hands off: zero where an action may be zero, its lowest value elsewhere; the first choice of several."""
        if self.spec.kind == "discrete":
            return np.eye(self.spec.size, dtype=np.float32)[0]
        return np.clip(np.zeros(self.spec.size), self.spec.low, self.spec.high).astype(np.float32)

    def act(self, agents: Action, seconds: float) -> Action:
        """The action ``[A]`` to do for the next ``seconds``: the driver's own, from where ``agents`` left."""
        self._last = self._driven(seconds) if self.drives else np.asarray(agents, np.float32)
        return self._last

    def _driven(self, seconds: float) -> Action:
        target = self.rest()
        pressed = [index for index, pair in enumerate(self.bindings) if pair[1] in self.held]
        if self.spec.kind == "discrete":
            return np.eye(self.spec.size, dtype=np.float32)[pressed[0]] if pressed else target
        low, high = np.array(self.spec.low, np.float32), np.array(self.spec.high, np.float32)
        for index, (down, up) in enumerate(self.bindings):
            if (down in self.held) != (up in self.held):
                target[index] = high[index] if up in self.held else low[index]
        reach = (high - low) / 2 * max(seconds, 1e-3) / FULL_TURN
        return np.clip(self._last + np.clip(target - self._last, -reach, reach), low, high).astype(np.float32)

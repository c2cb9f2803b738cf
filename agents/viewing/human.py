"""People at the wheel: keys that are held become the action vector, smoothly, and take over from the agent."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rollouts.envs.actions import ActionSpec
from rollouts.envs.config import EnvConfig

Action = NDArray[np.float32]
Binding = tuple[str | None, str | None]
"""The keys that push one action towards its lower and its upper limit."""

NAMES = {
    "carracing": ("steer", "gas", "brake"),
    "carracing-fast": ("steer", "gas", "brake"),
    "takecover": ("sidestep",),
    "toy": ("push",),
}
_CAR: tuple[Binding, ...] = (("left", "right"), (None, "up"), (None, "down"))
_BINDINGS = {"carracing": _CAR, "carracing-fast": _CAR}
_AXES: tuple[Binding, ...] = (("left", "right"), ("down", "up"))
DIGITS = tuple("123456789")
KEYS = frozenset(("left", "right", "up", "down", *DIGITS))

FULL_TURN = 0.2
"""Seconds from rest to the limit of an action: a key is pressed at once, a hand turns a wheel."""


def action_names(env: EnvConfig, spec: ActionSpec) -> tuple[str, ...]:
    """What the numbers of the action vector are called."""
    names = () if spec.kind == "discrete" else NAMES.get(env.id, ())
    return names if len(names) == spec.size else tuple(f"action {number + 1}" for number in range(spec.size))


def bindings(env: EnvConfig, spec: ActionSpec) -> tuple[Binding, ...]:
    """The keys of every number of the action vector: arrows for continuous actions, digits for a choice."""
    if spec.kind == "discrete":
        return tuple((None, digit) for digit in DIGITS[: spec.size])
    chosen = _BINDINGS.get(env.id, ())
    return chosen if len(chosen) == spec.size else _AXES[: spec.size]


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
        wanted = self.rest()
        pressed = [index for index, pair in enumerate(self.bindings) if pair[1] in self.held]
        if self.spec.kind == "discrete":
            return np.eye(self.spec.size, dtype=np.float32)[pressed[0]] if pressed else wanted
        low, high = np.array(self.spec.low, np.float32), np.array(self.spec.high, np.float32)
        for index, (down, up) in enumerate(self.bindings):
            if (down in self.held) != (up in self.held):
                wanted[index] = high[index] if up in self.held else low[index]
        reach = (high - low) / 2 * max(seconds, 1e-3) / FULL_TURN
        return np.clip(self._last + np.clip(wanted - self._last, -reach, reach), low, high).astype(np.float32)

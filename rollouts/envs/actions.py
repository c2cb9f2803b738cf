"""What a controller puts out, and what an environment takes: one vector of numbers between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from rollouts.errors import UserError

Limits = tuple[float, ...] | None
MOST_CHOICES = 4096  #: a controller has an output, and a recording a number, for every choice


@dataclass(frozen=True)
class Pedal:
    """Two components of an action vector on one axis, driven by one raw output: never both of them at once.

    ``p = tanh(raw + offset)``. Above ``-slack`` the ``positive`` component is ``max(p, creep)`` of its range and the
    ``negative`` one at its low end; from there down it is the other way round, and the negative one ``-p - slack``.
    Slack and creep keep what has stopped from standing still for good, where a raw output hovers about zero.
    """

    positive: int
    negative: int
    offset: float = 0.0
    slack: float = 0.0
    creep: float = 0.0


@dataclass(frozen=True)
class ActionSpec:
    """How a controller's raw outputs become the action vector, and the vector an environment action.

    ``box``: ``action = clip(scale * tanh(raw) + offset, low, high)``, given to the environment as an array of ``shape``
    and ``dtype``; for whole numbers it is rounded. Components on a :class:`Pedal` share one raw output, the others
    have one each, in the order of the vector.
    ``discrete``: ``action = one_hot(argmax(raw))``; the environment gets ``choices[argmax]``.
    ``threshold``: as ``box``, then below -1/3, between, above +1/3 choose one of ``choices`` (Take Cover, as the
    paper's code did).
    ``binned``: as ``box`` with limits -1 and 1, whose range is cut into ``choices[i]`` equal parts for component i: the
    environment gets the numbers of the parts, counted from ``first[i]`` (MultiDiscrete, MultiBinary).
    """

    kind: Literal["box", "discrete", "threshold", "binned"]
    low: tuple[float, ...]
    high: tuple[float, ...]
    scale: tuple[float, ...]
    offset: tuple[float, ...]
    choices: tuple[int, ...] = ()
    pedals: tuple[Pedal, ...] = ()
    shape: tuple[int, ...] | None = None
    """Of the environment's own actions, where that is not ``[size]``."""
    dtype: str = "float32"
    first: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """Length of the action vector."""
        return len(self.low)

    @property
    def driven(self) -> list[int]:
        """The component that each raw output drives; of a pedal's two, the positive one."""
        negative = {pedal.negative for pedal in self.pedals}
        return [component for component in range(self.size) if component not in negative]

    @property
    def outputs(self) -> int:
        """How many raw outputs a controller has."""
        return self.size - len(self.pedals)

    def to_env(self, action: NDArray[np.float32]) -> Any:
        """The environment's own action for one action vector ``[size]``: never the same array."""
        if self.kind == "box":
            if self.dtype == "float32" and self.shape is None:  # nearly all: a copy is enough
                return np.array(action, np.float32)
            return self._array(np.clip(np.asarray(action, np.float64), self.low, self.high))
        if self.kind == "discrete":
            return self.choices[int(np.argmax(action))]
        if self.kind == "binned":
            counts = np.array(self.choices)
            part = np.floor((np.asarray(action, np.float64) + 1) / 2 * counts)
            return self._array(np.clip(part, 0, counts - 1) + self.first)
        return self.choices[1 + int(action[0] > 1 / 3) - int(action[0] < -1 / 3)]

    def from_env(self, action: Any) -> NDArray[np.float32]:
        """The action vector ``[size]`` that stands for an environment's own action: :meth:`to_env` undone.

        Raises:
            ValueError: it is none of the environment's actions.
        """
        values = np.asarray(action, np.float64).reshape(-1)
        if not np.isfinite(values).all():
            raise ValueError("an action is not a finite number")
        if self.kind in ("discrete", "threshold"):
            if len(values) != 1 or values[0] not in self.choices:
                raise ValueError(f"the action {action} is none of {', '.join(map(str, self.choices))}")
            place = self.choices.index(int(values[0]))
            if self.kind == "threshold":
                return np.array([place - 1], np.float32)
            return np.eye(self.size, dtype=np.float32)[place]
        if len(values) != self.size:
            raise ValueError(f"an action has {len(values)} numbers, not {self.size}")
        if self.kind == "binned":
            part, counts = values - self.first, np.array(self.choices)
            if (part != np.clip(np.rint(part), 0, counts - 1)).any():
                raise ValueError(f"the action {action} is outside the {self.choices} choices of this environment")
            return ((2 * part + 1) / counts - 1).astype(np.float32)
        reach = 1e-4 * (np.array(self.high) - self.low)
        if (values < self.low - reach).any() or (values > self.high + reach).any():
            raise ValueError(f"the action {action} is outside the limits {self.low} to {self.high}")
        return np.clip(values, self.low, self.high).astype(np.float32)

    def _array(self, values: NDArray[np.float64]) -> NDArray[Any]:
        dtype = np.dtype(self.dtype)
        whole = values if np.issubdtype(dtype, np.floating) else np.rint(values)
        return whole.astype(dtype).reshape(values.shape if self.shape is None else self.shape)


def natural_action(space: gym.Space[Any], name: str, low: Limits = None, high: Limits = None) -> ActionSpec:
    """The mapping for a Discrete, MultiDiscrete, MultiBinary or Box action space of the environment ``name``.

    Args:
        low: limits for a Box, one for all components or one for each; the space's own where None.
        high: likewise.

    Raises:
        UserError: the space is of another kind, or a limit is missing or makes no sense.
    """
    if isinstance(space, gym.spaces.Box):
        return _box_action(space, name, low, high)
    if low is not None or high is not None:
        raise UserError(f"--env.action-low and --env.action-high are for Box actions; {name} has {_shown(space)}.")
    if isinstance(space, gym.spaces.Discrete):
        n, start = int(space.n), int(space.start)
        if n > MOST_CHOICES:
            raise UserError(
                f"{name} has {n:,} discrete actions, of which at most {MOST_CHOICES:,} work. Wrap it in a "
                "gymnasium.ActionWrapper that takes a MultiDiscrete or a Box, where it is registered."
            )
        zeros, ones = (0.0,) * n, (1.0,) * n
        return ActionSpec("discrete", zeros, ones, ones, zeros, tuple(range(start, start + n)))
    if isinstance(space, gym.spaces.MultiDiscrete | gym.spaces.MultiBinary) and 0 in space.shape:
        raise UserError(f"{name} has the action space {_shown(space)}, in which there is nothing to do.")
    if isinstance(space, gym.spaces.MultiDiscrete):
        first = np.broadcast_to(np.asarray(getattr(space, "start", 0)), space.nvec.shape)
        return _binned_action(space.nvec, first, space.dtype)
    if isinstance(space, gym.spaces.MultiBinary):
        return _binned_action(np.full(space.shape, 2), np.zeros(space.shape, int), space.dtype)
    raise UserError(
        f"{name} has the action space {_shown(space)}, which is not one vector of numbers; Discrete, MultiDiscrete, "
        "MultiBinary and Box work. Wrap it in a gymnasium.ActionWrapper that takes one of them, where it is registered."
    )


def _box_action(space: gym.spaces.Box, name: str, low: Limits, high: Limits) -> ActionSpec:
    size = int(np.prod(space.shape))
    if size == 0:
        raise UserError(f"{name} has the action space {_shown(space)}, in which there is nothing to do.")
    bottom, top = (
        _limits(own, limits, option, name)
        for own, limits, option in ((space.low, low, "--env.action-low"), (space.high, high, "--env.action-high"))
    )
    if not np.isfinite([bottom, top]).all():
        raise UserError(
            f"{name} sets no limits to its actions ({_shown(space)}): give them with --env.action-low and "
            "--env.action-high, one number for all or one for each."
        )
    own = np.stack([space.low.reshape(-1), space.high.reshape(-1)]).astype(np.float64)
    if (bottom > top).any() or (bottom < own[0]).any() or (top > own[1]).any():
        raise UserError(
            f"The limits {bottom.tolist()} to {top.tolist()} do not lie within the actions of {name}, {_shown(space)}."
        )
    flat = len(space.shape) == 1
    return ActionSpec(
        "box",
        tuple(bottom.tolist()),
        tuple(top.tolist()),
        tuple(((top - bottom) / 2).tolist()),
        tuple(((top + bottom) / 2).tolist()),
        shape=None if flat else tuple(map(int, space.shape)),
        dtype=str(space.dtype),
    )


def _limits(own: NDArray[Any], limits: Limits, option: str, name: str) -> NDArray[np.float64]:
    if limits is None:
        return own.reshape(-1).astype(np.float64)
    if len(limits) not in (1, own.size):
        raise UserError(f"{option} has {len(limits)} numbers; {name} has {own.size} actions: give one for all or each.")
    return np.broadcast_to(np.array(limits, np.float64), own.size).copy()


def _binned_action(counts: NDArray[Any], first: NDArray[Any], dtype: Any) -> ActionSpec:
    size = counts.size
    ones, zeros = (1.0,) * size, (0.0,) * size
    return ActionSpec(
        "binned",
        (-1.0,) * size,
        ones,
        ones,
        zeros,
        tuple(counts.reshape(-1).tolist()),
        shape=None if counts.ndim == 1 else tuple(map(int, counts.shape)),
        dtype=str(dtype),
        first=tuple(first.reshape(-1).tolist()),
    )


def _shown(space: object) -> str:
    return " ".join(str(space).split())

"""What a controller puts out, and what an environment takes: one vector of numbers between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from rollouts.errors import UserError


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

    ``box``: ``action = clip(scale * tanh(raw) + offset, low, high)``, given to the environment as it is. Components on
    a :class:`Pedal` share one raw output, the others have one each, in the order of the vector.
    ``discrete``: ``action = one_hot(argmax(raw))``; the environment gets ``choices[argmax]``.
    ``threshold``: as ``box``, then below -1/3, between, above +1/3 choose one of ``choices`` (Take Cover, as the
    paper's code did).
    """

    kind: Literal["box", "discrete", "threshold"]
    low: tuple[float, ...]
    high: tuple[float, ...]
    scale: tuple[float, ...]
    offset: tuple[float, ...]
    choices: tuple[int, ...] = ()
    pedals: tuple[Pedal, ...] = ()

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
        """The environment's own action for one action vector ``[size]``."""
        if self.kind == "box":
            return np.asarray(action, np.float32)
        if self.kind == "discrete":
            return self.choices[int(np.argmax(action))]
        return self.choices[1 + int(action[0] > 1 / 3) - int(action[0] < -1 / 3)]


def natural_action(space: gym.Space[Any], name: str) -> ActionSpec:
    """The mapping for a Box or Discrete action space of the environment ``name``.

    Raises:
        UserError: the space is of another kind.
    """
    if isinstance(space, gym.spaces.Discrete):
        n = int(space.n)
        return ActionSpec(
            "discrete",
            (0.0,) * n,
            (1.0,) * n,
            (1.0,) * n,
            (0.0,) * n,
            tuple(range(int(space.start), int(space.start) + n)),
        )
    if isinstance(space, gym.spaces.Box) and len(space.shape) == 1 and np.isfinite([space.low, space.high]).all():
        low, high = space.low.astype(float), space.high.astype(float)
        return ActionSpec("box", tuple(low), tuple(high), tuple((high - low) / 2), tuple((high + low) / 2))
    raise UserError(f"{name} has the action space {space}; only Discrete and bounded one-dimensional Box spaces work.")

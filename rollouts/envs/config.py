"""Which world, and everything that is particular to it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rollouts.envs.actions import ActionSpec, Pedal
from rollouts.runs.files import fingerprint

Frame = NDArray[np.uint8]
Binding = tuple[str | None, str | None]
"""The keys that push one number of the action vector towards its lower and its upper limit."""


@dataclass(frozen=True)
class EnvConfig:
    """Which world. Options left at None are the preset's; for an id that has no preset they are worked out."""

    id: str = "carracing-fast"
    """A preset (carracing, carracing-fast, takecover, toy) or the id of a Gymnasium environment; MODULE:ID imports a
    module of your own first."""
    kwargs: dict[str, str] = dataclasses.field(default_factory=dict)
    """Keyword arguments for gymnasium.make, e.g. --env.kwargs lap_complete_percent 1.0"""
    crop: tuple[int, int, int, int] | None = None
    """Rows and columns to keep, as top bottom left right, before resizing."""
    size: int | None = None
    """Side of the square observation in pixels (64: what the paper's V expects)."""
    max_episode_steps: int | None = None
    """Length at which an episode is truncated, in the environment's own steps."""
    action_repeat: int | None = None
    """The agent decides every so many of the environment's steps; rewards in between are added up."""
    pedal: bool = False
    """Let one output of the controller drive two components of the action, as the preset says (gas and brake). The
    action vector stays what it is, for recordings and for M."""
    key: str | None = None
    """Which entry of a dictionary of observations is the picture; found by itself where there is just one."""
    render: bool = False
    """Observe what render() draws: for environments whose observations are no pictures."""
    action_low: tuple[float, ...] | None = None
    """Lower limits of the actions, one for all or one for each: for environments that set none."""
    action_high: tuple[float, ...] | None = None
    """Upper limits of the actions."""
    watch: str | None = None
    """A number that the environment reports in its info, by its key there: recorded with every episode, so that M can
    learn to foresee its falls (health, say); see --mdnrnn.fall-head."""


@dataclass(frozen=True)
class EnvPreset:
    """Everything that is particular to one environment; what is left out is worked out from its spaces."""

    name: str
    id: str
    """What Gymnasium calls it."""
    kwargs: tuple[tuple[str, Any], ...] = ()
    crop: tuple[int, int, int, int] | None = None
    size: int = 64
    max_episode_steps: int | None = None
    action_repeat: int = 1
    action: ActionSpec | None = None
    pedals: tuple[Pedal, ...] = ()
    exploration: str = "held"
    reported_on: str | None = None
    """The preset that scores are measured on, where this one is only a faster twin."""
    key: str | None = None
    render: bool = False
    watch: str | None = None
    """The key of a number in its info that is recorded."""
    action_low: tuple[float, ...] | None = None
    action_high: tuple[float, ...] | None = None
    action_names: tuple[str, ...] = ()
    """What the numbers of the action vector are called."""
    keys: tuple[Binding, ...] = ()
    """What people hold to push them; names out of ``agents.viewing.human.KEYS``."""
    shrink: str = ""
    """``module:function`` that makes a cropped picture ``[H, W, 3]`` one of ``[size, size, 3]``; averages over areas
    if empty."""
    make: str = "gymnasium:make"
    """``module:function`` that makes it in the place of ``gymnasium.make``, with the same arguments."""

    @property
    def observation_hash(self) -> str:
        """Identifies the preprocessing: data, models and agents with different hashes do not mix."""
        world = self.reported_on or self.name
        repeat = [self.action_repeat] if self.action_repeat > 1 else []
        source = ["render"] if self.render else [self.key] if self.key is not None else []
        return fingerprint([world, self.crop, self.size, self.shrink or "area", *repeat, *source])

    @property
    def max_decisions(self) -> int | None:
        """Most actions an agent can choose in one episode."""
        return None if self.max_episode_steps is None else -(-self.max_episode_steps // self.action_repeat)

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


@dataclass(frozen=True)
class EnvConfig:
    """Which world. Options left at None are the preset's; for an id that has no preset they are worked out."""

    id: str = "carracing-fast"
    """A preset (carracing, carracing-fast, takecover, toy) or the id of a Gymnasium environment with images."""
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


@dataclass(frozen=True)
class EnvPreset:
    """Everything that is particular to one environment."""

    name: str
    id: str
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

    @property
    def observation_hash(self) -> str:
        """Identifies the preprocessing: data, models and agents with different hashes do not mix."""
        world = self.reported_on or self.name
        repeat = [self.action_repeat] if self.action_repeat > 1 else []
        return fingerprint([world, self.crop, self.size, "area", *repeat])

    @property
    def max_decisions(self) -> int | None:
        """Most actions an agent can choose in one episode."""
        return None if self.max_episode_steps is None else -(-self.max_episode_steps // self.action_repeat)

"""What a page can watch: the real world, the dream, and both at once. A show gives one moment after the other."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from agents.agent import Agent
from agents.live.packets import number
from agents.live.recorder import Recording
from agents.viewing.human import Driver
from agents.viewing.moments import DreamWorld, Moment, RealWorld
from rollouts.envs.image_env import ImageEnv, make_env
from rollouts.envs.presets import faster
from worldmodels.dynamics import State
from worldmodels.training.randomness import generator_for

Place = tuple[Tensor, State]
"""A moment that a dream can begin in: z ``[1, Z]`` and what M remembers of the past."""


@dataclass(frozen=True)
class Shown:
    """One decision as the page shows it."""

    moment: Moment
    by_hand: bool
    seed: int
    twin: Moment | None = None  #: the picture beside it
    beside: str = "the dream of it"  #: what that picture is
    more: dict[str, Any] = field(default_factory=dict)  #: what only this show has to tell


class Show(Protocol):
    """Something to watch.

    Attributes:
        word: what a moment captured here is called.
        place: the moment that was last shown; before the first, the one that comes.
        step_count: decisions so far.
        ready: whether there is anything to show.
    """

    word: str

    @property
    def ready(self) -> bool: ...

    @property
    def place(self) -> Place: ...

    @property
    def step_count(self) -> int: ...

    def enter(self) -> None:
        """The page has turned to this show."""

    def begin(self) -> None:
        """Start anew, as asked for."""

    def advance(self, driver: Driver) -> Shown:
        """One decision; after the end of an episode, the first of the next."""

    def draw_every(self, frames: int) -> None:
        """Leave out all but every so many of the world's pictures."""


def viewed_env(agent: Agent) -> ImageEnv:
    """The agent's environment as pages show it: drawn fast."""
    return make_env(faster(agent.env), render_mode="rgb_array")


class RealShow:
    """The real world: one episode after the other, each with a seed of its own."""

    word, ready = "real", True

    def __init__(self, agent: Agent, recording: Recording, next_seed: Callable[[], int]) -> None:
        self.env = viewed_env(agent)
        self.world, self.recording, self._next_seed = RealWorld(agent, env=self.env), recording, next_seed
        self.over = False
        self._place: Place | None = None
        self.begin()

    @property
    def now(self) -> Place:
        """Where the world is: what the next decision starts from."""
        return self.world.acting.z, self.world.acting.state

    @property
    def place(self) -> Place:
        return self._place or self.now

    @property
    def step_count(self) -> int:
        return self.world.step_count

    def enter(self) -> None:
        """It goes on where it was."""

    def begin(self) -> None:
        """Another episode; what was recorded of the last is kept first.

        Raises:
            UserError: it cannot be kept.
        """
        self.recording.end()
        self.world.reset(self._next_seed())
        self.over, self._place = False, None
        self.recording.begin(self.world.seed, self.world.frame)

    def record(self, on: bool) -> None:
        """From now on keep what people drive; an episode begins anew, because it is kept from its start."""
        self.recording.end()
        self.recording.on = on
        if on:
            self.begin()

    def advance(self, driver: Driver) -> Shown:
        if self.over:
            self.begin()
        by_hand, self._place = driver.drives, self.now
        moment = self.world.step(driver.act(self.world.chosen, self.world.seconds))
        self.over = bool(moment.over)
        self.recording.add(moment, by_hand, self.world.frame)
        return Shown(moment, by_hand, self.world.seed)

    def draw_every(self, frames: int) -> None:
        self.world.every = frames

    def close(self) -> None:
        """Keep what was being recorded, and let go of the environment."""
        try:
            self.recording.end()
        finally:
            self.world.close()


class DreamShow:
    """Dreams, one after the other.

    Args:
        find: the place that a kind of start means, with its number; None for one of M's own starts.
    """

    word, ready = "dreamed", True

    def __init__(self, agent: Agent, find: Callable[[str, int], Place | None]) -> None:
        self.agent, self.world, self._find = agent, DreamWorld(agent), find
        self._count, self._start, self.over = 0, ("recorded", -1), False
        self._place: Place | None = None
        self.begin()

    @property
    def place(self) -> Place:
        return self._place or (self.world.dream.z, self.world.dream.state)

    @property
    def step_count(self) -> int:
        return self.world.step_count

    def enter(self) -> None:
        """It goes on where it was."""

    def start_at(self, start: str, number: int) -> None:
        """From now on dreams begin there; the first does now."""
        self._start = start, number
        self.begin()

    def begin(self) -> None:
        start, number = self._start
        self._count, self.over, self._place = self._count + 1, False, None
        place = self._imagined() if start == "imagined" else self._find(start, number)
        model = self.agent.model
        assert model.starts is not None
        if place is None:
            kinds = bool(model.starts.warm.any()), bool((~model.starts.warm).any())
            kind = "episode" if start == "episode" else "recorded"
            self.world.dream.starts = model.starts.only(kind if all(kinds) else "any")
        self.world.reset(self._count, place)

    def advance(self, driver: Driver) -> Shown:
        if self.over:
            self.begin()
        by_hand, self._place = driver.drives, (self.world.dream.z, self.world.dream.state)
        moment = self.world.step(driver.act(self.world.chosen, self.world.seconds))
        self.over = bool(moment.over)
        return Shown(moment, by_hand, self.world.seed)

    def draw_every(self, frames: int) -> None:
        self.world.every = frames

    def _imagined(self) -> Place:
        model = self.agent.model
        z = torch.randn(1, model.latent_size, generator=generator_for(self._count, 1)).to(model.device)
        return z, model.initial_state(1)


class WakeShow:
    """Reality, and beside it a dream that began in it; both do the same."""

    word, ready = "real", True

    def __init__(self, agent: Agent, real: RealShow) -> None:
        self.real, self.twin = real, DreamWorld(agent, horizon=10**9)
        self._parted = 0

    @property
    def place(self) -> Place:
        return self.real.place

    @property
    def step_count(self) -> int:
        return self.real.step_count

    def enter(self) -> None:
        self.part()

    def begin(self) -> None:
        self.real.begin()
        self.part()

    def part(self) -> None:
        """Begin to dream where reality is now."""
        self._parted += 1
        self.twin.reset(self._parted, self.real.now)

    def advance(self, driver: Driver) -> Shown:
        if self.real.over:
            self.begin()
        shown = self.real.advance(driver)
        twin = self.twin.step(shown.moment.action)
        more = {"apart": number(distance(shown.moment, twin)), "dreamed_for": twin.step, "twin_over": twin.over}
        return dataclasses.replace(shown, twin=twin, more=more)

    def draw_every(self, frames: int) -> None:
        self.real.draw_every(frames)
        self.twin.every = frames


def distance(real: Moment, dreamed: Moment) -> float:
    """Root mean square difference of two moments' z."""
    return float(np.sqrt(np.square(real.z - dreamed.z).mean()))

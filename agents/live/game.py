"""The wake-up game: reality turns into a dream at a moment that nobody tells; who drives says when.

Both are shown as V paints them, so that only what happens can give the dream away.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch

from agents.agent import Agent
from agents.live.packets import number
from agents.live.shows import Place, RealShow, Shown, distance
from agents.viewing.human import Driver
from agents.viewing.moments import DreamWorld, Moment

EARLIEST, LATEST = 1.5, 6.0  #: seconds of reality before the dream begins
LONGEST = 20.0  #: seconds of the dream after which the game tells by itself


class GameShow:
    """One game after the other; each has a stretch of reality, a dream that goes on from it, and the truth."""

    word, ready = "real", True

    def __init__(self, agent: Agent, real: RealShow, rng: np.random.Generator | None = None) -> None:
        self.agent, self.real, self.twin = agent, real, DreamWorld(agent, horizon=10**9)
        self._rng = rng or np.random.default_rng()
        self._games = self._step = self._switch = 0
        self._guess: int | None = None
        self._place: Place | None = None
        self._deal()

    @property
    def place(self) -> Place:
        return self._place or self.real.place

    @property
    def step_count(self) -> int:
        return self._step

    def enter(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Another game, in the episode that is under way."""
        if self.real.over:
            self.real.begin()
        self._deal()

    def guess(self) -> None:
        """Say that this is a dream by now."""
        if self._guess is None:
            self._guess = self._step

    def advance(self, driver: Driver) -> Shown:
        if self.real.over:
            self.begin()
        if self._step == self._switch:
            self.twin.reset(self._games, self.real.now)
        dreaming = self._step >= self._switch
        self._place = (self.twin.dream.z, self.twin.dream.state) if dreaming else None
        shown = self.real.advance(driver)
        twin = self.twin.step(shown.moment.action) if dreaming else None
        revealed = self._guess is not None or self._step - self._switch > LONGEST / shown.moment.seconds
        more: dict[str, Any] = {"phase": "told" if revealed else "play", "seconds_each": shown.moment.seconds}
        if revealed:
            more |= {"switch": self._switch, "guess": self._guess}
            more |= {"apart": number(distance(shown.moment, twin)) if twin else 0.0, "dreamed_for": self._step}
        self._step += 1
        if revealed:
            return dataclasses.replace(shown, twin=twin, more=more)
        return dataclasses.replace(shown, moment=self._veiled(shown.moment, twin), more=more)

    def draw_every(self, frames: int) -> None:
        self.twin.every = frames

    def _deal(self) -> None:
        seconds = self.real.world.seconds
        self._games, self._step = self._games + 1, 0
        self._guess = self._place = None
        self._switch = int(self._rng.integers(round(EARLIEST / seconds), round(LATEST / seconds) + 1))

    def _veiled(self, real: Moment, twin: Moment | None) -> Moment:
        """What a player sees: V's picture of either world, and nothing that M knows."""
        if twin is None:  # between two decisions as a dream is shown: on the straight line between their z
            (z, _), (following, _) = self.real.place, self.real.now
            shares = [index / len(real.views) for index in range(len(real.views))]
            points = [torch.lerp(z, following, share) for share in shares]
            views = tuple(self.agent.model.decode(torch.cat(points))) if points else ()
        else:
            views = twin.views
        return dataclasses.replace(real, views=views, tiles=(), surprise=None, end=0.0)

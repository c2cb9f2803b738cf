"""A lap against the agent: two worlds of one seed side by side, the page's own and one in which the agent drives."""

from __future__ import annotations

import dataclasses
from typing import Any

from agents.agent import Agent
from agents.live.packets import number
from agents.live.shows import Place, RealShow, Shown, viewed_env
from agents.viewing.human import Driver
from agents.viewing.moments import Moment, RealWorld
from rollouts.envs.image_env import ImageEnv


class GhostShow:
    """The real world, and beside it the agent's own episode on the same seed, in step.

    A ghost that has reached its end stays there. Where the world can say where another's car would be on its picture
    (``sees``), the page is told.
    """

    word, ready = "real", True

    def __init__(self, agent: Agent, real: RealShow) -> None:
        self.agent, self.real = agent, real
        self._env: ImageEnv | None = None
        self._ghost: RealWorld | None = None
        self._last: Moment | None = None

    @property
    def place(self) -> Place:
        return self.real.place

    @property
    def step_count(self) -> int:
        return self.real.step_count

    @property
    def ghost(self) -> RealWorld:
        """The agent's world; it is made when it is first needed."""
        if self._ghost is None:
            self._env = viewed_env(self.agent)
            self._ghost = RealWorld(self.agent, env=self._env)
        return self._ghost

    def enter(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.real.begin()
        self.ghost.reset(self.real.world.seed)
        self.ghost.every, self._last = self.real.world.every, None

    def advance(self, driver: Driver) -> Shown:
        if self.real.over:
            self.begin()
        place = self._place()
        if self._last is None or not self._last.over:
            self._last = self.ghost.step()
        shown = self.real.advance(driver)
        lead = shown.moment.total - self._last.total
        more: dict[str, Any] = {"lead": number(lead, 1), "ghost": place, "twin_over": self._last.over}
        return dataclasses.replace(shown, twin=self._last, beside="the agent's lap", more=more)

    def draw_every(self, frames: int) -> None:
        if self._ghost is not None:
            self._ghost.every = frames

    def close(self) -> None:
        if self._ghost is not None:
            self._ghost.close()

    def _place(self) -> list[float] | None:
        """Where the ghost is on the own picture, before both move: x, y, and how far it is turned."""
        sees = getattr(self.real.env.unwrapped, "sees", None)
        place = sees(self._env.unwrapped) if sees and self._env else None
        return None if place is None else [round(value, 4) for value in place]

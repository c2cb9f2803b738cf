"""All that one page can watch: the shows, which of them is on, and how fast time goes in it."""

from __future__ import annotations

from collections.abc import Callable

from agents.agent import Agent
from agents.live.game import GameShow
from agents.live.ghost import GhostShow
from agents.live.pace import Pace
from agents.live.recorder import Drives, Recording
from agents.live.replay import ReplayShow
from agents.live.shows import DreamShow, Place, RealShow, Show, Shown, WakeShow
from agents.viewing.human import Driver
from agents.viewing.moments import frame_rate


class Theatre:
    """One page's shows, of which one is on at most.

    Args:
        find: the place that a kind of start of a dream means, with its number; None for one of M's own starts.

    Attributes:
        scene: what the page has turned to, a show or something else.
        wait: wall-clock seconds from the last :meth:`advance` to the next.
    """

    def __init__(self, agent: Agent, drives: Drives, find: Callable[[str, int], Place | None]) -> None:
        self.scene, self.wait = "real", 0.0
        self.pace, self.driver = Pace(frame_rate(agent.env)), Driver(agent.env, agent.model.action_spec)
        self.real = RealShow(agent, Recording(drives), drives.next_seed)
        self.dream, self.wake = DreamShow(agent, find), WakeShow(agent, self.real)
        self.game, self.ghost, self.replay = GameShow(agent, self.real), GhostShow(agent, self.real), ReplayShow(agent)
        self.shows: dict[str, Show] = {
            "real": self.real,
            "dream": self.dream,
            "wake": self.wake,
            "game": self.game,
            "ghost": self.ghost,
            "episodes": self.replay,
        }
        self.verbs: dict[str, Callable[..., None]] = {
            "keys": self.keys,
            "wheel": self.wheel,
            "pause": self.pace.pause,
            "hide": self.pace.hide,
            "speed": self.speed,
            "temperature": self.temperature,
            "horizon": self.horizon,
            "wake": self.wake.part,
            "guess": self.game.guess,
            "record": self.real.record,
        }

    @property
    def show(self) -> Show | None:
        """The show that is on, if it has anything to show."""
        show = self.shows.get(self.scene)
        return show if show is not None and show.ready else None

    @property
    def idle(self) -> bool:
        """Whether nothing moves until the next command."""
        return self.pace.paused or self.pace.hidden or self.show is None

    def close(self) -> None:
        """Keep what was being recorded, and let go of the environments."""
        try:
            self.real.close()
        finally:
            self.ghost.close()

    def turn_to(self, scene: str) -> None:
        self.scene = scene
        if scene in self.shows:
            self.shows[scene].enter()

    def restart(self, start: str, number: int) -> None:
        """Begin the show that is on anew; a dream there where ``start`` says."""
        if self.show is self.dream:
            self.dream.start_at(start, number)
        elif self.show is not None:
            self.show.begin()

    def advance(self, show: Show) -> Shown:
        """One decision in a show.

        Raises:
            UserError: it cannot be done, e.g. because what was recorded cannot be kept; the next call tries again.
        """
        shown = show.advance(self.driver)
        self.wait = self.pace.wait(shown.moment.seconds, bool(shown.moment.over))
        return shown

    def keys(self, held: frozenset[str]) -> None:
        self.driver.held = held

    def wheel(self, on: bool) -> None:
        self.driver.keeps_wheel = on

    def speed(self, value: float) -> None:
        self.pace.speed = value
        for show in self.shows.values():
            show.draw_every(self.pace.every)

    def temperature(self, value: float) -> None:
        for world in (self.dream.world, self.wake.twin, self.game.twin):
            world.dream.temperature = value

    def horizon(self, value: int) -> None:
        self.dream.world.dream.horizon = value

"""Watch an agent: in the real world, beside what it sees and expects, or in its own dream."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agents.agent import Agent
from agents.viewing.human import Driver
from agents.viewing.moments import DreamWorld, RealWorld, frame_rate, panels_of
from agents.viewing.panels import Frame, Panel, draw
from agents.viewing.video import write_video
from rollouts.console import progress_bar
from rollouts.envs.presets import resolve
from rollouts.errors import require_at_least, require_seed
from worldmodels.dream import StartKind
from worldmodels.training.threads import one_thread


@dataclass(frozen=True)
class WatchConfig:
    """What to look at."""

    world: Literal["real", "dream"] = "real"
    """The real environment, or the agent's dream of it."""
    seed: int = 0
    """Which episode."""
    max_steps: int = 1000
    """Stop after so many of the environment's own steps."""
    every: int = 2
    """Draw every so many of the environment's own steps."""
    temperature: float = 1.0
    """Dream: tau."""
    starts: StartKind = "recorded"
    """Dream: begin at 'episode' starts, at 'recorded' moments in their middle, or at 'any'."""

    def check(self) -> None:
        """Refuse what makes no sense.

        Raises:
            UserError: it names the option.
        """
        require_at_least(1, self, ("every", "max_steps"), "watch.")
        require_at_least(0, self, ("temperature",), "watch.")
        require_seed(self.seed, "watch.seed")

    def fps(self, agent: Agent) -> float:
        """Panels per second at the world's own speed."""
        return frame_rate(agent.env) / self.every


def panels(agent: Agent, config: WatchConfig, driver: Driver | None = None) -> Iterator[Panel]:
    """The agent's episode, one panel per drawn step; a ``driver`` may take over."""
    config.check()
    return _played(agent, config, driver)


def _played(agent: Agent, config: WatchConfig, driver: Driver | None) -> Iterator[Panel]:
    decisions = -(-config.max_steps // resolve(agent.env).action_repeat)
    world: RealWorld | DreamWorld
    if config.world == "real":
        world = RealWorld(agent, config.every)
    else:
        world = DreamWorld(agent, config.temperature, decisions, config.starts, config.every)
    try:
        world.reset(config.seed)
        for _ in range(decisions):
            moment = world.step(None if driver is None else driver.act(world.chosen, world.seconds))
            yield from panels_of(moment)
            if moment.over:
                break
    finally:
        world.close()


def watch(agent: Agent, config: WatchConfig, out: Path) -> Path:
    """Write what there is to see as .mp4 or .gif.

    Raises:
        UserError: the suffix is unknown, or the options make no sense.
    """
    episode = panels(agent, config)
    steps = -(-config.max_steps // config.every)
    with one_thread(), progress_bar(steps, f"watch ({config.world})", "frame") as bar:

        def frames() -> Iterator[Frame]:
            for panel in episode:
                bar.update()
                yield draw(panel)

        write_video(frames(), out, max(round(config.fps(agent)), 1))
    return out

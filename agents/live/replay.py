"""Recorded episodes: a shelf of them, played again with what V and M make of it, deleted, exported."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agents.agent import Agent
from agents.live.packets import jpeg, number, pack
from agents.live.recorder import Clips, Drives
from agents.live.shows import Place, Shown
from agents.viewing.human import Action, Driver
from agents.viewing.moments import Moment, RealWorld
from rollouts.envs.config import EnvPreset, Frame
from rollouts.envs.presets import reported, resolve
from rollouts.episodes import DAMAGE, Episode
from rollouts.errors import UserError
from rollouts.runs.layout import Run

MOST_LISTED = 300  #: episodes of each store, those with the highest seeds
MEASURED_AT_ONCE = 8  #: episodes whose surprise is measured in one go
STORES = ("driven", "recorded")  #: by people on the page, and by policies for training


class Tape:
    """A recorded episode in the place of an environment: its pictures come, whatever is done."""

    def __init__(self, episode: Episode, preset: EnvPreset) -> None:
        self.episode, self.preset = episode, preset
        self.between: Callable[[], None] | None = None
        self.at = 0

    def reset(self, *, seed: int | None = None) -> tuple[Frame, dict[str, Any]]:
        self.at = 0
        return self.episode.observations[0], {}

    def step(self, action: Action) -> tuple[Frame, float, bool, bool, dict[str, Any]]:
        """The next of what was recorded; not to be called after the last."""
        at, self.at = self.at, self.at + 1
        ends = bool(self.episode.terminated[at]), bool(self.episode.truncated[at])
        return self.episode.observations[self.at], float(self.episode.rewards[at]), *ends, {}

    def render(self) -> Frame:
        return self.episode.observations[self.at]

    def close(self) -> None:
        """Nothing to let go of."""


class ReplayShow:
    """One recorded episode, again and again, as the agent would have seen it."""

    word = "recorded"

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.world: RealWorld | None = None
        self._every, self.over = 1, False
        self._place: Place | None = None

    @property
    def ready(self) -> bool:
        return self.world is not None

    @property
    def place(self) -> Place:
        world = self._loaded()
        return self._place or (world.acting.z, world.acting.state)

    @property
    def step_count(self) -> int:
        return self._loaded().step_count

    def play(self, episode: Episode) -> None:
        self.world, self._episode = tape_world(self.agent, episode, self._every), episode
        self.begin()

    def enter(self) -> None:
        """It goes on where it was."""

    def begin(self) -> None:
        if self.world is not None:
            self.world.reset(self._episode.seed)
            self._place, self.over = None, False

    def advance(self, driver: Driver) -> Shown:
        """The next decision that was recorded; nobody can steer."""
        world = self._loaded()
        if self.over:
            self.begin()
        self._place = world.acting.z, world.acting.state
        moment = world.step(self._episode.actions[world.step_count])
        self.over = bool(moment.over) or world.step_count == len(self._episode)
        policy = self._episode.policy
        return Shown(moment, policy == "human", self._episode.seed, more={"policy": policy})

    def draw_every(self, frames: int) -> None:
        """A tape has one picture for a decision: at high speed whole decisions are left out."""
        self._every = frames
        if self.world is not None:
            self.world.every = frames

    def _loaded(self) -> RealWorld:
        if self.world is None:
            raise UserError("Choose an episode to play first.")
        return self.world


def tape_world(agent: Agent, episode: Episode, every: int = 1) -> RealWorld:
    """A world that plays an episode; give it the recorded actions."""
    return RealWorld(agent, every, Tape(episode, resolve(reported(agent.env))))


def relive(agent: Agent, episode: Episode) -> Iterator[tuple[Moment, Place]]:
    """All moments of an episode without pictures, each with its place."""
    world = tape_world(agent, episode, every=10**9)
    world.reset(episode.seed)
    for action in episode.actions:
        place = world.acting.z, world.acting.state
        yield world.step(action), place


@dataclass(frozen=True)
class Facts:
    """What a list says of an episode; its pictures stay packed."""

    steps: int
    total: float
    policy: str

    @classmethod
    def read(cls, file: Path) -> Facts | None:
        """None for a file that is damaged or no episode."""
        try:
            with np.load(file, allow_pickle=False) as data:
                rewards = data["rewards"]
                return cls(len(rewards), float(rewards.sum(dtype=np.float64)), str(data["policy"]))
        except DAMAGE:
            return None


class Shelf:
    """The episodes of one agent's run, and those that people drove in its world; each verb gives packets or work."""

    def __init__(self, agent: Agent, drives: Drives) -> None:
        self.agent, self.drives = agent, drives
        self.stores = {"driven": drives.store, "recorded": Run(agent.folder).episodes}
        self._facts: dict[tuple[Path, int], Facts | None] = {}
        self._surprise: dict[Path, float] = {}

    def load(self, store: str, seed: int) -> Episode:
        """Read an episode.

        Raises:
            UserError: it is gone or damaged.
        """
        return self.stores[store].load(self.stores[store].file(seed))

    def listed(self) -> bytes:
        """What there is, without pictures; a millisecond for each episode, the first time."""
        rows = []
        for name, store in self.stores.items():
            for file in store.files[::-1][:MOST_LISTED]:
                if (facts := self._read(file)) is not None:
                    rows.append(
                        {
                            "store": name,
                            "seed": int(file.stem.removeprefix("episode-")),
                            "policy": facts.policy.split()[0],
                            "steps": facts.steps,
                            "total": number(facts.total, 1),
                            "surprise": number(self._surprise.get(file), 3),
                        }
                    )
        return pack("episodes", {"episodes": rows, "all": sum(len(store) for store in self.stores.values())})

    def measured(self) -> bytes:
        """The list, after the surprise of some more of them has been measured: M's mean over the whole episode."""
        files = [(store, file) for store in self.stores.values() for file in store.files[::-1][:MOST_LISTED]]
        for store, file in [pair for pair in files if pair[1] not in self._surprise][:MEASURED_AT_ONCE]:
            if (episode := store.read(file)) is not None:
                surprises = [m.surprise for m, _ in relive(self.agent, episode) if m.surprise is not None]
                self._surprise[file] = float(np.mean(surprises)) if surprises else math.nan
        return self.listed()

    def delete(self, seed: int) -> bytes:
        """Delete what somebody drove; what was recorded for training stays.

        Raises:
            UserError: it is gone.
        """
        self.drives.delete(seed)
        return self.listed()

    def film(self, store: str, seed: int, format: str) -> bytes:
        """The whole episode as a video beside what V and M make of it."""
        episode, clips = self.load(store, seed), Clips(math.inf)
        world = tape_world(self.agent, episode)
        world.reset(seed)
        for action in episode.actions:
            moment = world.step(action)
            clips.add(moment, [jpeg(view) for view in moment.views], [jpeg(tile) for _, tile in moment.tiles])
        name = f"{self.agent.folder.name}-episode-{seed}.{format}"
        return pack("file", {"name": name}, [clips.film(format, math.inf)()])

    def _read(self, file: Path) -> Facts | None:
        try:
            key = file, file.stat().st_mtime_ns
        except OSError:  # deleted meanwhile
            return None
        if key not in self._facts:
            self._facts[key] = Facts.read(file)
        return self._facts[key]

"""What the page records: the last seconds as a video, and what people drove as episodes to learn from."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock

import numpy as np

from agents.live.packets import picture
from agents.viewing.human import Action
from agents.viewing.moments import Moment, panels_of
from agents.viewing.panels import draw
from agents.viewing.video import write_video
from rollouts.collect import totals
from rollouts.envs.config import EnvConfig, Frame
from rollouts.envs.presets import identity, resolve
from rollouts.episodes import Episode, pack
from rollouts.errors import UserError
from rollouts.inventory import Inventory
from rollouts.runs.files import remove_folder
from rollouts.runs.layout import Run
from rollouts.runs.options import config_to_dict
from rollouts.runs.stage import Stage
from rollouts.seeds import HUMAN

KEPT_SECONDS = 20.0
"""How much of the past a clip can show, in the world's own time."""
CLIP_FPS = {"mp4": 25, "gif": 12}


@dataclass(frozen=True)
class _Stored:
    """A moment with its pictures as JPEGs."""

    moment: Moment
    views: list[bytes]
    tiles: list[bytes]

    def restore(self) -> Moment:
        captions = [caption for caption, _ in self.moment.tiles]
        tiles = tuple(zip(captions, map(picture, self.tiles), strict=True))
        return dataclasses.replace(self.moment, views=tuple(map(picture, self.views)), tiles=tiles)


class Clips:
    """The last seconds, with pictures compressed, so that memory stays small."""

    def __init__(self, kept_seconds: float = KEPT_SECONDS) -> None:
        self._past: deque[_Stored] = deque()
        self._seconds, self.kept_seconds = 0.0, kept_seconds

    def add(self, moment: Moment, views: list[bytes], tiles: list[bytes]) -> None:
        """Keep a moment whose pictures are these JPEGs."""
        nothing = np.zeros((1, 1, 3), np.uint8)
        light = dataclasses.replace(moment, views=(), tiles=tuple((caption, nothing) for caption, _ in moment.tiles))
        self._past.append(_Stored(light, views, tiles))
        self._seconds += moment.seconds
        while self._seconds > self.kept_seconds and len(self._past) > 1:
            self._seconds -= self._past.popleft().moment.seconds

    def clear(self) -> None:
        """Forget: another world is shown from now on."""
        self._past.clear()
        self._seconds = 0.0

    def film(self, suffix: str, seconds: float) -> Callable[[], bytes]:
        """The last ``seconds`` as the content of an mp4 or GIF file, drawn when the result is called (in a thread)."""
        moments, length = deque[_Stored](), 0.0
        for stored in reversed(self._past):
            moments.appendleft(stored)
            length += stored.moment.seconds
            if length >= seconds:
                break
        fps = CLIP_FPS[suffix]

        def work() -> bytes:
            with TemporaryDirectory() as folder:
                file = Path(folder) / f"clip.{suffix}"
                write_video(_at_rate(moments, fps), file, fps)
                return file.read_bytes()

        return work


def _at_rate(past: deque[_Stored], fps: int) -> Iterator[Frame]:
    """Panels at an even rate, whatever the rates of the moments."""
    clock, due = 0.0, 0.0
    for kept in past:
        shown = list(panels_of(kept.restore()))
        for panel in shown:
            if clock >= due - 1e-9:
                drawn = draw(panel)
                while clock >= due - 1e-9:
                    yield drawn
                    due += 1 / fps
            clock += kept.moment.seconds / len(shown)
        if not shown:
            clock += kept.moment.seconds


class Drives:
    """Where people's episodes are kept: a run directory with a ``rollouts`` stage, shared by all viewers.

    ``train-vae --run`` can train on it as it is, and ``iterate --iterate.human`` adds it to what agents drove.

    Args:
        run: e.g. ``runs/NAME/human``; nothing is written before the first episode.
    """

    def __init__(self, run: Path, env: EnvConfig) -> None:
        self.run, self.env = run, env
        self.store = Run(run).episodes
        self._next = max([HUMAN - 1, *self.store.seeds()]) + 1
        self._lock = Lock()

    def next_seed(self) -> int:
        """A track of one's own: no viewer gets the same one twice, and none is a test's."""
        with self._lock:
            self._next += 1
            return self._next - 1

    def save(self, episode: Episode) -> None:
        """Add an episode, under another seed if another server of the page has used its own.

        Raises:
            UserError: the folder holds episodes of another world, or the disk is full.
        """
        preset = resolve(self.env)
        inputs = {"env": identity(self.env), "observation_hash": preset.observation_hash}
        with self._lock:
            stage = Run(self.run).rollouts.open(_Driven(), inputs)
            file = self.store.file(episode.seed)
            if file.exists() and file.read_bytes() != pack(episode):  # equal ones are of a save that was cut short
                self._next = max(self._next, *self.store.seeds()) + 1
                episode = dataclasses.replace(episode, seed=self._next - 1)
            self.store.append(episode)
            self._finish(stage)

    def delete(self, seed: int) -> None:
        """Remove an episode for good; with the last one goes the stage.

        Raises:
            UserError: there is no such episode.
        """
        with self._lock:
            if seed not in self.store:
                raise UserError(f"There is no episode {seed} in {self.store.path} any more.")
            self.store.file(seed).unlink()
            stage = Run(self.run).rollouts
            if len(self.store):
                self._finish(stage)
            else:
                remove_folder(stage.path)

    def _finish(self, stage: Stage) -> None:
        preset = resolve(self.env)
        Inventory(stage).write()
        stage.finish(
            listed=len(self.store),
            env=config_to_dict(self.env),
            policy="human",
            observation_hash=preset.observation_hash,
            **totals(self.store, preset.action_repeat),
        )


@dataclass(frozen=True)
class _Driven:
    """The configuration of a recording that nobody configured."""

    policy: str = "human"


@dataclass
class Drive:
    """One real episode while it is being driven."""

    seed: int
    frames: list[Frame]
    actions: list[Action] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    by_hand: int = 0  #: decisions that the person took
    terminated: bool = False

    def add(self, action: Action, by_hand: bool, reward: float, terminated: bool, frame: Frame) -> None:
        self.actions.append(action)
        self.rewards.append(reward)
        self.frames.append(frame)
        self.by_hand += by_hand
        self.terminated = terminated

    def episode(self) -> Episode:
        """All of it; one that did not end is truncated where it was left."""
        last = np.arange(len(self.actions)) == len(self.actions) - 1
        return Episode(
            np.stack(self.frames),
            np.stack(self.actions),
            np.array(self.rewards, np.float32),
            last & self.terminated,
            last & (not self.terminated),
            self.seed,
            "human",
        )


class Recording:
    """What people drive in one page's real world, kept if they want it.

    Attributes:
        on: whether episodes are recorded from their next beginning on.
        saved: episodes so far.
    """

    def __init__(self, drives: Drives) -> None:
        self.drives, self.on, self.saved = drives, False, 0
        self._drive: Drive | None = None

    def begin(self, seed: int, frame: Frame) -> None:
        """An episode begins."""
        self._drive = Drive(seed, [frame]) if self.on else None

    def add(self, moment: Moment, by_hand: bool, frame: Frame) -> None:
        """A decision, and the frame that came of it.

        Raises:
            UserError: it was the last, and the episode cannot be saved.
        """
        if self._drive is not None:
            self._drive.add(moment.action, by_hand, moment.reward, moment.terminated, frame)
            if moment.over:
                self.end()

    def end(self) -> None:
        """Save the episode if anybody drove in it; one that cannot be saved is kept, and tried again.

        Raises:
            UserError: it cannot be saved.
        """
        if self._drive is not None and self._drive.by_hand:
            self.drives.save(self._drive.episode())
            self.saved += 1
        self._drive = None

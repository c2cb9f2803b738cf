"""One page's session: which show it watches, what its commands do, what it is sent. Knows nothing of sockets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from agents.live.commands import Command
from agents.live.fan import Fan
from agents.live.game import GameShow
from agents.live.ghost import GhostShow
from agents.live.images import ImageBench, image_runs
from agents.live.latents import LatentBench
from agents.live.library import Library, file_name
from agents.live.messages import hello, moment_packet
from agents.live.nightmares import Nightmares
from agents.live.pace import Pace
from agents.live.packets import jpeg, pack
from agents.live.recorder import Clips, Recording
from agents.live.replay import ReplayShow, Shelf
from agents.live.shows import DreamShow, Place, RealShow, Show, Shown, WakeShow
from agents.viewing.human import Driver
from agents.viewing.moments import frame_rate, side_by_side

Verb = Callable[..., list[bytes] | None]
Job = Callable[[], bytes]
"""Work that takes seconds, for a thread of its own; its result is a packet."""


@dataclass(frozen=True)
class Shared:
    """What all viewers of a server have in common."""

    library: Library
    images: Path  #: where runs of image models are looked for
    beginning: Lock  #: held while a session begins: what libraries load at their first use, some load unsafely

    @classmethod
    def of(cls, library: Library, images: Path) -> Shared:
        return cls(library, images, Lock())


class Session:
    """What one page shows and does. Commands and steps give packets for it.

    Args:
        name: which of the library's agents; None for the first.

    Attributes:
        wait: wall-clock seconds from the last :meth:`advance` to the next.
        jobs: long work that commands asked for; whoever runs the session takes it from here.

    Raises:
        UserError: there is no such agent, or its world cannot be made.
    """

    def __init__(self, shared: Shared, name: str | None = None) -> None:
        with shared.beginning:
            self.shared, loaded = shared, shared.library.load(name)
            self.agent, self.drives, self.name = loaded.agent, loaded.drives, loaded.name
            self.scene, self.wait, self.jobs = "real", 0.0, list[Job]()
            self.pace, self.clips = Pace(frame_rate(self.agent.env)), Clips()
            self.driver = Driver(self.agent.env, self.agent.model.action_spec)
            self.latents, self.images = LatentBench(self.agent), ImageBench(shared.images)
            self.shelf, self.nightmares = Shelf(self.agent, self.drives), Nightmares(self.agent)
            self.real = RealShow(self.agent, Recording(self.drives), self.drives.next_seed)
            self.dream = DreamShow(self.agent, self._find)
            self.wake = WakeShow(self.agent, self.real)
            self.game, self.ghost = GameShow(self.agent, self.real), GhostShow(self.agent, self.real)
            self.replay, self.fan = ReplayShow(self.agent), Fan(self.agent, self.real.env.field)
            self.shows: dict[str, Show] = {
                "real": self.real,
                "dream": self.dream,
                "wake": self.wake,
                "game": self.game,
                "ghost": self.ghost,
                "episodes": self.replay,
            }
            self._verbs: dict[str, Verb] = {
                "scene": self.turn_to,
                "keys": self.keys,
                "wheel": self.wheel,
                "pause": self.pace.pause,
                "hide": self.pace.hide,
                "speed": self.speed,
                "step": self.step,
                "restart": self.restart,
                "temperature": self.temperature,
                "horizon": self.horizon,
                "wake": self.wake.part,
                "capture": self.capture,
                "record": self.real.record,
                "clip": self.clip,
                "fan": self.futures,
                "guess": self.game.guess,
                "scan": lambda: self.jobs.append(lambda: self.nightmares.scan(self.shelf.stores.values())),
                "episodes": lambda: self.jobs.append(self.shelf.listed),
                "episode_measure": lambda: self.jobs.append(self.shelf.measured),
                "episode_play": self.play_episode,
                "episode_delete": lambda seed: [self.shelf.delete(seed)],
                "episode_export": self.export_episode,
                **self.nightmares.verbs,
                **self.latents.verbs,
                **self.images.verbs,
            }

    def close(self) -> None:
        """Keep what was being recorded, and let go of the environments."""
        try:
            self.real.close()
        finally:
            self.ghost.close()

    @property
    def moves(self) -> bool:
        """Whether the scene is one that is watched, and there is something to show."""
        return self.scene in self.shows and self.shows[self.scene].ready

    @property
    def idle(self) -> bool:
        """Whether nothing moves until the next command."""
        return self.pace.paused or self.pace.hidden or not self.moves

    def hello(self) -> bytes:
        """Everything the page needs to know once."""
        return hello(
            self.agent,
            self.driver,
            name=self.name,
            agents=self.shared.library.names(),
            images=list(image_runs(self.shared.images)),
            drives=str(self.drives.run),
        )

    def do(self, command: Command) -> list[bytes]:
        """Obey a command of ``agents.live.commands``.

        Raises:
            UserError: it cannot be done; the page should say why.
        """
        return self._verbs[command.name](**command.arguments) or []

    # Commands

    def turn_to(self, name: str) -> list[bytes]:
        """Show another scene; while nothing moves, its next moment."""
        before, self.scene = self.scene, name
        self.clips.clear()
        if name == "latents":
            if before in self.shows and self.shows[before].ready:
                self.latents.place = self.shows[before].place
            return [self.latents.gallery(), self.latents.shown()]
        if name in self.shows:
            self.shows[name].enter()
            return self.step() if self.pace.paused else []
        return []

    def keys(self, held: frozenset[str]) -> None:
        self.driver.held = held

    def wheel(self, on: bool) -> None:
        self.driver.keeps_wheel = on

    def speed(self, value: float) -> None:
        self.pace.speed = value
        for show in self.shows.values():
            show.draw_every(self.pace.every)

    def step(self) -> list[bytes]:
        """One decision while paused."""
        return [self.advance()] if self.moves else []

    def restart(self, start: str, capture: int) -> None:
        self.clips.clear()
        if self.scene == "dream":
            self.dream.start_at(start, capture)
        elif self.scene in self.shows:
            self.shows[self.scene].begin()

    def temperature(self, value: float) -> None:
        for world in (self.dream.world, self.wake.twin, self.game.twin):
            world.dream.temperature = value

    def horizon(self, value: int) -> None:
        self.dream.world.dream.horizon = value

    def capture(self) -> list[bytes]:
        """Keep the moment that the page shows."""
        if self.moves:
            show = self.shows[self.scene]
            return self.latents.capture(f"{show.word}, step {max(show.step_count - 1, 0)}", show.place)
        return self.latents.capture("of the latents", self.latents.place) if self.scene == "latents" else []

    def clip(self, format: str, seconds: float) -> None:
        film, name = self.clips.film(format, seconds), f"{file_name(self.agent.folder)}-{self.scene}.{format}"
        self.jobs.append(lambda: pack("file", {"name": name}, [film()]))

    def futures(self) -> None:
        """Dream on from the moment that the page shows, many times."""
        if self.moves:
            self.jobs.append(self.fan.futures(self.shows[self.scene].place, self.dream.world.dream.temperature))

    def play_episode(self, store: str, seed: int) -> list[bytes]:
        self.clips.clear()
        self.replay.play(self.shelf.load(store, seed))
        return self.step() if self.pace.paused and self.scene == "episodes" else []

    def export_episode(self, store: str, seed: int, format: str) -> None:
        self.jobs.append(lambda: self.shelf.film(store, seed, format))

    # Stepping

    def advance(self) -> bytes:
        """One decision in the show that is on the page.

        Raises:
            UserError: it cannot be done, e.g. because what was recorded cannot be kept; the next call tries again.
        """
        show = self.shows[self.scene]
        shown = show.advance(self.driver)
        if show is not self.dream:
            self.nightmares.note(shown.moment, show.place, shown.seed)
        self.wait = self.pace.wait(shown.moment.seconds, bool(shown.moment.over))
        return self._packet(shown)

    def _packet(self, shown: Shown) -> bytes:
        moment, twin = shown.moment, shown.twin
        views, tiles = [jpeg(view) for view in moment.views], [jpeg(tile) for _, tile in moment.tiles]
        twins = [jpeg(view) for view in twin.views] if twin else []
        if twin is None:
            self.clips.add(moment, views, tiles)
        else:
            both = side_by_side(moment, twin)
            self.clips.add(both, views, [jpeg(tile) for _, tile in both.tiles])
        return moment_packet(
            shown,
            views,
            twins,
            tiles,
            scene=self.scene,
            seconds=moment.seconds / self.pace.speed,
            recording=self.real.recording.on,
            saved=self.real.recording.saved,
        )

    def _find(self, start: str, number: int) -> Place | None:
        """The place that a dream is to begin in; None for one of the recorded ones."""
        if start == "real":
            return self.real.now
        if start == "latent":
            return self.latents.place
        if start == "nightmare":
            return self.nightmares.place(number)
        if start == "captured" and number in self.latents.captures:
            return self.latents.captures[number].place
        return None

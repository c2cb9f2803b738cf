"""One page's session: what its commands do, and what it is sent. Knows nothing of sockets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from agents.live.commands import Command
from agents.live.fan import Fan
from agents.live.images import ImageBench, image_runs
from agents.live.latents import LatentBench
from agents.live.library import Library, file_name
from agents.live.messages import hello, moment_packet
from agents.live.nightmares import Nightmares
from agents.live.packets import jpeg, pack
from agents.live.recorder import Clips
from agents.live.replay import Shelf
from agents.live.shows import Place, Shown
from agents.live.theatre import Theatre
from agents.viewing.moments import side_by_side

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
        jobs: long work that commands asked for; whoever runs the session takes it from here.

    Raises:
        UserError: there is no such agent, or its world cannot be made.
    """

    def __init__(self, shared: Shared, name: str | None = None) -> None:
        with shared.beginning:
            self.shared, loaded = shared, shared.library.load(name)
            self.agent, self.drives, self.name = loaded.agent, loaded.drives, loaded.name
            self.jobs, self.clips = list[Job](), Clips()
            self.latents, self.images = LatentBench(self.agent), ImageBench(shared.images)
            self.shelf, self.nightmares = Shelf(self.agent, self.drives), Nightmares(self.agent)
            self.theatre = Theatre(self.agent, self.drives, self._find)
            self.fan = Fan(self.agent, self.theatre.real.env.field)
        self._verbs: dict[str, Verb] = {
            "scene": self.turn_to,
            "step": self.step,
            "restart": self.restart,
            "capture": self.capture,
            "clip": self.clip,
            "fan": self.futures,
            "scan": lambda: self.jobs.append(lambda: self.nightmares.scan(self.shelf.stores.values())),
            "episodes": lambda: [self.shelf.listed()],
            "episode_measure": lambda: self.jobs.append(self.shelf.measured),
            "episode_play": self.play_episode,
            "episode_delete": lambda seed: [self.shelf.delete(seed)],
            "episode_export": lambda **which: self.jobs.append(lambda: self.shelf.film(**which)),
            **self.theatre.verbs,
            **self.nightmares.verbs,
            **self.latents.verbs,
            **self.images.verbs,
        }

    def close(self) -> None:
        """Keep what was being recorded, and let go of the environments."""
        self.theatre.close()

    @property
    def idle(self) -> bool:
        """Whether nothing moves until the next command."""
        return self.theatre.idle

    @property
    def wait(self) -> float:
        """Wall-clock seconds from the last :meth:`advance` to the next."""
        return self.theatre.wait

    def hello(self) -> bytes:
        """Everything the page needs to know once."""
        return hello(
            self.agent,
            self.theatre.driver,
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

    def turn_to(self, name: str) -> list[bytes]:
        """Show another scene; while nothing moves, its next moment."""
        before = self.theatre.show
        self.clips.clear()
        self.theatre.turn_to(name)
        if name == "latents":
            if before is not None:  # what a world shows before its first step may be no picture of it yet
                self.latents.place = (before if before.step_count else self.theatre.dream).place
            return [self.latents.gallery(), self.latents.shown()]
        return self.step() if self.theatre.pace.paused else []

    def step(self) -> list[bytes]:
        """One decision while paused."""
        return [self.advance()] if self.theatre.show else []

    def restart(self, start: str, capture: int) -> None:
        self.clips.clear()
        self.theatre.restart(start, capture)

    def capture(self) -> list[bytes]:
        """Keep the moment that the page shows."""
        if show := self.theatre.show:
            return self.latents.capture(f"{show.word}, step {max(show.step_count - 1, 0)}", show.place)
        return self.latents.capture("of the latents", self.latents.place) if self.theatre.scene == "latents" else []

    def clip(self, format: str, seconds: float) -> None:
        film, name = self.clips.film(format, seconds), f"{file_name(self.agent.folder)}-{self.theatre.scene}.{format}"
        self.jobs.append(lambda: pack("file", {"name": name}, [film()]))

    def futures(self) -> None:
        """Dream on from the moment that the page shows, many times."""
        if show := self.theatre.show:
            self.jobs.append(self.fan.futures(show.place, self.theatre.dream.world.dream.temperature))

    def play_episode(self, store: str, seed: int) -> list[bytes]:
        self.clips.clear()
        self.theatre.replay.play(self.shelf.load(store, seed))
        paused = self.theatre.pace.paused and self.theatre.show is self.theatre.replay
        return self.step() if paused else []

    def advance(self) -> bytes:
        """One decision in the show that is on.

        Raises:
            UserError: see :meth:`Theatre.advance`.
        """
        show = self.theatre.show
        assert show is not None, "idle"
        shown = self.theatre.advance(show)
        if show is not self.theatre.dream:
            self.nightmares.note(shown.moment, show.place, shown.seed)
        return self._packet(shown)

    def _packet(self, shown: Shown) -> bytes:
        moment, twin, recording = shown.moment, shown.twin, self.theatre.real.recording
        views, tiles = [jpeg(view) for view in moment.views], [jpeg(tile) for _, tile in moment.tiles]
        twins = [jpeg(view) for view in twin.views] if twin else []
        if twin is None:
            self.clips.add(moment, views, tiles)
        else:
            both = side_by_side(moment, twin, shown.beside)
            self.clips.add(both, views, [jpeg(tile) for _, tile in both.tiles])
        return moment_packet(
            shown,
            views,
            twins,
            tiles,
            scene=self.theatre.scene,
            seconds=moment.seconds / self.theatre.pace.speed,
            recording=recording.on,
            saved=recording.saved,
        )

    def _find(self, start: str, number: int) -> Place | None:
        """The place that a dream is to begin in; None for one of the recorded ones."""
        if start == "real":
            return self.theatre.real.now
        if start == "latent":
            return self.latents.place
        if start == "nightmare":
            return self.nightmares.place(number)
        if start == "captured" and number in self.latents.captures:
            return self.latents.captures[number].place
        return None

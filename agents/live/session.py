"""One viewer's worlds: what the page shows, step by step, and what its commands do. Knows nothing of sockets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from agents.agent import Agent
from agents.live.commands import Command
from agents.live.images import ImageBench, image_runs
from agents.live.latents import LatentBench
from agents.live.messages import hello, moment_packet
from agents.live.packets import jpeg, pack
from agents.live.recorder import Clips, Drive, Drives
from agents.viewing.human import Driver
from agents.viewing.moments import DreamWorld, Moment, RealWorld, frame_rate, side_by_side
from worldmodels.dynamics import State
from worldmodels.training.randomness import generator_for

PAUSE_AT_END = 1.5  #: seconds for which an episode that is over stays on the page
DRAWN_PER_SECOND = 50.0  #: pictures per second that nobody needs more of

Job = Callable[[], bytes]
"""Work that takes seconds, for a thread of its own; its result is a packet."""


@dataclass(frozen=True)
class Shared:
    """What all viewers of a server have in common; nothing in it changes but the store of drives."""

    agent: Agent
    drives: Drives
    images: Path  #: where runs of image models are looked for


class Session:
    """What one page shows and does. Commands and steps give packets for it.

    Attributes:
        wait: wall-clock seconds from the last :meth:`advance` to the next.
        jobs: long work that commands asked for; whoever runs the session takes it from here.
    """

    def __init__(self, shared: Shared) -> None:
        agent = shared.agent
        self.shared, self.agent = shared, agent
        self.scene, self.paused, self.hidden, self.speed = "real", False, False, 1.0
        self.wait, self.jobs = 0.0, list[Job]()
        self.driver = Driver(agent.env, agent.model.action_spec)
        self.clips, self.latents, self.images = Clips(), LatentBench(agent), ImageBench(shared.images)
        self.real, self.dream, self.twin = RealWorld(agent), DreamWorld(agent), DreamWorld(agent, horizon=10**9)
        self._dreams, self._over = 0, dict[str, bool]()
        self._recording, self._saved = False, 0
        self._drive: Drive | None = None
        self._verbs: dict[str, Callable[..., list[bytes] | None]] = {
            "scene": self.show_scene,
            "keys": self.keys,
            "wheel": self.wheel,
            "pause": self.pause,
            "hide": self.hide,
            "step": self.step,
            "temperature": self.temperature,
            "speed": self.set_speed,
            "horizon": self.horizon,
            "restart": self.restart,
            "wake": self.wake,
            "capture": self.capture,
            "record": self.record,
            "clip": self.clip,
            "forget": self.latents.forget,
            "latent": self.latents.latent,
            "look": self.latents.look,
            "between": self.latents.between,
            "walk": self.latents.walk,
            "image_run": self.images.image_run,
            "image_grid": self.images.image_grid,
            "image_path": self.images.image_path,
            "image_attributes": self.images.image_attributes,
        }
        self._begin_real()
        self.restart_dream("recorded", -1)

    def close(self) -> None:
        """Keep what was being recorded, and let go of the environment."""
        try:
            self._end_drive()
        finally:
            self.real.close()

    @property
    def idle(self) -> bool:
        """Whether nothing moves until the next command."""
        return self.paused or self.hidden or self.scene in ("latents", "images")

    def hello(self) -> bytes:
        """Everything the page needs to know once."""
        images, drives = list(image_runs(self.shared.images)), str(self.shared.drives.run)
        return hello(self.agent, self.driver, images, drives)

    def do(self, command: Command) -> list[bytes]:
        """Obey a command of ``agents.live.commands``.

        Raises:
            UserError: it cannot be done; the page should say why.
        """
        return self._verbs[command.name](**command.arguments) or []

    # Commands

    def show_scene(self, name: str) -> list[bytes]:
        before, self.scene = self.scene, name
        self.clips.clear()
        if name == "wake":
            self.wake()
        if name == "latents" and before != "latents":
            z, _ = self._here(before)
            return [self.latents.gallery(), self.latents.show(z)]
        return []

    def keys(self, held: frozenset[str]) -> None:
        self.driver.held = held

    def wheel(self, on: bool) -> None:
        self.driver.keeps_wheel = on

    def pause(self, on: bool) -> None:
        self.paused = on

    def hide(self, on: bool) -> None:
        self.hidden = on

    def step(self) -> list[bytes]:
        """One decision while paused."""
        return [self.advance()] if self.scene not in ("latents", "images") else []

    def temperature(self, value: float) -> None:
        self.dream.dream.temperature = self.twin.dream.temperature = value

    def set_speed(self, value: float) -> None:
        """Times the world's own speed; at high speed not all pictures are drawn."""
        self.speed = value
        rate = frame_rate(self.agent.env) * value
        for world in (self.real, self.dream, self.twin):
            world.every = max(1, round(rate / DRAWN_PER_SECOND))

    def horizon(self, value: int) -> None:
        self.dream.dream.horizon = value

    def restart(self, start: str, capture: int) -> list[bytes]:
        self.clips.clear()
        if self.scene == "dream":
            self.restart_dream(start, capture)
        elif self.scene in ("real", "wake"):
            self._begin_real()
        return []

    def restart_dream(self, start: str, capture: int) -> None:
        """Begin a dream: where one of the recorded ones begins, where reality is now, in a captured moment, or at
        a z that nothing has caused."""
        self._start, self._start_capture, self._dreams = start, capture, self._dreams + 1
        model = self.agent.model
        place: tuple[Tensor, State] | None = None
        if start == "real":
            place = self._here("real")
        elif start == "captured" and capture in self.latents.captures:
            kept = self.latents.captures[capture]
            place = kept.z, kept.state
        elif start == "imagined":
            z = torch.randn(1, model.latent_size, generator=generator_for(self._dreams, 1)).to(model.device)
            place = z, model.initial_state(1)
        dream = self.dream.dream
        assert model.starts is not None
        if place is None:
            kinds = bool(model.starts.warm.any()), bool((~model.starts.warm).any())
            wanted = "recorded" if start != "episode" else "episode"
            dream.starts = model.starts.only(wanted if all(kinds) else "any")
        self.dream.reset(self._dreams, place)
        self._over["dream"] = False

    def wake(self) -> None:
        """Begin to dream where reality is now; from here on both do the same."""
        self._dreams += 1
        self.twin.reset(self._dreams, self._here("real"))

    def capture(self) -> list[bytes]:
        scene = self.scene if self.scene in ("real", "dream", "wake") else "real"
        z, state = self._here(scene)
        name = "dreamed" if scene == "dream" else "real"
        step = self.dream.step_count if scene == "dream" else self.real.step_count
        return self.latents.capture(f"{name}, step {step}", z, state)

    def record(self, on: bool) -> list[bytes]:
        """From now on keep what people drive; an episode begins anew, because it is kept from its start."""
        self._end_drive()
        self._recording = on
        if on:
            self._begin_real()
        return []

    def clip(self, format: str, seconds: float) -> None:
        film, name = self.clips.film(format, seconds), f"{self.agent.folder.name}-{self.scene}.{format}"

        def work() -> bytes:
            return pack("file", {"name": name}, [film()])

        self.jobs.append(work)

    # Stepping

    def advance(self) -> bytes:
        """One decision in the world that is on the page."""
        real = self.scene != "dream"
        world = self.real if real else self.dream
        key = "real" if real else "dream"
        if self._over.get(key):
            if real:
                self._begin_real()
            else:
                self.restart_dream(self._start, self._start_capture)
        by_hand = self.driver.drives
        moment = world.step(self.driver.act(world.chosen, world.seconds))
        twin = self.twin.step(moment.action) if self.scene == "wake" else None
        self._over[key] = bool(moment.over)
        self.wait = moment.seconds / self.speed + (PAUSE_AT_END if moment.over else 0.0)
        if real:
            self._note(moment, by_hand)
        return self._packet(moment, twin, by_hand)

    def _packet(self, moment: Moment, twin: Moment | None, by_hand: bool) -> bytes:
        views, tiles = [jpeg(view) for view in moment.views], [jpeg(tile) for _, tile in moment.tiles]
        twins = [jpeg(view) for view in twin.views] if twin else []
        if twin is None:
            self.clips.add(moment, views, tiles)
        else:
            both = side_by_side(moment, twin)
            self.clips.add(both, views, [jpeg(tile) for _, tile in both.tiles])
        return moment_packet(
            moment,
            twin,
            views,
            twins,
            tiles,
            scene=self.scene,
            seconds=moment.seconds / self.speed,
            by_hand=by_hand,
            seed=(self.dream if self.scene == "dream" else self.real).seed,
            recording=self._recording,
            saved=self._saved,
        )

    def _here(self, scene: str) -> tuple[Tensor, State]:
        """What is seen and remembered at this moment of a world."""
        if scene == "dream":
            return self.dream.dream.z, self.dream.dream.state
        return self.real.acting.z, self.real.acting.state

    def _begin_real(self) -> None:
        self._end_drive()
        seed = self.shared.drives.next_seed()
        self.real.reset(seed)
        self._over["real"] = False
        self._drive = Drive(seed, [self.real.frame]) if self._recording else None
        if self.scene == "wake":
            self.wake()

    def _note(self, moment: Moment, by_hand: bool) -> None:
        if self._drive is not None:
            self._drive.add(moment.action, by_hand, moment.reward, moment.terminated, self.real.frame)
            if moment.over:
                self._end_drive()

    def _end_drive(self) -> None:
        """Save the episode if anybody drove in it; one that cannot be saved is kept, and tried again.

        Raises:
            UserError: it cannot be saved.
        """
        if self._drive is not None and self._drive.by_hand:
            self.shared.drives.save(self._drive.episode())
            self._saved += 1
        self._drive = None

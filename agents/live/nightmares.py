"""Nightmares: the moments that M foretold worst, each a start for a dream."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from threading import Lock

import numpy as np
import torch

from agents.agent import Agent
from agents.live.packets import jpeg, number, pack
from agents.live.replay import relive
from agents.live.shows import Place
from agents.viewing.moments import Moment
from rollouts.episodes import EpisodeStore

KEPT = 12
APART = 1.0  #: seconds between two nightmares of one episode
SCANNED = 6  #: recorded episodes that one scan looks through


@dataclass(frozen=True)
class Nightmare:
    """A moment that came as a surprise."""

    surprise: float  #: nats per number of z
    seed: int
    step: int
    place: Place


class Nightmares:
    """The worst of all moments that were watched, or found in recorded episodes."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.worst: dict[int, Nightmare] = {}
        self._lock, self._count, self._scans = Lock(), 0, 0
        self.verbs: dict[str, Callable[..., list[bytes]]] = {"nightmares": self.shown}

    def note(self, moment: Moment, place: Place, seed: int) -> None:
        """Keep a moment if few were worse; of those close together in an episode, the worst stays."""
        if moment.surprise is None or not np.isfinite(moment.surprise):
            return
        fresh = Nightmare(moment.surprise, seed, moment.step, place)
        with self._lock:
            near = {
                key: kept
                for key, kept in self.worst.items()
                if kept.seed == seed and abs(kept.step - fresh.step) * moment.seconds < APART
            }
            if any(kept.surprise >= fresh.surprise for kept in near.values()):
                return
            for key in near:
                del self.worst[key]
            self.worst[self._count] = fresh
            self._count += 1
            if len(self.worst) > KEPT:
                del self.worst[min(self.worst, key=lambda key: self.worst[key].surprise)]

    def shown(self) -> list[bytes]:
        """All of them, the worst first."""
        with self._lock:
            ordered = sorted(self.worst.items(), key=lambda item: -item[1].surprise)
        header = [
            {"id": key, "surprise": number(one.surprise, 2), "seed": one.seed, "step": one.step} for key, one in ordered
        ]
        frames = [self.agent.model.decode(one.place[0])[0] for _, one in ordered]
        return [pack("nightmares", {"nightmares": header}, [jpeg(frame) for frame in frames])]

    def place(self, key: int) -> Place | None:
        with self._lock:
            return self.worst[key].place if key in self.worst else None

    @torch.inference_mode()
    def scan(self, stores: Iterable[EpisodeStore]) -> bytes:
        """Look through some recorded episodes, others each time."""
        files = [(store, file) for store in stores for file in store.files]
        order = np.random.default_rng(self._scans).permutation(len(files))[:SCANNED]
        self._scans += 1
        for store, file in (files[index] for index in order):
            if (episode := store.read(file)) is not None:
                for moment, place in relive(self.agent, episode):
                    self.note(moment, place, episode.seed)
        return self.shown()[0]

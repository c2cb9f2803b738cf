"""V's latent space to play with: change single numbers of z, go from one captured moment to another, walk all units."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.agent import Agent
from agents.live.packets import jpeg, numbers, pack
from agents.live.shows import Place
from rollouts.envs.config import Frame
from worldmodels.generative.sampling import slerp
from worldmodels.pictures import grid

MOST_CAPTURES = 24
WALK = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
"""Values that every unit takes in turn on a walk."""
CHUNK = 32  #: pictures decoded at once


@dataclass(frozen=True)
class Capture:
    """A moment that was kept: what was seen and what M remembered."""

    name: str
    place: Place
    frame: Frame


class LatentBench:
    """Captured moments and pictures decoded from whatever z the page asks for; each verb gives packets.

    Attributes:
        place: the z that is shown, with the memory of the moment it was made from.
    """

    def __init__(self, agent: Agent) -> None:
        self.agent, self.size = agent, agent.model.latent_size
        self.captures: dict[int, Capture] = {}
        self.place: Place = self._tensor((0.0,) * self.size), agent.model.initial_state(1)
        self._count = 0
        self.verbs: dict[str, Callable[..., list[bytes]]] = {
            "forget": self.forget,
            "latent": self.latent,
            "look": self.look,
            "between": self.between,
            "walk": self.walk,
        }

    @torch.inference_mode()
    def capture(self, name: str, place: Place) -> list[bytes]:
        """Keep a moment; the oldest makes room when there are too many."""
        frame = self.agent.model.decode(place[0])[0]
        self.captures[self._count] = Capture(name, place, frame)
        self._count += 1
        if len(self.captures) > MOST_CAPTURES:
            self.captures.pop(next(iter(self.captures)))
        return [self.gallery()]

    def forget(self, capture: int) -> list[bytes]:
        self.captures.pop(capture, None)
        return [self.gallery()]

    def gallery(self) -> bytes:
        """All captured moments."""
        header = [{"id": key, "name": kept.name} for key, kept in self.captures.items()]
        return pack("gallery", {"captures": header}, [jpeg(kept.frame) for kept in self.captures.values()])

    def shown(self) -> bytes:
        """The picture of the z that is looked at."""
        z = self.place[0]
        return pack("latent", {"z": numbers(z[0].float().cpu().numpy())}, [jpeg(self.agent.model.decode(z)[0])])

    def latent(self, z: tuple[float, ...]) -> list[bytes]:
        """Look at a z; the memory stays that of the moment it was made from."""
        if len(z) != self.size:
            return []
        return self._show((self._tensor(z), self.place[1]))

    def look(self, capture: int) -> list[bytes]:
        return self._show(self.captures[capture].place) if capture in self.captures else []

    def between(self, first: int, second: int, share: float) -> list[bytes]:
        """A point between two captured moments, along the sphere on which latents live; memory of the nearer one."""
        if first not in self.captures or second not in self.captures:
            return []
        ends = self.captures[first].place, self.captures[second].place
        return self._show((slerp(ends[0][0], ends[1][0], share), ends[share > 0.5][1]))

    def walk(self, z: tuple[float, ...]) -> list[bytes]:
        """One sheet with a row for each unit, in which that unit takes the values of :data:`WALK`.

        The header's ``effects`` say how far each unit changes the picture, in grey levels.
        """
        if len(z) != self.size:
            return []
        points = self._tensor(z).repeat(self.size * len(WALK), 1)
        rows = torch.arange(self.size).repeat_interleave(len(WALK))
        points[torch.arange(len(points)), rows] = torch.tensor(WALK, device=points.device).repeat(self.size)
        frames = np.stack([frame for part in points.split(CHUNK) for frame in self.agent.model.decode(part)])
        side = frames.shape[1]
        header: dict[str, Any] = {
            "units": self.size,
            "columns": len(WALK),
            "side": side,
            "effects": effects(frames.reshape(self.size, len(WALK), side, side, 3)),
        }
        return [pack("walk", header, [jpeg(grid(frames, len(WALK), gap=0), fine=True)])]

    def _show(self, place: Place) -> list[bytes]:
        self.place = place
        return [self.shown()]

    def _tensor(self, z: tuple[float, ...]) -> Tensor:
        return torch.tensor([z], device=self.agent.model.device)


def effects(walks: NDArray[np.uint8]) -> list[float]:
    """Mean absolute change of the picture from one end of a walk to the other: ``[U, W, H, W, 3] -> [U]``."""
    change = np.abs(walks[:, -1].astype(np.int16) - walks[:, 0]).mean(axis=(1, 2, 3))
    return [round(float(value), 2) for value in change]

"""V's latent space to play with: change single numbers of z, go from one captured moment to another, walk all units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from agents.agent import Agent
from agents.live.packets import jpeg, numbers, pack
from rollouts.envs.config import Frame
from worldmodels.dynamics import State
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
    z: Tensor  #: [1, Z]
    state: State
    frame: Frame


class LatentBench:
    """Captured moments and pictures decoded from whatever z the page asks for; each verb gives packets."""

    def __init__(self, agent: Agent) -> None:
        self.agent, self.size = agent, agent.model.latent_size
        self.captures: dict[int, Capture] = {}
        self._count = 0

    @torch.inference_mode()
    def capture(self, name: str, z: Tensor, state: State) -> list[bytes]:
        """Keep a moment; the oldest makes room when there are too many."""
        frame = self.agent.model.decode(z)[0]
        self.captures[self._count] = Capture(name, z, state, frame)
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

    def show(self, z: Tensor) -> bytes:
        """The picture of ``z [1, Z]``."""
        return pack("latent", {"z": numbers(z[0].float().cpu().numpy())}, [jpeg(self.agent.model.decode(z)[0])])

    def latent(self, z: tuple[float, ...]) -> list[bytes]:
        return [self.show(self._tensor(z))] if len(z) == self.size else []

    def look(self, capture: int) -> list[bytes]:
        return [self.show(self.captures[capture].z)] if capture in self.captures else []

    def between(self, first: int, second: int, share: float) -> list[bytes]:
        """A point between two captured moments, along the sphere on which latents live."""
        if first not in self.captures or second not in self.captures:
            return []
        return [self.show(slerp(self.captures[first].z, self.captures[second].z, share))]

    def walk(self, z: tuple[float, ...]) -> list[bytes]:
        """One sheet with a row for each unit, in which that unit takes the values of :data:`WALK`."""
        if len(z) != self.size:
            return []
        points = self._tensor(z).repeat(self.size * len(WALK), 1)
        rows = torch.arange(self.size).repeat_interleave(len(WALK))
        points[torch.arange(len(points)), rows] = torch.tensor(WALK, device=points.device).repeat(self.size)
        frames = [frame for part in points.split(CHUNK) for frame in self.agent.model.decode(part)]
        side = frames[0].shape[0]
        sheet = grid(np.stack(frames), len(WALK), gap=0)
        return [pack("walk", {"units": self.size, "columns": len(WALK), "side": side}, [jpeg(sheet, fine=True)])]

    def _tensor(self, z: tuple[float, ...]) -> Tensor:
        return torch.tensor([z], device=self.agent.model.device)

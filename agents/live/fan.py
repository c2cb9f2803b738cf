"""A fan of futures: many dreams from one moment, each with luck of its own, and what they have in common."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from agents.agent import Agent
from agents.live.packets import jpeg, number, numbers, pack
from agents.live.shows import Place
from agents.viewing.moments import step_seconds
from rollouts.envs.config import Frame
from worldmodels.dream import Dream
from worldmodels.dynamics import tile
from worldmodels.pictures import grid

FUTURES, COLUMNS = 16, 4
AHEAD = 2.4  #: seconds of the world that are dreamed
STOPS = 20  #: pictures of them


class Fan:
    """Dreams on from a moment in which the agent acts, without touching what is on the page.

    Args:
        field: the part of the large picture that the agent sees, as of ``ImageEnv``.
    """

    def __init__(self, agent: Agent, field: tuple[float, float, float, float]) -> None:
        self.agent, self.field = agent, field
        self._fans = 0

    def futures(self, place: Place, temperature: float) -> Callable[[], bytes]:
        """Work whose packet has, for every stop, the mean of the dreams' pictures and a sheet of them all."""
        self._fans += 1
        first = self._fans * FUTURES

        def work() -> bytes:
            frames, spread, returns, ended = self._dream(place, temperature, range(first, first + FUTURES))
            header = {
                "stops": len(frames),
                "seconds": AHEAD,
                "columns": COLUMNS,
                "spread": numbers(spread),
                "least": number(float(returns.min()), 1),
                "most": number(float(returns.max()), 1),
                "ended": ended,
                "futures": FUTURES,
                "field": self.field,
            }
            ghosts = [jpeg(stop.mean(axis=0).round().astype(np.uint8)) for stop in frames]
            sheets = [jpeg(np.ascontiguousarray(grid(stop, COLUMNS, gap=0)), fine=True) for stop in frames]
            return pack("fan", header, [*ghosts, *sheets])

        return work

    @torch.inference_mode()
    def _dream(
        self, place: Place, temperature: float, seeds: range
    ) -> tuple[list[NDArray[np.uint8]], NDArray[np.float32], NDArray[np.float64], int]:
        """Pictures ``[FUTURES, H, W, 3]`` of every stop, how far the dreams' z lie apart then, returns, and how many
        have ended; one that has ended stands still."""
        agent, steps = self.agent, max(round(AHEAD / step_seconds(self.agent.env)), 1)
        dream = Dream(agent.model, temperature, 10**9, "any", agent.spec.features)
        dream.reset(list(seeds))
        dream.z, dream.state = place[0].repeat(len(seeds), 1), tile(place[1], len(seeds))
        alive = torch.ones(len(seeds), dtype=torch.bool, device=dream.z.device)
        returns = torch.zeros(len(seeds), device=dream.z.device)
        shown, points = dream.z, [dream.z]
        for _ in range(steps):
            reward, terminated, _ = dream.step(agent.controller.act(agent.parameters, dream.features()))
            shown = torch.where(alive[:, None], dream.z, shown)
            returns += reward * alive
            alive = alive & ~terminated
            points.append(shown)
        stops = np.linspace(0, steps, min(STOPS, steps + 1)).round().astype(int)
        chosen = [points[stop] for stop in stops]
        frames: list[Frame] = [agent.model.decode(z) for z in chosen]
        spread = np.array([float(z.std(dim=0, correction=0).mean()) for z in chosen], np.float32)
        return frames, spread, returns.double().cpu().numpy(), int((~alive).sum())

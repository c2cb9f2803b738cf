"""Evaluators: a population's returns, wherever its lanes run. All have one interface:

``evaluator(parameters [C, P], seeds) -> Outcome`` with ``C x len(seeds)`` lanes, candidate by candidate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from agents.controller import Controller, Spec
from agents.lanes import Lanes, Outcome, RealLanes, rollout
from agents.standardiser import Standardiser
from rollouts.console import progress_bar
from rollouts.envs.config import EnvConfig
from rollouts.pools.pool import Workers, open_pool
from worldmodels.dream import Dream, EndKind, FallKind, StartKind
from worldmodels.training.threads import one_thread
from worldmodels.world_model import WorldModel

Evaluator = Callable[[NDArray[np.float64], Sequence[int]], Outcome]


@torch.inference_mode()
def evaluate_lanes(
    lanes: Lanes,
    controller: Controller,
    parameters: NDArray[np.float64],
    seeds: Sequence[int],
    max_steps: int,
    patience: int | None,
    device: torch.device,
) -> Outcome:
    """Every candidate on every seed, as one batch of lanes."""
    lanes.reset(seeds, len(parameters))
    candidates = torch.as_tensor(parameters, dtype=torch.float32, device=device)
    of_lane = torch.arange(len(parameters)).repeat_interleave(len(seeds))
    of_active, shown = candidates[of_lane], len(of_lane)

    def act(features: torch.Tensor, active: torch.Tensor) -> torch.Tensor:
        nonlocal of_active, shown
        if len(active) != shown:  # lanes have ended: gather the others' parameters once, not in every step
            of_active, shown = candidates[of_lane[active]], len(active)
        return controller.act(of_active if len(candidates) > 1 else candidates[0], features)

    return rollout(lanes, act, len(of_lane), max_steps, patience)


class LanesTask(Protocol):
    """All that a worker needs to run some lanes. It travels there as a value, weights included."""

    @property
    def model(self) -> WorldModel: ...

    @property
    def spec(self) -> Spec: ...

    @property
    def standardiser(self) -> Standardiser | None: ...

    def lanes(self) -> Lanes:
        """Make the lanes, on the model's device."""


@dataclass(frozen=True)
class RealTask:
    """Real lanes, seen through V and M."""

    model: WorldModel
    env: EnvConfig
    spec: Spec
    standardiser: Standardiser | None = None

    def lanes(self) -> Lanes:
        return RealLanes(self.model, self.env, self.spec.features, self.spec.latent)


@dataclass(frozen=True)
class DreamTask:
    """Lanes in M's dream."""

    model: WorldModel
    spec: Spec
    temperature: float
    horizon: int
    starts: StartKind
    dropout: float = 0.0
    standardiser: Standardiser | None = None
    ends: EndKind = "cutoff"
    falls: FallKind = "ignored"
    value: bool = False

    def lanes(self) -> Lanes:
        luck = (self.dropout, self.ends, self.falls, self.value)
        return Dream(self.model, self.temperature, self.horizon, self.starts, self.spec.features, *luck)


class PoolEvaluator:
    """Lanes in workers, each with V and M of its own on one thread.

    The work is cut into blocks of ``lanes_per_task`` lanes whatever the number of workers, and a block is computed
    the same way wherever it runs: results do not depend on the workers. Two processes of one thread each beat one of
    two threads, and by far when something else wants a core too: threads that share a sum wait for the slowest.

    Args:
        task: what to run; a model on a GPU wants ``workers=0`` and blocks as large as the population.
    """

    def __init__(self, task: LanesTask, workers: Workers, lanes_per_task: int = 16) -> None:
        self.lanes_per_task = lanes_per_task
        self.pool = open_pool(workers, _set_up, (task,))

    def __call__(
        self,
        parameters: NDArray[np.float64],
        seeds: Sequence[int],
        max_steps: int,
        patience: int | None = None,
        progress: str | None = None,
    ) -> Outcome:
        """Returns and lengths, candidate by candidate; the limits are those of :func:`agents.lanes.rollout`."""
        rows = even_share(len(parameters), max(1, self.lanes_per_task // len(seeds)))
        columns = even_share(len(seeds), self.lanes_per_task)
        blocks = [
            (slice(i, i + rows), slice(j, j + columns))
            for i in range(0, len(parameters), rows)
            for j in range(0, len(seeds), columns)
        ]
        tasks = [(parameters[candidates], list(seeds[lucks]), max_steps, patience) for candidates, lucks in blocks]
        returns = np.zeros((len(parameters), len(seeds)))
        lengths = np.zeros((len(parameters), len(seeds)), np.int64)
        with progress_bar(len(parameters) * len(seeds), progress, "episode") if progress else nullcontext() as bar:
            for index, outcome in self.pool.run(_run_block, tasks):
                shape = returns[blocks[index]].shape
                returns[blocks[index]] = outcome.returns.reshape(shape)
                lengths[blocks[index]] = outcome.lengths.reshape(shape)
                if bar is not None:
                    bar.update(len(outcome.returns))
                    bar.set_postfix(mean=f"{returns[lengths > 0].mean():.1f}", refresh=False)
        return Outcome(returns.reshape(-1), lengths.reshape(-1))

    def close(self) -> None:
        self.pool.close()

    def __enter__(self) -> PoolEvaluator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


DREAM_LANES_PER_TASK = 256


def dream_evaluator(task: DreamTask, workers: Workers) -> PoolEvaluator:
    """Dreams in workers on CPUs; on a GPU in this process, the whole population as one batch."""
    if task.model.device.type == "cpu":
        return PoolEvaluator(task, workers, DREAM_LANES_PER_TASK)
    return PoolEvaluator(task, 0, 1_000_000)


def even_share(count: int, most: int) -> int:
    """Size of the parts when ``count`` things are cut evenly into parts of at most ``most``: workers end together."""
    return -(-count // -(-count // most))


def _set_up(task: LanesTask) -> tuple[Lanes, Controller, torch.device]:
    """What a worker keeps: models stay loaded, environments made."""
    return task.lanes(), task.spec.build(task.model, task.standardiser), task.model.device


def _run_block(
    worker: tuple[Lanes, Controller, torch.device],
    parameters: NDArray[np.float64],
    seeds: Sequence[int],
    max_steps: int,
    patience: int | None,
) -> Outcome:
    lanes, controller, device = worker
    with one_thread():
        return evaluate_lanes(lanes, controller, parameters, seeds, max_steps, patience, device)

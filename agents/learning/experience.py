"""Episodes step by step, for those who learn from more than their returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.fitness import even_share
from agents.lanes import Lanes
from agents.learning.learner import Array, World


@dataclass(frozen=True)
class Trace:
    """One episode of T steps."""

    features: Tensor  #: float16 [T + 1, F], of the state that it ended in too
    actions: Tensor  #: float32 [T, A]
    rewards: Tensor  #: float32 [T]
    terminal: bool  #: it has ended; otherwise it was broken off, and its last state has a value


def gather(
    world: World,
    explore: Callable[..., list[Trace]],
    arguments: Sequence[Any],
    seeds: Sequence[int],
    lanes_per_task: int,
) -> list[Trace]:
    """One episode for each seed, wherever the world's lanes run, in the order of the seeds.

    Args:
        explore: ``(setup, *arguments, seeds, max_steps, patience) -> traces``, in a worker.
    """
    block, limits = even_share(len(seeds), lanes_per_task), (world.max_steps, world.patience)
    tasks = [(*arguments, seeds[i : i + block], *limits) for i in range(0, len(seeds), block)]
    by_task = dict(world.run(explore, tasks))
    return [trace for index in range(len(tasks)) for trace in by_task[index]]


def returns_of(traces: Sequence[Trace]) -> Array:
    """The sum of rewards of every episode, ``[N]``."""
    return np.array([float(trace.rewards.double().sum()) for trace in traces])


@torch.inference_mode()
def experience(
    lanes: Lanes,
    act: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    seeds: Sequence[int],
    max_steps: int,
    patience: int | None = None,
) -> list[Trace]:
    """Live through one episode for each seed, side by side.

    An episode without a positive reward in ``patience`` steps is hopeless and counts as one that has ended: nothing
    more is to be earned in it.

    Args:
        act: ``(features [n, F], which episodes [n]) -> (actions to do [n, A], actions of the trace [n, K])`` for
            those that still run.
    """
    states, actions_of, rewards_of = ([list[Tensor]() for _ in seeds] for _ in range(3))
    terminal, waited, active = [False] * len(seeds), np.zeros(len(seeds), int), torch.arange(len(seeds))
    lanes.reset(seeds)
    for _ in range(max_steps):
        features = lanes.features()
        action, kept = act(features, active)
        reward, terminated, truncated = lanes.step(action)
        gains = reward.float().cpu()
        for lane, *row in zip(active.tolist(), features.half().cpu(), kept.float().cpu(), gains, strict=True):
            for kind, value in zip((states, actions_of, rewards_of), row, strict=True):
                kind[lane].append(value)
        where = active.numpy()
        waited[where] = np.where(gains.numpy() > 0, 0, waited[where] + 1)
        ended = terminated.cpu() | torch.from_numpy(waited[where] >= (patience or np.inf))
        over = ended | truncated.cpu()
        if over.any():
            last = lanes.features().half().cpu()
            for place in torch.nonzero(over).flatten().tolist():
                lane = int(active[place])
                states[lane].append(last[place])
                terminal[lane] = bool(ended[place])
            active = active[~over]
            if not len(active):
                break
            lanes.keep(~over)
    if len(active):  # broken off
        for lane, state in zip(active.tolist(), lanes.features().half().cpu(), strict=True):
            states[lane].append(state)
    return [
        Trace(torch.stack(features), torch.stack(actions), torch.stack(rewards), end)
        for features, actions, rewards, end in zip(states, actions_of, rewards_of, terminal, strict=True)
    ]

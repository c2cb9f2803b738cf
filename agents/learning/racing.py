"""Racing: candidates that are clearly behind stop early, and their episodes go to those that matter.

A strategy looks at ranks, and most at the first ones. So all candidates play one episode, the better share of them
another one, the better share of those a third: of 64 candidates and three episodes with a share of one half, 112
episodes are played instead of 192, and the sixteen that lead are compared over three of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agents.fitness import Evaluator
from agents.learning.base import centred_ranks

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Played:
    """A generation's episodes."""

    returns: Array  #: [C, episodes], NaN where a candidate was out
    steps: int


def race(evaluator: Evaluator, candidates: Array, seeds: Sequence[int], share: float | None) -> Played:
    """Play the seeds in turn; after each one ``share`` of the candidates that played it go on, the others are out.

    Those go on whose mean return so far is highest, the earlier candidate where two are equal, and never fewer than
    one: the result is a function of the arguments, wherever the lanes run. Without a share all play all seeds at once.

    Args:
        candidates: ``[C, P]``.
    """
    if share is None:
        outcome = evaluator(candidates, seeds)
        return Played(outcome.returns.reshape(len(candidates), len(seeds)), int(outcome.lengths.sum()))
    returns = np.full((len(candidates), len(seeds)), np.nan)
    racing, steps = np.arange(len(candidates)), 0
    for heat, seed in enumerate(seeds):
        outcome = evaluator(candidates[racing], [seed])
        if not np.isfinite(outcome.returns).all():  # NaN means out: say it in another way, which no fitness can be
            return Played(np.full_like(returns, np.inf), steps)
        returns[racing, heat] = outcome.returns
        steps += int(outcome.lengths.sum())
        means = returns[racing, : heat + 1].mean(1)
        ahead = np.argsort(-means, kind="stable")[: math.ceil(share * len(racing))]
        racing = np.sort(racing[ahead])
    return Played(returns, steps)


def episodes_of(candidates: int, seeds: int, share: float | None) -> int:
    """How many episodes :func:`race` plays."""
    total, racing = 0, candidates
    for _ in range(seeds):
        total += racing
        racing = racing if share is None else math.ceil(share * racing)
    return total


def places(returns: Array) -> Array:
    """Centred ranks of a race ``[C]``: who played more episodes is ahead, among those the higher mean return."""
    played = np.isfinite(returns).sum(1)
    means = np.nanmean(returns, axis=1)
    _, order = np.unique(np.stack([played, means], 1), axis=0, return_inverse=True)
    return centred_ranks(order.reshape(-1).astype(float))

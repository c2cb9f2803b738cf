"""The gate: does the dream rank controllers as reality does?

Evolution looks at ranks alone. So some two dozen perturbed controllers are dreamed and driven, and the rank correlation
of both returns says whether a step that is better in the dream is better at all. Where it is low, M is to be mended
first, or the dream made another one: of another temperature, dropout or horizon.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from agents.controller import Controller
from agents.fitness import DREAM_LANES_PER_TASK, Evaluator, evaluate_lanes, even_share
from agents.lanes import Lanes
from agents.learning.base import centred_ranks
from agents.learning.config import ControllerConfig
from agents.learning.evolution import Evolution, fitness_of
from agents.learning.learner import Task, World
from rollouts.console import command, say
from rollouts.errors import UserError, require_at_least
from rollouts.runs.stage import Stage
from rollouts.seeds import VALIDATION
from worldmodels.dream import Dream
from worldmodels.training.threads import one_thread

Array = NDArray[np.float64]
ENOUGH = 0.7  #: rank correlation from which on a dream is worth evolving in
DREAMS, EPISODES = 64, 4  #: of every controller
LADDER = (0.5, 1.0, 2.0, 4.0)  #: how far controllers lie from what evolution begins with, in its own first steps
FIRST_SEED = VALIDATION + 500_000_000  #: of both; the agent is chosen by other validation seeds


class Setting(NamedTuple):
    """What dreams may differ in."""

    temperature: float
    dropout: float
    horizon: int

    def __str__(self) -> str:
        return f"temperature {self.temperature:g}, dropout {self.dropout:g}, horizon {self.horizon}"


@dataclass(frozen=True)
class GateConfig:
    """How well to look, and which dreams to try."""

    controllers: int = 24
    """Perturbed controllers whose ranks are compared."""
    dreams: int = DREAMS
    """Dreams of each of them, in every setting."""
    episodes: int = EPISODES
    """Real episodes of each of them."""
    temperatures: tuple[float, ...] = (0.7, 1.0, 1.3)
    """Temperatures to try, beside the agent's own."""
    dropouts: tuple[float, ...] = (0.0, 0.1)
    """Dropouts to try, beside the agent's own."""
    horizons: tuple[int, ...] | None = None
    """Lengths of dreams to try. Default: a quarter, a half and all of what the agent was to dream."""

    def check(self) -> None:
        """Refuse what makes no sense.

        Raises:
            UserError: it names the option.
        """
        if self.controllers < 4:
            raise UserError(f"--gate.controllers must be at least 4 to be ranked, got {self.controllers}.")
        require_at_least(1, self, ("dreams", "episodes"), "gate.")
        if not all(tau >= 0 for tau in self.temperatures) or not all(0 <= rate < 1 for rate in self.dropouts):
            raise UserError("--gate.temperatures are at least 0, --gate.dropouts at least 0 and below 1.")
        if self.horizons is not None and min(self.horizons, default=0) < 1:
            raise UserError(f"--gate.horizons must be steps, at least 1 each, got {self.horizons}.")

    def settings(self, own: Setting) -> list[Setting]:
        """All combinations to try, C's own setting among them."""
        horizons = self.horizons or tuple(max(own.horizon * part // 4, 1) for part in (1, 2, 4))
        tried = {
            Setting(temperature, dropout, horizon)
            for temperature in (*self.temperatures, own.temperature)
            for dropout in (*self.dropouts, own.dropout)
            for horizon in (*horizons, own.horizon)
        }
        return sorted(tried)


def spearman(first: Sequence[float] | Array, second: Sequence[float] | Array) -> float:
    """Spearman's rank correlation: Pearson's of the ranks, where equal values share the mean of theirs.

    0 where all values on one side are equal, so that there is nothing to rank.
    """
    a, b = (centred_ranks(np.asarray(values, float)) for values in (first, second))
    size = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum()) / size if size > 0 else 0.0


def perturbed(config: ControllerConfig, task: Task, count: int) -> Array:
    """Controllers ``[count, P]`` around what an evolution begins with: its own first candidates, nearer and farther."""
    even = count + count % 2  # PGPE draws pairs
    with tempfile.TemporaryDirectory() as folder:
        even_config = dataclasses.replace(config, population=even)
        learner = even_config.options.begin(dataclasses.replace(task, folder=Path(folder)))
    assert isinstance(learner, Evolution)
    steps = np.array([LADDER[number // 2 % len(LADDER)] for number in range(count)])
    return np.asarray(task.initial + steps[:, None] * (learner.strategy.ask()[:count] - task.initial))


def real_returns(real: Evaluator, controllers: Array, episodes: int) -> Array:
    """Whole real episodes on validation seeds, ``[controllers, episodes]``."""
    seeds = range(FIRST_SEED, FIRST_SEED + episodes)
    return real(controllers, seeds).returns.reshape(len(controllers), episodes)


def report_of(setting: Setting, dreamed: Array, real: Array) -> dict[str, Any]:
    """What a setting is worth: the correlation, and the returns in dreams that it was computed from.

    Args:
        dreamed: fitness in the dream ``[C]``; real: returns ``[C, episodes]``.
    """
    correlation = round(spearman(dreamed, real.mean(1)), 4)
    return {**setting._asdict(), "correlation": correlation, "dreamed": np.round(dreamed, 3).tolist()}


def with_itself(real: Array) -> float | None:
    """Rank correlation of one half of the real episodes with the other: what no dream needs to surpass."""
    half = real.shape[1] // 2
    return round(spearman(real[:, :half].mean(1), real[:, half:].mean(1)), 4) if half else None


def before_evolution(config: ControllerConfig, stage: Stage, dream: World, real: Evaluator, task: Task) -> None:
    """Measure the dream that C will be evolved in, note it in the manifest, and say it; warn if it is not enough.

    A stage that was broken off measures it once only.
    """
    if "gate" in stage.manifest:
        return
    controllers = perturbed(config, task, config.gate)
    driven = real_returns(real, controllers, EPISODES)
    seeds = range(FIRST_SEED, FIRST_SEED + DREAMS)
    dreamed = dream.evaluate(controllers, seeds).returns.reshape(len(controllers), DREAMS)
    setting = Setting(config.temperature, config.dropout, config.max_steps)
    report = report_of(setting, fitness_of(dreamed, seeds, dream.members, config.spread), driven)
    correlation = report["correlation"]
    reality = with_itself(driven)
    stage.note(gate={**report, "reality": reality, "real": np.round(driven.mean(1), 3).tolist(), "dreams": DREAMS})
    say(
        f"C: {len(controllers)} perturbed controllers are ranked in the dream as in reality with a correlation of "
        f"{correlation:.2f} ({reality:.2f} between halves of the real episodes)."
    )
    if correlation < ENOUGH:
        say(
            f"C: Warning: below {ENOUGH} what is better in this dream is often not better in reality. "
            f"{command('diagnose', '--run', stage.run)} tries other temperatures, dropouts and horizons; if none "
            "helps, fit M to more, and to what such controllers meet."
        )


Setup = tuple[Lanes, Controller, torch.device]
Run = Callable[..., Any]


def dreamed_in(run: Run, setting: Setting, controllers: Array, dreams: int) -> Array:
    """Returns in dreams of one setting, ``[controllers, dreams]``, wherever the lanes run.

    Args:
        run: ``run(function, tasks)`` of a pool whose lanes are dreams.
    """
    seeds = list(range(FIRST_SEED, FIRST_SEED + dreams))
    rows = even_share(len(controllers), max(1, DREAM_LANES_PER_TASK // dreams))
    blocks = [controllers[i : i + rows] for i in range(0, len(controllers), rows)]
    by_task = dict(run(_dream, [(setting, block, seeds) for block in blocks]))
    return np.concatenate([by_task[index] for index in range(len(blocks))])


def _dream(setup: Setup, setting: Setting, controllers: Array, seeds: Sequence[int]) -> Array:
    lanes, controller, device = setup
    assert isinstance(lanes, Dream)
    lanes.temperature, lanes.dropout, lanes.horizon = setting
    with one_thread():
        outcome = evaluate_lanes(lanes, controller, controllers, seeds, setting.horizon, None, device)
    return outcome.returns.reshape(len(controllers), len(seeds))

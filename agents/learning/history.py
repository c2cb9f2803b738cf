"""The history of an evolution, one record per generation: told again to continue, logged, and added up.

``history.jsonl`` holds the records. A strategy depends on nothing in them but fitness (or ranks, ``told`` instead).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.learning.base import Strategy
from rollouts.errors import UserError
from rollouts.runs.files import read_json_lines, write_json_lines
from rollouts.runs.stage import Stage
from worldmodels.training.loop import MetricsLog

Selected = tuple[float, int, NDArray[np.float64]]
"""The best validated average of means: ``(score, generation, weights [P])``."""


def steps_taken(history: Sequence[dict[str, Any]], world: str, action_repeat: int) -> dict[str, int]:
    """What some generations cost: the environment's own steps (validation included), and steps imagined by M.

    ``steps`` and ``validation_steps`` of the history are decisions of the agent, of ``action_repeat`` steps each.
    """
    fitness = sum(record["steps"] for record in history)
    validation = sum(
        record.get(name, 0) for record in history for name in ("validation_steps", "initial_validation_steps")
    )
    real = validation + (fitness if world == "real" else 0)
    return {"environment_steps": real * action_repeat, "imagined_steps": fitness if world == "dream" else 0}


class RecentMeans:
    """The average of a strategy's last means.

    Noise in fitness makes the mean walk about where it would best stand still. Averaged over ``count`` generations,
    most of that walk cancels out (Polyak & Juditsky 1992): near a plateau it scores higher than any single mean.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._means: deque[NDArray[np.float64]] = deque(maxlen=count)

    def add(self, mean: NDArray[np.float64]) -> None:
        self._means.append(mean)

    @property
    def average(self) -> NDArray[np.float64]:
        """``[P]``."""
        return np.mean(self._means, axis=0) if len(self._means) > 1 else self._means[0]


def replay(stage: Stage, strategy: Strategy, recent: RecentMeans) -> tuple[list[dict[str, Any]], Selected | None]:
    """Tell the strategy everything it was told before; a last line cut short by a kill is dropped.

    Raises:
        UserError: the replay goes another way than the record (another version of pycma, say).
    """
    selected: Selected | None = None
    path = stage.path / "history.jsonl"
    history = read_json_lines(path, "fitness")
    for record in history:
        if "initial_validation" in record:
            selected = (record["initial_validation"], -1, strategy.mean)
        strategy.ask()
        strategy.tell(np.array(record.get("told", record["fitness"])))
        if not np.isclose(strategy.sigma, record["sigma"], rtol=1e-3):
            raise UserError(
                f"{path} cannot be continued: at generation {record['generation']} the step size is "
                f"{strategy.sigma:.6g} instead of {record['sigma']:.6g}. It was probably made with another version of "
                f"the package cma ({stage.manifest['versions'].get('cma')}); install that one, or start anew."
            )
        recent.add(strategy.mean)
        same_average = record.get("averaged", 1) == recent.count  # else it is the score of something else
        if "validation" in record and same_average:
            selected = better(selected, (record["validation"], record["generation"], recent.average))
    if path.exists():
        write_json_lines(path, history)
    return history, selected


def better(selected: Selected | None, candidate: Selected) -> Selected:
    """The one that scored higher; the earlier one if they are equal."""
    return candidate if selected is None or candidate[0] > selected[0] else selected


def scored_again(record: dict[str, Any], score: dict[str, Any]) -> dict[str, Any]:
    """A record with a new validation score; the steps and seconds of both count."""
    spent = {name: record[name] + score[name] for name in ("validation_steps", "validation_seconds") if name in record}
    return record | score | spent


def log_generation(
    log: MetricsLog, history: Sequence[dict[str, Any]], strategy: Strategy, steps: dict[str, int]
) -> None:
    """The newest generation as curves, with what all of them cost."""
    record, fitness = history[-1], np.array(history[-1]["fitness"])
    values = {
        "fitness/min": fitness.min(),
        "fitness/mean": fitness.mean(),
        "fitness/max": fitness.max(),
        "sigma": strategy.sigma,
        **steps,
        "mean_norm": float(np.linalg.norm(strategy.mean)),
    }
    if "validation" in record:
        values |= {"validation/real": record["validation"], "validation/fitness": float(fitness.mean())}
    log.scalars(record["generation"] + 1, {name: float(value) for name, value in values.items()})


def shown_beside_the_bar(history: Sequence[dict[str, Any]]) -> dict[str, str]:
    """The numbers that matter while one waits."""
    fitness = np.array(history[-1]["fitness"])
    shown = {"mean": f"{fitness.mean():.1f}", "max": f"{fitness.max():.1f}", "sigma": f"{history[-1]['sigma']:.3f}"}
    scores = [record["validation"] for record in history if "validation" in record]
    return shown | ({"real": f"{scores[-1]:.1f}", "best": f"{max(scores):.1f}"} if scores else {})

"""The history of a learning, one record per iteration: what it is continued from, logged, and added up.

``history.jsonl`` holds the records, and is the truth. ``state.pt`` holds the learner's state and the loop's after some
iteration, checked against the history, so that nothing has to be done again; what is missing or does not fit is done
again from the records, where the learner can, or anew.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agents.learning.learner import Array, Learner
from rollouts.console import say
from rollouts.errors import UserError
from rollouts.runs.files import read_json_lines, write_json_lines
from rollouts.runs.stage import Stage
from worldmodels.training.checkpoint import load_newest_state, save_state
from worldmodels.training.loop import MetricsLog

SPARE_MEANS = 8  #: last weights that are kept though fewer are averaged, should more be asked for later

Selected = tuple[float, int, Array]
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
    """The average of a learner's last weights.

    Noise in fitness makes the mean walk about where it would best stand still. Averaged over ``count`` generations,
    most of that walk cancels out (Polyak & Juditsky 1992): near a plateau it scores higher than any single mean.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.kept: deque[Array] = deque(maxlen=max(count, SPARE_MEANS))

    def add(self, mean: Array) -> None:
        self.kept.append(mean)

    @property
    def average(self) -> Array:
        """``[P]``."""
        last = list(self.kept)[-self.count :]
        return np.mean(last, axis=0) if len(last) > 1 else last[0]


@dataclass
class Course:
    """A learning so far: the learner with its history, and the best that was validated."""

    learner: Learner
    recent: RecentMeans
    history: list[dict[str, Any]] = field(default_factory=list)
    selected: Selected | None = None
    marks: Any = field(default_factory=hashlib.sha256)  #: of all fitness in the history
    of: str | None = None  #: the stage's identity

    def add(self, record: dict[str, Any], initial: Array) -> None:
        """The next record, whose weights are among the recent ones already."""
        self.history.append(record)
        self.marks.update(json.dumps(record["fitness"]).encode())
        if "initial_validation" in record:
            self.selected = (record["initial_validation"], -1, initial)
        if "validation" in record and record.get("averaged", 1) == self.recent.count:  # else of something else
            self.selected = better(self.selected, (record["validation"], len(self.history) - 1, self.recent.average))

    def save(self, path: Path) -> None:
        """Write ``state.pt``."""
        selected = None
        if self.selected is not None:
            score, generation, weights = self.selected
            selected = {"score": score, "generation": generation, "weights": torch.from_numpy(weights)}
        state = {
            **({"stage": self.of} if self.of else {}),
            "generation": len(self.history),
            "history": self.marks.hexdigest(),
            "averaged": self.recent.count,
            "means": torch.from_numpy(np.stack(self.recent.kept)),
            "selected": selected,
            "learner": self.learner.state,
        }
        save_state(state, path)


def resume(stage: Stage, learner: Learner, average: int, initial: Array) -> Course:
    """Bring a learner to where it stood: by its state, and by repeating what came after that.

    Iterations that cannot be repeated from their records are dropped, to be done anew; so is a last line that a kill
    cut short.

    Raises:
        UserError: the repetition goes another way than the record.
    """
    path = stage.history
    history = read_json_lines(path, "fitness", stage.id)
    course = Course(learner, RecentMeans(average), of=stage.id)
    state = _newest_state(stage)
    if state is None and history:
        say(f"There is no checkpoint in {stage.path} (state.pt): its history is gone through again.")
    if state is not None:
        _require_its_history(stage, state, history)
    if history and state is not None:
        try:
            if not _restore(course, state, history, initial):
                say(f"The checkpoint in {stage.path} is not of this history, which is gone through again.")
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
            raise UserError(
                f"{stage.state} does not fit this stage ({type(error).__name__}: {error}). Delete "
                f"{stage.path} to make it anew."
            ) from error
    for record in history[len(course.history) :]:
        if not learner.repeat(record):
            break
        course.recent.add(learner.weights)
        course.add(record, initial)
    if (lost := len(history) - len(course.history)) > 1:
        say(f"C: {lost} iterations since the last checkpoint in {stage.path} are done anew.")
    if path.exists():
        write_json_lines(path, course.history, stage.id)
    return course


def _require_its_history(stage: Stage, state: Mapping[str, Any], history: Sequence[Any]) -> None:
    """Tell of a history that is shorter than what its checkpoint was made after."""
    done = state.get("generation")
    if isinstance(done, int) and done > len(history):
        say(
            f"{stage.history} holds {len(history)} of the {done} iterations that were done: those that "
            "are missing are done anew."
        )


def _newest_state(stage: Stage) -> dict[str, Any] | None:
    """The learner's last state that is whole; None where everything is done again from the history, which is longer."""
    try:
        return load_newest_state(stage, torch.device("cpu"))
    except UserError as error:
        say(f"{str(error).split(' Delete ')[0]} The history is gone through again instead.")
        return None


def _restore(course: Course, state: Mapping[str, Any], history: Sequence[dict[str, Any]], initial: Array) -> bool:
    """Take a state over if it is one of this history; otherwise everything stays as it is, and False is returned."""
    done, means = state["generation"], state["means"]
    enough, marks = len(means) >= min(course.recent.count, done), hashlib.sha256()
    for record in history[:done]:
        marks.update(json.dumps(record["fitness"]).encode())
    if not enough or marks.hexdigest() != state["history"] or not course.learner.restore(state["learner"]):
        return False
    course.history, course.marks = list(history[:done]), marks
    course.recent.kept.extend(mean.numpy() for mean in means)
    if state["averaged"] == course.recent.count and state["selected"] is not None:
        kept = state["selected"]
        course.selected = (kept["score"], kept["generation"], kept["weights"].numpy())
        return True
    if "initial_validation" in history[0]:  # averages over fewer are no candidates any more
        course.selected = (history[0]["initial_validation"], -1, initial)
    if (last := history[done - 1]).get("averaged") == course.recent.count:  # scored again, just before a kill
        course.selected = better(course.selected, (last["validation"], done - 1, course.recent.average))
    return True


def better(selected: Selected | None, candidate: Selected) -> Selected:
    """The one that scored higher; the earlier one if they are equal."""
    return candidate if selected is None or candidate[0] > selected[0] else selected


def scored_again(record: dict[str, Any], score: dict[str, Any]) -> dict[str, Any]:
    """A record with a new validation score; the steps and seconds of both count."""
    spent = {name: record[name] + score[name] for name in ("validation_steps", "validation_seconds") if name in record}
    return record | score | spent


def log_iteration(
    log: MetricsLog,
    record: Mapping[str, Any],
    facts: Mapping[str, Any],
    weights: Array,
    steps: Mapping[str, int],
) -> None:
    """The newest iteration as curves, with what all of them cost."""
    fitness = np.array(record["fitness"])
    values = {
        "fitness/min": float(fitness.min()),
        "fitness/mean": float(fitness.mean()),
        "fitness/max": float(fitness.max()),
        **{name: value for name, value in facts.items() if isinstance(value, int | float)},
        **steps,
        "mean_norm": float(np.linalg.norm(weights)),
    }
    if "validation" in record:
        values["validation/real"] = record["validation"]
    log.scalars(record["generation"] + 1, values)


def shown_beside_the_bar(history: Sequence[dict[str, Any]]) -> dict[str, str]:
    """The numbers that matter while one waits."""
    fitness = np.array(history[-1]["fitness"])
    shown = {"mean": f"{fitness.mean():.1f}", "max": f"{fitness.max():.1f}"}
    shown |= {"sigma": f"{history[-1]['sigma']:.3f}"} if "sigma" in history[-1] else {}
    scores = [record["validation"] for record in history if "validation" in record]
    return shown | ({"real": f"{scores[-1]:.1f}", "best": f"{max(scores):.1f}"} if scores else {})

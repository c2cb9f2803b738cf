"""What any learner of C offers, and what it gets: a task, and a world to learn in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from agents.controller import Controller, ControllerSpec, Spec
from agents.fitness import Evaluator
from worldmodels.world_model import WorldModel

Array = NDArray[Any]


@dataclass(frozen=True)
class World:
    """Where C learns, the real world or the dream: no learner knows which of the two it is in."""

    evaluate: Evaluator  #: the returns of a population on some seeds, wherever their lanes run
    run: Callable[[Callable[..., Any], Sequence[tuple[Any, ...]]], Iterator[tuple[int, Any]]]
    """``run(function, tasks)`` does ``function((lanes, controller, device), *task)`` wherever lanes run, for who learns
    from every step: it yields the index of a task and its result as they come in."""
    max_steps: int  #: of an episode
    patience: int | None = None  #: steps without a positive reward after which an episode is hopeless
    members: int = 1  #: of M, in the dream: number ``seed % members`` dreams an episode


@dataclass(frozen=True)
class Task:
    """What is to be learned."""

    model: WorldModel
    spec: Spec
    controller: Controller
    initial: NDArray[np.float64]  #: [P]; zeros, or an earlier agent's weights
    warm: bool  #: whether ``initial`` is an earlier agent's
    seed: int
    folder: Path  #: the stage's folder: a learner may keep files there
    run: Path | None = None  #: the folder of V and M


@dataclass(frozen=True)
class Progress:
    """What came of one iteration."""

    fitness: NDArray[np.float64]  #: [K] mean returns of the candidates, or returns of the episodes; may be empty
    steps: int  #: decisions
    facts: Mapping[str, Any] = field(default_factory=dict)  #: more to remember; what is a number becomes a curve


class Learner(Protocol):
    """It improves C. Its whole course is a function of its options, the task, and what the world answers."""

    @property
    def weights(self) -> Array:
        """C as it stands ``[P]``; under noise a better answer than the best that was seen."""

    @property
    def results(self) -> Mapping[str, Array]:
        """What else is written beside the weights at the end, by name."""

    @property
    def state(self) -> dict[str, Any]:
        """All that :meth:`restore` needs: numbers, strings, arrays and containers of them."""

    def improve(self, world: World, iteration: int) -> Progress:
        """One iteration: a generation, or some episodes and what is learned from them.

        Args:
            iteration: counted from 0. All chance comes from the task's seed and this number, or is in the state.
        """

    def restore(self, state: Mapping[str, Any]) -> bool:
        """Go on from a state. False if it cannot be used: made by another version, say; nothing is changed then."""

    def repeat(self, record: Mapping[str, Any]) -> bool:
        """Do an iteration again from its line in ``history.jsonl`` alone, where that is possible at all."""


class LearnerOptions(Protocol):
    """A learner's options: a frozen dataclass beside the learner, and a field of ``ControllerConfig``.

    That field is its registration: its name is what ``--controller.learner`` takes.
    """

    worlds: ClassVar[Sequence[str]]  #: in which it can learn: real, dream

    def check(self) -> None:
        """Refuse what makes no sense.

        Raises:
            UserError: it names the option.
        """

    def shape(self, spec: ControllerSpec) -> Spec:
        """The controller that is learned, where ``spec`` says what it sees."""

    def decisions(self, max_steps: int) -> int:
        """What one iteration takes, at most, where an episode has ``max_steps`` decisions."""

    def begin(self, task: Task) -> Learner: ...

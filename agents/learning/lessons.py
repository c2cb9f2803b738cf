"""Lessons before an evolution: an actor-critic learns to act, C becomes its pupil, and evolution has the last word.

Gradients find a way to drive in a tenth of the episodes that evolution needs for it, because every decision teaches
them something and not only every episode; evolution then improves the small C on the return itself, which is what
counts. The mixture is that of CEM-RL (Pourchot & Sigaud 2019), one after the other instead of side by side.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from agents.learning.config import ControllerConfig
from rollouts.console import say
from rollouts.runs.layout import Run


def after_lessons(config: ControllerConfig, folder: Path, learn: Callable[[ControllerConfig, Path], Path]) -> Path:
    """The controller's folder of C as its teacher's pupil, from where it is evolved.

    Args:
        folder: of the controller's run or round; both get folders in it, which a later command finds complete.
        learn: learns with these options into this folder.
    """
    say(f"C: first a teacher, by {config.teacher}")
    learn(config.teaching, Run(folder).teacher.path)
    say("C: becomes its teacher's pupil")
    return learn(config.imitation, Run(folder).distilled.path)


def lessons_in(config: ControllerConfig, folder: Path) -> list[Run]:
    """Where the lessons of a controller are: its teacher, and what C learned from it."""
    return [Run(folder).teacher, Run(folder).distilled] if config.taught else []

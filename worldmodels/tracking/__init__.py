"""Where curves and pictures of a training go beside its own files: TensorBoard always, others where asked for.

A tracker is a class with the four verbs of :class:`Tracker`, made from the :class:`Work` that it follows. Every stage
of every round is one run of the tracker, named after the run directory; continuing a stage continues its tracked run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from rollouts.errors import UserError
from rollouts.runs.files import read_json
from rollouts.runs.layout import Run
from rollouts.runs.stage import Stage

if TYPE_CHECKING:
    from worldmodels.pictures import Frames

TrackerName = Literal["wandb", "mlflow"]
PLACES = {
    "tensorboard": "worldmodels.tracking.tensorboard",
    "wandb": "worldmodels.tracking.wandb_runs",
    "mlflow": "worldmodels.tracking.mlflow_runs",
}
"""The module of each tracker, whose ``TRACKER`` is made from some :class:`Work`."""
PACKAGES = {"wandb": "wandb", "mlflow": "mlflow"}
GROUPS = {"vae": "V", "mdnrnn": "M", "controller": "C", "images": "images", "vae-gan": "V, sharpened"}
"""What stands before the names of a stage's curves."""
OUTCOMES = {
    "vae": ("held_out/reconstruction", "held_out/kl"),
    "mdnrnn": ("held_out/z_nll_per_dim", "held_out/window_return/teacher_forced_r2"),
    "controller": ("validation/real", "score/mean"),
    "images": ("held_out/diversity",),
}
"""By which curves runs with different options are compared."""

_chosen: tuple[str, ...] = ()


class Tracker(Protocol):
    """What follows a training. Names are those of :class:`Work`, with its group before them."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """One point for every curve."""

    def picture(self, step: int, name: str, picture: Frames) -> None:
        """A picture ``[H, W, 3]``."""

    def histogram(self, step: int, name: str, values: Sequence[float]) -> None:
        """How numbers are spread."""

    def close(self) -> None:
        """Nothing comes any more; everything has to be written."""


@dataclasses.dataclass(frozen=True)
class Work:
    """What a tracker follows: a stage of a round of a run, and from which step on."""

    stage: Stage
    step: int = 0  #: what was tracked after it is tracked again
    goes_on: bool = True  #: False for a note on what is finished

    @property
    def group(self) -> str:
        return GROUPS.get(self.stage.name, self.stage.name)

    @property
    def run(self) -> Path:
        """The run directory, also of a round."""
        return Run(self.stage.run).whole.path

    @property
    def name(self) -> str:
        """``car/vae``, ``car/round-1/vae``."""
        folder = self.stage.path.resolve()
        return str(folder.relative_to(self.run.resolve().parent))

    @cached_property
    def options(self) -> dict[str, Any]:
        """The stage's options, those of its sections with the section's name before them."""
        file = self.stage.config_file
        return flat(read_json(file)) if file.exists() else {}

    @cached_property
    def commands(self) -> list[str]:
        """What was typed."""
        return [*self.stage.manifest.get("commands", [])]

    @property
    def outcomes(self) -> list[str]:
        """The full names of the curves by which runs are compared."""
        return [f"{self.group}/{name}" for name in OUTCOMES.get(self.stage.name, ())]

    def identity(self, tracker: str, make: str | None = None) -> str | None:
        """The tracked run that the stage was followed in before; ``make``, which is then noted, where there is none."""
        noted: dict[str, str] = self.stage.manifest.get("tracking", {})
        if tracker not in noted and make is not None:
            self.stage.note(tracking={**noted, tracker: make})
            return make
        return noted.get(tracker)


def flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """``{"spec": {"hidden": 8}} -> {"spec.hidden": 8}``; lists become words."""
    words: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            words |= flat(value, f"{before}{name}.")
        else:
            words[before + name] = value if isinstance(value, str | bool | int | float) else _word(value)
    return words


def _word(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, Sequence) else str(value)


def track_with(names: Sequence[str]) -> None:
    """From now on, trainings of this process are tracked here too.

    Raises:
        UserError: a package is missing.
    """
    global _chosen
    for name in names:
        if find_spec(PACKAGES[name]) is None:
            raise UserError(f"--track {name} needs a package that is not installed: pip install {PACKAGES[name]}")
    _chosen = tuple(dict.fromkeys(names))


def trackers(work: Work) -> list[Tracker]:
    """One of each kind that is wanted, following this work.

    Raises:
        UserError: a tracker refuses.
    """
    return [import_module(PLACES[name]).TRACKER(work) for name in ("tensorboard", *_chosen)]


def note(stage: Stage, step: int, values: Mapping[str, float]) -> None:
    """Add what was found out once the stage was finished, such as a score, to what was tracked of it."""
    work = Work(stage, step, goes_on=False)
    for tracker in trackers(work):
        tracker.scalars(step, {f"{work.group}/{name}": value for name, value in values.items()})
        tracker.close()

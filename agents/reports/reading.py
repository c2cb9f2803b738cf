"""What there is to report of a run. Nothing is written; what is damaged becomes a sentence, and the rest is read."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from rollouts.envs.presets import resolve
from rollouts.envs.trust import recorded_env
from rollouts.errors import UserError
from rollouts.runs.files import read_json, read_json_lines
from rollouts.runs.layout import Run
from rollouts.runs.stage import Stage

T = TypeVar("T")


@dataclass(frozen=True)
class Part:
    """A stage of a round, as far as it can be read."""

    round: int
    stage: Stage
    complete: bool
    manifest: Mapping[str, Any]
    config: Mapping[str, Any]
    metrics: Sequence[Mapping[str, Any]]  #: a record per line of its log; of C, per generation
    held_out: Sequence[Mapping[str, Any]]
    diagnostics: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.stage.name


@dataclass
class RunFacts:
    """A run with all its rounds."""

    name: str
    run: Run
    preset: str = ""
    parts: list[Part] = field(default_factory=list)
    evaluations: dict[int, Mapping[str, Any]] = field(default_factory=dict)  #: by round
    faults: list[str] = field(default_factory=list)

    @property
    def rounds(self) -> list[int]:
        return sorted({part.round for part in self.parts})

    @property
    def round(self) -> int:
        """The newest."""
        return self.rounds[-1]

    def of(self, name: str) -> list[Part]:
        """One stage in all rounds that have it."""
        return [part for part in self.parts if part.name == name]

    def newest(self, name: str) -> Part | None:
        """The last round's, finished or not."""
        return next(reversed(self.of(name)), None)

    def finished(self, name: str) -> Part | None:
        """The last one that is finished."""
        return next((part for part in reversed(self.of(name)) if part.complete), None)

    @property
    def called(self) -> str:
        """How commands name it."""
        return self.name if self.name.startswith("pretrained/") else str(self.path)

    @property
    def path(self) -> Path:
        """Its directory."""
        return self.run.path

    def folder(self, number: int) -> Path:
        """A round's."""
        return self.run.round(number).path

    def tried(self, read: Callable[[], T], otherwise: T) -> T:
        """What can be read; else the reason is noted."""
        try:
            return read()
        except (UserError, OSError) as error:
            if (sentence := str(error)) not in self.faults:
                self.faults.append(sentence)
            return otherwise

    @property
    def repeat(self) -> int:
        """How many of the environment's own steps an action lasts."""
        manifest = next((part.manifest for part in reversed(self.parts) if "env" in part.manifest), None)
        return self.tried(lambda: resolve(recorded_env(manifest)).action_repeat, 1) if manifest else 1


def read_run(name: str | Path) -> RunFacts:
    """Read a run directory, or ``pretrained/NAME``.

    Raises:
        UserError: there is no run.
    """
    run = Run.named(name)
    facts = RunFacts(str(name) if run.path != Path(name) else run.path.resolve().name, run)
    for round_ in run.rounds:
        for stage in (*round_.stages, round_.images, round_.sharpened):
            if stage.manifest_file.exists():
                facts.parts += facts.tried(partial(_part, facts, round_.number, stage), [])
        if round_.evaluation.exists():
            facts.evaluations[round_.number] = facts.tried(partial(read_json, round_.evaluation), {})
    if not facts.parts and not facts.faults:
        raise UserError(f"There is no run at {name}: give a run directory, or pretrained/NAME.")
    if run.note.exists():
        note: Mapping[str, Any] = facts.tried(lambda: read_json(run.note), {})
        facts.preset = str(note.get("preset", ""))
    return facts


def _part(facts: RunFacts, number: int, stage: Stage) -> list[Part]:
    manifest = stage.manifest
    log = (stage.history, "fitness") if stage.name == "controller" else (stage.metrics, "step")
    nothing: Mapping[str, Any] = {}
    return [
        Part(
            number,
            stage,
            bool(manifest.get("complete")),
            manifest,
            facts.tried(lambda: stage.options, nothing) if stage.config_file.exists() else {},
            facts.tried(partial(read_json_lines, *log, stage.id), []),
            facts.tried(partial(read_json_lines, stage.held_out, "step", stage.id), []),
            facts.tried(partial(read_json, stage.diagnostics), nothing) if stage.diagnostics.exists() else {},
        )
    ]


def number(value: Any) -> float | None:
    """A finite number as it is; None for all else, of which damaged files may hold much."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def numbers(value: Any) -> list[float]:
    """The numbers of a list; nothing if it holds anything else."""
    items = [number(item) for item in value] if isinstance(value, Sequence) and not isinstance(value, str) else [None]
    return [item for item in items if item is not None] if None not in items else []


def within(facts: Any, *names: str) -> Any:
    """``facts[a][b]...``, None where there is no such entry."""
    for name in names:
        facts = facts.get(name) if isinstance(facts, Mapping) else None
    return facts


def episodes_of(report: Mapping[str, Any]) -> list[tuple[int, float, int]]:
    """Seed, return and length of every episode of a score."""
    episodes = []
    for episode in report.get("episodes") or () if isinstance(report.get("episodes"), list) else ():
        values = [number(within(episode, name)) for name in ("seed", "return", "length")]
        if None not in values:
            episodes.append((int(values[0] or 0), float(values[1] or 0), int(values[2] or 0)))
    return episodes

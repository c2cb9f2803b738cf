"""What there is to report of a run. Nothing is written; what is damaged becomes a sentence, and the rest is read."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from agents.records.costs import STAGES
from rollouts.envs.presets import resolve
from rollouts.envs.trust import recorded_env
from rollouts.errors import UserError
from rollouts.runs.files import read_json, read_json_lines
from rollouts.runs.layout import located, round_folder, round_number
from rollouts.runs.stage import Stage

KINDS = (*STAGES, "images", "vae-gan")
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

    @property
    def path(self) -> Path:
        return self.stage.path


@dataclass
class RunFacts:
    """A run with all its rounds."""

    name: str
    path: Path
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

    def folder(self, number: int) -> Path:
        """A round's."""
        return round_folder(self.path, number)

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
    path = located(name)
    facts = RunFacts(str(name) if path != Path(name) else path.name or path.resolve().name, path)
    rounds = sorted({0, *(round_number(folder) for folder in path.glob("round-*"))})
    for number in rounds:
        folder = round_folder(path, number)
        for kind in KINDS:
            if (folder / kind / "manifest.json").exists():
                part = facts.tried(lambda number=number, folder=folder, kind=kind: _part(facts, number, folder, kind), None)  # type: ignore[misc]
                facts.parts += [part] if part is not None else []
        if (score := folder / "evaluation.json").exists():
            facts.evaluations[number] = facts.tried(lambda score=score: read_json(score), {})  # type: ignore[misc]
    if not facts.parts and not facts.faults:
        raise UserError(f"There is no run at {name}: give a run directory, or pretrained/NAME.")
    if (note := path / "run.json").exists():
        facts.preset = str(facts.tried(lambda: read_json(note), {}).get("preset", ""))
    return facts


def _part(facts: RunFacts, number: int, folder: Path, kind: str) -> Part:
    stage = Stage(folder, kind)
    manifest, log = stage.manifest, ("history.jsonl", "fitness") if kind == "controller" else ("metrics.jsonl", "step")
    config, diagnostics = stage.path / "config.json", stage.path / "diagnostics.json"
    nothing: Mapping[str, Any] = {}
    return Part(
        number,
        stage,
        bool(manifest.get("complete")),
        manifest,
        facts.tried(lambda: read_json(config), nothing) if config.exists() else {},
        facts.tried(lambda: read_json_lines(stage.path / log[0], log[1]), []),
        facts.tried(lambda: read_json_lines(stage.path / "held_out.jsonl", "step"), []),
        facts.tried(lambda: read_json(diagnostics), nothing) if diagnostics.exists() else {},
    )


def number(value: Any) -> float | None:
    """A finite number as it is; None for all else, of which damaged files may hold much."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def numbers(value: Any) -> list[float]:
    """The numbers of a list; nothing if it holds anything else."""
    found = [number(item) for item in value] if isinstance(value, Sequence) and not isinstance(value, str) else [None]
    return [item for item in found if item is not None] if None not in found else []


def within(facts: Any, *names: str) -> Any:
    """``facts[a][b]...``, None where there is no such entry."""
    for name in names:
        facts = facts.get(name) if isinstance(facts, Mapping) else None
    return facts


def episodes_of(report: Mapping[str, Any]) -> list[tuple[int, float, int]]:
    """Seed, return and length of every episode of a score."""
    found = []
    for episode in report.get("episodes") or () if isinstance(report.get("episodes"), list) else ():
        values = [number(within(episode, name)) for name in ("seed", "return", "length")]
        if None not in values:
            found.append((int(values[0] or 0), float(values[1] or 0), int(values[2] or 0)))
    return found

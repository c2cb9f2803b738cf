"""Everything that was logged while something learned, over steps, frames and hours, all rounds in one line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agents.reports.reading import Part, RunFacts, number, numbers

AXES = ("steps", "frames", "hours")
LEFT_OUT = ("step", "seconds", "generation", "steps", "validation_steps", "validation_seconds", "averaged")
MOST = 160  #: points of a line; longer ones are averaged over neighbours


@dataclass(frozen=True)
class Point:
    """One value, and where in the learning it was."""

    round: int
    step: float  #: training steps, or generations
    frames: float  #: pictures or latents shown to a network; steps in the world or the dream for C
    hours: float
    value: float
    low: float | None = None
    high: float | None = None

    def at(self, axis: str) -> float:
        return {"steps": self.step, "frames": self.frames, "hours": self.hours}[axis]


@dataclass
class Curve:
    """One quantity of one stage."""

    stage: str
    name: str
    points: list[Point] = field(default_factory=list)
    held_out: list[Point] = field(default_factory=list)
    starts: list[Point] = field(default_factory=list)  #: where rounds after the first begin


def curves(run: RunFacts, stage: str) -> dict[str, Curve]:
    """A stage's curves by name, in the order of its log."""
    by_name: dict[str, Curve] = {}
    step = frames = hours = 0.0
    for part in run.of(stage):
        places = list(_places(part, run.repeat))
        for (own_step, own_frames, own_hours), record in zip(places, part.metrics, strict=True):
            here = (step + own_step, frames + own_frames, hours + own_hours)
            for name, (value, low, high) in _values(record).items():
                curve = by_name.setdefault(name, Curve(stage, name))
                if part.round and (not curve.points or curve.points[-1].round != part.round):
                    curve.starts.append(Point(part.round, step, frames, hours, 0.0))
                curve.points.append(Point(part.round, *here, value, low, high))
        _add_held_out(by_name, part, places, (step, frames, hours))
        if places:
            step, frames, hours = (before + own for before, own in zip((step, frames, hours), places[-1], strict=True))
    return by_name


def _add_held_out(
    by_name: dict[str, Curve], part: Part, places: Sequence[tuple[float, float, float]], before: tuple[float, ...]
) -> None:
    for record in part.held_out:
        own = next((place for place in places if place[0] >= (number(record.get("step")) or 0.0)), None)
        if own is None:
            continue
        step, frames, hours = (base + extra for base, extra in zip(before, own, strict=True))
        for name, (value, _, _) in _values(record).items():
            curve = by_name.setdefault(name, Curve(part.name, name))
            curve.held_out.append(Point(part.round, step, frames, hours, value))


def _places(part: Part, repeat: int) -> Iterator[tuple[float, float, float]]:
    """Steps, frames and hours at every record, from the beginning of the stage."""
    if part.name == "controller":
        yield from _generations(part, repeat)
        return
    per_step = number(part.config.get("batch_size")) or 1.0
    if part.name == "mdnrnn":
        per_step *= number(part.config.get("sequence_length")) or 1.0
    earlier = last = 0.0
    for record in part.metrics:
        step, seconds = number(record.get("step")) or 0.0, number(record.get("seconds")) or 0.0
        if seconds < last:  # the clock starts again when a stage is continued
            earlier += last
        last = seconds
        yield step, step * per_step, (earlier + seconds) / 3600


def _generations(part: Part, repeat: int) -> Iterator[tuple[float, float, float]]:
    frames = seconds = 0.0
    real = part.config.get("world", "real") == "real"
    for count, record in enumerate(part.metrics, 1):
        validation = sum(number(record.get(f"{when}validation_steps")) or 0.0 for when in ("", "initial_"))
        frames += (number(record.get("steps")) or 0.0) * (repeat if real else 1) + validation * repeat
        seconds += sum(number(record.get(name)) or 0.0 for name in ("seconds", "validation_seconds"))
        yield float(count), frames, seconds / 3600


def _values(record: Mapping[str, Any]) -> dict[str, tuple[float, float | None, float | None]]:
    """A record's quantities, with the range of those that have one."""
    values: dict[str, tuple[float, float | None, float | None]] = {}
    for name, value in record.items():
        if name == "fitness" and (fitness := numbers(value)):
            values[name] = sum(fitness) / len(fitness), min(fitness), max(fitness)
        elif name in LEFT_OUT or name.startswith("initial_") or name == "validation_sd":
            continue
        elif (finite := number(value)) is not None:
            sd = number(record.get("validation_sd")) if name == "validation" else None
            values[name] = finite, None if sd is None else finite - sd, None if sd is None else finite + sd
    return values


def thinned(points: Sequence[Point], most: int = MOST) -> list[Point]:
    """At most so many points, each the average of its neighbours; ranges stay as wide as they were."""
    if len(points) <= most:
        return [*points]
    size = -(-len(points) // most)
    groups = [points[first : first + size] for first in range(0, len(points), size)]
    return [_average(group) for group in groups]


def _average(group: Sequence[Point]) -> Point:
    def mean(name: str) -> float:
        return sum(float(getattr(point, name)) for point in group) / len(group)

    lows, highs = ([getattr(point, end) for point in group] for end in ("low", "high"))
    low = None if None in lows else min(lows)
    high = None if None in highs else max(highs)
    return Point(group[-1].round, group[-1].step, group[-1].frames, group[-1].hours, mean("value"), low, high)


def rows(run: RunFacts) -> Iterator[tuple[Any, ...]]:
    """Every point of every curve as a row of a table; see :data:`CSV_HEAD`."""
    for stage in dict.fromkeys(part.name for part in run.parts):
        for curve in curves(run, stage).values():
            for kind, points in (("training", curve.points), ("held out", curve.held_out)):
                for point in points:
                    yield (
                        *(run.name, point.round, stage, curve.name, kind, f"{point.step:g}", f"{point.frames:.10g}"),
                        *(f"{point.hours:.6g}", f"{point.value:.10g}"),
                    )


CSV_HEAD = ("run", "round", "stage", "curve", "kind", "step", "frames", "hours", "value")

"""Charts as inline SVG: their colours are the page's own, and they are legible on a phone."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from agents.reports.markup import Content, Markup, tag

WIDTH, HEIGHT = 440, 236
LEFT, RIGHT, TOP, BOTTOM = 54, 14, 12, 40
LOG_FROM = 25  #: times the least value from which on positive values are drawn on a logarithmic scale
COLOURS = 8  #: after which they begin again; see style.css


@dataclass(frozen=True)
class Line:
    """What one line of a chart shows."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    colour: int = 0
    dots: bool = False
    dashed: bool = False
    faint: bool = False


@dataclass(frozen=True)
class Axis:
    """From data to places in the picture."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False
    ticks: Sequence[float] = field(default_factory=list)

    def __call__(self, value: float) -> float:
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log10(low), math.log10(high), math.log10(max(value, low))
        return round(self.start + (value - low) / ((high - low) or 1.0) * (self.end - self.start), 1)


def short(value: float) -> str:
    """A number for an axis or a label: 1250000 -> 1.25M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size * (1 if size > 1e3 else 10):
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def linear(low: float, high: float, start: float, end: float, count: int = 4) -> Axis:
    """An axis whose ticks are round numbers; its ends are the data's, or ticks if the data nearly fill them."""
    if not high > low:
        low, high = low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2
    raw = (high - low) / count
    power = 10 ** math.floor(math.log10(raw))
    step = next(power * times for times in (1, 2, 2.5, 5, 10) if power * times >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    ticks = [(first + k) * step for k in range(count + 2) if (first + k) * step <= high + step * 1e-9]
    return Axis(low, high, start, end, ticks=[round(tick, 12) for tick in ticks])


def logarithmic(low: float, high: float, start: float, end: float) -> Axis:
    """An axis for positive values over several powers of ten."""
    ticks = [
        digit * 10.0**power
        for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for digit in ((1, 2, 5) if high / low < 300 else (1,))
        if low <= digit * 10.0**power <= high
    ]
    return Axis(low, high, start, end, True, ticks)


def lines(
    label: str,
    shown: Sequence[Line],
    x_name: str,
    marks: Sequence[tuple[float, str]] = (),
    levels: Sequence[tuple[float, str]] = (),
    log: bool | None = None,
    from_zero: bool = False,
) -> Markup:
    """Curves over a common axis, with bands where they have a range, and the values under the pointer.

    Args:
        label: what the chart shows, in words.
        marks: names of places on the horizontal axis; levels: of heights.
        log: a logarithmic scale; None where the values ask for it.
    """
    everything = [v for line in shown for v in (*line.y, *line.low, *line.high)] + [level for level, _ in levels]
    xs = [x for line in shown for x in line.x]
    if not xs:
        return tag("p", "Nothing was logged.", class_="missing")
    low, high = min(everything), max(everything)
    log = (low > 0 and high / low > LOG_FROM) if log is None else log and low > 0
    pad = (high - low) * 0.05
    down = (
        logarithmic(low * 0.93, high * 1.07, HEIGHT - BOTTOM, TOP)
        if log
        else linear(min(low - pad, 0) if from_zero else low - pad, high + pad, HEIGHT - BOTTOM, TOP)
    )
    across = linear(min(xs), max(xs), LEFT, WIDTH - RIGHT)
    parts: list[Content] = [_grid(across, down, x_name + (" (heights are logarithmic)" if log else ""))]
    for x, name in marks:
        place = across(x)
        parts.append(tag("line", x1=place, x2=place, y1=TOP, y2=HEIGHT - BOTTOM, class_="mark"))
        parts.append(tag("text", name, x=place + 4, y=TOP + 10, class_="note"))
    for level, name in levels:
        place = down(level)
        parts.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=place, y2=place, class_="mark"))
        parts.append(tag("text", name, x=WIDTH - RIGHT, y=place - 4, class_="note", text_anchor="end"))
    for line in shown:
        parts += _drawn(line, across, down)
    pointer = {
        "x": [across.low, across.high, across.start, across.end],
        "y": [down.low, down.high, down.start, down.end, int(log)],
        "lines": [[line.name, line.colour, _four(line.x), _four(line.y)] for line in shown if not line.faint],
    }
    legend = [
        tag("span", tag("i", class_=f"key c{line.colour % COLOURS}{' dashed' if line.dashed else ''}"), line.name)
        for line in shown
    ]
    return tag(
        "div",
        tag("p", legend, class_="legend") if len(shown) > 1 else None,
        _svg(label, parts, data_chart=json.dumps(pointer, separators=(",", ":"))),
        class_="chart",
    )


def _four(values: Sequence[float]) -> list[float]:
    return [float(f"{value:.5g}") for value in values]


def _svg(label: str, parts: Sequence[Content], height: int = HEIGHT, **more: str) -> Markup:
    return tag("svg", *parts, viewBox=f"0 0 {WIDTH} {height}", role="img", aria_label=label, **more)


def _grid(across: Axis, down: Axis, x_name: str) -> list[Markup]:
    parts = []
    for tick in down.ticks:
        y = down(tick)
        parts.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="rule"))
        parts.append(tag("text", short(tick), x=LEFT - 7, y=y + 4, text_anchor="end"))
    for tick in across.ticks:
        parts.append(tag("text", short(tick), x=across(tick), y=HEIGHT - BOTTOM + 17, text_anchor="middle"))
    parts.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=HEIGHT - BOTTOM, y2=HEIGHT - BOTTOM, class_="ground"))
    parts.append(tag("text", x_name, x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 6, text_anchor="middle", class_="name"))
    return parts


def _drawn(line: Line, across: Axis, down: Axis) -> list[Markup]:
    colour, parts = f"c{line.colour % COLOURS}", []
    places = [(across(x), down(y)) for x, y in zip(line.x, line.y, strict=True)]
    if line.low:
        edge = [(across(x), down(y)) for x, y in zip(line.x, line.high, strict=True)]
        edge += [(across(x), down(y)) for x, y in reversed([*zip(line.x, line.low, strict=True)])]
        parts.append(tag("path", d=f"M{' '.join(f'{x:g},{y:g}' for x, y in edge)}Z", class_=f"band {colour}"))
    if len(places) > 1:
        style = f"line {colour}{' dashed' if line.dashed else ''}{' faint' if line.faint else ''}"
        parts.append(tag("path", d=f"M{' '.join(f'{x:g},{y:g}' for x, y in places)}", class_=style))
    if line.dots or len(places) == 1:
        parts += [tag("circle", cx=x, cy=y, r=2.8, class_=f"dot {colour}") for x, y in places]
    return parts


def bars(label: str, values: Sequence[float], x_name: str, level: tuple[float, str] | None = None) -> Markup:
    """A bar for every value, side by side."""
    down = linear(min(0.0, *values), max(*values, (level or (0.0, ""))[0]) * 1.05, HEIGHT - BOTTOM, TOP)
    across = Axis(0, len(values), LEFT, WIDTH - RIGHT)
    parts: list[Content] = [_grid(across, down, x_name)]
    for place, value in enumerate(values):
        x, width = across(place), (WIDTH - LEFT - RIGHT) / len(values)
        top, ground = down(max(value, 0)), down(min(value, 0))
        asleep = level is not None and value < level[0]
        parts.append(
            tag(
                "rect",
                x=round(x + width * 0.12, 1),
                y=top,
                width=round(width * 0.76, 1),
                height=max(ground - top, 1),
                rx=1.5,
                class_=f"bar {'asleep' if asleep else 'c0'}",
            )
        )
    if level is not None:
        y = down(level[0])
        parts.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="mark"))
        parts.append(tag("text", level[1], x=WIDTH - RIGHT, y=y - 5, class_="note", text_anchor="end"))
    return tag("div", _svg(label, parts), class_="chart")


def histogram(label: str, values: Sequence[float], x_name: str, mean: float, interval: tuple[float, float]) -> Markup:
    """How often each value came; the mean with its interval is marked, and every value is a stroke below."""
    across = linear(min(values), max(values), LEFT, WIDTH - RIGHT, 5)
    bins = max(min(round(len(values) ** 0.5 * 1.6), 28), 4)
    counts = [0] * bins
    for value in values:
        counts[min(int((value - across.low) / (across.high - across.low) * bins), bins - 1)] += 1
    down = linear(0, max(counts) * 1.08, HEIGHT - BOTTOM, TOP)
    whole = Axis(down.low, down.high, down.start, down.end, ticks=[tick for tick in down.ticks if tick == int(tick)])
    parts: list[Content] = [
        tag(
            "rect",
            x=across(interval[0]),
            y=TOP,
            width=max(across(interval[1]) - across(interval[0]), 1),
            height=HEIGHT - BOTTOM - TOP,
            class_="interval",
        ),
        _grid(across, whole, x_name),
    ]
    width = (WIDTH - LEFT - RIGHT) / bins
    for number, count in enumerate(counts):
        if count:
            y = down(count)
            parts.append(
                tag(
                    "rect",
                    x=round(LEFT + number * width + 1, 1),
                    y=y,
                    width=round(width - 2, 1),
                    height=round(HEIGHT - BOTTOM - y, 1),
                    rx=2,
                    class_="bar c0",
                )
            )
    parts += [
        tag("line", x1=across(v), x2=across(v), y1=HEIGHT - BOTTOM - 6, y2=HEIGHT - BOTTOM, class_="rug")
        for v in values
    ]
    place = across(mean)
    parts.append(tag("line", x1=place, x2=place, y1=TOP, y2=HEIGHT - BOTTOM, class_="mean"))
    side = "end" if place > WIDTH * 0.7 else "start"
    parts.append(
        tag(
            "text",
            f"mean {short(mean)}",
            x=place + (-5 if side == "end" else 5),
            y=TOP + 11,
            text_anchor=side,
            class_="name",
        )
    )
    return tag("div", _svg(label, parts), class_="chart")


def reliability(label: str, points: Sequence[tuple[float, float, float, float, int]], of: str = "the end") -> Markup:
    """Predicted against observed frequencies, on logarithmic scales, beside the line where they agree.

    Args:
        points: mean prediction, frequency, its lower and upper bound, and how many cases they are of.
        of: what is predicted.
    """
    least = min([p for p, *_ in points if p > 0] + [f for _, f, *_ in points if f > 0] + [0.1])
    low = 10 ** math.floor(math.log10(max(least, 1e-6)))
    across = logarithmic(low, 1.0, LEFT, WIDTH - RIGHT)
    down = logarithmic(low, 1.0, HEIGHT - BOTTOM, TOP)
    parts: list[Content] = [_grid(across, down, f"probability of {of} that M gave (both scales are logarithmic)")]
    parts.append(tag("line", x1=across(low), y1=down(low), x2=across(1.0), y2=down(1.0), class_="mark"))
    for predicted, frequency, lower, upper, count in points:
        x, y = across(max(predicted, low)), down(max(frequency, low))
        parts.append(tag("line", x1=x, x2=x, y1=down(max(lower, low)), y2=down(max(upper, low)), class_="whisker"))
        never = " never" if frequency == 0 else ""
        parts.append(tag("circle", cx=x, cy=y, r=round(3 + min(math.log10(count), 4), 1), class_=f"dot c1{never}"))
    return tag("div", _svg(label, parts), class_="chart")


def intervals(label: str, shown: Sequence[tuple[str, float, float, float]], x_name: str) -> Markup:
    """A mean with its interval for each of several, one below the other."""
    height = 44 + 46 * len(shown)
    ends = [value for _, _, low, high in shown for value in (low, high)]
    pad = (max(ends) - min(ends)) * 0.08 or 1.0
    across = linear(min(ends) - pad, max(ends) + pad, 20, WIDTH - 20, 5)
    parts: list[Content] = []
    for tick in across.ticks:
        x = across(tick)
        parts.append(tag("line", x1=x, x2=x, y1=6, y2=height - 36, class_="rule"))
        parts.append(tag("text", short(tick), x=x, y=height - 22, text_anchor="middle"))
    parts.append(tag("text", x_name, x=WIDTH / 2, y=height - 5, text_anchor="middle", class_="name"))
    for row, (name, mean, low, high) in enumerate(shown):
        y, colour = 32 + 46 * row, f"c{row % COLOURS}"
        parts.append(tag("text", f"{name}: {mean:,.1f}", x=20, y=y - 12, class_="name"))
        parts.append(tag("line", x1=across(low), x2=across(high), y1=y, y2=y, class_=f"line thick {colour}"))
        parts.append(tag("circle", cx=across(mean), cy=y, r=5, class_=f"dot {colour}"))
    return tag("div", _svg(label, parts, height), class_="chart")

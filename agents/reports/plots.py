"""Curves of one run, or of several over each other, as figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agents.reports import charts, words
from agents.reports.curves import AXES, Curve, Point, thinned
from agents.reports.markup import Markup, figure, tag

FIRST = (
    *("reconstruction", "kl", "z_nll_per_dim", "reward_error", "termination_nats", "validation", "fitness"),
    *("sigma", "loss"),
)
DETAILS = ("mean_norm", "validation_sd", "updates", "alpha", "scale")
LINES = 20  #: points up to which a curve has dots


def ordered(names: Sequence[str]) -> list[str]:
    """Curves that matter most first."""
    return sorted(names, key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), names.index(name)))


def matters(curve: Curve) -> bool:
    """Whether a curve is drawn at once: it is known, or it is of the training itself."""
    return (curve.stage, curve.name) in words.CURVES or (bool(curve.points) and curve.name not in DETAILS)


def plot(curve: Curve) -> Markup:
    """One run's curve over every axis, its held-out points beside it."""
    title, caption = words.curve(curve.stage, curve.name)
    if curve.starts:
        caption += " Broken lines mark where a round begins."

    def drawn(axis: str) -> Markup:
        shown = [_line("training" if curve.held_out else title, curve.points, axis, 0)] if curve.points else []
        if curve.held_out:
            shown.append(_line("held-out episodes", curve.held_out, axis, 1, dots=True))
        marks = [(start.at(axis), f"round {start.round}") for start in curve.starts]
        return charts.lines(title, shown, words.axis(curve.stage, axis), marks, log=_log(curve.name))

    return figure(title, _by_axis(drawn), caption)


def overlay(curves: Mapping[str, Curve]) -> Markup:
    """The same curve of several runs."""
    first = next(iter(curves.values()))
    title, caption = words.curve(first.stage, first.name)
    held_out = all(curve.held_out for curve in curves.values())
    if held_out:
        title, caption = f"{title}: held-out episodes", caption

    def drawn(axis: str) -> Markup:
        shown = [
            _line(name, curve.held_out if held_out else curve.points, axis, number, ranges=False, dots=held_out)
            for number, (name, curve) in enumerate(curves.items())
        ]
        return charts.lines(title, shown, words.axis(first.stage, axis), log=_log(first.name))

    return figure(title, _by_axis(drawn), caption)


def chooser() -> Markup:
    """Buttons that say what all curves are drawn over."""
    names = {"steps": "Steps", "frames": "Frames", "hours": "Hours"}
    buttons = [
        tag("button", name, type="button", data_over=axis, aria_pressed="true" if axis == "steps" else "false")
        for axis, name in names.items()
    ]
    return tag("div", buttons, class_="over", role="group", aria_label="What curves are drawn over")


def _by_axis(draw: object) -> list[Markup]:
    assert callable(draw)
    return [tag("div", draw(axis), class_=f"by-{axis}") for axis in AXES]


def _log(name: str) -> bool | None:
    """Returns are never on a logarithmic scale; other curves are where they need it."""
    return False if name in ("fitness", "validation") else None


def _line(
    name: str, points: Sequence[Point], axis: str, colour: int, ranges: bool = True, dots: bool = False
) -> charts.Line:
    shown = thinned(points)
    ranged = ranges and all(point.low is not None and point.high is not None for point in shown)
    return charts.Line(
        name,
        [point.at(axis) for point in shown],
        [point.value for point in shown],
        [point.low for point in shown if point.low is not None] if ranged else (),
        [point.high for point in shown if point.high is not None] if ranged else (),
        colour,
        dots and len(shown) <= LINES * 2,
    )

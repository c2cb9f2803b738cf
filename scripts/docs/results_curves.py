"""Learning curves as pictures, beside the paper's."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from results_reference import Point

from agents.records.experiments import Experiment
from rollouts.errors import UserError
from rollouts.runs.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c564b", "#444444")  # Okabe & Ito first
PAPER_COLOUR = "#8a8f98"
LOGARITHMIC = 5  #: an x axis whose end is so many times its beginning
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e7ec",
    "legend.frameon": False,
    "lines.linewidth": 1.6,
}
Axis = Callable[[dict[str, Any]], float]
#: What a curve may be drawn over: axis label, and its value at a point of our curves. Dreams move only the second.
STEPS: tuple[str, Axis] = "environment steps", lambda point: max(point["environment_steps"], 1)
ALL_STEPS: tuple[str, Axis] = (
    "environment steps and imagined ones",
    lambda point: max(point["environment_steps"] + point["imagined_steps"], 1),
)
HOURS: tuple[str, Axis] = "hours of wall time", lambda point: max(point["seconds"], 1) / 3600


def draw_curves(experiments: Sequence[Experiment], paper: Sequence[Point], path: Path) -> None:
    """Validation (with the final score) above fitness, over environment steps and over hours.

    Args:
        paper: the paper's curve in the same world, if it is known.
    """
    figure, axes = _figure(2, len(experiments) + bool(paper))
    columns = ((STEPS, ALL_STEPS), (HOURS, HOURS))
    for (upper, lower), ((label, of_point), (label_below, of_point_below)) in zip(axes.T, columns, strict=True):
        if paper:
            _draw_paper(upper, label, paper)
        for number, experiment in enumerate(experiments):
            colour = COLOURS[number % len(COLOURS)]
            for points in _rounds(experiment):
                validated = [point for point in points if "validation" in point]
                upper.plot(
                    [of_point(point) for point in validated],
                    [point["validation"] for point in validated],
                    "o-",
                    color=colour,
                    ms=3.5,
                    label=experiment.title,
                )
                paid = _in_returns(points)
                x = [of_point_below(point) for point in paid]
                means, best = ([point[f"fitness_{name}"] for point in paid] for name in ("mean", "max"))
                lower.plot(x, means, color=colour, label=experiment.title)
                lower.fill_between(x, means, best, color=colour, alpha=0.15, lw=0)
            if experiment.evaluation:
                _draw_score(upper, of_point(experiment.curve[-1]), experiment.evaluation, colour)
        upper.set_title("Validation: the real score of the mean")
        lower.set_title("Fitness: mean to best of the population")
        upper.set_xlabel(label)
        lower.set_xlabel(label_below)
    _finish(figure, axes, path)


def draw_dreams(experiments: Sequence[Experiment], path: Path) -> None:
    """Dreamed fitness beside the real score of the same mean, one row per experiment."""
    figure, axes = _figure(len(experiments), 2)
    for row, experiment in zip(axes, experiments, strict=True):
        for axis, (label, of_point) in zip(row, (ALL_STEPS, HOURS), strict=True):
            for points in _rounds(experiment):
                dreamed = [point for point in _in_returns(points) if point["world"] == "dream"]
                real = [point for point in points if "validation" in point]
                axis.plot(
                    [of_point(point) for point in dreamed],
                    [point["fitness_mean"] for point in dreamed],
                    color=COLOURS[3],
                    label="dreamed: mean predicted return of the population",
                )
                axis.errorbar(
                    [of_point(point) for point in real],
                    [point["validation"] for point in real],
                    [point["validation_sd"] for point in real],
                    fmt="o-",
                    ms=3.5,
                    elinewidth=0.8,
                    color=COLOURS[0],
                    label="real: validation of the mean ± standard deviation",
                )
            axis.set_title(textwrap.fill(experiment.title, 52))
            axis.set_xlabel(label)
    _finish(figure, axes, path)


def _rounds(experiment: Experiment) -> list[list[dict[str, Any]]]:
    """The curve in pieces: nothing is drawn across the time in which V and M were fitted again."""
    numbers = sorted({point["round"] for point in experiment.curve})
    return [[point for point in experiment.curve if point["round"] == number] for number in numbers]


def _in_returns(points: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those whose fitness is a return: minus the expected hits of a dream has no place on that axis."""
    return [point for point in points if not point.get("hits")]


def _figure(rows: int, entries: int) -> tuple[Figure, Any]:
    """A white figure of two columns, with room for a legend below."""
    try:
        import matplotlib
    except ImportError:
        raise UserError("Pictures of curves need matplotlib: pip install -e '.[docs]'") from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    matplotlib.rcParams.update(STYLE)
    height = 3.3 * rows + 0.25 * -(-entries // 2) + 0.3
    return pyplot.subplots(rows, 2, figsize=(11, height), squeeze=False, layout="constrained")


def _draw_paper(axis: Axes, label: str, paper: Sequence[Point]) -> None:
    x = [point.environment_steps if "steps" in label else point.hours for point in paper]
    axis.plot(x, [p.score for p in paper], "s--", color=PAPER_COLOUR, ms=3.5, label="Ha & Schmidhuber 2018, 64 cores")


def _draw_score(axis: Axes, x: float, report: dict[str, Any], colour: str) -> None:
    """The score on test seeds, with its interval."""
    below, above = report["mean"] - report["interval_95_low"], report["interval_95_high"] - report["mean"]
    axis.errorbar([x], [report["mean"]], [[below], [above]], fmt="*", ms=12, color=colour, mec="white", capsize=3)


def _finish(figure: Figure, axes: Any, path: Path) -> None:
    """Axes with units, logarithmic where they span much; one legend below all, and the file."""
    from matplotlib import pyplot
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for axis in axes.flat:
        axis.set_ylabel("return per episode")
        low, high = axis.get_xlim()
        if high > LOGARITHMIC * max(low, 1e-9):
            axis.set_xscale("log")
            low, high = axis.get_xlim()
            axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 300 * low else (1,), numticks=20))
            axis.xaxis.set_minor_formatter(NullFormatter())
            axis.grid(True, which="minor", axis="x", color="#f2f4f7")
        axis.xaxis.set_major_formatter(FuncFormatter(_steps if "steps" in axis.get_xlabel() else _hours))
    entries: dict[str, Any] = {}
    for axis in axes.flat:
        entries |= {name: mark for mark, name in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(entries.values(), entries.keys(), loc="outside lower left", ncols=2)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110, metadata={"Software": None})
    pyplot.close(figure)


def _steps(value: float, _: int) -> str:
    """``2e6 -> '2M'``"""
    for factor, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{value / factor:g}{unit}"
    return f"{value:g}"


def _hours(value: float, _: int) -> str:
    return f"{value:g}" if value >= 0.01 else ""

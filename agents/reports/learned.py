"""What V, M and C have learned: their curves, their pictures, and how far they can be trusted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from agents.reports import charts, pictures, plots, words
from agents.reports.curves import curves
from agents.reports.markup import Content, Markup, figure, missing, table, tag
from agents.reports.reading import RunFacts, number, numbers, within
from agents.reports.reliability import ends, falls
from agents.reports.studio import Film, Studio
from rollouts.console import command
from worldmodels.fit_vae import ACTIVE_NATS

SHOWN = {
    *("z_nll_per_dim", "mixture_entropy", "open_loop", "window_return"),
    *("termination", "calibration", "episodes", "steps"),
}
SHOWN |= {"kl_per_unit", "reconstruction", "kl", "frames", "active_units"}


def seeing(run: RunFacts, studio: Studio) -> list[Content]:
    """V's section."""
    part = run.newest("vae")
    if part is None:
        return [missing("V was not trained yet.", command("train-vae", "--run", run.called))]
    facts = part.diagnostics
    figures = [*_curves(run, "vae"), _units(facts)]
    return [
        tag("p", _eyesight(facts), class_="lead"),
        plots.chooser() if any(figures) else None,
        tag("div", figures, class_="grid") if any(figures) else _no_curves(),
        _more_curves(run, "vae"),
        tag("div", _worst(run, studio), class_="grid"),
        _others(facts, "vae"),
    ]


def _eyesight(facts: Mapping[str, Any]) -> str:
    error, kl, active = (number(facts.get(name)) for name in ("reconstruction", "kl", "active_units"))
    units = len(numbers(facts.get("kl_per_unit")))
    if error is None or kl is None:
        return "V turns every picture into a few numbers z, and back."
    return (
        f"V turns every picture into {units or 'a few'} numbers z, and back. On held-out pictures its copies are off "
        f"by {error:,.1f} (squared error, summed over the picture), and z says {kl:,.1f} nats of each"
        + (f"; {active:.0f} of the numbers carry something." if active is not None else ".")
    )


def _units(facts: Mapping[str, Any]) -> Markup | None:
    units = sorted(numbers(facts.get("kl_per_unit")), reverse=True)
    if not units:
        return None
    caption = (
        f"How much each of the {len(units)} numbers says of a picture, the most telling first. Those below "
        f"{ACTIVE_NATS} nats, in grey, have gone to sleep: V does without them."
    )
    name = "numbers of z, sorted"
    return figure(
        "What the numbers of z carry",
        charts.bars("KL of every unit", units, name, (ACTIVE_NATS, "asleep below")),
        caption,
    )


def _worst(run: RunFacts, studio: Studio) -> list[Content]:
    part, worst = run.finished("vae"), studio.tried(studio.worst)
    if part is None:
        return []
    copies = pictures.stored_figure(
        "Pictures and V's copies of them",
        part.stage.picture("reconstructions"),
        "Recorded pictures above V's copies",
        "Held-out pictures above what V makes of them.",
    )
    if worst is None:
        gone = "The episodes, in which V's worst pictures would be found, are gone."
        never = "V's worst pictures need recorded episodes, which did not come with this run."
        return [copies, missing(gone if run.of("rollouts") else never)]
    errors = [f"{error:,.0f}" for error in worst.errors]
    frames = pictures.rows({"recorded": worst.frames, "V's copy": worst.copies}, errors)
    patches = pictures.rows({"recorded": worst.patches, "V's copy": worst.patch_copies})
    return [
        copies,
        figure(
            "The pictures that V copies worst",
            frames,
            f"Of {worst.count} held-out pictures. Below each is its error; half of all pictures are below "
            f"{worst.typical:,.0f}. What V does not draw, M and C cannot know.",
            wide=True,
        ),
        figure(
            "The patches that V copies worst",
            patches,
            "Squares of 16 by 16 pixels with the largest errors, enlarged: small things that V leaves out.",
            wide=True,
        ),
    ]


def foreseeing(run: RunFacts, studio: Studio) -> list[Content]:
    """M's section."""
    part = run.newest("mdnrnn")
    if part is None:
        return [missing("M was not trained yet.", command("train-mdnrnn", "--run", run.called))]
    facts = part.diagnostics
    figures = [*_curves(run, "mdnrnn"), _open_loop(facts)]
    return [
        tag("p", "M remembers what was seen and done, and foresees the next z, the reward and the end.", class_="lead"),
        _diagnosis(facts),
        plots.chooser() if any(figures) else None,
        tag("div", figures, class_="grid") if any(figures) else _no_curves(),
        _more_curves(run, "mdnrnn"),
        tag("div", [*_dreams(run, studio), ends(run, studio), falls(facts)], class_="grid"),
        _others(facts, "mdnrnn"),
    ]


def _diagnosis(facts: Mapping[str, Any]) -> Markup | None:
    """The figures of the diagnostics, each with what it means."""
    window = number(within(facts, "window_return", "window"))
    measures: list[tuple[str, float | None, str, str]] = [
        (
            "Surprise",
            number(facts.get("z_nll_per_dim")),
            "{:.3f} nats",
            "for each number of the next z, on held-out episodes",
        ),
        (
            "Return foreseen, fed with reality",
            number(within(facts, "window_return", "teacher_forced_r2")),
            "R² = {:.2f}",
            f"over {window or 0:.0f} steps: 1 is perfect, 0 as good as always guessing the mean",
        ),
        (
            "Return foreseen, running free",
            number(within(facts, "window_return", "free_running_r2")),
            "R² = {:.2f}",
            "the same where M gets only the actions, and dreams the rest",
        ),
        (
            "Ends foreseen",
            number(within(facts, "termination", "recall")),
            "{:.1%}",
            f"of {number(within(facts, 'termination', 'ends')) or 0:,.0f} held-out ends, with a probability above 1/2",
        ),
        (
            "False alarms",
            number(within(facts, "termination", "false_alarm_rate")),
            "{:.2%}",
            "of the steps that were no end",
        ),
    ]
    tiles = [
        tag("div", tag("span", name), tag("b", form.format(value)), tag("span", about))
        for name, value, form, about in measures
        if value is not None
    ]
    return tag("div", tiles, class_="tiles") if tiles else None


def _open_loop(facts: Mapping[str, Any]) -> Markup | None:
    by_horizon = facts.get("open_loop")
    points = []
    for horizon, errors in by_horizon.items() if isinstance(by_horizon, Mapping) else ():
        error, still = number(within(errors, "error")), number(within(errors, "standing_still"))
        if error is not None and still is not None and str(horizon).isdigit():
            points.append((float(horizon), error, still))
    if not points:
        return None
    horizons, errors_of, stills = (list(column) for column in zip(*sorted(points), strict=True))
    shown = [
        charts.Line("M's expectation", horizons, errors_of, colour=0, dots=True),
        charts.Line("a picture that stands still", horizons, stills, colour=7, dots=True, dashed=True),
    ]
    caption = (
        "M dreams on from a real moment with the actions that were really done. The distance of its z from the true "
        "one grows the further it looks ahead; below the broken line M knows more than that things stay as they are."
    )
    chart = charts.lines("Distance from the true z by horizon", shown, "steps ahead", log=False, from_zero=True)
    return figure("How far ahead M sees", chart, caption)


def _dreams(run: RunFacts, studio: Studio) -> list[Content]:
    part = run.finished("mdnrnn")
    if part is None:
        return []
    dream = pictures.stored_figure(
        "A dream beside reality",
        part.stage.picture("dream"),
        "What happened, V's picture of it, M's dream of it",
        "What happened, V's picture of it, and M's dream of it: M saw the first picture, then only the actions. "
        "Columns are 0, 5, 10, 15, 20, 25, 30, 40 and 50 steps later.",
    )
    film = studio.tried(studio.dreams)
    return [dream, _film(film)] if film is not None else [dream]


def _film(film: Film) -> Markup:
    alone = "what happened" not in film.views
    caption = (
        "Four dreams of the agent, each from a moment that was recorded once: no world is behind them, only M, and V "
        "that draws what M says. No held-out episode that is long enough to be held against them lies in the run."
        if alone
        else f"A held-out episode (seed {film.seed:,}). M saw what happened up to the first picture; from there on it "
        "gets the actions alone. The two dreams begin alike and drift apart: both are futures that M thinks possible."
    )
    title = "The agent in its dream" if alone else "A dream beside reality, step by step"
    return figure(title, pictures.film(film.views, film.rate, title), caption, wide=True)


def acting(run: RunFacts) -> list[Content]:
    """C's section."""
    part = run.newest("controller")
    if part is None:
        return [missing("C was not learned yet.", command("train-controller", "--run", run.called))]
    figures = _curves(run, "controller")
    world = {"dream": "in M's dream", "real": "in the real world"}.get(str(part.config.get("world")), "")
    learner = str(part.config.get("learner", "evolution"))
    weights, chosen = number(part.manifest.get("parameters")), number(part.manifest.get("validation"))
    sentence = f"C acts on what V sees and M remembers. It was learned by {learner} {world}".rstrip()
    if weights is not None:
        sentence += f", and has {weights:,.0f} weights"
    if chosen is not None:
        sentence += f". The agent is the one that scored best in validation: {chosen:,.1f}"
    return [
        tag("p", f"{sentence}.", class_="lead"),
        plots.chooser() if figures else None,
        tag("div", figures, class_="grid") if figures else _no_curves(),
        _more_curves(run, "controller"),
    ]


def _curves(run: RunFacts, stage: str, matter: bool = True) -> list[Content]:
    """The curves that matter, or those that do not."""
    by_name = curves(run, stage)
    ordered = [by_name[name] for name in plots.ordered(list(by_name))]
    return [plots.plot(curve) for curve in ordered if plots.matters(curve) == matter]


def _more_curves(run: RunFacts, stage: str) -> Markup | None:
    """Those that only say in detail what others say on the whole."""
    rest = _curves(run, stage, matter=False)
    if not rest:
        return None
    summary = tag("summary", f"{len(rest)} more curves of {words.STAGES[stage]}")
    return tag("details", summary, tag("div", rest, class_="grid inner"))


def _no_curves() -> Markup:
    return missing("There is no log of its learning: releases come without, and some runs were copied without.")


def _others(facts: Mapping[str, Any], stage: str) -> Markup | None:
    """Whatever else stands in the diagnostics: later versions measure more than this one draws."""
    rows = [(name, _said(value)) for name, value in facts.items() if name not in SHOWN]
    if not rows:
        return None
    return tag(
        "details",
        tag("summary", f"More measures of {words.STAGES[stage]}"),
        table(("Measure", "Value"), rows, "More measures"),
    )


def _said(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, float) else json.dumps(value)[:2000]

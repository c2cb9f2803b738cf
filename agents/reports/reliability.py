"""The report's figures of M's reliability: of what it says happens in one step of ten, a tenth should happen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.reports import charts
from agents.reports.markup import Markup, figure, table, tag
from agents.reports.reading import RunFacts, number, within
from agents.reports.studio import EPISODES, Studio, calibration, wilson


def ends(run: RunFacts, studio: Studio) -> Markup | None:
    """How reliable M's probabilities of the end are."""
    facts = studio.tried(studio.ends)
    title = "How reliable M's ends are"
    if facts is None:
        return None
    count = int(facts.ended.sum())
    if not count:
        return tag(
            "p",
            f"No end is among {len(facts.ended):,} held-out steps of {facts.episodes} episodes: how reliable M's "
            f"ends are cannot be said. Its largest probability of one was {float(facts.probabilities.max()):.2%}.",
            class_="missing",
        )
    points = calibration(facts.probabilities, facts.ended)
    caption = (
        f"At each of {len(facts.ended):,} held-out steps (of {facts.episodes} episodes; {EPISODES} at most) M gave a "
        f"probability that the episode ends with it; {count} did. Each dot gathers steps of similar probability, "
        "a larger one more of them; its height is how many really ended, its whisker a 95 % interval. On the broken "
        "line M is right; above it, ends come more often than M says. Empty dots lie at the bottom: none ended."
    )
    rows = [(f"{p:.4f}", f"{f:.4f}", f"{low:.4f} to {high:.4f}", n) for p, f, low, high, n in points]
    return tag(
        "figure",
        tag("h3", title),
        charts.reliability("Predicted probability of the end against how often it came", points),
        tag("figcaption", caption),
        table(("M said", "It came", "95 % interval", "Steps"), rows, "Reliability of M's ends"),
        class_="wide reliability",
    )


def falls(facts: Mapping[str, Any]) -> Markup | None:
    """How reliable M's probabilities of a fall of the watched variable are, from the diagnostics' curve."""
    measures = within(facts, "calibration", "fall")
    curve = within(measures, "curve") if isinstance(measures, Mapping) else None
    points = []
    for row in curve if isinstance(curve, list) else ():
        foreseen, happened, count = (number(within(row, name)) for name in ("foreseen", "happened", "steps"))
        if foreseen is not None and happened is not None and count:
            points.append((foreseen, happened, *wilson(round(happened * count), int(count)), int(count)))
    if not points:
        return None
    expected, happened = (number(within(measures, name)) or 0 for name in ("expected", "happened"))
    caption = (
        "At each held-out step M gave a probability that the watched variable falls. In all it expected "
        f"{expected:,.1f} falls, and {happened:,.0f} happened. Each dot gathers steps of similar probability; on the "
        "broken line M is right."
    )
    drawn = charts.reliability("Predicted probability of a fall against how often it came", points, "a fall")
    return figure("How reliable M's falls are", drawn, caption, wide=True)

"""Scores with every episode, and differences of scores on the same seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agents.evaluation import SCORE_EPISODES, summarise
from agents.reports import charts
from agents.reports.markup import Content, Markup, figure, missing, table, tag
from agents.reports.reading import RunFacts, episodes_of, number
from rollouts.console import command


def newest_score(run: RunFacts) -> tuple[int, Mapping[str, Any]] | None:
    """The newest round that has one, and the report."""
    reports = [(round_, report) for round_, report in sorted(run.evaluations.items()) if episodes_of(report)]
    return reports[-1] if reports else None


def is_score(report: Mapping[str, Any]) -> bool:
    """Whether it is of as many whole episodes as a score needs."""
    return report.get("is_score") is True and len(episodes_of(report)) >= SCORE_EPISODES


def statistics(report: Mapping[str, Any]) -> dict[str, float]:
    """Mean, spread and interval, from the episodes themselves."""
    return summarise([value for _, value, _ in episodes_of(report)])


def section(run: RunFacts) -> list[Content]:
    """The score, how it is spread, and every episode."""
    newest = newest_score(run)
    if newest is None:
        if run.finished("controller") is None:
            return [missing("There is no agent yet that could be scored.")]
        out = run.run.evaluation
        return [missing("The agent was not scored yet.", command("evaluate", "--agent", run.called, "--out", out))]
    round_, report = newest
    episodes, about = episodes_of(report), statistics(report)
    returns = [value for _, value, _ in episodes]
    low, high = about["interval_95_low"], about["interval_95_high"]
    what = "score" if is_score(report) else f"mean of {len(episodes)} episodes (a score takes {SCORE_EPISODES})"
    caption = (
        f"Each bar counts the episodes whose return lies there, each stroke at the bottom is one of them. The shaded "
        f"range is where the mean would lie in 95 of 100 repetitions of the measurement: {low:,.1f} to {high:,.1f}."
    )
    spread = charts.histogram(
        f"Returns of {len(episodes)} episodes", returns, "return of an episode", about["mean"], (low, high)
    )
    by_length = len({length for _, _, length in episodes}) > 1
    order = charts.lines(
        "Returns from the worst episode to the best",
        [charts.Line("return", list(range(1, len(returns) + 1)), sorted(returns), dots=len(returns) <= 120)],
        "episodes, from the worst to the best",
        log=False,
    )
    rows = [
        ("mean ± standard deviation", f"{about['mean']:,.1f} ± {about['sd']:,.1f}"),
        ("95 % interval of the mean", f"{low:,.1f} to {high:,.1f}"),
        ("worst, median, best", f"{about['min']:,.1f}, {about['median']:,.1f}, {about['max']:,.1f}"),
        ("environment", str(report.get("environment", "not said"))),
        ("seeds", f"{episodes[0][0]:,} to {episodes[-1][0]:,}, by which no agent was chosen"),
        ("measured in", f"round {round_}"),
    ]
    return [
        _warning(run, round_, report),
        tag("p", f"The {what} of the agent, on test seeds of the environment as its authors ship it.", class_="lead"),
        tag("dl", [[tag("dt", name), tag("dd", value)] for name, value in rows], class_="facts"),
        tag(
            "div",
            figure("How the returns are spread", spread, caption),
            figure(
                "From the worst episode to the best",
                order,
                "A flat line is an agent that can be relied on; a fall "
                "on the left are the episodes in which something goes wrong.",
            ),
            class_="grid",
        ),
        tag(
            "details",
            tag("summary", f"All {len(episodes)} episodes"),
            table(
                ("Seed", "Return", "Length") if by_length else ("Seed", "Return"),
                [
                    (str(seed), f"{value:,.2f}", length) if by_length else (str(seed), f"{value:,.2f}")
                    for seed, value, length in episodes
                ],
                "Every episode of the score",
                sortable=True,
            ),
        ),
    ]


def _warning(run: RunFacts, round_: int, report: Mapping[str, Any]) -> Markup | None:
    """Whether the score is of other weights than those that lie there now."""
    part = next((part for part in run.of("controller") if part.round == round_), None)
    weights = part.manifest.get("weights") if part else None
    measured = report.get("controller")
    if weights is None or measured is None or weights == measured:
        return None
    again = command("evaluate", "--agent", run.called, "--out", run.run.round(round_).evaluation)
    return tag(
        "p",
        "These are returns of other weights than the run's now. ",
        tag("code", again),
        " measures again.",
        class_="missing warning",
    )


def compared(runs: Sequence[RunFacts]) -> list[Content]:
    """Scores side by side, and their paired differences."""
    reports = [(run, newest[1]) for run in runs if (newest := newest_score(run)) is not None]
    if not reports:
        return [missing("None of these runs has a score yet.")]
    shown = [
        (run.name, about["mean"], about["interval_95_low"], about["interval_95_high"])
        for run, report in reports
        for about in (statistics(report),)
    ]
    worlds = {str(report.get("environment")) for _, report in reports}
    caption = "The dot is the mean return, the line its 95 % interval. "
    caption += "Where intervals do not overlap, the difference is hardly luck."
    if len(worlds) > 1:
        caption += f" Careful: these scores are of different worlds ({', '.join(sorted(worlds))})."
    few = [run.name for run, report in reports if not is_score(report)]
    if few:
        caption += f" Fewer than {SCORE_EPISODES} whole episodes, so no score: {', '.join(few)}."
    return [
        figure(
            "Mean returns",
            charts.intervals("Mean returns with their intervals", shown, "mean return"),
            caption,
            wide=True,
        ),
        *_paired(reports),
    ]


def _paired(reports: Sequence[tuple[RunFacts, Mapping[str, Any]]]) -> list[Content]:
    rows = []
    for place, (first, one) in enumerate(reports):
        for second, other in reports[place + 1 :]:
            if one.get("environment") != other.get("environment"):
                continue
            differences = paired(one, other)
            if len(differences) < 2:
                continue
            about = summarise(differences)
            better = sum(value > 0 for value in differences)
            rows.append(
                (
                    f"{second.name} − {first.name}",
                    len(differences),
                    f"{about['mean']:+,.1f}",
                    f"{about['interval_95_low']:+,.1f} to {about['interval_95_high']:+,.1f}",
                    f"{better} of {len(differences)}",
                )
            )
    if not rows:
        return [missing("No two of these scores share seeds of one world: there are no paired differences.")]
    head = ("Difference", "Shared seeds", "Mean", "95 % interval", "Better on")
    sentence = (
        "On seeds that two runs share, both met the same episodes: the differences of their returns say more than the "
        "two means do. An interval that does not hold 0 is a difference."
    )
    return [
        tag("h3", "Differences on the same episodes", class_="above"),
        tag("p", sentence, class_="lead"),
        table(head, rows, "Paired differences"),
    ]


def paired(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[float]:
    """The second's return minus the first's, for every seed that both were scored on."""
    first = {seed: value for seed, value, _ in episodes_of(one)}
    return [value - first[seed] for seed, value, _ in episodes_of(other) if seed in first]


def tile_of(run: RunFacts) -> tuple[str, str, str] | None:
    """The score, or what is known best, for the head of the page."""
    newest = newest_score(run)
    if newest is not None:
        about, count = statistics(newest[1]), len(episodes_of(newest[1]))
        name = "score" if is_score(newest[1]) else f"mean return (no score: {count} episodes)"
        more = f"95 % interval {about['interval_95_low']:,.0f} to {about['interval_95_high']:,.0f}"
        return name, f"{about['mean']:,.1f} ± {about['sd']:,.1f}", more
    part = run.finished("controller")
    validation = number(part.manifest.get("validation")) if part else None
    return None if validation is None else ("best validation", f"{validation:,.1f}", "not scored on test seeds yet")

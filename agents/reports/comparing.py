"""Several runs side by side: what differs in their options, their curves over each other, their scores."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from agents.reports import making, pictures, plots, scores, words
from agents.reports.curves import curves
from agents.reports.markup import Content, figure, missing, table, tag
from agents.reports.reading import Part, RunFacts
from rollouts.console import duration, size
from rollouts.envs.config import EnvConfig
from rollouts.envs.trust import recorded_env
from rollouts.runs.options import config_to_dict
from worldmodels.tracking import flat

STAGES = ("vae", "mdnrnn", "controller", "images", "vae-gan")


def overview(runs: Sequence[RunFacts]) -> list[Content]:
    """A column per run."""
    facts = [_facts(run) for run in runs]
    names = dict.fromkeys(name for facts_of in facts for name in facts_of)
    rows = [(name, *(facts_of.get(name, "–") for facts_of in facts)) for name in names]
    return [table(("", *(run.name for run in runs)), rows, "The runs side by side")]


def _facts(run: RunFacts) -> dict[str, str]:
    rows, score = making.books(run), scores.tile_of(run)
    steps, imagined = (sum(getattr(row, f"{kind}_steps") for row in rows) for kind in ("environment", "imagined"))
    facts = {
        "world": making.world_of(run) or "–",
        "preset": run.preset or "–",
        "rounds": str(len({row.round for row in rows})),
        "finished": ", ".join(words.STAGES[name] for name in words.STAGES if run.finished(name)) or "nothing",
        "return": f"{score[1]} ({score[0]})" if score else "–",
        "environment steps": making.short_count(steps) if steps else "–",
        "imagined steps": making.short_count(imagined) if imagined else "–",
        "time": duration(sum(row.seconds for row in rows)),
        "on disk": size(sum(making.disk(run).values())),
    }
    return {name: value for name, value in facts.items() if value != "–"}


def options(run: RunFacts) -> dict[str, str]:
    """Everything that was chosen, of the newest round, by name."""
    facts: dict[str, Any] = {"preset": run.preset or "–"}
    for kind in words.STAGES:
        if (part := run.newest(kind)) is not None:
            facts |= {f"{kind}.{name}": value for name, value in flat(part.config).items()}
            if (env := _env(run, part)) is not None:
                facts |= {f"env.{name}": value for name, value in flat(config_to_dict(env)).items()}
    facts |= {f"version of {name}": version for name, version in making.versions_of(run).items()}
    return {name: str(value) for name, value in facts.items()}


def _env(run: RunFacts, part: Part) -> EnvConfig | None:
    return run.tried(partial(recorded_env, part.manifest), None) if "env" in part.manifest else None


def differences(runs: Sequence[RunFacts]) -> list[Content]:
    """Options in which they are not alike."""
    chosen = [options(run) for run in runs]
    names = dict.fromkeys(name for one in chosen for name in one)
    rows = [
        (name, *(one.get(name, "–") for one in chosen)) for name in names if len({one.get(name) for one in chosen}) > 1
    ]
    if not rows:
        return [missing("All their options are the same.")]
    return [
        tag("p", "Options and versions of the newest rounds; in all others the runs are alike.", class_="lead"),
        table(("Option", *(run.name for run in runs)), rows, "Options that differ"),
    ]


def learning(runs: Sequence[RunFacts]) -> list[Content]:
    """Curves that at least two of them have, over each other."""
    figures: list[Content] = []
    for stage in STAGES:
        by_run = {run.name: own for run in runs if (own := curves(run, stage))}
        names = plots.ordered(list(dict.fromkeys(name for own in by_run.values() for name in own)))
        for name in names:
            having = {run: own[name] for run, own in by_run.items() if name in own}
            having = {run: curve for run, curve in having.items() if plots.matters(curve) and curve.points}
            if len(having) > 1:
                figures.append(plots.overlay(having))
    if not figures:
        return [missing("No two of these runs have a curve in common.")]
    return [plots.chooser(), tag("div", figures, class_="grid")]


def pictures_of(runs: Sequence[RunFacts]) -> list[Content]:
    """What V copies and M dreams, or an image model makes, of each run."""
    kinds = (
        ("vae", "reconstructions", "Held-out pictures above V's copies of them."),
        ("mdnrnn", "dream", "What happened, V's picture of it, and M's dream of it."),
        ("images", "samples", "What the model makes."),
    )
    figures: list[Content] = []
    for stage, name, caption in kinds:
        for run in runs:
            part = run.finished(stage)
            drawn = pictures.stored(part.stage.picture(name), f"{run.name}: {name}") if part is not None else None
            figures += [figure(f"{run.name}: {name}", drawn, caption)] if drawn is not None else []
    return [tag("div", figures, class_="pictures")] if figures else [missing("None of these runs holds a picture.")]

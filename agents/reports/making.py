"""What was done in a run, what it cost, and with which commands, options and versions."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agents.records.commands import worked_out
from agents.records.costs import cost_of, stages_of
from agents.reports import words
from agents.reports.markup import Content, Markup, missing, table, tag
from agents.reports.reading import RunFacts, number, within
from agents.reports.released import Row, card_commands, card_rows, is_release
from agents.viewing.moments import world_name
from rollouts.console import command, duration, size
from rollouts.envs.trust import recorded_env
from rollouts.runs.stage import MADE_BY
from worldmodels.tracking import flat

GROUPS = {
    "episodes": "episodes",
    "latents": "what V sees in them",
    "state.pt": "states to continue from",
    "state.older.pt": "states to continue from",
}


def books(run: RunFacts) -> list[Row]:
    """Every stage that has begun, in the order in which they ran; of a release, those of its card."""
    if is_release(run) and (own := card_rows(run)):
        return own
    rows: list[Row] = []
    for round_ in run.rounds:
        for stage in stages_of(run.folder(round_)):
            if not stage.manifest_file.exists():
                continue
            if run.tried(lambda stage=stage: stage.complete, False):  # type: ignore[misc]
                cost = run.tried(lambda stage=stage, round_=round_: cost_of(round_, stage), None)  # type: ignore[misc]
                if cost is not None:
                    what = cost.what if stage.run == run.folder(round_) else f"try {stage.run.name}: {cost.what}"
                    rows.append(
                        Row(round_, stage.name, what, cost.environment_steps, cost.imagined_steps, cost.seconds)
                    )
                    continue
            seconds = run.tried(lambda stage=stage: number(stage.manifest.get("seconds")), None)  # type: ignore[misc]
            rows.append(Row(round_, stage.name, "begun, not finished", seconds=seconds or 0.0, complete=False))
    for kind in ("images", "vae-gan"):
        for part in run.of(kind):
            steps = number(part.config.get("steps")) or 0
            what = f"{within(part.manifest, 'inputs', 'model') or 'V'}, {steps:,.0f} steps"
            rows.append(
                Row(
                    part.round,
                    kind,
                    what if part.complete else f"{what}, not finished",
                    seconds=number(part.manifest.get("seconds")) or 0.0,
                    complete=part.complete,
                )
            )
    return rows


def section(run: RunFacts) -> list[Content]:
    """Stages with their costs, the commands, and what was chosen."""
    rows = books(run)
    costs = table(
        ("Round", "Stage", "What", "Environment steps", "Imagined steps", "Time"),
        [
            (
                row.round,
                words.STAGES.get(row.stage, row.stage),
                row.what,
                _count(row.environment_steps),
                _count(row.imagined_steps),
                duration(row.seconds) if row.seconds else "–",
            )
            for row in rows
        ],
        "What each stage did and cost",
    )
    return [
        _share_of_time(rows),
        costs,
        tag("h3", "The commands", class_="above"),
        *_commands(run),
        *[_options(part.name, part.round, part.config) for part in _newest(run) if part.config],
        _versions(run),
    ]


def _count(steps: int) -> str:
    return f"{steps:,}" if steps else "–"


def _share_of_time(rows: Sequence[Row]) -> Markup | None:
    """Where the time went, as one bar."""
    spent: dict[str, float] = {}
    for row in rows:
        spent[row.stage] = spent.get(row.stage, 0.0) + row.seconds
    shares = {stage: seconds for stage, seconds in spent.items() if seconds}
    if not shares:
        return None
    legend = [
        tag("span", tag("i", class_=f"key c{number}"), f"{words.STAGES.get(stage, stage)}: {duration(seconds)}")
        for number, (stage, seconds) in enumerate(shares.items())
    ]
    bar = [tag("i", class_=f"c{number}", style=f"flex:{seconds:.3f}") for number, seconds in enumerate(shares.values())]
    return tag(
        "figure",
        tag("h3", "Where the time went"),
        tag("div", bar, class_="share", role="img", aria_label="Shares of the stages in the time"),
        tag("p", legend, class_="legend", style="margin-top:9px"),
        class_="wide",
        style="margin-top:18px",
    )


def _commands(run: RunFacts) -> list[Content]:
    typed = dict.fromkeys(card_commands(run) if is_release(run) else ()) or dict.fromkeys(
        line for part in run.parts for line in part.manifest.get("commands") or () if isinstance(line, str)
    )
    if typed:
        return [tag("pre", tag("code", "\n".join(typed)), tabindex=0, aria_label="The commands, as they were typed")]
    folders = [run.folder(number) for number in run.rounds]
    complete = all(run.finished(stage.name) for stage in run.run.stages)
    lines: list[str] = run.tried(lambda: worked_out(folders, run.called), []) if complete else []
    if not lines:
        return [missing("Nobody noted what was typed: it was made as a library, or by a version that did not.")]
    return [
        tag("p", "Nobody noted what was typed; from the options, such commands make the same:", class_="lead"),
        tag("pre", tag("code", "\n".join(lines)), tabindex=0, aria_label="Commands that make the same"),
    ]


def _newest(run: RunFacts) -> list[Any]:
    return [part for kind in words.STAGES if (part := run.newest(kind)) is not None]


def _options(stage: str, round_: int, config: Mapping[str, Any]) -> Markup:
    of = f", round {round_}" if round_ else ""
    return tag(
        "details",
        tag("summary", f"Options of {words.STAGES[stage]}{of}"),
        table(("Option", "Value"), [(name, str(value)) for name, value in flat(config).items()], f"Options of {stage}"),
    )


def versions_of(run: RunFacts) -> dict[str, str]:
    """Packages, and the commit, of the newest stage that tells."""
    manifest = next((part.manifest for part in reversed(run.parts) if part.manifest.get("versions")), {})
    versions = {str(name): str(version) for name, version in (manifest.get("versions") or {}).items()}
    commit = manifest.get("git_commit")
    return {**versions, **({"commit": str(commit)[:12]} if commit else {})}


def _versions(run: RunFacts) -> Markup | None:
    versions = versions_of(run)
    rows = [(name, version) for name, version in versions.items()]
    return tag("details", tag("summary", "Versions"), table(("Package", "Version"), rows, "Versions")) if rows else None


def disk(run: RunFacts) -> dict[str, int]:
    """Bytes on disk, by what they are."""
    sizes: dict[str, int] = {}
    for folder, _, names in os.walk(run.path):
        parts = Path(folder).relative_to(run.path).parts
        for name in names:
            kind = next((GROUPS[part] for part in (*parts, name) if part in GROUPS), "weights, logs and pictures")
            try:
                sizes[kind] = sizes.get(kind, 0) + (Path(folder) / name).lstat().st_size
            except OSError:  # it is being replaced at this moment
                continue
    return sizes


def world_of(run: RunFacts) -> str | None:
    """What the run's world is called."""
    manifest = next((part.manifest for part in run.parts if "env" in part.manifest), None)
    return run.tried(lambda: world_name(recorded_env(manifest)), None) if manifest else None


def tiles(run: RunFacts) -> list[Content]:
    """What it cost, in a few numbers."""
    rows, bytes_of = books(run), disk(run)
    steps, imagined = (sum(getattr(row, f"{kind}_steps") for row in rows) for kind in ("environment", "imagined"))
    largest = max(bytes_of, key=lambda kind: bytes_of[kind], default="")
    count = len({row.round for row in rows})
    shown: list[tuple[str, str, str]] = []
    if steps:
        shown.append(("steps in the real world", short_count(steps), "everything included"))
    if imagined:
        shown.append(("steps in the dream", short_count(imagined), "imagined by M"))
    if any(row.seconds for row in rows):
        shown.append(
            (
                "time",
                duration(sum(row.seconds for row in rows)),
                f"{count} round{'s' * (count > 1)}",
            )
        )
    shown.append(("on disk", size(sum(bytes_of.values())), f"most of it {largest}"))
    return [tile(*one) for one in shown]


def tile(name: str, value: Content, more: Content = "", main: bool = False) -> Markup:
    """A number that matters."""
    return tag("div", tag("span", name), tag("b", value), tag("span", more), class_="main" if main else None)


def short_count(steps: float) -> str:
    """``1234567 -> 1.23 million``."""
    return f"{steps / 1e6:.3g} million" if steps >= 1e6 else f"{steps:,.0f}"


def unfinished(run: RunFacts) -> list[Content]:
    """A sentence for every stage that is not finished."""
    return [
        missing(
            f"{words.STAGES[part.name]} of round {part.round} is not finished yet.",
            command(MADE_BY[part.name], "--run", run.called),
        )
        for part in run.parts
        if not part.complete
    ]

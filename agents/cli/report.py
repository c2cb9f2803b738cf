"""Report: one HTML file of a run, or of several side by side, that any browser opens without server or network.

worldmodels report
worldmodels report --run runs/car --out car.html
worldmodels report --run runs/car --run runs/other --out both.html --csv curves.csv
worldmodels report --run pretrained/carracing --out pretrained.html

It shows what was done and what it cost, curves, V's worst pictures, dreams beside reality, how reliable M's ends are,
and the score with every episode; of an image model, samples and measures. Runs are read and nothing in them is changed:
unfinished ones, old ones and releases are shown as far as they go.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from agents.cli.options import Command
from agents.cli.places import RUNS
from agents.reports.page import SECONDS, write_csv, write_report
from rollouts.console import command, say, size
from rollouts.errors import UserError
from rollouts.runs.layout import Run, runs_in


@dataclass(frozen=True)
class Arguments:
    """Which runs, and where to write."""

    run: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """A run directory or pretrained/NAME; several, each after --run, are compared. Default: what changed last."""
    out: Path | None = None
    """The HTML file. Default: NAME-report.html, in the current folder."""
    csv: Path | None = None
    """Write every point of every curve to this file too, as a table."""
    seconds: float = SECONDS
    """Time for the pictures that are computed, per run; 0 shows only those that lie there."""


def body(arguments: Arguments) -> None:
    """Write the file, and say where it is."""
    names = arguments.run or (str(newest().path),)
    out = arguments.out or Path(f"{Path(names[0]).resolve().name}{'-and-others' if len(names) > 1 else ''}-report.html")
    if out.suffix not in (".html", ".htm"):
        raise UserError(f"A report is an HTML file: --out {out.with_suffix('.html')}")
    if arguments.csv is not None and arguments.csv.absolute() == out.absolute():
        raise UserError(f"--out and --csv are both {out}: one would replace the other.")
    write_report(names, out, arguments.seconds)
    say(f"{out}: {size(out.stat().st_size)}. Open it in a browser.")
    if arguments.csv is not None:
        say(f"{write_csv(names, arguments.csv)}: every point of every curve.")


def newest() -> Run:
    """The run under runs/ that changed last, of an agent or of an image model.

    Raises:
        UserError: there is none.
    """
    changed = {run: max(file.stat().st_mtime for file in run.manifests) for run in runs_in(RUNS) if run.manifests}
    if not changed:
        raise UserError(f"There is no run under {RUNS}/ yet. Start one: {command('pipeline', '--preset', 'quick')}")
    return max(changed, key=lambda run: changed[run])


COMMAND = Command(__doc__, Arguments, body, main=("run", "out", "csv", "seconds"))

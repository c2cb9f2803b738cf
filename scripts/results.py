"""docs/results.md: keep what matters of finished runs in the repository, and make the page and its pictures from it.

python scripts/results.py add --run runs/car --name car --title "Quick preset" --goal full
python scripts/results.py add --evaluation random.json --name random --title "Random policy"
python scripts/results.py build
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import tyro
from cli import processor, shown, tell_errors
from readme import rewrite_readme
from results_curves import draw_curves, draw_dreams
from results_page import document, summary
from results_reference import GOALS

from agents.experiments import keep, read
from rollouts.artifacts import atomic_path
from rollouts.console import say
from rollouts.errors import UserError
from rollouts.workers import default_workers

GoalName = Literal["full", "dream", "longest", "ablation", "strategy", "reference"]
FOLDER = Path(__file__).parent.parent / "docs" / "results"


def add(
    name: str,
    title: str,
    goal: GoalName = "reference",
    run: Path | None = None,
    evaluation: Path | None = None,
    machine: str | None = None,
    note: str = "",
    after: str | None = None,
    folder: Path = FOLDER,
) -> None:
    """Copy the essentials of an experiment to docs/results/NAME.

    Args:
        name: Its folder, and how the page links to it.
        title: What it is, in a few words.
        goal: The section of the page.
        run: Run directory, or one of its rounds.
        evaluation: The report of scripts/evaluate.py. Default: evaluation.json of the run's newest round.
        machine: Where it ran. Default: this machine.
        note: A sentence for the page: what limits it, say.
        after: An experiment kept before, whose episodes, V and M this one began with; its costs count here too.
        folder: Where experiments are kept.
    """
    here = f"{default_workers()} cores, {processor()}"
    say(f"Kept: {keep(folder, name, title, goal, machine or here, run, evaluation, note, after)}")


def build(folder: Path = FOLDER) -> None:
    """Write the page beside the folder, its pictures into it, and the README's table.

    Args:
        folder: Where experiments are kept.
    """
    experiments = read(folder)
    if not experiments:
        raise UserError(f"There are no experiments in {folder} yet; add some: python scripts/results.py add --help")
    pictures = {}
    for key in GOALS:
        curves = [experiment for experiment in experiments if experiment.goal == key and experiment.curve]
        if curves:
            pictures[key] = f"{folder.name}/{key}.png"
            draw_curves(curves, folder / f"{key}.png")
    if dreams := [experiment for experiment in experiments if experiment.dreams]:
        pictures["dreams"] = f"{folder.name}/dreams.png"
        draw_dreams(dreams, folder / "dreams.png")
    page = folder.with_suffix(".md")
    with atomic_path(page) as temporary:
        temporary.write_text(document(experiments, pictures))
    if folder == FOLDER:
        rewrite_readme("results", summary(experiments))
    say(f"{page}: {len(experiments)} experiments, {len(pictures)} pictures.")


if __name__ == "__main__":
    tell_errors(lambda: tyro.extras.subcommand_cli_from_dict({"add": add, "build": build}, description=shown(__doc__)))

"""docs/results.md: keep what matters of finished runs in the repository, and make the page and its pictures from it.

python scripts/docs/results.py add --run runs/car --name car --title "Quick preset" --goal full
python scripts/docs/results.py add --evaluation random.json --name random --title "Random policy"
python scripts/docs/results.py table --report runs/car/comparison/comparison.json
python scripts/docs/results.py build
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import tyro
from readme import rewrite_readme
from results_curves import draw_curves, draw_dreams
from results_page import document, summary
from results_reference import GOALS

from agents.cli.errors import tell_errors
from agents.cli.machine import processor
from agents.cli.options import shown
from agents.records.experiments import keep, read
from agents.studies import comparison, temperatures
from rollouts.console import say
from rollouts.errors import UserError
from rollouts.pools.processes import default_workers
from rollouts.runs.files import atomic_path, read_json, write_json

GoalName = Literal["full", "dream", "longest", "actor", "ablation", "strategy", "takecover", "reference"]
FOLDER = Path(__file__).parents[2] / "docs" / "results"
#: Reports that become tables of the page: their section, and what writes them.
TABLES: dict[str, tuple[GoalName, Callable[[dict[str, Any]], str]]] = {
    "comparison.json": ("ablation", comparison.markdown),
    "temperatures.json": ("takecover", temperatures.markdown),
}


def add(
    name: str,
    title: str,
    goal: GoalName = "reference",
    run: Path | None = None,
    evaluation: Path | None = None,
    machine: str | None = None,
    note: str = "",
    after: str | None = None,
    repeats: str | None = None,
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
        after: An experiment kept before, whose episodes, V and M this one began with; its costs count here too. A run
            of C alone (train-controller on a copy of V and M) needs it.
        repeats: An experiment kept before, of which this is the same again, from other seeds.
        folder: Where experiments are kept.
    """
    here = f"{default_workers()} cores, {processor()}"
    say(f"Kept: {keep(folder, name, title, goal, machine or here, run, evaluation, note, after, repeats)}")


def table(report: Path, note: str = "", folder: Path = FOLDER) -> None:
    """Keep the table of scripts/compare.py or scripts/sweep_temperature.py, every return included.

    Args:
        report: RUN/comparison/comparison.json or RUN/temperatures/temperatures.json.
        note: What the table tells, for the page.
        folder: Where experiments are kept.
    """
    if report.name not in TABLES:
        raise UserError(f"{report} is no table of a comparison: {' and '.join(TABLES)} are.")
    kept = {name: value for name, value in read_json(report).items() if name != "world_model"}  # a path of this machine
    write_json(folder / report.name, kept | {"note": note})
    say(f"Kept: {folder / report.name}")


def build(folder: Path = FOLDER) -> None:
    """Write the page beside the folder, its pictures into it, and the README's table.

    Args:
        folder: Where experiments are kept.
    """
    experiments = read(folder)
    if not experiments:
        raise UserError(f"There are no experiments in {folder} yet; see python scripts/docs/results.py add --help")
    pictures = {}
    for key, goal in GOALS.items():
        curves = [experiment for experiment in experiments if experiment.goal == key and experiment.curve]
        if curves:
            pictures[key] = f"{folder.name}/{key}.png"
            draw_curves(curves, goal.paper, folder / f"{key}.png")
    if dreams := [experiment for experiment in experiments if experiment.dreams]:
        pictures["dreams"] = f"{folder.name}/dreams.png"
        draw_dreams(dreams, folder / "dreams.png")
    tables: dict[str, str] = {}
    for name, (section, markdown) in TABLES.items():
        if (folder / name).exists():
            report = read_json(folder / name)
            tables[section] = f"{markdown(report)}\n{report.get('note', '')}".rstrip()
    page = folder.with_suffix(".md")
    with atomic_path(page) as temporary:
        temporary.write_text(document(experiments, pictures, tables))
    if folder == FOLDER:
        rewrite_readme("results", summary(experiments))
    say(f"{page}: {len(experiments)} experiments, {len(pictures)} pictures.")


if __name__ == "__main__":
    commands: dict[str, Callable[..., None]] = {"add": add, "table": table, "build": build}
    tell_errors(lambda: tyro.extras.subcommand_cli_from_dict(commands, description=shown(__doc__)))

"""Experiments: what is worth keeping of a run once it is over, small enough for the repository.

``FOLDER/NAME/experiment.json`` holds what was asked and what it cost, ``history.jsonl`` the learning curve (a line per
generation, with everything spent up to then), and ``evaluation.json`` the score with every episode.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agents.learning.config import ControllerConfig
from agents.learning.history import steps_taken
from agents.records.commands import commands
from agents.records.costs import Cost, costs, history, only_controller, rounds_of
from rollouts.console import command
from rollouts.envs.presets import resolve
from rollouts.envs.trust import recorded_env
from rollouts.errors import UserError
from rollouts.runs.files import (
    file_hash,
    read_json,
    read_json_lines,
    remove_folder,
    replace_folder,
    write_json,
    write_json_lines,
)
from rollouts.runs.layout import Run


@dataclass(frozen=True)
class Experiment:
    """An experiment as it is kept."""

    name: str
    title: str
    goal: str  #: the section of the page it belongs to
    note: str
    machine: str
    commands: list[str]
    costs: list[dict[str, Any]]  #: see :class:`agents.records.costs.Cost`
    versions: dict[str, str]
    validation: float | None
    curve: list[dict[str, Any]]
    evaluation: dict[str, Any] | None
    repeats: str | None = None  #: the experiment of which this is the same again, from other seeds

    def total(self, what: str) -> float:
        """``environment_steps``, ``imagined_steps`` or ``seconds`` of all stages."""
        return sum(cost[what] for cost in self.costs)

    @property
    def dreams(self) -> bool:
        """Whether some fitness was dreamed."""
        return any(point["world"] == "dream" for point in self.curve)


def keep(
    folder: Path,
    name: str,
    title: str,
    goal: str,
    machine: str,
    run: Path | None = None,
    evaluation: Path | None = None,
    note: str = "",
    after: str | None = None,
    repeats: str | None = None,
) -> Path:
    """Copy the essentials of a run, of an evaluation, or of both, to ``folder/NAME``.

    Args:
        evaluation: the report; the one in the run's newest round if None.
        after: another experiment that is kept already, whose episodes, V and M the run began with, or for a run of C
            alone also the controller: what they cost is counted here too.
        repeats: another experiment that is kept already, of which this is the same again, from other seeds.

    Raises:
        UserError: there is neither a run nor a report, the run's report is of other weights than its agent, or the
            experiment ``after`` or ``repeats`` is not there.
    """
    if not name.replace("-", "_").isidentifier():
        raise UserError(f"An experiment's name is letters, digits and hyphens, not {name!r}.")
    if run is None and evaluation is None:
        raise UserError("Nothing to keep: give a --run, or an --evaluation, or both.")
    rounds = rounds_of(run) if run is not None else []
    report = read_json(evaluation) if evaluation is not None else own_report(rounds[-1])
    stage = Run(rounds[-1]).controller if rounds else None
    books, command_lines = [asdict(cost) for cost in costs(rounds)], commands(rounds, f"runs/{name}") if rounds else []
    points = curve(rounds) if rounds else []
    if only_controller(rounds) and after is None:
        raise UserError(
            f"{run} learned C alone: its V and M cost something too. Keep the run that they come from first, and name "
            "it with --after."
        )
    if repeats is not None:
        _experiment(folder, repeats)
    if after is not None:
        before = _experiment(folder, after)
        if only_controller(rounds):
            books, command_lines, points = _gone_on(before, rounds[0], books, command_lines, points)
        else:
            books, command_lines, points = _continued(before, name, books, command_lines, points)
    target, new_folder = folder / name, folder / f".{name}.new"
    if new_folder.exists():
        remove_folder(new_folder)
    write_json(
        new_folder / "experiment.json",
        {
            "title": title,
            "goal": goal,
            "note": note,
            "machine": machine,
            "commands": command_lines,
            "costs": books,
            "versions": stage.manifest["versions"] if stage else (report or {})["versions"],
            "validation": stage.manifest["validation"] if stage else None,
        }
        | ({} if repeats is None else {"repeats": repeats}),
    )
    if rounds:
        write_json_lines(new_folder / "history.jsonl", points)
    if report is not None:
        agent = report["agent"] if report["agent"] == "random policy" else name
        write_json(new_folder / "evaluation.json", {**report, "agent": agent})
    replace_folder(new_folder, target)
    return target


def _experiment(folder: Path, name: str) -> Experiment:
    experiment = next((experiment for experiment in read(folder) if experiment.name == name), None)
    if experiment is None:
        raise UserError(f"There is no experiment {name!r} in {folder}; keep it first.")
    return experiment


Books = tuple[list[dict[str, Any]], list[str], list[dict[str, Any]]]


def _gone_on(
    before: Experiment,
    run: Path,
    books: list[dict[str, Any]],
    command_lines: list[str],
    points: list[dict[str, Any]],
) -> Books:
    """Costs, commands and curve of a run of C alone, as one more round of the experiment whose V and M it has.

    Where C began with that experiment's controller, its search is the beginning of this one; else it does not count.
    """
    number, earlier, curve_before = before.costs[-1]["round"] + 1, before.costs, before.curve
    if "start_from" not in Run(run).controller.manifest["inputs"]:
        earlier = [c for c in earlier if (c["round"], c["stage"]) != (number - 1, "controller")]
        curve_before = []
    for what in ("environment_steps", "imagined_steps", "seconds"):
        shift = sum(cost[what] for cost in earlier)
        points = [{**point, what: point[what] + shift} for point in points]
    own = [{**cost, "round": number} for cost in books]
    points = [{**point, "round": number} for point in points]
    return [*earlier, *own], [*before.commands, *command_lines], [*curve_before, *points]


def _continued(
    before: Experiment,
    name: str,
    books: list[dict[str, Any]],
    command_lines: list[str],
    points: list[dict[str, Any]],
) -> Books:
    """Costs, commands and curve of a run that began with another's episodes, V and M, from that one's beginning."""
    borrowed = [cost for cost in books if cost["round"] == 0 and cost["stage"] != "controller"]
    own = [cost for cost in books if cost not in borrowed]
    for what in ("environment_steps", "imagined_steps", "seconds"):
        shift = before.total(what) - sum(cost[what] for cost in borrowed)
        points = [{**point, what: point[what] + shift} for point in points]
    copies = _copies(f"runs/{before.name}", f"runs/{name}", before.costs[-1]["round"])
    return [*before.costs, *own], [*before.commands, *copies, *command_lines[3:]], points


def _copies(source: str, target: str, rounds: int) -> list[str]:
    """Commands that begin a run with all episodes of another, and its newest V and M."""
    newest = f"{source}/round-{rounds}" if rounds else source
    later = " ".join(f"{source}/round-{number}/rollouts/episodes/*.npz" for number in range(1, rounds + 1))
    return [
        f"mkdir -p {target}",
        f"cp -r {source}/run.json {source}/rollouts {newest}/vae {newest}/mdnrnn {target}/",
        *([f"cp {later} {target}/rollouts/episodes/"] if later else []),
    ]


def own_report(folder: Path) -> dict[str, Any] | None:
    """The evaluation in a round's folder, if there is one.

    Raises:
        UserError: its agent is not the one that is there now.
    """
    path, weights = Run(folder).evaluation, Run(folder).controller.weights
    if not path.exists():
        return None
    report = read_json(path)
    if report["controller"] != file_hash(weights):
        raise UserError(
            f"{path} is the score of other weights than {weights}: measure again with "
            f"{command('evaluate', '--agent', folder, '--out', path)}"
        )
    return report


def read(folder: Path) -> list[Experiment]:
    """All experiments that were kept in ``folder``, by name."""
    experiments = []
    for path in sorted(folder.glob("[!.]*/experiment.json")):
        score = path.with_name("evaluation.json")
        experiments.append(
            Experiment(
                path.parent.name,
                **read_json(path),
                curve=[*read_json_lines(path.with_name("history.jsonl"), "generation")],
                evaluation=read_json(score) if score.exists() else None,
            )
        )
    return experiments


def curve(rounds: Sequence[Path]) -> list[dict[str, Any]]:
    """The learning curve over all rounds: fitness and validation, with what had been spent by then.

    ``environment_steps``, ``imagined_steps`` and ``seconds`` count everything since the beginning: recordings, the
    fitting of V and M, fitness and validation. Where a dream paid for hits or ends, ``hits`` tells that fitness is
    minus their number, and no return.
    """
    points: list[dict[str, Any]] = []
    books = costs(rounds)
    for number, folder in enumerate(rounds):
        before = _before(books, number)
        stage = Run(folder).controller
        config = stage.config(ControllerConfig)
        hits = config.world == "dream" and "paid" in (config.falls, config.ends)
        repeat = resolve(recorded_env(stage.manifest)).action_repeat
        seconds, records = before["seconds"], history(stage)
        for index, record in enumerate(records):
            fitness = np.array(record["fitness"])
            seconds += record["seconds"] + record["validation_seconds"]
            steps = steps_taken(records[: index + 1], config.world, repeat)
            point = {
                "round": number,
                "generation": record["generation"] + 1,
                "world": config.world,
                **({"hits": True} if hits else {}),
                "fitness_min": round(float(fitness.min()), 2),
                "fitness_mean": round(float(fitness.mean()), 2),
                "fitness_max": round(float(fitness.max()), 2),
                **({"sigma": round(record["sigma"], 5)} if "sigma" in record else {}),  # evolutions have one
                **{name: before[name] + count for name, count in steps.items()},
                "seconds": round(seconds, 1),
            }
            if "validation" in record:
                point |= {name: round(record[name], 2) for name in ("validation", "validation_sd")}
            points.append(point)
    return points


def _before(books: Sequence[Cost], number: int) -> dict[str, Any]:
    """What was spent before the evolution of a round began: all but the last cost of it, which is the evolution's."""
    *earlier, _ = [cost for cost in books if cost.round <= number]
    return {
        "environment_steps": sum(cost.environment_steps for cost in earlier),
        "imagined_steps": sum(cost.imagined_steps for cost in earlier),
        "seconds": sum(cost.seconds for cost in earlier),
    }

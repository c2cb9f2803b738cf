"""How hard should a dream be? Controllers evolved at several temperatures, each scored in its dream and in reality.

The paper's table for Take Cover: in a cold dream C learns to cheat, in a hot one it cannot learn. Everything is kept
under ``RUN/temperatures``, one small folder per temperature, so that an interrupted sweep continues.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from agents.evaluation import SCORE_EPISODES, evaluate
from agents.learning.config import ControllerConfig
from agents.studies.trials import (
    mean_cell,
    rows_before,
    score_cells,
    trial,
    world_model_folder,
    world_of,
    write_report,
)
from rollouts.console import say
from rollouts.envs.presets import reported, resolve
from rollouts.errors import UserError, require_at_least
from rollouts.pools.pool import Workers
from rollouts.runs.files import file_hash, read_json, write_json
from rollouts.runs.layout import Run
from rollouts.seeds import TEST

PAPER_TEMPERATURES = (0.1, 0.5, 1.0, 1.15, 1.3)


@dataclass(frozen=True)
class SweepConfig:
    """Which temperatures, and how well each is measured."""

    temperatures: tuple[float, ...] = PAPER_TEMPERATURES
    """Values of tau. More may be added later; what is done is not done again."""
    episodes: int = 200
    """Real episodes, and as many dreams, that every controller is scored on (test seeds)."""
    round: int | None = None
    """Which round's world model to dream with; the newest one if not given, 0 is the first pass."""

    def check(self) -> None:
        """Refuse what makes no sense.

        Raises:
            UserError: it names the option.
        """
        if self.episodes < SCORE_EPISODES:
            raise UserError(
                f"--sweep.episodes must be at least {SCORE_EPISODES}: fewer are no score. Got {self.episodes}."
            )
        if not self.temperatures or not all(tau >= 0 and math.isfinite(tau) for tau in self.temperatures):
            raise UserError(f"--sweep.temperatures must be numbers of at least 0, got {self.temperatures}.")
        require_at_least(0, self, ("round",), "sweep.")


def sweep(
    config: SweepConfig, controller: ControllerConfig, run: Path, workers: Workers, device: torch.device
) -> dict[str, Any]:
    """Evolve at every temperature, score, and write ``temperatures.json`` and ``temperatures.md``.

    Returns:
        the report: ``rows``, one per temperature, and ``random``, the random policy in the real world.

    Raises:
        UserError: there is no world model, or the options make no sense.
    """
    config.check()
    folder = world_model_folder(run, config.round)
    path, env = Run(folder).report("temperatures"), world_of(folder)
    m = file_hash(Run(folder).mdnrnn.weights)
    rows = rows_before(path, "temperature", config.episodes, mdnrnn=m)
    for temperature in config.temperatures:
        say(f"Temperature {temperature:g}:")
        options = replace(controller, world="dream", temperature=temperature)
        row = trial(options, folder, path.with_name(f"{temperature:g}"), config.episodes, workers, device)
        rows[temperature] = {"temperature": temperature, **row}
        done = path.with_name("random.json")
        if not done.exists() or len(read_json(done)["episodes"]) != config.episodes:
            write_json(done, evaluate("random", config.episodes, TEST, workers, env))
        report = {
            "world_model": str(folder),
            "mdnrnn": m,
            "environment": resolve(reported(env)).id,
            "random": read_json(done),
            "rows": [rows[temperature] for temperature in sorted(rows)],
        }
        write_report(path, report, markdown(report))
    return report


def markdown(report: dict[str, Any]) -> str:
    """The report as a table for people."""
    games = len(report["random"]["episodes"])
    lines = [
        f"Controllers evolved in dreams of different temperature; {games} dreams and {games} games of "
        f"`{report['environment']}` on test seeds. Real validation games decided which generation is kept, and are "
        "what to choose a temperature by; reality is the test of that choice.",
        "",
        "| temperature | in the dream (mean ± sd) | validation | in reality (mean ± sd) | 95 % interval | generation "
        "kept |",
        "|---|---|---|---|---|---|",
    ]
    for row in report["rows"]:
        kept = f"{row['selected_generation'] + 1} of {row['generations']}"
        scores = f"{mean_cell(row['dream'])} | {row['validation']:.0f} | {score_cells(row['real'])}"
        lines.append(f"| {row['temperature']:.2f} | {scores} | {kept} |")
    lines.append(f"| random policy | | | {score_cells(report['random'])} | |")
    return "\n".join(lines) + "\n"

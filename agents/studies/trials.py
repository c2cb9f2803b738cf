"""Trials: controllers of one world model that are evolved and scored alike, each in a small folder of its own.

What the sweep of temperatures and the comparison of controllers share. A trial that is finished is read again, so that
an interrupted series continues.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from agents.evaluation import play, summarise
from agents.fitness import RealTask, dream_evaluator
from agents.learning.config import ControllerConfig
from agents.learning.learn import evolve
from agents.standardiser import Standardiser
from rollouts.envs.config import EnvConfig
from rollouts.envs.presets import reported
from rollouts.envs.trust import recorded_env
from rollouts.pools.pool import Workers
from rollouts.runs.files import atomic_path, file_hash, read_json, write_json
from rollouts.runs.layout import Run
from rollouts.seeds import TEST
from worldmodels.training.checkpoint import load_tensors
from worldmodels.world_model import WorldModel

FROM_THE_STAGE = ("parameters", "selected_generation", "environment_steps", "imagined_steps", "seconds", "validation")
FROM_THE_OPTIONS = ("generations", "population", "rollouts")


def world_model_folder(run: Path, number: int | None) -> Path:
    """The folder of one round, or of the newest round that has a finished M.

    Raises:
        UserError: there is no finished M.
    """
    whole = Run(run)
    chosen = (whole.newest("mdnrnn") or whole) if number is None else whole.round(number)
    chosen.mdnrnn.require()
    return chosen.path


def world_of(folder: Path) -> EnvConfig:
    """The environment that a world model was fitted to."""
    return recorded_env(Run(folder).mdnrnn.manifest)


def trial(
    config: ControllerConfig, folder: Path, into: Path, episodes: int, workers: Workers, device: torch.device
) -> dict[str, Any]:
    """Evolve a controller, play whole episodes of the stock environment on test seeds, and store the results.

    Args:
        folder: the world model's.
        into: the trial's own folder, for the stage ``controller`` and ``score.json``.

    Returns:
        what ``score.json`` holds: what the evolution cost, ``validation``, and ``real``, every return and their
        :func:`agents.evaluation.summarise`. Of one evolved in a dream also ``dream``, as many whole dreams.
    """
    env = world_of(folder)
    evolve(config, folder, env, workers, device, into=into)
    stage, score = Run(into).controller, into / "score.json"
    identity = {"controller": file_hash(stage.weights), "episodes": episodes}
    if score.exists() and (report := read_json(score))["identity"] == identity:
        return report
    manifest, tensors = stage.manifest, load_tensors(stage.weights)
    parameters, standardiser = tensors["selected"].double().numpy(), Standardiser.among(tensors)
    row = {"identity": identity}
    row |= {name: getattr(config, name) for name in FROM_THE_OPTIONS}
    row |= {name: manifest[name] for name in FROM_THE_STAGE}
    seeds = range(TEST, TEST + episodes)
    if config.world == "dream":
        asleep = WorldModel.from_folder(folder, device).act_through(env)
        with dream_evaluator(config.dream(asleep, standardiser), workers) as dream:
            row["dream"] = _with_returns(dream(parameters[None], seeds, config.max_steps, progress="dreams").returns)
    model = WorldModel.from_folder(folder).act_through(env)
    played = play(RealTask(model, reported(env), config.controller, standardiser), parameters, seeds, workers)
    row["real"] = _with_returns(played.returns)
    write_json(score, row)
    return row


def _with_returns(returns: NDArray[np.float64]) -> dict[str, Any]:
    """Every episode's return beside their summary."""
    return {**summarise(returns), "returns": [round(float(value), 3) for value in returns]}


def rows_before(path: Path, key: str, episodes: int, **about: object) -> dict[Any, dict[str, Any]]:
    """The rows that earlier commands have put into a report, by their ``key``; none if it is about something else."""
    before = read_json(path) if path.exists() else {"rows": []}
    if any(before.get(name) != value for name, value in about.items()):
        return {}
    return {row[key]: row for row in before["rows"] if row["identity"]["episodes"] == episodes}


def score_cells(facts: dict[str, float]) -> str:
    """Two cells of a table: the mean with its standard deviation, and its 95 % interval."""
    return f"{mean_cell(facts)} | {facts['interval_95_low']:.0f} to {facts['interval_95_high']:.0f}"


def mean_cell(facts: dict[str, float]) -> str:
    """The mean with its standard deviation."""
    return f"{facts['mean']:.0f} ± {facts['sd']:.0f}"


def write_report(path: Path, report: dict[str, Any], text: str) -> None:
    """The report for programs, and beside it a page for people, ``path`` with the ending ``.md``."""
    write_json(path, report)
    with atomic_path(path.with_suffix(".md")) as temporary:
        temporary.write_text(text)

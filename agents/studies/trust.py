"""Can a dream be trusted, and which one best? The gate over many settings, and advice from it."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agents.evaluation import episode_limit
from agents.fitness import PoolEvaluator, RealTask, dream_evaluator
from agents.learning.config import ControllerConfig
from agents.learning.evolution import fitness_of
from agents.learning.gate import (
    ENOUGH,
    FIRST_SEED,
    GateConfig,
    Setting,
    dreamed_in,
    perturbed,
    real_returns,
    report_of,
    with_itself,
)
from agents.learning.learner import Task
from agents.networks import spec_of
from agents.pipeline.presets import PRESETS, preset_for
from agents.standardiser import Standardiser
from rollouts.console import progress_bar
from rollouts.envs.config import EnvConfig
from rollouts.envs.presets import resolve
from rollouts.envs.trust import recorded_env
from rollouts.errors import UserError
from rollouts.pools.pool import Workers
from rollouts.runs.files import file_hash, read_json
from rollouts.runs.layout import Run
from worldmodels.training.checkpoint import load_tensors
from worldmodels.world_model import WorldModel


def diagnose(agent: str | Path, gate: GateConfig, workers: Workers, device: torch.device) -> dict[str, Any]:
    """Rank perturbed controllers in dreams of many settings and in reality.

    Around the agent's own weights, or around zero where a run has a world model and no agent yet. Real episodes are
    whole ones, on validation seeds that choose no agent.

    Returns:
        the report: ``settings``, the best one first, ``asked`` and ``advised`` (two of them), ``real`` (the mean return
        of every controller), ``reality`` (rank correlation between halves of the real episodes), ``trusted``.

    Raises:
        UserError: there is no world model, or its agent is no linear controller.
    """
    gate.check()
    run = Run.named(agent)
    newest = run.newest("mdnrnn") or run
    folder = newest.path
    config, task, env = _of(newest, run, device)
    own = Setting(config.temperature, config.dropout, config.max_steps)
    controllers = perturbed(config, task, gate.controllers)
    limit, _ = episode_limit(env)
    seeing = WorldModel.from_folder(folder, "cpu", fast=True).act_through(env)
    standardiser = task.controller.standardiser
    with PoolEvaluator(RealTask(seeing, env, config.controller, standardiser), workers) as real:
        whole = partial(real, max_steps=limit, progress="real episodes")
        driven = real_returns(whole, controllers, gate.episodes)
    settings, seeds = gate.settings(own), range(FIRST_SEED, FIRST_SEED + gate.dreams)
    rows = []
    with (
        dream_evaluator(config.dream(task.model, standardiser), workers) as dream,
        progress_bar(len(settings), "dreams", "setting") as bar,
    ):
        for setting in settings:
            dreamed = dreamed_in(dream.pool.run, setting, controllers, gate.dreams)
            fitness = fitness_of(dreamed, seeds, task.model.mdnrnn.members, config.spread)
            rows.append(report_of(setting, fitness, driven))
            bar.update()
    rows.sort(key=lambda row: -row["correlation"])
    own_row = next(row for row in rows if Setting(row["temperature"], row["dropout"], row["horizon"]) == own)
    return {
        "agent": str(agent),
        "mdnrnn": file_hash(newest.mdnrnn.weights),
        "environment": resolve(env).id,
        "controllers": len(controllers),
        "dreams": gate.dreams,
        "episodes": gate.episodes,
        "real": np.round(driven.mean(1), 3).tolist(),
        "reality": with_itself(driven),
        "asked": own_row,
        "advised": rows[0],
        "trusted": rows[0]["correlation"] >= ENOUGH,
        "settings": rows,
    }


def _of(newest: Run, run: Run, device: torch.device) -> tuple[ControllerConfig, Task, EnvConfig]:
    """How C was or will be evolved, the start of evolution, and the world that C acts in."""
    folder, stage = newest.path, newest.controller
    if not stage.complete:
        env = recorded_env(newest.mdnrnn.require().manifest)
        name = read_json(run.note).get("preset") if run.note.exists() else None
        preset = preset_for(name if name in PRESETS else "laptop", env.id)
        config = dataclasses.replace(preset.controller, world="dream", learner="evolution")
        model = WorldModel.from_folder(folder, device).act_through(env)
        controller = config.controller.build(model)
        zero = np.zeros(controller.parameter_count)
        return config, Task(model, config.controller, controller, zero, False, config.seed, folder), env
    env, tensors = recorded_env(stage.manifest), load_tensors(stage.weights)
    config, spec = stage.config(ControllerConfig), stage.described("spec", spec_of)
    if config.learner != "evolution" or spec != config.controller:
        raise UserError(f"The gate perturbs linear controllers along evolution's steps; {folder} has another kind.")
    model = WorldModel.from_folder(folder, device).act_through(env)
    controller = config.controller.build(model, Standardiser.among(tensors))
    weights = tensors["selected"].double().cpu().numpy()
    config = dataclasses.replace(config, world="dream")
    return config, Task(model, config.controller, controller, weights, True, config.seed, folder), env


def markdown(report: dict[str, Any]) -> str:
    """The report as a table for people."""
    reality = "" if report["reality"] is None else f" ({report['reality']:.2f} between halves of the real episodes)"
    lines = [
        f"{report['controllers']} perturbed controllers, {report['dreams']} dreams and {report['episodes']} real "
        f"episodes each of `{report['environment']}`; rank correlation of their mean returns{reality}:",
        "",
        "| temperature | dropout | horizon | correlation |",
        "|---|---|---|---|",
    ]
    for row in report["settings"]:
        own = " (its own)" if row == report["asked"] else ""
        lines.append(
            f"| {row['temperature']:g} | {row['dropout']:g} | {row['horizon']} | {row['correlation']:.2f}{own} |"
        )
    return "\n".join([*lines, "", advice(report)])


def advice(report: dict[str, Any]) -> str:
    """Which dream to evolve in, in a sentence."""
    best = report["advised"]
    options = (
        f"--controller.temperature {best['temperature']:g} --controller.dropout {best['dropout']:g} "
        f"--controller.max-steps {best['horizon']}"
    )
    if report["trusted"]:
        return f"Dream with {options}: a correlation of {best['correlation']:.2f}."
    return (
        f"Warning: no setting reaches {ENOUGH}; the best is {options} with {best['correlation']:.2f}. What is better "
        "in these dreams is often not better in reality: fit M to more, and to what such controllers meet, before you "
        "evolve in them."
    )

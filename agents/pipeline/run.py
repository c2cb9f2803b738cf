"""All stages, one after the other."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from agents.agent import Agent
from agents.evaluation import evaluate, is_of, save_report, table
from agents.learning.learn import evolve
from agents.pipeline.estimate import estimate
from agents.pipeline.iterate import iterate
from agents.pipeline.sections import Sections
from agents.reports.page import write_report
from agents.viewing.watch import watch
from rollouts.collect import collect
from rollouts.console import duration, say
from rollouts.pools.pool import Workers
from rollouts.runs.files import read_json
from rollouts.runs.layout import Run
from worldmodels.fit_mdn_rnn import fit_mdn_rnn
from worldmodels.fit_vae import fit_vae
from worldmodels.tracking import note

LONG = 10_000  #: frames that V trains on, from which on it is worth measuring what all will take


def run_pipeline(config: Sections, run: Path, workers: Workers, device: torch.device) -> None:
    """Collect, fit V and M, evolve C, iterate, score, film; stages that are finished are skipped.

    The agent of the last round that is asked for is scored and filmed, also where there are later rounds.

    Raises:
        UserError: any stage's.
    """
    start = time.perf_counter()
    stages = (config.collect, config.vae, config.mdnrnn, config.controller, config.iterate)
    for section in (*stages, config.evaluate, config.watch):
        section.check()
    if config.vae.steps * config.vae.batch_size >= LONG and not Run(run).rollouts.path.exists():
        _announce(config, workers, device)
    store = collect(config.collect, config.env, run, workers)
    fit_vae(config.vae, run, [store], device)
    fit_mdn_rnn(config.mdnrnn, run, [store], device)
    evolve(config.controller, run, config.env, workers, device)
    newest = iterate(config.iterate, run, workers, device)
    agent, score = Agent.from_folder(newest, device), Run(newest).evaluation
    videos = {world: Run(newest).film(world) for world in ("real", "dream")}
    up_to_date = score.exists() and is_of(read_json(score), agent, config.evaluate)
    if score.exists() and not up_to_date:
        say(f"{score} is of other weights or other episodes: measured again.")
    if not up_to_date:
        report = evaluate(agent, config.evaluate.episodes, config.evaluate.seed, workers)
        for video in videos.values():  # first: a kill must leave no film of other weights beside the score
            video.unlink(missing_ok=True)
        save_report(report, score)
        note_score(newest, report)
    for world in ("real", "dream"):
        if not videos[world].exists():
            watch(agent, dataclasses.replace(config.watch, world=world), videos[world])
    page = Run(run).page
    if not page.exists() or page.stat().st_mtime < max(file.stat().st_mtime for file in (score, *videos.values())):
        write_report([run], page)
    say(
        f"\n{table(read_json(score))}\n\nDone in {duration(time.perf_counter() - start)}.\n"
        f"  the agent driving      {videos['real']}\n"
        f"  the agent dreaming     {videos['dream']}\n"
        f"  every episode's score  {score}\n"
        f"  all of it on one page  {page}\n"
        f"  curves while it runs   tensorboard --logdir {run}"
    )


def note_score(folder: Path, report: Mapping[str, Any]) -> None:
    """Let a score stand beside the curves of the controller that has it."""
    controller = Run(folder).controller
    names = ("mean", "sd", "interval_95_low", "interval_95_high")
    note(controller, controller.manifest["selected_generation"] + 1, {f"score/{name}": report[name] for name in names})


def _announce(config: Sections, workers: Workers, device: torch.device) -> None:
    say("Measuring this machine for some seconds...")
    parts = estimate(config, workers, device)
    total = duration(sum(cost.seconds for cost in parts))
    say(f"In all about {total} on this machine: {', '.join(f'{part} {duration(seconds)}' for part, seconds in parts)}.")

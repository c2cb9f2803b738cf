"""All stages, one after the other."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Protocol

import torch

from agents.agent import Agent
from agents.evaluation import EvaluateConfig, evaluate, is_of, save_report, table
from agents.learning.config import ControllerConfig
from agents.learning.learn import evolve
from agents.pipeline.iterate import IterateConfig, iterate
from agents.viewing.watch import WatchConfig, watch
from rollouts.collect import CollectConfig, collect
from rollouts.console import duration, say
from rollouts.envs.config import EnvConfig
from rollouts.pools.pool import Workers
from rollouts.runs.files import read_json
from worldmodels.configs import MDNRNNConfig, VAEConfig
from worldmodels.fit_mdn_rnn import fit_mdn_rnn
from worldmodels.fit_vae import fit_vae


class Sections(Protocol):
    """The configurations of all stages (``agents.pipeline.presets.PipelineConfig`` has them)."""

    env: EnvConfig
    collect: CollectConfig
    vae: VAEConfig
    mdnrnn: MDNRNNConfig
    controller: ControllerConfig
    iterate: IterateConfig
    evaluate: EvaluateConfig
    watch: WatchConfig


def run_pipeline(config: Sections, run: Path, workers: Workers, device: torch.device) -> None:
    """Collect, fit V and M, evolve C, iterate, score, film; stages that are finished are skipped.

    The agent of the last round that is asked for is scored and filmed, also where there are later rounds.

    Raises:
        UserError: any stage's.
    """
    start = time.perf_counter()
    store = collect(config.collect, config.env, run, workers)
    fit_vae(config.vae, run, [store], device)
    fit_mdn_rnn(config.mdnrnn, run, [store], device)
    evolve(config.controller, run, config.env, workers, device)
    newest = iterate(config.iterate, run, workers, device)
    agent, score = Agent.from_folder(newest, device), newest / "evaluation.json"
    videos = {world: newest / f"{world}.mp4" for world in ("real", "dream")}
    if not (score.exists() and is_of(read_json(score), agent, config.evaluate)):
        report = evaluate(agent, config.evaluate.episodes, config.evaluate.seed, workers)
        for video in videos.values():  # first: a kill must leave no film of other weights beside the score
            video.unlink(missing_ok=True)
        save_report(report, score)
    for world in ("real", "dream"):
        if not videos[world].exists():
            watch(agent, dataclasses.replace(config.watch, world=world), videos[world])
    say(
        f"\n{table(read_json(score))}\n\nDone in {duration(time.perf_counter() - start)}.\n"
        f"  the agent driving      {videos['real']}\n"
        f"  the agent dreaming     {videos['dream']}\n"
        f"  every episode's score  {score}\n"
        f"  curves and pictures    tensorboard --logdir {run}"
    )

"""All stages, one after the other."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Protocol

import torch

from agents.agent import Agent
from agents.controller_config import ControllerConfig
from agents.evaluation import EvaluateConfig, evaluate, save_report, table
from agents.evolution import evolve
from agents.iterate import IterateConfig, iterate
from agents.watch import WatchConfig, watch
from rollouts.artifacts import read_json
from rollouts.collect import CollectConfig, collect
from rollouts.console import duration, say
from rollouts.envs import EnvConfig
from rollouts.pools import Workers
from worldmodels.fit_mdn_rnn import fit_mdn_rnn
from worldmodels.fit_vae import VAEConfig, fit_vae
from worldmodels.mdn_rnn_config import MDNRNNConfig


class Sections(Protocol):
    """The configurations of all stages (``agents.presets.PipelineConfig`` has them)."""

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

    Raises:
        UserError: any stage's.
    """
    start = time.perf_counter()
    store = collect(config.collect, config.env, run, workers)
    fit_vae(config.vae, run, [store], device)
    fit_mdn_rnn(config.mdnrnn, run, [store], device)
    evolve(config.controller, run, config.env, workers, device)
    newest = iterate(config.iterate, run, workers, device)
    score = newest / "evaluation.json"
    if not score.exists():
        save_report(evaluate(run, config.evaluate.episodes, config.evaluate.seed, workers), score)
    agent = Agent.load(run, device)
    for world in ("real", "dream"):
        video = newest / f"{world}.mp4"
        if not video.exists():
            watch(agent, dataclasses.replace(config.watch, world=world), video)
    say(
        f"\n{table(read_json(score))}\n\nDone in {duration(time.perf_counter() - start)}.\n"
        f"  the agent driving      {newest / 'real.mp4'}\n"
        f"  the agent dreaming     {newest / 'dream.mp4'}\n"
        f"  every episode's score  {score}\n"
        f"  curves and pictures    tensorboard --logdir {run}"
    )

"""What a pipeline is made of: the configuration of every stage."""

from __future__ import annotations

from typing import Protocol

from agents.evaluation import EvaluateConfig
from agents.learning.config import ControllerConfig
from agents.pipeline.iterate import IterateConfig
from agents.viewing.watch import WatchConfig
from rollouts.collect import CollectConfig
from rollouts.envs.config import EnvConfig
from worldmodels.configs import MDNRNNConfig, VAEConfig


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

"""The whole pipeline's configuration: one of every stage's."""

from __future__ import annotations

from dataclasses import dataclass, field

from agents.evaluation import EvaluateConfig
from agents.learning.config import ControllerConfig
from agents.pipeline.iterate import IterateConfig
from agents.viewing.watch import WatchConfig
from rollouts.collect import CollectConfig
from rollouts.envs.config import EnvConfig
from worldmodels.configs import MDNRNNConfig, VAEConfig


@dataclass(frozen=True)
class PipelineConfig:
    """All stages, in order."""

    env: EnvConfig = field(default_factory=EnvConfig)
    collect: CollectConfig = field(default_factory=CollectConfig)
    vae: VAEConfig = field(default_factory=VAEConfig)
    mdnrnn: MDNRNNConfig = field(default_factory=MDNRNNConfig)
    controller: ControllerConfig = field(default_factory=ControllerConfig)
    iterate: IterateConfig = field(default_factory=lambda: IterateConfig(rounds=0))
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    watch: WatchConfig = field(default_factory=WatchConfig)

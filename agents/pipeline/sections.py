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

    @property
    def env(self) -> EnvConfig: ...
    @property
    def collect(self) -> CollectConfig: ...
    @property
    def vae(self) -> VAEConfig: ...
    @property
    def mdnrnn(self) -> MDNRNNConfig: ...
    @property
    def controller(self) -> ControllerConfig: ...
    @property
    def iterate(self) -> IterateConfig: ...
    @property
    def evaluate(self) -> EvaluateConfig: ...
    @property
    def watch(self) -> WatchConfig: ...

"""Agents that record: policies for rollouts.collect, with noise on the action."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agents.agent import Agent
from rollouts.envs.actions import ActionSpec
from rollouts.envs.config import Frame
from rollouts.runs.files import file_hash
from rollouts.runs.layout import Run
from worldmodels.training.threads import one_thread


@dataclass(frozen=True)
class AgentPolicy:
    """A policy factory for ``rollouts.collect``: the agent itself on even seeds, with noise on odd ones.

    The noise is a first-order autoregressive process on the action, ``n' = 0.9 n + sqrt(1 - 0.81) noise N(0, 1)``
    in half-ranges of the action space: it leads into states that the agent would never see, and out of them again.
    A discrete action is replaced by a random one with probability ``noise``.
    """

    agent: Agent
    noise: float = 0.15

    def __call__(self, seed: int, spec: ActionSpec) -> NoisyActing:
        return NoisyActing(self.agent, seed, self.noise if seed % 2 else 0.0)


def agent_policy(folder: Path, noise: float) -> tuple[str, AgentPolicy]:
    """A policy for ``rollouts.collect``, with a name that identifies the agent and its noise."""
    weights = file_hash(Run(folder).controller.weights)
    return f"agent {weights} noise {noise:g}", AgentPolicy(Agent.from_folder(folder, fast=True), noise)


class NoisyActing:
    """An agent with action noise for one episode, as a plain policy."""

    def __init__(self, agent: Agent, seed: int, noise: float) -> None:
        self.acting, self.noise, self.spec = agent.begin(seed), noise, agent.model.action_spec
        self.rng = np.random.default_rng((seed, 1))
        self.drift = np.zeros(self.spec.size)

    def __call__(self, frame: Frame) -> NDArray[np.float32]:
        with one_thread():
            action = self.acting.act(frame)
            if self.noise and self.spec.kind == "discrete":
                if self.rng.random() < self.noise:
                    action = np.eye(self.spec.size, dtype=np.float32)[self.rng.integers(self.spec.size)]
            elif self.noise:
                low, high = np.array(self.spec.low), np.array(self.spec.high)
                self.drift = 0.9 * self.drift + np.sqrt(1 - 0.81) * self.noise * self.rng.standard_normal(len(low))
                action = np.clip(action + self.drift * (high - low) / 2, low, high).astype(np.float32)
            self.acting.remember(action)
        return action

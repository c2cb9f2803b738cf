"""What the rows of the bench are made of: a rate, measured for a few seconds, and the world model that is measured."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from rollouts.envs.config import EnvConfig
from worldmodels.configs import MDNRNNConfig, VAEConfig
from worldmodels.untrained import untrained_world_model
from worldmodels.world_model import WorldModel

SECONDS = 2.0  #: per row


@dataclass(frozen=True)
class Row:
    """One measurement."""

    what: str
    rate: float  #: per second
    unit: str
    floor: float | None = None  #: what arithmetic alone would allow, per second
    note: str = ""


def rate(step: Callable[[], object], amount: int, device: torch.device, clock: Callable[[], float]) -> float:
    """How much ``step`` gets done per second of ``clock``, after a warm-up."""
    for _ in range(2):
        step()
    start, wall, done = clock(), time.perf_counter(), 0
    while time.perf_counter() - wall < SECONDS:
        step()
        done += amount
    if device.type == "cuda":
        torch.cuda.synchronize()
    return done / (clock() - start)


def world_model(device: torch.device, core: str = "lstm", repeat: int = 1) -> WorldModel:
    """V and M of the paper's size, for actions of so many steps; speed does not depend on what they know."""
    return untrained_world_model(EnvConfig(action_repeat=repeat), VAEConfig(), MDNRNNConfig(core=core), device)

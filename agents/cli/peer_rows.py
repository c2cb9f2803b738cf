"""The bench's rows of others, for the same work in the same run: ratios are what holds on another machine."""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Categorical

from agents.cli.measuring import Row, rate
from rollouts.console import say
from rollouts.envs.manners import complaint
from rollouts.envs.registration import register
from worldmodels.mdn_rnn import MDNRNN

ENVS = 4
DRIVE = np.tile(np.array([0.05, 0.3, 0.0], np.float32), (ENVS, 1))


def environment_peers(fast: float) -> Iterator[Row]:
    """CarRacing in Gymnasium's vector environment, with both renderers, and EnvPool's own; one process, one thread.

    Args:
        fast: steps per CPU-second of ``carracing-fast`` alone.
    """
    register()
    cpu = torch.device("cpu")
    for name, id_ in (("stock CarRacing-v3", "CarRacing-v3"), ("carracing-fast", "worldmodels/FastCarRacing-v3")):
        envs = gym.make_vec(id_, ENVS, vectorization_mode="sync", vector_kwargs={"copy": False})
        envs.reset(seed=0)
        speed = rate(lambda e=envs: e.step(DRIVE), ENVS, cpu, time.process_time)  # type: ignore[misc]
        envs.close()
        yield Row(f"peer: Gymnasium's SyncVectorEnv of {ENVS} {name}", speed, "steps/CPU-s", note=_beside(fast, speed))
    try:
        envpool: Any = importlib.import_module("envpool")
        envs = envpool.make_gymnasium("CarRacing-v3", num_envs=ENVS, num_threads=1, seed=0)
        envs.reset()
    except Exception as error:  # its assets are downloads of their own, and may be missing
        say(f"EnvPool's CarRacing is left out: {complaint(error)}.")
        return
    speed = rate(lambda: envs.step(DRIVE), ENVS, cpu, time.process_time)
    yield Row(f"peer: EnvPool's CarRacing-v3, {ENVS} lanes", speed, "steps/CPU-s", note=_beside(fast, speed))


def dream_peers(device: torch.device, lanes: int, dream: float) -> Iterator[Row]:
    """A dream as one writes it first: a loop over ``nn.LSTMCell``, one linear head, ``torch.distributions``.

    Args:
        dream: steps per second of the dream with as many lanes.
    """
    torch.manual_seed(0)
    cell, head = nn.LSTMCell(35, 256).to(device), nn.Linear(256, 482).to(device)
    state: tuple[Tensor, Tensor] = (torch.zeros(lanes, 256, device=device), torch.zeros(lanes, 256, device=device))
    z, action = torch.zeros(lanes, 32, device=device), torch.zeros(lanes, 3, device=device)

    @torch.inference_mode()
    def step() -> None:
        nonlocal state, z
        state = cell(torch.cat([z, action], 1), state)
        logits, mean, log_std = head(state[0])[:, :480].view(lanes, 3, 32, 5).unbind(1)
        chosen = Categorical(logits=logits).sample()[..., None]
        z = mean.gather(-1, chosen)[..., 0] + log_std.gather(-1, chosen)[..., 0].exp() * torch.randn_like(z)

    speed = rate(step, lanes, device, time.perf_counter)
    yield Row(f"peer: a loop over PyTorch's LSTMCell, {lanes} lanes", speed, "steps/s", note=_beside(dream, speed))
    lstm = MDNRNN().to(device).lstm
    inputs, memory = torch.zeros(lanes, 1, 35, device=device), torch.zeros(1, lanes, 256, device=device)
    with torch.inference_mode():
        speed = rate(lambda: lstm(inputs, (memory, memory)), lanes, device, time.perf_counter)
    note = f"{_beside(dream, speed)}; without heads and samples"
    yield Row(f"peer: PyTorch's LSTM alone, a step at a time, {lanes} lanes", speed, "steps/s", note=note)


def _beside(own: float, peer: float) -> str:
    return f"ours x {own / peer:.1f}"

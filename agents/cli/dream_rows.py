"""The bench's rows of dreams: for a population of controllers, and for Stable-Baselines3."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterator

import numpy as np
import torch

from agents.cli.measuring import Row, rate
from agents.controller import ControllerSpec
from rollouts.console import say
from worldmodels.dream import Dream
from worldmodels.dream_env import DreamEnv
from worldmodels.training.precision import Format
from worldmodels.world_model import WorldModel


def dream_row(model: WorldModel, lanes: int, floor: float | None, precision: Format, note: str = "") -> Row:
    """Steps of so many lanes, each with a controller of its own."""
    model = model.multiplying_in(precision)
    dream, spec = Dream(model, 1.0, 10**9), ControllerSpec("zh")
    controller = spec.build(model)
    dream.reset(range(16), lanes // 16)
    parameters = torch.randn(lanes, controller.parameter_count, device=model.device) * 0.1

    @torch.inference_mode()
    def step() -> None:
        dream.step(controller.act(parameters, dream.features()))

    note = "M in bfloat16" if precision == "bfloat16" else note
    kind = f"{lanes} lanes, a controller each" + (f", {note}" if note else "")
    return Row(f"dream, {kind}", rate(step, lanes, model.device, time.perf_counter), "steps/s", floor)


def sb3_rows(model: WorldModel) -> Iterator[Row]:
    """The dream as Stable-Baselines3 steps it: its own wrapper of single environments, and all lanes at once."""
    if importlib.util.find_spec("stable_baselines3") is None:
        say("The dream in Stable-Baselines3 is left out: it is not installed.")
        return
    from stable_baselines3.common.vec_env import DummyVecEnv

    from worldmodels.sb3_env import DreamVecEnv

    rates = []
    for name, envs in (
        ("DummyVecEnv, 16 lanes", DummyVecEnv([lambda: DreamEnv(model)] * 16)),
        ("DreamVecEnv, 1024 lanes", DreamVecEnv(1024, model)),
    ):
        actions = np.zeros((envs.num_envs, model.action_spec.size), np.float32)
        envs.reset()
        rates.append(rate(lambda e=envs, a=actions: e.step(a), envs.num_envs, model.device, time.perf_counter))  # type: ignore[misc]
        yield Row(f"dream in Stable-Baselines3, {name}", rates[-1], "steps/s", note=f"x {rates[-1] / rates[0]:.1f}")

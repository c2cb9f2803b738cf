"""The real world as an agent sees it, for any Gymnasium client: observations are V's and M's features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

from agents.lanes import RealLanes
from rollouts.envs.config import EnvConfig
from worldmodels.dream import Features, feature_size
from worldmodels.world_model import WorldModel


class RealEnv(gym.Env[NDArray[np.float32], Any]):
    """One real episode at a time, seen through V and remembered through M: the counterpart of ``Dream-v0``.

    Observations and actions are those of the dream, so what was trained in one can go on in the other.

    Args:
        run: a run directory (its newest finished round), ``pretrained/NAME``, or a loaded :class:`WorldModel`.
        env: the environment; None for the world that the model is of.
    """

    def __init__(self, run: Path | str | WorldModel, env: EnvConfig | None = None, features: Features = "zh") -> None:
        model = run if isinstance(run, WorldModel) else WorldModel.load(run, fast=True)
        self._lanes = RealLanes(model, env or model.env, features, "mean")
        spec, limits = model.action_spec, np.full(feature_size(model, features), np.inf, np.float32)
        self.observation_space = gym.spaces.Box(-limits, limits, dtype=np.float32)
        self.action_space = (
            gym.spaces.Discrete(spec.size)
            if spec.kind == "discrete"
            else gym.spaces.Box(np.array(spec.low, np.float32), np.array(spec.high, np.float32), dtype=np.float32)
        )

    @torch.inference_mode()
    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        super().reset(seed=seed)
        self._lanes.reset([int(self.np_random.integers(2**31)) if seed is None else seed])
        return self._features(), {}

    @torch.inference_mode()
    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        if isinstance(self.action_space, gym.spaces.Discrete):
            action = np.eye(int(self.action_space.n), dtype=np.float32)[int(action)]
        else:
            low, high = self._lanes.model.action_spec.low, self._lanes.model.action_spec.high
            action = np.clip(np.asarray(action, np.float32), low, high).astype(np.float32)
        reward, terminated, truncated = self._lanes.step(torch.from_numpy(action)[None])
        return self._features(), float(reward[0]), bool(terminated[0]), bool(truncated[0]), {}

    def close(self) -> None:
        self._lanes.close()

    def _features(self) -> NDArray[np.float32]:
        return self._lanes.features()[0].float().cpu().numpy().copy()

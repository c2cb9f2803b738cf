"""An environment of one's own through all stages: a beam that has to stay on a drifting ship.

python examples/own_environment.py --run runs/lighthouse
"""

from __future__ import annotations

import argparse
from pathlib import Path

import gymnasium as gym
import numpy as np
import torch

from agents.pipeline.presets import PRESETS
from agents.pipeline.run import run_pipeline
from rollouts import EnvConfig


class Lighthouse(gym.Env[np.ndarray, np.ndarray]):
    """Reward is how near the beam is to the ship; an episode ends when the beam has lost it."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012
    observation_space = gym.spaces.Box(0, 255, (64, 64, 3), np.uint8)
    action_space = gym.spaces.Box(-4.0, 4.0, (1,), np.float32)

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: dict | None = None):  # noqa: ANN201
        super().reset(seed=seed)
        self.ship, self.beam = self.np_random.uniform(16, 48, 2)
        return self.render(), {}

    def step(self, action: np.ndarray):  # noqa: ANN201
        self.beam += float(action[0])
        self.ship += self.np_random.normal(0, 1.5)
        away = abs(self.ship - self.beam)
        return self.render(), 1 - away / 30, bool(away > 30 or not 0 < self.ship < 63), False, {}

    def render(self) -> np.ndarray:  # type: ignore[override]
        picture = np.full((64, 64, 3), (10, 20, 60), np.uint8)
        picture[:, int(np.clip(self.beam, 0, 61)) :][:, :3] = (250, 240, 150)
        picture[28:34, int(np.clip(self.ship, 0, 58)) :][:, :6] = (200, 60, 40)
        return picture


gym.register("Lighthouse-v0", Lighthouse, max_episode_steps=40)

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, default=Path("runs/lighthouse"))
    arguments = parser.parse_args()
    options = PRESETS["tiny"].__class__(**{**vars(PRESETS["tiny"]), "env": EnvConfig("Lighthouse-v0")})
    run_pipeline(options, arguments.run, 0, torch.device("cpu"))

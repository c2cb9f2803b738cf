"""The project's own environments, made known to Gymnasium by name: none is imported before it is made."""

from __future__ import annotations

from typing import Any

import gymnasium as gym

ENVIRONMENTS: dict[str, dict[str, Any]] = {
    "worldmodels/FastCarRacing-v3": {
        "entry_point": "rollouts.envs.car_racing:FastCarRacing",
        "max_episode_steps": 1000,
        "reward_threshold": 900,
    },
    "worldmodels/Toy-v0": {"entry_point": "rollouts.envs.toy:ToyEnv", "max_episode_steps": 50},
}


def register(environments: dict[str, dict[str, Any]] = ENVIRONMENTS) -> None:
    """Register those that are not yet; may be called more than once."""
    for name, facts in environments.items():
        if name not in gym.registry:
            gym.register(name, **facts)

"""Steps of CarRacing that nobody sees, one by one or all repeats of an action at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
from gymnasium.error import ResetNeeded
from gymnasium.utils import RecordConstructorArgs
from gymnasium.wrappers import OrderEnforcing, TimeLimit

from rollouts.envs.car_racing import FastCarRacing


def make(env_id: str, **options: Any) -> gym.Env[Any, Any]:
    """``gymnasium.make`` for both renderers, with steps that nobody sees."""
    return UnseenSteps(gym.make(env_id, **options))


class UnseenSteps(gym.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """CarRacing with a step that is not drawn: drawing is nearly all of its time."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        RecordConstructorArgs.__init__(self)
        gym.Wrapper.__init__(self, env)
        self.many_steps = self._many if _is_plain(env) else None
        """:meth:`_many`, where it is known what lies between this and the world; else None."""

    def step_unseen(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """As ``step``; there is an observation only if the episode ends with it."""
        world: Any = self.env.unwrapped
        vars(world)["_render"] = lambda mode: None  # shadows the method: CarRacing has no switch for its drawing
        try:
            observation, reward, terminated, truncated, info = self.env.step(action)
        finally:
            del vars(world)["_render"]
        if terminated or truncated:
            observation = world._render("state_pixels")
        return observation, reward, terminated, truncated, info

    def _many(
        self, action: Any, times: int, begun: Callable[[], None]
    ) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """As so many steps with one action, or fewer if the episode ends, of which only the last is drawn.

        Args:
            begun: called before each of them.

        Returns:
            as ``step``, the rewards added up.
        """
        limit: Any = self.env
        order, world, total = limit.env, limit.env.env, 0.0
        for left in reversed(range(times)):
            begun()
            if not order.has_reset:
                raise ResetNeeded("Cannot call env.step() before calling env.reset()")
            observation, reward, terminated, truncated, info = (world.step if left == 0 else world.step_unseen)(action)
            limit._elapsed_steps += 1
            truncated = limit._elapsed_steps >= limit._max_episode_steps
            total += reward
            if terminated or truncated:
                break
        if observation is None:
            observation = world._render("state_pixels")
        return observation, total, terminated, truncated, info


def _is_plain(env: gym.Env[Any, Any]) -> bool:
    """Whether this is a FastCarRacing as ``gymnasium.make`` wraps it, without anything else."""
    if type(env) is not TimeLimit or type(env.env) is not OrderEnforcing:
        return False
    world = env.env.env
    return type(world) is FastCarRacing and world.continuous and world.render_mode != "human"

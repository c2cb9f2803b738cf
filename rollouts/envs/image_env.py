"""Environments as image worlds: what is particular to each one stands in its preset, and nowhere else.

``make_env("carracing")`` gives a Gymnasium environment whose observations are uint8 HWC RGB of one size and whose
actions are one float vector, whatever the environment underneath. That vector is what a controller puts out, what
is recorded, and what M is told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import gymnasium as gym
import numpy as np
from gymnasium.envs.box2d.car_racing import CarRacing
from numpy.typing import NDArray

import rollouts.envs.doom as doom
from rollouts.envs.actions import natural_action
from rollouts.envs.config import EnvConfig, EnvPreset, Frame
from rollouts.envs.presets import PRESETS, resolve
from rollouts.envs.registration import register
from rollouts.errors import UserError


def make_env(config: EnvConfig | str, render_mode: str | None = None) -> ImageEnv:
    """One environment with preprocessed observations and vector actions.

    Args:
        config: a preset's name, a Gymnasium id, or an :class:`EnvConfig`.
        render_mode: ``"rgb_array"`` to be able to ``render()`` large frames for people.

    Raises:
        UserError: the id is unknown, cannot be made, lacks its package, or has no image observations.
    """
    register()
    preset = resolve(config)
    make: Callable[..., gym.Env[Any, Any]] = doom.make if doom.is_doom(preset.id) else gym.make
    try:
        env = make(
            preset.id,
            render_mode=render_mode,
            max_episode_steps=preset.max_episode_steps,
            disable_env_checker=True,
            **dict(preset.kwargs),
        )
    except (gym.error.Error, ImportError, TypeError, ValueError) as error:
        known = ", ".join(PRESETS)
        raise UserError(
            f"The environment {preset.id!r} could not be made ({' '.join(str(error).split())}). Expected one of "
            f"{known}, or the id of an installed Gymnasium environment."
        ) from error
    return ImageEnv(env, preset)


class ImageEnv(gym.Wrapper[Frame, NDArray[np.float32], Any, Any]):
    """Any Gymnasium environment with images, seen as ``[size, size, 3]`` uint8 and driven by one float vector.

    Attributes:
        field: which part of the whole picture is seen: top, bottom, left, right, in its heights and widths.
        between: called after every repeat of an action but the last, by viewers that want to draw all frames.
    """

    def __init__(self, env: gym.Env[Any, Any], preset: EnvPreset) -> None:
        super().__init__(env)
        self.preset = preset
        self.between: Callable[[], None] | None = None
        self.action_spec = preset.action or natural_action(env.action_space, preset.name)
        height, width = _image_shape(env.observation_space, preset.name)[:2]
        top, bottom, left, right = preset.crop or (0, height, 0, width)
        if not (0 <= top < bottom <= height and 0 <= left < right <= width):
            raise UserError(f"The crop {preset.crop} (top bottom left right) does not fit frames of {height, width}.")
        self.field = (top / height, bottom / height, left / width, right / width)
        self.observation_space = gym.spaces.Box(0, 255, (preset.size, preset.size, 3), np.uint8)
        self.action_space = gym.spaces.Box(
            np.array(self.action_spec.low, np.float32), np.array(self.action_spec.high, np.float32), dtype=np.float32
        )

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Frame, dict[str, Any]]:
        observation, info = self.env.reset(seed=seed, options=options)
        return preprocess(observation, self.preset), info

    def step(self, action: NDArray[np.float32]) -> tuple[Frame, float, bool, bool, dict[str, Any]]:
        """One decision: the action is done ``action_repeat`` times, or until the episode ends."""
        done = self.action_spec.to_env(action)
        total = 0.0
        for _ in range(self.preset.action_repeat - 1):
            observation, reward, terminated, truncated, info = self._step_unseen(done)
            total += float(reward)
            if terminated or truncated:
                return preprocess(observation, self.preset), total, bool(terminated), bool(truncated), info
            if self.between is not None:
                self.between()
        observation, reward, terminated, truncated, info = self.env.step(done)
        return preprocess(observation, self.preset), total + float(reward), bool(terminated), bool(truncated), info

    def _step_unseen(self, done: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """A step whose observation is used only if it is the last."""
        world = self.env.unwrapped
        if not isinstance(world, CarRacing):
            return self.env.step(done)
        vars(world)["_render"] = lambda mode: None  # shadows the method: CarRacing has no switch for its drawing
        try:
            observation, reward, terminated, truncated, info = self.env.step(done)
        finally:
            del vars(world)["_render"]
        if terminated or truncated:
            observation = world._render("state_pixels")
        return observation, reward, terminated, truncated, info


def preprocess(observation: Any, preset: EnvPreset) -> Frame:
    """Crop, make RGB, and resize by area averaging: ``[H, W(, C)] -> [size, size, 3]`` uint8."""
    frame = observation["screen"] if isinstance(observation, dict) else observation
    if preset.crop is not None:
        top, bottom, left, right = preset.crop
        frame = frame[top:bottom, left:right]
    if frame.ndim == 2 or frame.shape[2] == 1:
        frame = np.repeat(frame.reshape(*frame.shape[:2], 1), 3, axis=2)
    if frame.shape[:2] != (preset.size, preset.size):
        frame = cv2.resize(frame, (preset.size, preset.size), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(frame)


def _image_shape(space: gym.Space[Any], name: str) -> tuple[int, ...]:
    if isinstance(space, gym.spaces.Dict) and "screen" in space.spaces:
        space = space.spaces["screen"]
    shape = space.shape
    pictures = isinstance(space, gym.spaces.Box) and space.dtype == np.uint8
    if pictures and shape is not None and (len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3))):
        return shape
    raise UserError(
        f"{name} has no image observations ({' '.join(str(space).split())}); expected uint8 pictures of shape "
        "[height, width, 3] or [height, width, 1]. gymnasium.wrappers.AddRenderObservation makes them from render()."
    )

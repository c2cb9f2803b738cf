"""Environments as image worlds: what is particular to each one stands in its preset, and nowhere else.

``make_env("carracing")`` gives a Gymnasium environment whose observations are uint8 HWC RGB of one size and whose
actions are one float vector, whatever the environment underneath. That vector is what a controller puts out, what
is recorded, and what M is shown.
"""

from __future__ import annotations

import importlib
import multiprocessing
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import load_env_creator
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

from rollouts.console import say
from rollouts.envs.actions import natural_action
from rollouts.envs.areas import shrink
from rollouts.envs.config import EnvConfig, EnvPreset, Frame
from rollouts.envs.homes import import_home
from rollouts.envs.manners import UNKNOWN_LIMIT, complaint, first_moment, next_moment, own_limit
from rollouts.envs.observations import NoPictureError, find_eye
from rollouts.envs.presets import PRESETS, registered, resolve
from rollouts.envs.registration import register
from rollouts.errors import UserError
from rollouts.pools.life import beat

T = TypeVar("T")
VIEW = 256  #: pixels of an observation's longer side where people see it in the place of a drawing


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
    options: dict[str, Any] = {"disable_env_checker": True, **dict(preset.kwargs)}
    if preset.max_episode_steps is not None:
        options["max_episode_steps"] = preset.max_episode_steps
    draws = "rgb_array" if preset.render else render_mode
    try:
        env = _gym_env(preset, options, draws)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        names = ", ".join(PRESETS)
        raise UserError(
            f"The environment {preset.id!r} could not be made ({' '.join(str(error).split()) or type(error).__name__})."
            f" Expected one of {names}, or the id of an installed Gymnasium environment{_only_the_parent_knows()}."
        ) from error
    return ImageEnv(env, preset)


def _gym_env(preset: EnvPreset, options: dict[str, Any], draws: str | None) -> gym.Env[Any, Any]:
    """The environment itself, with a render mode only where one is wanted and it has it."""
    make: Callable[..., gym.Env[Any, Any]] = named(preset.make)
    if draws is not None and _may_draw(preset, draws):
        try:
            return make(preset.id, render_mode=draws, **options)
        except TypeError as error:
            if "unexpected keyword argument 'render_mode'" not in str(error):
                raise
    return make(preset.id, **options)


@lru_cache(maxsize=16)
def named(path: str) -> Any:
    """The function that a preset names as ``module:function``."""
    module, _, function = path.partition(":")
    return getattr(importlib.import_module(module), function)


def _may_draw(preset: EnvPreset, mode: str) -> bool:
    """Whether a class of environments names the render mode, or does not say."""
    metadata = class_metadata(preset)
    return "render_modes" not in metadata or mode in metadata["render_modes"]


def class_metadata(preset: EnvPreset) -> dict[str, Any]:
    """What an environment's class says of its drawing, without an environment; nothing if it is not known here."""
    register()
    try:
        import_home(preset.id)
        spec = registered(preset)
        entry = None if spec is None else spec.entry_point
        maker = load_env_creator(entry) if isinstance(entry, str) else entry
    except (UserError, ImportError, AttributeError):
        return {}
    metadata = getattr(maker, "metadata", None)
    return metadata if isinstance(metadata, dict) else {}


def _only_the_parent_knows() -> str:
    if multiprocessing.parent_process() is None:
        return ""
    return (
        " (this is a worker process: an id that was registered in the main script alone is unknown here; register it "
        "in a module and call it MODULE:ID, or use --workers 0)"
    )


class ImageEnv(gym.Wrapper[Frame, NDArray[np.float32], Any, Any], RecordConstructorArgs):
    """Any Gymnasium environment with images, seen as ``[size, size, 3]`` uint8 and driven by one float vector.

    What the environment does wrong is a :class:`UserError` that names it, the episode's seed and the step.

    Attributes:
        field: which part of the whole picture is seen: top, bottom, left, right, in its heights and widths.
        between: called after every repeat of an action but the last, by viewers that want to draw all frames.
    """

    def __init__(self, env: gym.Env[Any, Any], preset: EnvPreset) -> None:
        RecordConstructorArgs.__init__(self, preset=preset)
        gym.Wrapper.__init__(self, env)
        self.preset = preset
        self.between: Callable[[], None] | None = None
        self._seed: int | None = None
        self._steps = 0
        self._observation: Any = None
        self._draws = env.render_mode == "rgb_array"
        self.action_spec = preset.action or natural_action(
            env.action_space, preset.name, preset.action_low, preset.action_high
        )
        space = self._space_of_drawings() if preset.render else env.observation_space
        self._eye = find_eye(space, preset.name, preset.key)
        height, width = self._eye.size
        top, bottom, left, right = preset.crop or (0, height, 0, width)
        if not (0 <= top < bottom <= height and 0 <= left < right <= width):
            raise UserError(f"The crop {preset.crop} (top bottom left right) does not fit frames of {height, width}.")
        self.field = (top / height, bottom / height, left / width, right / width)
        self.observation_space = gym.spaces.Box(0, 255, (preset.size, preset.size, 3), np.uint8)
        self.action_space = gym.spaces.Box(
            np.array(self.action_spec.low, np.float32), np.array(self.action_spec.high, np.float32), dtype=np.float32
        )
        self._step_unseen = getattr(env, "step_unseen", env.step)
        self._many: Callable[..., Any] | None = getattr(env, "many_steps", None)

    @property
    def screen(self) -> tuple[int, int]:
        """Height and width of the pictures before they are cropped and shrunk."""
        return self._eye.size

    @property
    def longest(self) -> tuple[int, bool]:
        """How many actions an agent can choose in one episode, and whether the environment itself ends it by then.

        Where no limit can be seen from outside, that is :data:`rollouts.envs.manners.UNKNOWN_LIMIT`, or more if the
        environment seems to allow more; an episode that long was cut.
        """
        steps, certain = own_limit(self.env)
        decisions = 0 if steps is None else -(-steps // self.preset.action_repeat)
        return (decisions, True) if certain else (max(decisions + 1, UNKNOWN_LIMIT), False)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Frame, dict[str, Any]]:
        self._seed, self._steps = seed, 0
        observation, info = self._mannerly(lambda: first_moment(self.env.reset(seed=seed, options=options)))
        return self._see(observation), info

    def step(self, action: NDArray[np.float32]) -> tuple[Frame, float, bool, bool, dict[str, Any]]:
        """One decision: the action is done ``action_repeat`` times, or until the episode ends."""
        beat()
        if self._many is not None and self.between is None:
            return self._at_once(action, self._many)
        total = 0.0
        for left in reversed(range(self.preset.action_repeat)):
            done = self.action_spec.to_env(action)  # a fresh one: an environment may change what it is handed
            step = self.env.step if left == 0 else self._step_unseen
            self._steps += 1
            observation, reward, terminated, truncated, info = self._mannerly(lambda: next_moment(step(done)))  # noqa: B023
            total += reward
            if terminated or truncated or left == 0:
                break
            if self.between is not None:
                self.between()
        return self._see(observation), total, terminated, truncated, info

    def _at_once(
        self, action: NDArray[np.float32], many: Callable[..., Any]
    ) -> tuple[Frame, float, bool, bool, dict[str, Any]]:
        """All repeats of an action in one call, by an environment that offers this and is known to keep the rules."""
        done, times = self.action_spec.to_env(action), self.preset.action_repeat
        observation, *outcome = self._mannerly(lambda: many(done, times, self._count))
        reward, terminated, truncated, info = outcome
        return self._see(observation), reward, terminated, truncated, info

    def _count(self) -> None:
        self._steps += 1

    def render(self) -> Any:
        """A large picture for people, ``[H, W, 3]``: the environment's drawing, or its observation if it draws none."""
        if self.render_mode == "human":
            return self.env.render()
        if self._draws:
            try:
                return _drawing(self.env.render())
            except Exception as error:
                self._draws = False
                say(f"{self.preset.name} cannot be drawn ({complaint(error)}): its observations are shown instead.")
        picture = self._look(self._observation)
        zoom = max(VIEW // max(picture.shape[:2]), 1)
        return picture.repeat(zoom, 0).repeat(zoom, 1)

    def close(self) -> None:
        """Let go of the environment; where it cannot be closed, that is said, for nothing depends on it any more."""
        try:
            self.env.close()
        except Exception as error:
            say(f"{self.preset.name} could not be closed: {complaint(error)}.")

    def _see(self, observation: Any) -> Frame:
        self._observation = observation
        return preprocess(self._look(observation), self.preset)

    def _look(self, observation: Any) -> Frame:
        if self.preset.render:
            observation = self._mannerly(lambda: _drawing(self.env.render()))
        return self._mannerly(lambda: self._eye.see(observation))

    def _space_of_drawings(self) -> gym.spaces.Box:
        """The space of what ``render()`` gives, known only once it has drawn."""
        if not self._draws:
            raise UserError(f"--env.render: {self.preset.name} draws no pictures (it has no render mode rgb_array).")
        self._mannerly(lambda: first_moment(self.env.reset(seed=0)))
        return gym.spaces.Box(0, 255, self._mannerly(lambda: _drawing(self.env.render())).shape, np.uint8)

    def _mannerly(self, ask: Callable[[], T]) -> T:
        """What the environment answers. One that ends the program is no different from one that fails.

        Raises:
            UserError: it fails, or does not keep to Gymnasium's rules.
        """
        try:
            return ask()
        except UserError:
            raise
        except (Exception, SystemExit) as error:
            where = "reset" if self._steps == 0 else f"step {self._steps}"
            raise UserError(
                f"{self.preset.name} cannot be used: in {where} of the episode with seed {self._seed}, "
                f"{complaint(error)}."
            ) from error


def preprocess(frame: NDArray[np.uint8], preset: EnvPreset) -> Frame:
    """Crop, make RGB, and resize by area averaging: ``[H, W(, C)] -> [size, size, 3]`` uint8, always a copy."""
    if preset.crop is not None:
        top, bottom, left, right = preset.crop
        frame = frame[top:bottom, left:right]
    if preset.shrink:
        return np.array(named(preset.shrink)(frame, preset.size))
    if frame.ndim == 2 or frame.shape[2] == 1:
        frame = np.repeat(frame.reshape(*frame.shape[:2], 1), 3, axis=2)
    if frame.shape[:2] == (preset.size, preset.size):
        return np.array(frame, order="C")  # environments may draw the next picture into the same array
    return shrink(frame, preset.size)


def _drawing(picture: Any) -> Frame:
    """What ``render()`` returned, as a picture: the last one of a list."""
    array = np.asarray(picture[-1] if isinstance(picture, list) and picture else picture)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] not in (3, 4) or 0 in array.shape:
        kind = "nothing" if picture is None else f"an array of shape {array.shape} and type {array.dtype}"
        raise NoPictureError(f"render() gives {kind}, not a picture [height, width, 3] of type uint8")
    return array[..., :3]

"""Environments as image worlds: what is particular to each one stands in its preset, and nowhere else.

``make_env("carracing")`` gives a Gymnasium environment whose observations are uint8 HWC RGB of one size and whose
actions are one float vector, whatever the environment underneath. That vector is what a controller puts out, what
is recorded, and what M is told.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import gymnasium as gym
import numpy as np
from gymnasium.envs.box2d.car_racing import CarRacing
from numpy.typing import NDArray

import rollouts.doom as doom
import rollouts.fast_car_racing as fast_car_racing
from rollouts.actions import ActionSpec, Pedal, natural_action
from rollouts.artifacts import config_to_dict, fingerprint
from rollouts.errors import UserError

Frame = NDArray[np.uint8]


@dataclass(frozen=True)
class EnvConfig:
    """Which world. Options left at None are the preset's; for an id that has no preset they are worked out."""

    id: str = "carracing-fast"
    """A preset (carracing, carracing-fast, takecover, toy) or the id of a Gymnasium environment with images."""
    kwargs: dict[str, str] = dataclasses.field(default_factory=dict)
    """Keyword arguments for gymnasium.make, e.g. --env.kwargs lap_complete_percent 1.0"""
    crop: tuple[int, int, int, int] | None = None
    """Rows and columns to keep, as top bottom left right, before resizing."""
    size: int | None = None
    """Side of the square observation in pixels (64: what the paper's V expects)."""
    max_episode_steps: int | None = None
    """Length at which an episode is truncated, in the environment's own steps."""
    action_repeat: int | None = None
    """The agent decides every so many of the environment's steps; rewards in between are added up."""
    pedal: bool = False
    """Let one output of the controller drive two components of the action, as the preset says (gas and brake). The
    action vector stays what it is, for recordings and for M."""


@dataclass(frozen=True)
class EnvPreset:
    """Everything that is particular to one environment."""

    name: str
    id: str
    kwargs: tuple[tuple[str, Any], ...] = ()
    crop: tuple[int, int, int, int] | None = None
    size: int = 64
    max_episode_steps: int | None = None
    action_repeat: int = 1
    action: ActionSpec | None = None
    pedals: tuple[Pedal, ...] = ()
    exploration: str = "held"
    reported_on: str | None = None
    """The preset that scores are measured on, where this one is only a faster twin."""

    @property
    def observation_hash(self) -> str:
        """Identifies the preprocessing: data, models and agents with different hashes do not mix."""
        world = self.reported_on or self.name
        repeat = [self.action_repeat] if self.action_repeat > 1 else []
        return fingerprint([world, self.crop, self.size, "area", *repeat])

    @property
    def max_decisions(self) -> int | None:
        """Most actions an agent can choose in one episode."""
        return None if self.max_episode_steps is None else -(-self.max_episode_steps // self.action_repeat)


# H: carracing/model.py get_action. tanh; gas = (a+1)/2; brake = clip(a, 0, 1): the zero controller drives on half gas.
_CAR_ACTION = ActionSpec("box", (-1.0, 0.0, 0.0), (1.0, 1.0, 1.0), (1.0, 0.5, 1.0), (0.0, 0.5, 0.0))

# The zero controller drives on half gas as without it; a stopped car always creeps on.
_CAR_PEDAL = Pedal(positive=1, negative=2, offset=0.55, slack=0.15, creep=0.06)

# H: doomrnn/doomreal.py. Below -1/3 MOVE_LEFT, above MOVE_RIGHT, which ViZDoom's wrapper numbers 2 and 1; 0 is nothing.
_DODGE_ACTION = ActionSpec("threshold", (-1.0,), (1.0,), (1.0,), (0.0,), choices=(2, 0, 1))

PRESETS: dict[str, EnvPreset] = {
    preset.name: preset
    for preset in (
        # Rows 84-95 are the dashboard, whose drawing differs between Gymnasium versions; the paper cuts it off too.
        EnvPreset(
            "carracing",
            "CarRacing-v3",
            crop=(0, 84, 0, 96),
            max_episode_steps=1000,
            action=_CAR_ACTION,
            pedals=(_CAR_PEDAL,),
            exploration="brownian",
        ),
        EnvPreset(
            "carracing-fast",
            "worldmodels/FastCarRacing-v3",
            crop=(0, 84, 0, 96),
            max_episode_steps=1000,
            action=_CAR_ACTION,
            pedals=(_CAR_PEDAL,),
            exploration="brownian",
            reported_on="carracing",
        ),
        # As ViZDoom ships it: skill 4, 320x240, no HUD, 1 point per tic survived. docs/takecover.md shows the crop:
        # above row 72 there is only ceiling, below row 200 only floor, and nothing of a fireball but its rim.
        EnvPreset(
            "takecover",
            "VizdoomTakeCover-v1",
            kwargs=(("frame_skip", 1),),
            crop=(72, 200, 0, 320),
            max_episode_steps=2100,
            action=_DODGE_ACTION,
            exploration="held",
        ),
        EnvPreset("toy", "worldmodels/Toy-v0", max_episode_steps=50),
    )
}


def register() -> None:
    """Make this project's real environments known to Gymnasium (idempotent)."""
    fast_car_racing.register()
    if "worldmodels/Toy-v0" not in gym.registry:
        gym.register("worldmodels/Toy-v0", "rollouts.toy:ToyEnv", max_episode_steps=50)


def resolve(config: EnvConfig | str) -> EnvPreset:
    """The full preset that a config asks for.

    Raises:
        UserError: an option makes no sense.
    """
    config = EnvConfig(config) if isinstance(config, str) else config
    preset = PRESETS.get(config.id) or EnvPreset(config.id, config.id)
    options = ("crop", "size", "max_episode_steps", "action_repeat")
    changes: dict[str, Any] = {key: value for key in options if (value := getattr(config, key)) is not None}
    if config.kwargs:
        changes["kwargs"] = tuple(
            sorted({**dict(preset.kwargs), **{k: _literal(v) for k, v in config.kwargs.items()}}.items())
        )
    for key in ("size", "max_episode_steps", "action_repeat"):
        if key in changes and changes[key] < 1:
            raise UserError(f"--env.{key.replace('_', '-')} must be positive, got {changes[key]}.")
    if preset.action is not None and dict(changes.get("kwargs", ())).get("continuous") is False:
        changes["action"] = None
    if config.pedal:
        action = changes.get("action", preset.action)
        if action is None or not preset.pedals:
            raise UserError(f"--env.pedal: {config.id} has no two components of an action that one pedal could drive.")
        changes["action"] = dataclasses.replace(action, pedals=preset.pedals)
    return dataclasses.replace(preset, **changes)


def identity(config: EnvConfig) -> str:
    """A fingerprint of the options; those that came later count where they are used, so that older runs go on."""
    options = config_to_dict(config)
    if not config.pedal:
        del options["pedal"]
    return fingerprint(options)


def reported(config: EnvConfig) -> EnvConfig:
    """The same world as its authors ship it, on which scores are reported."""
    return dataclasses.replace(config, id=resolve(config).reported_on or config.id)


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
        between: called after every repeat of an action but the last, by viewers that want to draw all frames.
    """

    def __init__(self, env: gym.Env[Any, Any], preset: EnvPreset) -> None:
        super().__init__(env)
        self.preset = preset
        self.between: Callable[[], None] | None = None
        self.action_spec = preset.action or natural_action(env.action_space, preset.name)
        shape = _image_shape(env.observation_space, preset.name)
        if preset.crop is not None:
            top, bottom, left, right = preset.crop
            if not (0 <= top < bottom <= shape[0] and 0 <= left < right <= shape[1]):
                raise UserError(f"The crop {preset.crop} (top bottom left right) does not fit frames of {shape[:2]}.")
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


def _literal(text: str) -> Any:
    """``'1.0' -> 1.0``, ``'false' -> False``: values for keyword arguments typed on a command line."""
    named = {"true": True, "false": False, "none": None}
    if text.lower() in named:
        return named[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text

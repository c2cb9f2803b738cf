"""An episode as somebody else keeps it, and how it becomes one of ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from rollouts.envs.actions import ActionSpec
from rollouts.envs.config import EnvConfig, EnvPreset, Frame
from rollouts.envs.image_env import preprocess
from rollouts.envs.observations import Eye, NoPictureError, find_eye
from rollouts.episodes import Episode
from rollouts.errors import UserError
from rollouts.runs.files import fingerprint


class BadRecordingError(ValueError):
    """Why a recording cannot be imported: the end of a sentence."""


@dataclass(frozen=True)
class Recording:
    """T steps of an episode, in the world's own terms. What was not recorded is None."""

    observations: Any  #: T+1 of them, in an array or a dictionary of arrays
    actions: NDArray[Any] | None  #: T of them
    rewards: NDArray[Any] | None  #: [T]
    terminated: bool | None  #: whether it ended of itself; None where an end and a limit look the same
    seed: int | None = None
    vectors: bool = False  #: actions are what a controller puts out, not what the environment takes
    cropped: bool = True  #: small pictures show what the preset's crop leaves, not the whole screen


@dataclass(frozen=True)
class Source:
    """Episodes to import."""

    kind: str
    names: list[str]  #: one for each episode, for messages
    read: Callable[[int], Recording]  #: raises BadRecordingError
    identity: str  #: changes when the episodes do
    env: EnvConfig | None = None  #: the world they are of, where the source says it
    space: gym.Space[Any] | None = None  #: of observations
    action: ActionSpec | None = None  #: where the source says it and the world cannot be made
    has_actions: bool = True
    has_rewards: bool = True


def files_identity(files: list[Path]) -> str:
    """Identifies files by name and size, without reading them; of one that cannot be reached, only the name counts."""
    return fingerprint([(file.name, file.stat().st_size if file.exists() else None) for file in files])


@dataclass(frozen=True)
class World:
    """What recordings are of."""

    preset: EnvPreset
    action: ActionSpec | None  #: None where nothing is known of its actions
    screen: tuple[int, int] | None  #: height and width of its own pictures; None where it cannot be made here
    space: gym.Space[Any] | None = None  #: of its observations, where the recordings say it


def converted(recording: Recording, world: World, seed: int, policy: str) -> Episode:
    """The recording as an episode.

    Raises:
        BadRecordingError: something in it is not what it should be.
    """
    frames = _frames(recording, world)
    steps = len(frames) - 1
    rewards = np.zeros(steps) if recording.rewards is None else np.asarray(recording.rewards)
    if rewards.shape != (steps,) or rewards.dtype.kind not in "biuf":
        raise BadRecordingError(f"it has {rewards.dtype} rewards of shape {list(rewards.shape)}, not [{steps}]")
    limit = world.preset.max_episode_steps
    ended = recording.terminated if recording.terminated is not None else limit is None or steps + 1 < limit
    last = np.arange(steps) == steps - 1
    try:
        return Episode(
            frames,
            _actions(recording, world, steps),
            rewards.astype(np.float32),
            last & bool(ended),
            last & (not ended),
            seed,
            policy,
        )
    except ValueError as error:
        raise BadRecordingError(str(error)) from None


def _frames(recording: Recording, world: World) -> Frame:
    if (count := _count(recording.observations)) < 2:
        raise BadRecordingError("it has no step at all")
    look = picture_finder(recording.observations, world)
    shrink = _shrinker(recording, world)
    return np.stack([shrink(look(index)) for index in range(count)])


def _count(observations: Any) -> int:
    while isinstance(observations, dict):
        if not observations:
            raise BadRecordingError("its observations are empty")
        observations = next(iter(observations.values()))
    if np.ndim(observations) < 1:
        raise BadRecordingError(f"its observations are of type {type(observations).__name__}")
    return len(observations)


def picture_finder(observations: Any, world: World) -> Callable[[int], Frame]:
    """Gives the picture in the observation with a number, ``[H, W, 3]``."""
    space = world.space or _space_of(observations)
    try:
        eye: Eye = find_eye(space, "the recording", world.preset.key)
    except UserError as error:
        raise BadRecordingError(f"it has no pictures: {error}") from None

    def look(index: int) -> Frame:
        try:
            return eye.see(_at(observations, index))
        except NoPictureError as error:
            raise BadRecordingError(f"in step {index}, {error}") from None

    return look


def _at(observations: Any, index: int) -> Any:
    if isinstance(observations, dict):
        return {name: _at(part, index) for name, part in observations.items()}
    return observations[index]


def _space_of(observations: Any) -> gym.Space[Any]:
    """The space that observations seem to be of."""
    if isinstance(observations, dict):
        return gym.spaces.Dict({name: _space_of(part) for name, part in observations.items()})
    array = np.asarray(observations)
    if array.dtype == np.uint8:
        return gym.spaces.Box(0, 255, array.shape[1:], np.uint8)
    if array.dtype.kind not in "uif" or array.size == 0:
        raise BadRecordingError(f"its observations are of type {array.dtype}, which are no pictures")
    low, high = float(array.min()), float(array.max())
    if not 0 <= low <= high <= 255:
        raise BadRecordingError(f"its observations have values from {low:g} to {high:g}, not 0 to 255 or 0 to 1")
    white = 1 if array.dtype.kind == "f" and high <= 1 else 255
    return gym.spaces.Box(0, white, array.shape[1:], array.dtype.type)


def _shrinker(recording: Recording, world: World) -> Callable[[Frame], Frame]:
    """Turns a picture into one of ``[size, size, 3]``, as the environment's own become."""
    preset = world.preset
    small = (preset.size, preset.size)

    def shrink(frame: Frame) -> Frame:
        if world.screen is not None and frame.shape[:2] != world.screen:
            if preset.crop is None or (recording.cropped and frame.shape[:2] == small):
                return preprocess(frame, _uncropped(preset))
            if recording.cropped:
                raise BadRecordingError(
                    f"its pictures are of {list(frame.shape[:2])} pixels, neither {list(world.screen)} as "
                    f"{preset.name} shows them nor {list(small)} as they are kept"
                )
            height, width = world.screen
            frame = np.asarray(cv2.resize(np.ascontiguousarray(frame), (width, height)), np.uint8)
        elif world.screen is None and recording.cropped and frame.shape[:2] == small:
            return preprocess(frame, _uncropped(preset))
        if preset.crop is not None and (preset.crop[1] > frame.shape[0] or preset.crop[3] > frame.shape[1]):
            raise BadRecordingError(f"the crop {preset.crop} does not fit its pictures of {list(frame.shape[:2])}")
        return preprocess(frame, preset)

    return shrink


def _uncropped(preset: EnvPreset) -> EnvPreset:
    return EnvPreset(preset.name, preset.id, size=preset.size)


def _actions(recording: Recording, world: World, steps: int) -> NDArray[np.float32]:
    spec = world.action
    if recording.actions is None:
        return np.zeros((steps, 1 if spec is None else spec.size), np.float32)
    actions = np.asarray(recording.actions)
    if len(actions) != steps or actions.dtype.kind not in "biuf":
        raise BadRecordingError(f"it has {len(actions)} actions of type {actions.dtype}, for {steps} steps")
    if spec is None:
        return actions.reshape(steps, -1).astype(np.float32)
    if not recording.vectors:
        try:
            return np.stack([spec.from_env(action) for action in actions])
        except ValueError as error:
            raise BadRecordingError(str(error)) from None
    vectors = actions.reshape(steps, -1).astype(np.float32)
    low, high = np.array(spec.low, np.float32), np.array(spec.high, np.float32)
    if vectors.shape[1] != spec.size:
        raise BadRecordingError(f"its actions have {vectors.shape[1]} numbers, not {spec.size}")
    if not np.isfinite(vectors).all() or (vectors < low - 1e-3).any() or (vectors > high + 1e-3).any():
        raise BadRecordingError(f"its actions are not within {spec.low} to {spec.high}")
    return np.clip(vectors, low, high)

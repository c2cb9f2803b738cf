"""What an environment owes: five values from a step, a number for a reward. All else is refused where it happens."""

from __future__ import annotations

import math
import traceback
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.wrappers import TimeLimit

MOST_REWARD = 1e30  #: what is kept in float32, and added up, has to stay finite
UNKNOWN_LIMIT = 10_000
"""Decisions after which an episode is cut whose environment sets no limit that can be seen from outside."""


class BadMannersError(ValueError):
    """What an environment did wrong: the end of a sentence."""


def first_moment(result: Any) -> tuple[Any, dict[str, Any]]:
    """What ``reset`` returned.

    Raises:
        BadMannersError: it is not ``(observation, info)``.
    """
    if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], dict)):
        raise BadMannersError(
            "reset() does not return (observation, info) but something else, as the old Gym "
            "did; Gymnasium's way is needed"
        )
    return result


def next_moment(result: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
    """What ``step`` returned, as plain numbers.

    Raises:
        BadMannersError: it is not ``(observation, reward, terminated, truncated, info)``, or the reward is no number.
    """
    if not isinstance(result, tuple) or len(result) != 5:
        count = f"{len(result)} values" if isinstance(result, tuple) else type(result).__name__
        raise BadMannersError(_five(count))
    observation, reward, terminated, truncated, info = result
    if not isinstance(info, dict):
        raise BadMannersError(f"info is of type {type(info).__name__}, not a dictionary")
    return observation, _number(reward), _flag(terminated, "terminated"), _flag(truncated, "truncated"), info


def complaint(error: BaseException) -> str:
    """What an exception that came out of an environment says, and where it was raised."""
    if isinstance(error, ValueError) and "expected 5, got 4" in str(error):  # a wrapper of Gymnasium's unpacked it
        return _five("4 values")
    if isinstance(error, BadMannersError):
        return str(error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    text = " ".join(str(error).split())
    return (
        f"it raised {type(error).__name__}{f' ({text})' if text else ''}, in {Path(place.filename).name}:{place.lineno}"
    )


def own_limit(env: gym.Env[Any, Any]) -> tuple[int | None, bool]:
    """The most steps that an episode of an environment lasts, and whether that is certain.

    Gymnasium's ``TimeLimit`` is; an attribute of the environment's own that is called like one (MiniGrid), or a limit
    in frames among its arguments (Atari), is a guess.
    """
    layer = env
    while isinstance(layer, gym.Wrapper):
        if isinstance(layer, TimeLimit):
            return int(layer._max_episode_steps), True
        layer = layer.env
    for name in ("max_episode_steps", "_max_episode_steps", "max_steps"):
        value = getattr(layer, name, None)
        if isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value > 0:
            return int(value), False
    kwargs = env.spec.kwargs if env.spec is not None else {}
    frames, skip = kwargs.get("max_num_frames_per_episode"), kwargs.get("frameskip", 1)
    if isinstance(frames, int) and frames > 0:
        return -(-frames // (min(skip) if isinstance(skip, (tuple, list)) else int(skip))), False
    return None, False


def _five(count: str) -> str:
    return (
        f"step() returns {count}, as the old Gym did; observation, reward, terminated, truncated and info are needed "
        "(gymnasium.make with the package shimmy adapts old environments)"
    )


def _number(reward: Any) -> float:
    try:
        array = np.asarray(reward)
    except ValueError:  # lists of different lengths
        array = np.empty(0, object)
    if array.dtype.kind not in "biuf":
        raise BadMannersError(f"the reward {reward!r} is no number")
    if array.size != 1:
        raise BadMannersError(f"the reward has {array.size} numbers; one is needed")
    value = array.astype(np.float64).reshape(-1)
    if not math.isfinite(value[0]):
        raise BadMannersError(f"the reward is {value[0]}")
    if abs(value[0]) > MOST_REWARD:
        raise BadMannersError(f"the reward is {value[0]:g}, and may be {MOST_REWARD:g} at most")
    return float(value[0])


def _flag(value: Any, name: str) -> bool:
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "biu":
        raise BadMannersError(f"{name} is {value!r}, neither true nor false")
    return bool(array.reshape(-1)[0])

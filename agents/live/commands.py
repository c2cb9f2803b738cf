"""What a page may ask for. Anything else that arrives is ignored."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agents.live.replay import STORES
from agents.viewing.human import KEYS

Check = Callable[[Any], Any]
"""Turns a value from the page into one that can be used, or raises ValueError."""

MOST_LATENTS = 4096


@dataclass(frozen=True)
class Command:
    """One thing to do: the name of a session's verb and its arguments."""

    name: str
    arguments: dict[str, Any]


def parse(message: str | bytes) -> Command | None:
    """A page's message as a command, or None for anything that is not exactly one.

    A message is a JSON object with ``do`` and the arguments of :data:`COMMANDS`, all of them and no others.
    """
    try:
        value = json.loads(message)
        if not isinstance(value, dict):
            return None
        name = value.pop("do")
        checks = COMMANDS[name]
        if checks.keys() != value.keys():
            return None
        return Command(name, {key: check(value[key]) for key, check in checks.items()})
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def one_of(*choices: str) -> Check:
    def check(value: Any) -> str:
        if value not in choices:
            raise ValueError
        return str(value)

    return check


def number(low: float, high: float) -> Check:
    def check(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError
        return min(max(float(value), low), high)

    return check


def integer(low: int, high: int) -> Check:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError
        return value

    return check


def switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def keys(value: Any) -> frozenset[str]:
    if not isinstance(value, list) or not all(isinstance(key, str) for key in value):
        raise ValueError
    return KEYS & frozenset(value)


def numbers(value: Any) -> tuple[float, ...]:
    if not isinstance(value, list) or len(value) > MOST_LATENTS:
        raise ValueError
    check = number(-10.0, 10.0)
    return tuple(check(one) for one in value)


def text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 200:
        raise ValueError
    return value


SCENES = ("real", "dream", "wake", "game", "ghost", "latents", "episodes", "images")
STARTS = ("recorded", "episode", "real", "imagined", "captured", "latent", "nightmare")

COMMANDS: dict[str, dict[str, Check]] = {
    "scene": {"name": one_of(*SCENES)},
    "keys": {"held": keys},
    "wheel": {"on": switch},
    "pause": {"on": switch},
    "hide": {"on": switch},
    "step": {},
    "restart": {"start": one_of(*STARTS), "capture": integer(-1, 10**9)},
    "temperature": {"value": number(0.0, 3.0)},
    "speed": {"value": number(0.1, 8.0)},
    "horizon": {"value": integer(1, 10_000)},
    "wake": {},
    "capture": {},
    "forget": {"capture": integer(0, 10**9)},
    "fan": {},
    "guess": {},
    "nightmares": {},
    "scan": {},
    "episodes": {},
    "episode_play": {"store": one_of(*STORES), "seed": integer(0, 2**63)},
    "episode_delete": {"seed": integer(0, 2**63)},
    "episode_export": {"store": one_of(*STORES), "seed": integer(0, 2**63), "format": one_of("mp4", "gif")},
    "episode_measure": {},
    "record": {"on": switch},
    "clip": {"format": one_of("mp4", "gif"), "seconds": number(1.0, 20.0)},
    "latent": {"z": numbers},
    "look": {"capture": integer(0, 10**9)},
    "between": {"first": integer(0, 10**9), "second": integer(0, 10**9), "share": number(0.0, 1.0)},
    "walk": {"z": numbers},
    "image_run": {"name": text},
    "image_grid": {"seed": integer(0, 2**31), "truncation": number(0.1, 4.0), "label": integer(-1, 10**6)},
    "image_path": {"first": integer(0, 10**6), "second": integer(0, 10**6)},
    "image_attributes": {"item": integer(0, 10**6), "strengths": numbers},
}
"""Every command with the check of each of its arguments."""

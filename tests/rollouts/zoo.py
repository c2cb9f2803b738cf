"""Small environments of every shape, and small environments that misbehave in every way known."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple

RGB = Box(0, 255, (12, 16, 3), np.uint8)
PUSH = Box(-1, 1, (1,), np.float32)


def picture(count: int) -> np.ndarray:
    """An RGB picture that says how many steps there were: its first pixel is (10 count, 1, 2)."""
    frame = np.zeros((12, 16, 3), np.uint8)
    frame[:] = (10 * count % 250, 1, 2)
    return frame


class Animal(gym.Env):
    """Ends after ten steps, rewards 1, shows :func:`picture`; the others change one thing."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012
    observation_space: gym.Space[Any] = RGB
    action_space: gym.Space[Any] = PUSH
    length = 10

    def __init__(self, render_mode: str | None = None, space: Any = None, actions: Any = None) -> None:
        self.render_mode, self.count, self.done = render_mode, 0, []
        self.observation_space = space or self.observation_space
        self.action_space = actions or self.action_space

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.count = 0
        return self.look(), {}

    def step(self, action: Any) -> Any:
        self.count += 1
        self.done.append(action)
        return self.look(), self.reward(), self.count >= self.length, False, {}

    def look(self) -> Any:
        return picture(self.count)

    def reward(self) -> Any:
        return 1.0

    def render(self) -> Any:
        return picture(self.count).repeat(3, 0).repeat(3, 1)


class Aliasing(Animal):
    """Draws into one array, and hands out that."""

    def __init__(self, **options: Any) -> None:
        super().__init__(space=Box(0, 255, (64, 64, 3), np.uint8), **options)
        self.buffer = np.zeros((64, 64, 3), np.uint8)

    def look(self) -> Any:
        self.buffer[:] = (10 * self.count, 1, 2)
        return self.buffer


class Greedy(Animal):
    """Changes the action that it is handed."""

    def step(self, action: Any) -> Any:
        action[:] = 7
        return super().step(action)


class FloatsForBytes(Animal):
    def look(self) -> Any:
        return picture(self.count) / np.float32(255)


class BytesForFloats(Animal):
    observation_space = Box(0, 1, (12, 16, 3), np.float32)


class TooBright(Animal):
    observation_space = Box(0, 1, (12, 16, 3), np.float32)

    def look(self) -> Any:
        return picture(self.count).astype(np.float32)


class NanPixels(Animal):
    observation_space = Box(0, 1, (12, 16, 3), np.float32)

    def look(self) -> Any:
        return np.full((12, 16, 3), np.nan if self.count == 3 else 0.5, np.float32)


class NanReward(Animal):
    def reward(self) -> Any:
        return float("nan") if self.count == 3 else 1.0


class InfiniteReward(Animal):
    def reward(self) -> Any:
        return np.array([np.inf])


class NoReward(Animal):
    def reward(self) -> Any:
        return None


class HugeReward(Animal):
    def reward(self) -> Any:
        return 1e300


class UnevenReward(Animal):
    def reward(self) -> Any:
        return [1, [2]]


class NoInfo(Animal):
    def step(self, action: Any) -> Any:
        return (*super().step(action)[:4], None)


class Exits(Animal):
    """As a window does that was closed."""

    def step(self, action: Any) -> Any:
        raise SystemExit(0)


class ExitsAtOnce(Animal):
    def __init__(self, **options: Any) -> None:
        raise SystemExit(0)


class NeverCloses(Animal):
    def close(self) -> None:
        raise RuntimeError("no window")


class TwoRewards(Animal):
    def reward(self) -> Any:
        return np.ones(2)


class ChangingShape(Animal):
    def look(self) -> Any:
        return picture(self.count)[: 12 - self.count // 3]


class WrongShape(Animal):
    def look(self) -> Any:
        return picture(self.count).transpose(2, 0, 1)


class Shuffled(Animal):
    observation_space = Dict({"image": RGB, "speed": Box(0, 1, (1,), np.float32)})

    def look(self) -> Any:
        return {"speed": np.zeros(1)}


class OneStep(Animal):
    length = 1


class Endless(Animal):
    length = 10**9


class NeverStarts(Animal):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        raise OSError("no such level")


class BreaksLater(Animal):
    def step(self, action: Any) -> Any:
        if self.count == 3:
            raise KeyError("wheel")
        return super().step(action)


class FourTuples(Animal):
    def step(self, action: Any) -> Any:
        return (*super().step(action)[:3], {})


class OldReset(Animal):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return super().reset(seed=seed)[0]


class NoFlag(Animal):
    def step(self, action: Any) -> Any:
        return (*super().step(action)[:2], None, False, {})


class Undrawn(Animal):
    """Knows nothing of drawing, nor of the argument for it."""

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()

    def render(self) -> Any:
        raise AssertionError("nobody may ask")


class BadDrawing(Animal):
    """Says that it draws, and does not."""

    def render(self) -> Any:
        raise RuntimeError("no display")


class NothingDrawn(Animal):
    def render(self) -> Any:
        return None


class Numbers(Animal):
    """Observes no picture, but draws one."""

    observation_space = Box(-np.inf, np.inf, (4,), np.float32)

    def look(self) -> Any:
        return np.zeros(4, np.float32)


class UndrawnNumbers(Undrawn):
    observation_space = Box(-np.inf, np.inf, (4,), np.float32)

    def look(self) -> Any:
        return np.zeros(4, np.float32)


class Broken(Animal):
    def __init__(self, **options: Any) -> None:
        raise RuntimeError("a file is missing")


TREE = Dict({"direction": Discrete(4), "view": Dict({"front": RGB, "sound": Box(-1, 1, (99,), np.float32)})})
TWO = Dict({"left": RGB, "right": RGB})
WORDS = Dict({"speed": Box(0, 1, (1,), np.float32), "gear": Discrete(3)})


def _seen_as(space: gym.Space[Any], turn: Any) -> type[Animal]:
    """The animal whose picture is turned into another kind of observation."""

    class Turned(Animal):
        observation_space = space

        def look(self) -> Any:
            return turn(picture(self.count))

    return Turned


def _past(frame: np.ndarray, count: int) -> list[np.ndarray]:
    """The newest picture last, after white ones."""
    return [np.full_like(frame, 255)] * (count - 1) + [frame]


GREY = Box(0, 255, (12, 16), np.uint8)
PICTURES: dict[str, type[Animal]] = {
    "rgb": Animal,
    "channel-first": _seen_as(Box(0, 255, (3, 12, 16), np.uint8), lambda f: f.transpose(2, 0, 1)),
    "rgba": _seen_as(
        Box(0, 255, (12, 16, 4), np.uint8), lambda f: np.pad(f, ((0, 0), (0, 0), (0, 1)), constant_values=9)
    ),
    "float to 1": _seen_as(Box(0, 1, (12, 16, 3), np.float32), lambda f: f / np.float64(255)),
    "float to 255": _seen_as(Box(0, 255, (12, 16, 3), np.float32), lambda f: f.astype(np.float32)),
    "float channel-first": _seen_as(Box(0, 1, (3, 12, 16), np.float64), lambda f: f.transpose(2, 0, 1) / 255),
    "whole numbers": _seen_as(Box(0, 255, (12, 16, 3), np.int64), lambda f: f.astype(np.int32)),
    "stack": _seen_as(Box(0, 255, (4, 12, 16, 3), np.uint8), lambda f: np.stack(_past(f, 4))),
    "stack, channel-first": _seen_as(
        Box(0, 255, (4, 3, 12, 16), np.uint8), lambda f: np.stack(_past(f, 4)).transpose(0, 3, 1, 2)
    ),
    "dictionary": _seen_as(
        Dict({"image": RGB, "speed": Box(0, 1, (1,), np.float32)}), lambda f: {"image": f, "speed": 0}
    ),
    "dictionary of numbers": _seen_as(Dict({1: RGB, 2: Discrete(3)}), lambda f: {1: f, 2: 0}),  # type: ignore[dict-item]
    "nested dictionary": _seen_as(TREE, lambda f: {"direction": 1, "view": {"front": f, "sound": np.zeros(99)}}),
}
GREYS: dict[str, type[Animal]] = {
    "grey": _seen_as(GREY, lambda f: f[..., 0]),
    "grey with a channel": _seen_as(Box(0, 255, (12, 16, 1), np.uint8), lambda f: f[..., :1]),
    "grey channel-first": _seen_as(Box(0, 255, (1, 12, 16), np.uint8), lambda f: f[None, ..., 0]),
    "grey stack": _seen_as(Box(0, 255, (4, 12, 16), np.uint8), lambda f: np.stack(_past(f[..., 0], 4))),
    "grey stack, last axis": _seen_as(Box(0, 255, (12, 16, 2), np.uint8), lambda f: np.stack(_past(f[..., 0], 2), -1)),
    "float": _seen_as(Box(0, 1, (12, 16), np.float32), lambda f: f[..., 0] / 255),
}
NO_PICTURES: dict[str, tuple[gym.Space[Any], str]] = {
    "numbers": (Box(-1, 1, (5,), np.float32), "--env.render"),
    "a choice": (Discrete(4), "--env.render"),
    "words": (WORDS, r"no entry of its dictionary \(gear, speed\).*--env.render"),
    "two": (TWO, r"several pictures \(left, right\).*--env.key"),
    "no pixels": (Box(0, 255, (0, 16, 3), np.uint8), "has no pixels"),
    "one name for two": (Dict({"a.b": RGB, "a": Dict({"b": RGB})}), "two entries that are called a.b"),
    "tuple": (Tuple((RGB, RGB)), "no Box"),
    "unbounded": (Box(-np.inf, np.inf, (12, 16, 3), np.float32), "-inf to inf"),
    "signed": (Box(-1, 1, (12, 16, 3), np.float32), "-1 to 1"),
    "tiny": (Box(0, 255, (2, 2, 3), np.uint8), "too small"),
    "colours or greys": (Box(0, 255, (12, 16, 6), np.uint8), "6 grey pictures or 2 coloured ones"),
    "five axes": (Box(0, 255, (2, 2, 12, 16, 3), np.uint8), "neither a picture nor a stack"),
    "bits": (MultiBinary((12, 16)), "no Box"),
}
ACTIONS: dict[str, gym.Space[Any]] = {
    "discrete": Discrete(3, start=-1),
    "multi-discrete": MultiDiscrete([2, 3], start=[5, -1]),
    "multi-discrete 2-d": MultiDiscrete([[2, 3], [4, 5]]),
    "multi-binary": MultiBinary(3),
    "multi-binary 2-d": MultiBinary((2, 2)),
    "box": Box(np.array([-2, 0], np.float32), np.array([2, 10], np.float32)),
    "box 0-d": Box(-1, 1, (), np.float32),
    "box 2-d": Box(-1, 1, (2, 3), np.float32),
    "box of doubles": Box(-1, 1, (2,), np.float64),
    "box of whole numbers": Box(-3, 5, (2,), np.int32),
    "box of bytes": Box(0, 255, (2, 2), np.uint8),
}

#: What is wrong, and what the sentence must say.
MISBEHAVED: dict[type[Animal], str] = {
    FloatsForBytes: r"in reset of the episode with seed \d+, the observation is of type float32",
    BytesForFloats: "is of type uint8, its space says floats",
    TooBright: "values from 1 to 2, not 0 to 1|values from 0 to",
    NanPixels: r"in step 3 of the episode with seed \d+, the observation has values from nan",
    NanReward: r"in step 3 of the episode with seed \d+, the reward is nan",
    InfiniteReward: r"in step 1 of the episode with seed \d+, the reward is inf",
    NoReward: "the reward is nan|the reward None is no number",
    HugeReward: r"in step 1 of the episode with seed \d+, the reward is 1e\+300, and may be 1e\+30 at most",
    UnevenReward: r"the reward \[1, \[2\]\] is no number",
    NoInfo: r"in step 1 of the episode with seed \d+, info is of type NoneType, not a dictionary",
    Exits: r"in step 1 of the episode with seed \d+, it raised SystemExit \(0\), in zoo.py:\d+",
    ExitsAtOnce: "could not be made",
    TwoRewards: "the reward has 2 numbers",
    ChangingShape: r"in step 3 .* shape \[11, 16, 3\], its space says \[12, 16, 3\]",
    WrongShape: r"in reset .* shape \[3, 12, 16\], its space says \[12, 16, 3\]",
    Shuffled: "no entry 'image'",
    OneStep: "first step",
    NeverStarts: r"in reset .* raised OSError \(no such level\), in zoo.py:\d+",
    BreaksLater: r"in step 4 of the episode with seed \d+, it raised KeyError \('wheel'\), in zoo.py:\d+",
    FourTuples: r"step\(\) returns 4 values, as the old Gym did",
    OldReset: r"reset\(\) does not return \(observation, info\)",
    NoFlag: "terminated is None",
    Broken: "could not be made .*a file is missing",
}


def register() -> None:
    """Make the animals known to Gymnasium, as ``Zoo/NAME-v0``."""
    for animal in (
        *MISBEHAVED,
        Animal,
        Aliasing,
        Greedy,
        Endless,
        Undrawn,
        BadDrawing,
        NothingDrawn,
        Numbers,
        NeverCloses,
        UndrawnNumbers,
    ):
        gym.register(f"Zoo/{animal.__name__}-v0", animal)


register()

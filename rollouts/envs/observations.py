"""Where the picture is in an observation, and how it becomes ``[height, width, 3]`` uint8.

Pictures come with channels last or first, in grey, RGB or RGBA, as whole numbers to 255 or floats to 1 or 255, alone,
in a dictionary, or as a stack of the newest few. The space says which; what an environment then gives is held to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from rollouts.envs.manners import BadMannersError
from rollouts.errors import UserError

CHANNELS = (1, 3, 4)  #: grey, RGB, RGBA
SMALLEST = 4  #: pixels of a side; what is smaller is a matrix of numbers
LONGEST_STACK = 16  #: a third axis of up to so many is a stack of grey pictures


class NoPictureError(BadMannersError):
    """Why a space, or an observation, is not a picture that can be used: the end of a sentence."""


@dataclass(frozen=True)
class Eye:
    """Finds the picture in an observation.

    Attributes:
        key: the way to it through dictionaries, e.g. ``("image",)``.
        shape, kind: of the array there; kind is NumPy's, ``u`` or ``i`` for whole numbers, ``f`` for floats.
        stack: the axis along which several pictures are stacked, the newest last; None for a single one.
        channels: the axis of the channels of one picture, the newest of which are last; None for grey.
        depth: how many channels one picture has.
        white: the value of full brightness.
    """

    key: tuple[Any, ...]
    shape: tuple[int, ...]
    kind: str
    stack: int | None
    channels: int | None
    depth: int
    white: float

    def see(self, observation: Any) -> NDArray[np.uint8]:
        """The newest picture, ``[height, width, 3]``; it may share memory with the observation.

        Raises:
            NoPictureError: the observation is not what the space says.
        """
        for name in self.key:
            if not isinstance(observation, dict) or name not in observation:
                raise NoPictureError(f"the observation has no entry {_dotted(self.key)!r}")
            observation = observation[name]
        array = np.asarray(observation)
        if array.shape != self.shape:
            raise NoPictureError(f"the observation has shape {_of(array.shape)}, its space says {_of(self.shape)}")
        if self._plain and array.dtype == np.uint8:
            return array
        picture = self._bytes(array)
        if self.stack is not None:
            picture = np.take(picture, [-1], self.stack).squeeze(self.stack)
        if self.channels is None:
            picture = picture[..., None]
        else:
            picture = np.moveaxis(picture, self.channels, -1)[..., -self.depth :]
        return picture.repeat(3, 2) if picture.shape[2] == 1 else picture[..., :3]

    @property
    def _plain(self) -> bool:
        """Whether bytes are the picture as they are."""
        return self.channels == 2 and self.depth == 3 == self.shape[2] and self.stack is None and self.kind != "f"

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        sides = [side for axis, side in enumerate(self.shape) if axis != self.stack]
        if self.channels is not None:
            del sides[self.channels]
        return sides[0], sides[1]

    def _bytes(self, array: NDArray[Any]) -> NDArray[np.uint8]:
        if self.kind == "f":
            if array.dtype.kind != "f":
                raise NoPictureError(f"the observation is of type {array.dtype}, its space says floats")
            low, high = float(array.min()), float(array.max())
            if not (-1e-3 * self.white <= low <= high <= self.white * 1.001):  # false for NaN
                raise NoPictureError(f"the observation has values from {low:g} to {high:g}, not 0 to {self.white:g}")
            return np.rint(np.clip(array, 0, self.white) * (255 / self.white)).astype(np.uint8)
        if array.dtype.kind not in "ui":
            raise NoPictureError(f"the observation is of type {array.dtype}, its space says whole numbers to 255")
        if array.dtype != np.uint8:
            low, high = int(array.min()), int(array.max())
            if low < 0 or high > 255:
                raise NoPictureError(f"the observation has values from {low} to {high}, not 0 to 255")
        return array.astype(np.uint8, copy=False)


def find_eye(space: gym.Space[Any], name: str, key: str | None = None) -> Eye:
    """The eye for the observations of the environment ``name``.

    Args:
        key: the entry of a dictionary that is the picture, ``outer.inner`` in nested ones.

    Raises:
        UserError: there is no picture, or more than one and no key.
    """
    if not isinstance(space, gym.spaces.Dict):
        if key is not None:
            raise UserError(f"--env.key {key}: the observations of {name} are no dictionary but {_shown(space)}.")
        try:
            return _eye((), space)
        except NoPictureError as error:
            raise UserError(
                f"{name} has no image observations: {error}. --env.render observes what render() draws instead."
            ) from None
    entries: dict[str, tuple[tuple[Any, ...], gym.Space[Any]]] = {}
    for path, entry in _entries(space):
        if (same := _dotted(path)) in entries:
            raise UserError(f"The observations of {name} have two entries that are called {same}: rename one of them.")
        entries[same] = (path, entry)
    if key is not None:
        if key not in entries:
            raise UserError(f"--env.key {key}: the observations of {name} have {', '.join(entries)}, no {key}.")
        try:
            return _eye(*entries[key])
        except NoPictureError as error:
            raise UserError(f"--env.key {key} of {name} is no picture: {error}.") from None
    eyes = {}
    for path, entry in entries.values():
        try:
            eyes[_dotted(path)] = _eye(path, entry)
        except NoPictureError:
            continue
    if not eyes:
        raise UserError(
            f"{name} has no image observations: no entry of its dictionary ({', '.join(entries)}) is a picture. "
            "--env.render observes what render() draws instead."
        )
    if len(eyes) > 1:
        raise UserError(f"{name} observes several pictures ({', '.join(eyes)}): choose one with --env.key.")
    return next(iter(eyes.values()))


def _dotted(path: tuple[Any, ...]) -> str:
    """How ``--env.key`` calls an entry; keys are words as a rule, but need not be."""
    return ".".join(map(str, path))


def _entries(space: gym.spaces.Dict, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], gym.Space[Any]]]:
    for name, entry in space.spaces.items():
        if isinstance(entry, gym.spaces.Dict):
            yield from _entries(entry, (*path, name))
        else:
            yield (*path, name), entry


def _eye(key: tuple[Any, ...], space: gym.Space[Any]) -> Eye:
    if not isinstance(space, gym.spaces.Box):
        raise NoPictureError(f"{_shown(space)} is no Box of numbers")
    white = _white(space)
    stack, channels, depth = _axes(space.shape)
    kind = "f" if np.issubdtype(space.dtype, np.floating) else "i"
    eye = Eye(key, space.shape, kind, stack, channels, depth, white)
    if min(eye.size) < SMALLEST:
        raise NoPictureError(f"{_of(eye.size)} is too small for a picture (at least {SMALLEST} pixels a side)")
    return eye


def _white(space: gym.spaces.Box) -> float:
    """The value of full brightness."""
    if space.dtype is None or space.dtype.kind not in "uif":
        raise NoPictureError(f"numbers of type {space.dtype} are no brightness")
    if len(space.shape) < 2:
        raise NoPictureError(f"{_shown(space)} is neither [height, width(, channels)] nor [channels, height, width]")
    if 0 in space.shape:
        raise NoPictureError(f"{_shown(space)} has no pixels")
    low, high = float(space.low.min()), float(space.high.max())
    if low < 0 or not 0 < high <= 255:
        raise NoPictureError(f"its values go from {low:g} to {high:g}, those of a picture from 0 to 255 or from 0 to 1")
    return 1.0 if space.dtype.kind == "f" and high <= 1 else 255.0


def _axes(shape: tuple[int, ...]) -> tuple[int | None, int | None, int]:
    """The axis of a stack, the axis of the channels in what it leaves, and the channels of a picture."""
    if len(shape) == 2:
        return None, None, 1
    if len(shape) == 3:
        if shape[2] in CHANNELS:
            return None, 2, shape[2]
        if shape[0] in (1, 3):
            return None, 0, shape[0]
        if shape[0] <= LONGEST_STACK and shape[0] < min(shape[1:]):
            return _stacked(shape[0], 0, shape)
        if shape[2] <= LONGEST_STACK and shape[2] < min(shape[:2]):
            return _stacked(shape[2], 2, shape)
    if len(shape) == 4:
        if shape[3] in CHANNELS:
            return 0, 2, shape[3]
        if shape[1] in CHANNELS:
            return 0, 0, shape[1]
    raise NoPictureError(f"an array of shape {_of(shape)} is neither a picture nor a stack of them")


def _stacked(count: int, axis: int, shape: tuple[int, ...]) -> tuple[int | None, int | None, int]:
    if count % 3 == 0:
        raise NoPictureError(
            f"an array of shape {_of(shape)} may be {count} grey pictures or {count // 3} coloured ones: take the "
            "wrapper that stacks them away (M remembers the past), or stack them along an axis of their own"
        )
    return axis, None, 1


def _of(shape: tuple[int, ...]) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"


def _shown(space: object) -> str:
    return " ".join(str(space).split())

"""Pictures of one size as uint8: in memory, or in a file where they are too many for it."""

from __future__ import annotations

import copy
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rollouts.console import progress_bar
from rollouts.errors import UserError

Pixels = NDArray[np.uint8]
WINDOW = 256  #: pictures that are decoded ahead
MANY = 20_000  #: pictures from which on a progress bar is shown


class PictureFile:
    """Pictures ``[N, ...]`` in a nameless file, which is gone with the process; they are indexed like an array.

    Only what is asked for is in memory.

    Args:
        shape: of all of them.
        folder: where there is space for them.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, shape: tuple[int, ...], folder: Path) -> None:
        self.shape = shape
        self._sums = np.zeros(shape[-1], np.int64)  #: of all values, by channel
        self._stored, self._bytes = shape[1:], int(np.prod(shape[1:]))
        self._channels = slice(None)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (it lives as long as this object)
        self._lock = Lock()

    @property
    def total(self) -> int:
        """Sum of all values."""
        return int(self._sums[self._channels].sum())

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __setitem__(self, index: int, picture: Pixels) -> None:
        """Store one picture, once."""
        with self._lock:
            self._file.seek(index * self._bytes)
            self._file.write(picture.tobytes())
        self._sums += picture.reshape(-1, self._stored[-1]).sum(0, dtype=np.int64)

    def __getitem__(self, key: slice | NDArray[np.int64]) -> Pixels:
        """Some of them, ``[n, ...]``."""
        chosen = np.arange(len(self))[key]
        pictures = np.empty((len(chosen), *self._stored), np.uint8)
        with self._lock:
            for row, index in zip(pictures.reshape(len(chosen), -1), chosen.tolist(), strict=True):
                self._file.seek(index * self._bytes)
                row[:] = np.frombuffer(self._file.read(self._bytes), np.uint8)
        return pictures[..., self._channels]

    def channels(self, chosen: slice) -> PictureFile:
        """The same pictures with some of their channels."""
        part = copy.copy(self)
        part._channels = chosen
        part.shape = (*self.shape[:-1], len(range(*chosen.indices(self._stored[-1]))))
        return part


Pictures = NDArray[np.generic] | PictureFile


def channels(pictures: Pictures, chosen: slice) -> Pictures:
    """Some channels of pictures ``[N, S, S, C]``, without copying them."""
    return pictures.channels(chosen) if isinstance(pictures, PictureFile) else pictures[..., chosen]


def total(pictures: Pictures) -> float:
    """Sum of all values."""
    if isinstance(pictures, PictureFile):
        return float(pictures.total)
    if pictures.dtype == np.uint8:
        return float(pictures.sum(dtype=np.int64))
    return float(pictures.astype(np.float64).sum())


class Unpacked(NamedTuple):
    """Pictures in two parts, and what is wrong with those that could not be read, by their numbers."""

    train: Pictures
    test: Pictures
    broken: dict[int, str]


def unpack(
    read: Callable[[int], Pixels],
    held_out: NDArray[np.bool_],
    shape: tuple[int, int, int],
    memory: float,
    folder: Path,
) -> Unpacked:
    """Decode pictures in worker threads, each into its place.

    Args:
        read: number -> a picture of ``shape``; raises UserError where it is broken.
        held_out: which of them go into the second part, ``[N]``.
        memory: bytes above which both parts live in files in ``folder``.
    """
    large = len(held_out) * int(np.prod(shape)) > memory
    counts = (int((~held_out).sum()), int(held_out.sum()))
    stores = [_space((count, *shape), folder if large else None) for count in counts]
    filled, broken = [0, 0], dict[int, str]()

    def attempt(index: int) -> Pixels | str:
        try:
            return read(index)
        except UserError as error:
            return str(error)

    count = len(held_out)
    shown = progress_bar(count, "pictures", "picture") if count >= MANY else nullcontext()
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool, shown as bar:
        for start in range(0, count, WINDOW):
            numbers = range(start, min(start + WINDOW, count))
            for index, picture in zip(numbers, pool.map(attempt, numbers), strict=True):
                if isinstance(picture, str):
                    broken[index] = picture
                    continue
                part = int(held_out[index])
                stores[part][filled[part]] = picture
                filled[part] += 1
            if bar is not None:
                bar.update(len(numbers))
    train, test = (_shortened(store, count) for store, count in zip(stores, filled, strict=True))
    return Unpacked(train, test, broken)


def _space(shape: tuple[int, ...], folder: Path | None) -> Pixels | PictureFile:
    return np.empty(shape, np.uint8) if folder is None else PictureFile(shape, folder)


def _shortened(store: Pixels | PictureFile, count: int) -> Pictures:
    """The first ``count`` of them."""
    if isinstance(store, PictureFile):
        store.shape = (count, *store.shape[1:])
        return store
    return store[:count]

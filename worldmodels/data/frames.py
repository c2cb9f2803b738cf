"""Batches of frames from episodes on disk, shuffled, with bounded memory."""

from __future__ import annotations

import math
import zipfile
from bisect import bisect_right
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rollouts.episodes import DAMAGE, EpisodeStore
from rollouts.errors import UserError
from rollouts.seeds import held_out
from worldmodels.training.randomness import numpy_generator_for

Source = tuple[EpisodeStore, Path]
"""An episode's file and the store it belongs to."""


def split(stores: Sequence[EpisodeStore]) -> tuple[list[Source], list[Source]]:
    """Files for training, and those held out for diagnostics (one in ten, chosen by seed; at least one of each).

    Raises:
        UserError: there are no episodes at all.
    """
    sources = [(store, file) for store in stores for file in store.require_episodes().files]
    kept = [held_out(int(file.stem.removeprefix("episode-"))) for _, file in sources]
    if not any(kept) or all(kept):
        kept = [index == len(sources) - 1 for index in range(len(sources))]
    train = [source for source, out in zip(sources, kept, strict=True) if not out]
    test = [source for source, out in zip(sources, kept, strict=True) if out]
    return train or test, test


def frames_shape(file: Path) -> tuple[int, ...]:
    """Shape ``[T+1, H, W, 3]`` of an episode's frames, from the array's header alone; T+1 is 0 in a damaged file."""
    try:
        with zipfile.ZipFile(file) as archive, archive.open("observations.npy") as header:
            version = np.lib.format.read_magic(header)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            return tuple(read(header)[0])
    except DAMAGE:
        return (0,)


class FrameBatches:
    """Shuffled batches of frames; batch number ``step`` is a function of (seed, step), ``memory`` and the files alone.

    Every pass over the data visits the episodes in a new order, in chunks; frames are shuffled within a chunk. When
    everything fits into ``memory`` bytes, that is one chunk, loaded once. Otherwise a chunk takes half of them, and the
    next one is read ahead into the other half.
    """

    def __init__(
        self, sources: Sequence[Source], batch_size: int, seed: int, memory: float = 4e9, lag: int = 1
    ) -> None:
        self.batch_size, self.seed, self.lag = batch_size, seed, lag
        shapes = {source: frames_shape(source[1]) for source in sources}
        counts = {source: shape[0] for source, shape in shapes.items()}
        for store, file in (source for source in sources if not counts[source]):
            store.read(file)  # names it
        self.sources = [source for source in sources if counts[source]]
        self.frames = sum(counts.values())
        if self.frames < batch_size:
            raise UserError(f"{self.frames} readable frames are fewer than one batch of {batch_size}; collect more.")
        self._counts = [counts[source] for source in self.sources]
        budget = int(memory / math.prod(shapes[self.sources[0]][1:]))
        self._budget = max(budget if self.frames <= budget else budget // 2, batch_size)
        self._pass, self._plan, self._starts = -1, list[list[int]](), [0]
        self._chunk, self._loaded, self._order = -1, np.empty(0, np.uint8), np.empty(0, np.int64)
        self._before = np.empty(0, np.int64)
        self._reader = ThreadPoolExecutor(1)
        self._ahead: tuple[int, Future[Read]] | None = None

    def __call__(self, step: int) -> NDArray[np.uint8]:
        """The frames ``[batch_size, H, W, 3]`` of one step. Steps are asked for in increasing order."""
        places = self._places(step)
        return self._loaded[places]

    def pairs(self, step: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """The frames of one step, and those ``lag`` steps earlier in the same episodes, or their first ones."""
        places = self._places(step)
        return self._loaded[places], self._loaded[self._before[places]]

    def _places(self, step: int) -> NDArray[np.int64]:
        """Where one step's frames are in the open chunk."""
        while step >= self._starts[-1]:
            self._start_pass(self._pass + 1, self._starts[-1])
        if step < self._starts[0]:
            raise ValueError(f"step {step} was asked for after a later one")
        chunk = bisect_right(self._starts, step) - 1
        if chunk != self._chunk:
            self._open(chunk)
        start = (step - self._starts[chunk]) * self.batch_size
        return np.take(self._order, range(start, start + self.batch_size), mode="wrap")

    def _start_pass(self, number: int, first_step: int) -> None:
        """Plan the chunks, and the steps at which each of them and the next pass begin."""
        plan, filled = list[list[int]]([[]]), 0
        for index in numpy_generator_for(self.seed, number).permutation(len(self.sources)).tolist():
            if plan[-1] and filled + self._counts[index] > self._budget:
                plan.append([])
                filled = 0
            plan[-1].append(index)
            filled += self._counts[index]
        # One chunk is kept in the order of the files: its pixels need not be read again for the next pass.
        self._plan = plan if len(plan) > 1 else [list(range(len(self.sources)))]
        batches = [max(1, sum(self._counts[index] for index in chunk) // self.batch_size) for chunk in self._plan]
        self._pass, self._starts = number, list(accumulate(batches, initial=first_step))
        self._chunk, self._ahead = -1, None

    def _open(self, chunk: int) -> None:
        """Get a chunk's frames and their order, and have the next one read."""
        if len(self._plan) > 1 or not len(self._loaded):
            self._loaded = self._loaded[:0].copy()  # before there is another
            number, future = self._ahead or (-1, None)
            if future is None or number != chunk:
                future = self._read(chunk)
            self._ahead = None
            self._loaded, self._before = future.result()
            if chunk + 1 < len(self._plan):
                self._ahead = chunk + 1, self._read(chunk + 1)
        self._chunk = chunk
        self._order = np.random.default_rng((self.seed, self._pass, chunk)).permutation(len(self._loaded))

    def _read(self, chunk: int) -> Future[Read]:
        return self._reader.submit(read_sequences, [self.sources[index] for index in self._plan[chunk]], self.lag)


Read = tuple[NDArray[np.uint8], NDArray[np.int64]]


def read_frames(sources: Sequence[Source]) -> NDArray[np.uint8]:
    """As :func:`read_sequences`, the frames alone."""
    return read_sequences(sources)[0]


def read_sequences(sources: Sequence[Source], lag: int = 1) -> Read:
    """All frames of some episodes that show something, ``[N, H, W, 3]``, and where for each the earlier one is.

    That is the one ``lag`` steps before it in the same episode, or where there is none the episode's first. Frames are
    unpacked into one array, an episode at a time; damaged episodes are named and skipped.

    Raises:
        UserError: none was readable.
    """
    shapes = [frames_shape(file) for _, file in sources]
    shape = max(shapes, key=len)  # a damaged file has none
    frames, filled = np.empty((sum(count for count, *_ in shapes), *shape[1:]), np.uint8), 0
    before = np.arange(len(frames)) - lag
    for source in sources:
        count = _unpack(source, frames[filled:])
        before[filled : filled + count] = before[filled : filled + count].clip(min=filled)
        filled += count
    if not filled:
        raise UserError(f"None of {len(sources)} episodes could be read; collect them again.")
    return frames[:filled], before[:filled]


def _unpack(source: Source, space: NDArray[np.uint8]) -> int:
    """Copy an episode's pictures to the beginning of ``space``; their number, 0 if it is damaged."""
    store, file = source
    if (episode := store.read(file)) is None:
        return 0
    pictures = episode.pictures
    space[: len(pictures)] = pictures
    return len(pictures)

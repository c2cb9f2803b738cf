"""Batches of frames from episodes on disk, shuffled, with bounded memory."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rollouts.episodes import DAMAGE, EpisodeStore
from rollouts.errors import UserError
from rollouts.seeds import held_out
from worldmodels.training import numpy_generator_for

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
    """Shuffled batches of frames; batch number ``step`` is a function of (seed, step) and the files alone.

    Every pass over the data visits the episodes in a new order, in chunks that fit ``memory`` bytes; frames are
    shuffled within a chunk. When everything fits, that is one chunk, loaded once. The next chunk is read ahead.
    """

    def __init__(self, sources: Sequence[Source], batch_size: int, seed: int, memory: float = 4e9) -> None:
        self.batch_size, self.seed = batch_size, seed
        shapes = {source: frames_shape(source[1]) for source in sources}
        counts = {source: shape[0] for source, shape in shapes.items()}
        for store, file in (source for source in sources if not counts[source]):
            store.read(file)  # names it
        self.sources = [source for source in sources if counts[source]]
        self.frames = sum(counts.values())
        if self.frames < batch_size:
            raise UserError(f"{self.frames} readable frames are fewer than one batch of {batch_size}; collect more.")
        frame_bytes = math.prod(shapes[self.sources[0]][1:])
        self._counts, self._budget = counts, max(int(memory / frame_bytes), batch_size)
        self._plan: list[tuple[Source, ...]] = []
        self._pass, self._first_step = -1, 0
        self._next_step = 0
        self._reader = ThreadPoolExecutor(1)
        self._loaded: dict[tuple[Source, ...], Future[NDArray[np.uint8]]] = {}

    def __call__(self, step: int) -> NDArray[np.uint8]:
        """The frames ``[batch_size, H, W, 3]`` of one step. Steps are asked for in increasing order."""
        while step >= self._next_step:
            self._start_pass(self._pass + 1, self._next_step)
        if step < self._first_step:
            raise ValueError(f"step {step} was asked for after a later one")
        first = self._first_step
        for number, chunk in enumerate(self._plan):
            batches = max(1, sum(self._counts[source] for source in chunk) // self.batch_size)
            if step < first + batches:
                frames = self._load(chunk)
                if number + 1 < len(self._plan):
                    self._request(self._plan[number + 1])
                order = np.random.default_rng((self.seed, self._pass, number)).permutation(len(frames))
                start = (step - first) * self.batch_size
                return frames[np.take(order, range(start, start + self.batch_size), mode="wrap")]
            first += batches
        raise AssertionError("unreachable: a pass covers all steps up to the next one")

    def _start_pass(self, number: int, first_step: int) -> None:
        order = numpy_generator_for(self.seed, number).permutation(len(self.sources))
        chunks: list[list[Source]] = [[]]
        filled = 0
        for index in order:
            source = self.sources[index]
            if chunks[-1] and filled + self._counts[source] > self._budget:
                chunks.append([])
                filled = 0
            chunks[-1].append(source)
            filled += self._counts[source]
        # One chunk is kept in the order of the files: its pixels need not be read again for the next pass.
        self._plan = [tuple(chunk) for chunk in chunks] if len(chunks) > 1 else [tuple(self.sources)]
        self._pass, self._first_step = number, first_step
        self._next_step = first_step + sum(
            max(1, sum(self._counts[source] for source in chunk) // self.batch_size) for chunk in self._plan
        )

    def _request(self, chunk: tuple[Source, ...]) -> Future[NDArray[np.uint8]]:
        if chunk not in self._loaded:
            self._loaded[chunk] = self._reader.submit(read_frames, chunk)
        return self._loaded[chunk]

    def _load(self, chunk: tuple[Source, ...]) -> NDArray[np.uint8]:
        for other in [other for other in self._loaded if other != chunk and self._loaded[other].done()]:
            if other not in self._plan[self._plan.index(chunk) + 1 :]:
                del self._loaded[other]
        return self._request(chunk).result()


def read_frames(sources: Sequence[Source]) -> NDArray[np.uint8]:
    """All frames of some episodes that show something, ``[N, H, W, 3]``; damaged episodes are named and skipped.

    Raises:
        UserError: none was readable.
    """
    episodes = [store.read(file) for store, file in sources]
    frames = [episode.pictures for episode in episodes if episode is not None]
    if not frames:
        raise UserError(f"None of {len(sources)} episodes could be read; collect them again.")
    return np.concatenate(frames)

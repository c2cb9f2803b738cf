"""Clips for video models: windows of equally many frames from films, folders of frames, episodes, or moving digits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rollouts.console import say
from rollouts.errors import UserError
from rollouts.runs.layout import episodes_in
from worldmodels.data.frames import Source
from worldmodels.data.frames import split as split_episodes
from worldmodels.generative.data.datasets import PACKAGED
from worldmodels.generative.data.image_files import Fit, find_pictures, fit, read_image, to_channels
from worldmodels.generative.data.moving_digits import MOVING, moving_digits
from worldmodels.generative.data.samples import LoadOptions, Samples

Pixels = NDArray[np.uint8]
OVERLAP = 4  #: windows begin every ``frames / OVERLAP`` frames
HELD_OUT = 10  #: one film in so many, or the last part of a single one


@dataclass(frozen=True)
class Film:
    """Frames ``[H, W, C]`` in their order, read at their use."""

    name: str
    frames: Callable[[], Iterable[Pixels]]
    kind: str = ""  #: its class, where it has one


def load_clips(data: str, frames: int, every: int, options: LoadOptions) -> Samples:
    """Clips uint8 ``[N, frames, S, S, C]``, with classes where every film is in a sub-folder that names its own.

    Args:
        data: "moving-digits"; a GIF or another film; a folder of films, of folders of frames, or of frames; a run or
            folder with episodes.
        every: take every n-th frame of a film.

    Raises:
        UserError: there is nothing usable, or more than fits into memory.
    """
    if data == MOVING:
        return moving_digits(options.seed, frames, PACKAGED["digits"]())
    path = Path(data)
    if not path.exists():
        raise UserError(f"There is no file or folder {data!r}, and it is not {MOVING}, the built-in clips.")
    train, test = _films(path, options.seed)
    names = sorted({film.kind for film in (*train, *test)})
    if "" in names or len(names) < 2:
        names = []
    shape = _Frames(options, every)
    parts = []
    alone = [film.name for film in train] == [film.name for film in test]  # a single film: its end is held out
    for films, last in ((train, False), (test, True)):
        windows, labels = [], []
        for film in films:
            pictures = list(shape.of(film))
            if alone:
                cut = len(pictures) - max(len(pictures) // HELD_OUT, frames)
                pictures = pictures[cut:] if last else pictures[:cut]
            for window in _windows(pictures, frames):
                windows.append(window)
                labels.append(names.index(film.kind) if names else 0)
        parts.append((windows, np.array(labels, np.int64)))
    if not parts[0][0] or not parts[1][0]:
        raise UserError(
            f"The films in {data} are too short for clips of {frames} frames, every {every}. one: at least two such "
            "clips are needed, to hold one out; use fewer --frames."
        )
    (train_clips, train_labels), (test_clips, test_labels) = ((np.stack(windows), labels) for windows, labels in parts)
    say(f"{data}: {len(train_clips):,} clips of {frames} frames to train on, {len(test_clips):,} held out.")
    if not names:
        return Samples(data, train_clips, test_clips)
    return Samples(data, train_clips, test_clips, train_labels, test_labels, tuple(names))


def first_frames(path: Path, count: int, size: int, channels: int, how: Fit) -> Pixels:
    """Frames that a film begins with, or a picture as the only one, ``[k <= count, S, S, C]``.

    Raises:
        UserError: it cannot be read.
    """
    from rollouts.transfer.videos import decoded, videos_in  # brings what image models do without

    if path.is_file() and videos_in(path):
        film = Film(str(path), lambda: decoded(path))
    else:
        film = Film(str(path), lambda: [read_image(path)])
    shape = _Frames(LoadOptions(size, channels, how), 1)
    return np.stack(list(islice(shape.of(film), count)))


class _Frames:
    """Reads frames at one size, with so many channels, up to a limit of memory."""

    def __init__(self, options: LoadOptions, every: int) -> None:
        self.options, self.every = options, every
        self.size, self.bytes = options.size, 0

    def of(self, film: Film) -> Iterator[Pixels]:
        """Its frames ``[S, S, C]``.

        Raises:
            UserError: they cannot be read, are no squares and no size is known, or there are too many of them.
        """
        try:
            for frame in islice(film.frames(), 0, None, self.every):
                height, width, _ = frame.shape
                if not self.size and height != width:
                    raise UserError(f"{film.name} has frames of {width}x{height}; squares are needed: choose --size.")
                self.size = self.size or height
                ready = to_channels(fit(frame, self.size, self.options.fit), self.options.channels or 3)
                self.bytes += OVERLAP * ready.nbytes
                if self.bytes > self.options.memory:
                    raise UserError(
                        f"{film.name} and those before it are more than --memory-gb {self.options.memory / 1e9:g} "
                        "holds: take fewer frames with --every, or smaller ones with --size."
                    )
                yield ready
        except ValueError as error:
            raise UserError(f"{film.name} cannot be read: {error}.") from error


def _windows(frames: list[Pixels], length: int) -> Iterator[Pixels]:
    for start in range(0, len(frames) - length + 1, max(length // OVERLAP, 1)):
        yield np.stack(frames[start : start + length])


def _films(path: Path, seed: int) -> tuple[list[Film], list[Film]]:
    """Films to train on, and films held out; twice the same one where there are no two."""
    from rollouts.transfer.videos import decoded, videos_in  # brings what image models do without

    if (recorded := episodes_in(path)) is not None:
        train, test = split_episodes([recorded])
        return [_episode(source) for source in train], [_episode(source) for source in test]
    films = [
        Film(str(file), lambda file=file: decoded(file), _kind(file, path))  # type: ignore[misc]
        for file in videos_in(path)
    ]
    if not films and path.is_dir():
        films = _folders(path)
    if not films:
        raise UserError(f"{path} is no film (.gif, .mp4, .webm ...); give one, or a folder of films or frames.")
    if len(films) == 1:
        return films, films
    order = np.random.default_rng(seed).permutation(len(films))
    count = max(len(films) // HELD_OUT, 1)
    return [films[i] for i in sorted(order[count:])], [films[i] for i in sorted(order[:count])]


def _episode(source: Source) -> Film:
    store, file = source
    return Film(str(file), lambda: store.load(file).pictures)


def _folders(path: Path) -> list[Film]:
    """Every folder of pictures is a film, its frames sorted by name."""
    by_folder: dict[Path, list[Path]] = {}
    for file in find_pictures(path):
        by_folder.setdefault(file.parent, []).append(file)
    return [
        Film(str(folder), lambda files=files: map(read_image, files), _kind(folder, path))  # type: ignore[misc]
        for folder, files in sorted(by_folder.items())
    ]


def _kind(place: Path, root: Path) -> str:
    """The sub-folder that a film is in."""
    parts = place.relative_to(root).parts if place != root else ()
    return parts[0] if len(parts) > 1 else ""

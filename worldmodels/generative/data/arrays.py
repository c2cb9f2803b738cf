"""Arrays of pictures or points from files: IDX (the format of MNIST), .npy, .npz."""

from __future__ import annotations

import gzip
import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rollouts.errors import UserError

Array = NDArray[np.generic]
NAMES = (
    ("images", "labels"),
    ("x", "y"),
    ("x_train", "y_train"),
    ("train_images", "train_labels"),
    ("X", "y"),
    ("data", "labels"),
)
"""What the arrays of an .npz are called, with their labels."""


class Arrays(NamedTuple):
    """What a file holds: images ``[N, H, W, C]`` of any numbers, or points ``[N, D]``; labels ``[N]`` where known."""

    data: Array
    labels: NDArray[np.int64] | None = None
    test: Array | None = None
    test_labels: NDArray[np.int64] | None = None


def read_idx(path: Path) -> NDArray[np.uint8]:
    """An IDX file (the format of MNIST), also gzipped: unsigned bytes in any number of dimensions.

    Raises:
        UserError: it is no such file, or shorter than its header says.
    """
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zipfile.zlib.error) as error:  # type: ignore[attr-defined]
        raise UserError(f"{path} cannot be unpacked ({error}).") from error
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] != 8 or len(raw) < 4 + 4 * raw[3]:
        raise UserError(f"{path} is not an IDX file of unsigned bytes.")
    shape = struct.unpack(f">{raw[3]}I", raw[4 : 4 + 4 * raw[3]])
    body = np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3])
    if len(body) != int(np.prod(shape)):
        raise UserError(f"{path} holds {len(body)} bytes where its header announces {int(np.prod(shape))}.")
    return body.reshape(shape)


def read_arrays(path: Path) -> Arrays:
    """Images ``[N, H, W]``, ``[N, H, W, C]`` or ``[N, C, H, W]``, or points ``[N, D]``, from .npy or .npz.

    An .npz has labels beside its images (see ``NAMES``), and perhaps a part of its own for testing (``x_test``,
    ``test_images``), which is then what is held out.

    Raises:
        UserError: the file is damaged, or its shapes make no sense.
    """
    try:
        loaded = np.load(path, mmap_mode="r" if path.suffix == ".npy" else None, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return Arrays(_checked(loaded, path))
        with loaded:
            names = next(((images, labels) for images, labels in NAMES if images in loaded), None)
            if names is None:
                choices = ", ".join(repr(images) for images, _ in NAMES)
                raise UserError(f"{path} has no array called one of {choices}, but {', '.join(loaded.files)}.")
            images, label = names
            parts = [(loaded[images], _first(loaded, (label, "labels", "y")))]
            beside = images.replace("train", "test")
            if beside != images and beside in loaded:
                label = label.replace("train", "test")
                parts.append((loaded[beside], _first(loaded, (label,))))
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is not a readable NumPy file of plain numbers ({error}).") from error
    checked = [(_checked(data, path), _labels(labels, len(data), path)) for data, labels in parts]
    return Arrays(*checked[0], *(checked[1] if len(checked) > 1 else ()))


def _first(loaded: Mapping[str, Array], names: Sequence[str]) -> Array | None:
    return next((loaded[name] for name in names if name in loaded), None)


def _labels(labels: Array | None, count: int, path: Path) -> NDArray[np.int64] | None:
    if labels is None:
        return None
    if labels.shape == (count, 1):
        labels = labels[:, 0]
    if labels.shape != (count,) or not np.issubdtype(labels.dtype, np.integer):
        raise UserError(f"{path}: labels must be integers of shape [{count}], got {labels.dtype} {list(labels.shape)}.")
    return labels.astype(np.int64)


def _checked(data: Array, path: Path) -> Array:
    """Points, or images with their channels last."""
    if data.ndim == 2 and np.issubdtype(data.dtype, np.floating):
        if not np.isfinite(data).all():
            raise UserError(f"{path} holds values that are not finite numbers.")
        return data.astype(np.float32)
    if data.ndim == 3:
        data = data[..., None]
    if data.ndim == 4 and _channels_first(data.shape):
        data = np.moveaxis(data, 1, -1)
    if data.ndim != 4 or data.shape[-1] not in (1, 3, 4) or 0 in data.shape:
        raise UserError(
            f"{path} has shape {list(data.shape)}; expected [N, H, W], [N, H, W, 1 or 3], [N, 1 or 3, H, W], or "
            "points [N, D]."
        )
    return data[..., :3]


def _channels_first(shape: tuple[int, ...]) -> bool:
    """Whether images ``[N, a, b, c]`` are better read as ``[N, C, H, W]``: as squares, if that is possible."""
    _, a, b, c = shape
    if c in (1, 3, 4):
        return a in (1, 3, 4) and b == c != a
    return a in (1, 3) or (a == 4 and b == c)

"""Pictures from files: any mode, depth and size becomes uint8 of one size, or the file is refused by name."""

from __future__ import annotations

import gzip
import struct
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from rollouts.errors import UserError

Pixels = NDArray[np.uint8]
SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm"}


def read_image(path: Path) -> Pixels:
    """One picture as uint8 ``[H, W, 1]`` (grey) or ``[H, W, 3]``.

    Rotated as its camera says; 16-bit greys are scaled to 8 bits; transparency is laid on white; palettes and CMYK
    become RGB; of an animation the first frame is taken.

    Raises:
        UserError: the file is broken or holds no picture.
    """
    try:
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file)
            image.load()
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path} is not a readable picture ({error}); remove or replace it.") from error
    if image.mode.startswith("I") or image.mode == "F":
        return _to_8_bit(np.asarray(image), str(path))[:, :, None]
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
        pixels = np.asarray(image)
        grey = bool((pixels == pixels[:, :, :1]).all())
        return pixels[:, :, :1] if grey else pixels
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"))[:, :, None]
    return np.asarray(image.convert("RGB"))


def _to_8_bit(pixels: NDArray[np.generic], name: str) -> Pixels:
    """uint8 as it is, 16 bits scaled, floats from [0, 1]."""
    if pixels.dtype == np.uint8:
        return pixels.astype(np.uint8)
    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8) * 255
    if not np.issubdtype(pixels.dtype, np.number):
        raise UserError(f"{name} holds {pixels.dtype} instead of numbers.")
    values = pixels.astype(np.float64)
    if not np.isfinite(values).all():
        raise UserError(f"{name} holds values that are not finite numbers.")
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if np.issubdtype(pixels.dtype, np.floating):
        if low < 0 or high > 1:
            raise UserError(f"{name} holds floats from {low:g} to {high:g}; scale them to [0, 1], or store uint8.")
        return np.round(values * 255).astype(np.uint8)
    if low < 0 or high > 65535:
        raise UserError(f"{name} holds integers from {low:g} to {high:g}; 8 bits (to 255) and 16 (to 65535) are known.")
    wide = high > 255 or pixels.dtype in (np.uint16, np.dtype(">u2"))
    return np.round(values / 257 if wide else values).astype(np.uint8)


def fit(picture: Pixels, size: int) -> Pixels:
    """Cut the centred square out of ``[H, W, C]`` and resize it to ``size``, averaging when it shrinks."""
    height, width, channels = picture.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = np.ascontiguousarray(picture[top : top + side, left : left + side])
    if side != size:
        import cv2  # here: a model that was trained needs none of it

        method = cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
        square = np.asarray(cv2.resize(square, (size, size), interpolation=method), np.uint8)
    return square.reshape(size, size, channels)


def read_folder(folder: Path, size: int, channels: int) -> tuple[Pixels, NDArray[np.int64] | None, list[str]]:
    """All pictures below a folder, ``[N, S, S, C]``; sub-folders are classes if every picture is in one.

    Args:
        size: 0 keeps the files' own size, which must then be one square size for all.
        channels: 1, 3, or 0 for "3 if any picture has colour".

    Returns:
        Pictures, labels or None, and the names of the classes.

    Raises:
        UserError: there are none, one is broken, or sizes differ.
    """
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not files:
        raise UserError(f"{folder} holds no pictures ({', '.join(sorted(SUFFIXES))}).")
    pictures: list[Pixels] = []
    for file in files:
        picture = read_image(file)
        if size:
            picture = fit(picture, size)
        elif picture.shape[0] != picture.shape[1] or picture.shape[0] != (pictures or [picture])[0].shape[0]:
            first = f" and {files[0].name} is {pictures[0].shape[1]}x{pictures[0].shape[0]}" if pictures else ""
            raise UserError(
                f"{file} is {picture.shape[1]}x{picture.shape[0]}{first}; pictures of one square size are needed: "
                "choose one with --size."
            )
        pictures.append(picture)
    wanted = channels or max(picture.shape[2] for picture in pictures)
    parents = [file.relative_to(folder).parts[0] if file.parent != folder else "" for file in files]
    names = sorted(set(parents))
    labels = None if "" in names or len(names) < 2 else np.array([names.index(parent) for parent in parents])
    return np.stack([to_channels(picture, wanted) for picture in pictures]), labels, names if labels is not None else []


def to_channels(pictures: Pixels, channels: int) -> Pixels:
    """Grey to RGB by repetition, RGB to grey by ITU-R 601 luma; the last axis is the channel."""
    if pictures.shape[-1] == channels:
        return pictures
    if channels == 3:
        return pictures.repeat(3, -1)
    return np.round(pictures @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)[..., None]


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


def read_arrays(path: Path) -> tuple[NDArray[np.generic], NDArray[np.int64] | None]:
    """Images ``[N, H, W]`` or ``[N, H, W, C]`` (or points ``[N, D]``) from .npy, or from .npz with labels.

    In .npz the arrays are called ``images`` (or ``x``) and ``labels`` (or ``y``).

    Raises:
        UserError: the file is damaged, or its shapes make no sense.
    """
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            data, labels = loaded, None
        else:
            with loaded:
                images = next((name for name in ("images", "x") if name in loaded), None)
                if images is None:
                    raise UserError(f"{path} has no array called 'images' or 'x', but {', '.join(loaded.files)}.")
                data = loaded[images]
                labels = next((loaded[name] for name in ("labels", "y") if name in loaded), None)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is not a readable NumPy file of plain numbers ({error}).") from error
    if labels is not None and (labels.shape != (len(data),) or not np.issubdtype(labels.dtype, np.integer)):
        raise UserError(f"{path}: labels must be integers of shape [{len(data)}], got {labels.dtype} {labels.shape}.")
    if data.ndim == 2 and np.issubdtype(data.dtype, np.floating):
        if not np.isfinite(data).all():
            raise UserError(f"{path} holds values that are not finite numbers.")
        return data.astype(np.float32), labels
    if data.ndim == 3:
        data = data[..., None]
    if data.ndim != 4 or data.shape[-1] not in (1, 3, 4) or 0 in data.shape:
        raise UserError(
            f"{path} has shape {list(data.shape)}; expected [N, H, W], [N, H, W, 1 or 3], or points [N, D]."
        )
    return _to_8_bit(data[..., :3], str(path)), labels

"""Pictures from files: any mode, depth and size becomes uint8 of one size, or the file is refused by name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from rollouts.errors import UserError

Pixels = NDArray[np.uint8]
Fit = Literal["crop", "pad", "stretch"]
SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm"}


DAMAGE = (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError)


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
    except DAMAGE as error:
        raise UserError(f"{path} is not a readable picture ({error})") from error
    if image.mode.startswith("I") or image.mode == "F":
        deep = np.asarray(image)
        return to_8_bit(deep, value_range(deep, str(path)))[:, :, None]
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
        pixels = np.asarray(image)
        grey = bool((pixels == pixels[:, :, :1]).all())
        return pixels[:, :, :1] if grey else pixels
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"))[:, :, None]
    return np.asarray(image.convert("RGB"))


class Glance(NamedTuple):
    """What a file's head says of its picture."""

    width: int
    height: int
    coloured: bool | None  #: None: only its pixels tell


def glance(path: Path) -> Glance | None:
    """A picture's size and colour without decoding it; None where it is broken, which reading it will explain."""
    try:
        with Image.open(path) as file:
            turned = file.getexif().get(0x0112, 1) >= 5
            width, height = file.size[::-1] if turned else file.size
            grey = file.mode in ("1", "L", "F") or file.mode.startswith("I")
            clear = file.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in file.info
    except DAMAGE:
        return None
    return Glance(width, height, None if clear else not grey)


def find_pictures(folder: Path) -> list[Path]:
    """All pictures below a folder, sorted, linked folders included.

    Left out is what nobody put there as a picture: what lies in hidden folders (``.ipynb_checkpoints``) or is hidden
    (``._name.png``, which other systems leave on a shared disk), and ``__MACOSX``.

    Raises:
        UserError: there are none.
    """
    pictures: list[Path] = []
    visited = set[str]()
    for root, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(root)
        if real in visited:  # a link to a folder above
            folders.clear()
            continue
        visited.add(real)
        folders[:] = [name for name in folders if not name.startswith(".") and name != "__MACOSX"]
        pictures += [Path(root, name) for name in files if not name.startswith(".") and _is_picture(name)]
    if not pictures:
        raise UserError(f"{folder} holds no pictures ({', '.join(sorted(SUFFIXES))}).")
    return sorted(pictures)


def _is_picture(name: str) -> bool:
    return Path(name).suffix.lower() in SUFFIXES


class Range(NamedTuple):
    """How an array's numbers become bytes."""

    scale: float  #: bytes per unit
    exact: bool  #: they are bytes already


def value_range(pixels: NDArray[np.generic], name: str) -> Range:
    """Bytes as they are, 16 bits scaled, floats from [0, 1]; looks at a large array a part at a time.

    Raises:
        UserError: they are no such numbers.
    """
    if pixels.dtype == np.uint8:
        return Range(1.0, True)
    if pixels.dtype == np.bool_:
        return Range(255.0, False)
    if not np.issubdtype(pixels.dtype, np.number):
        raise UserError(f"{name} holds {pixels.dtype} instead of numbers.")
    low, high = 0.0, 0.0
    first = True
    for start in range(0, len(pixels), 1000):
        part = pixels[start : start + 1000].astype(np.float64)
        if not np.isfinite(part).all():
            raise UserError(f"{name} holds values that are not finite numbers.")
        if part.size:
            low, high = (part.min(), part.max()) if first else (min(low, part.min()), max(high, part.max()))
            first = False
    if np.issubdtype(pixels.dtype, np.floating):
        if low < 0 or high > 1:
            raise UserError(f"{name} holds floats from {low:g} to {high:g}; scale them to [0, 1], or store uint8.")
        return Range(255.0, False)
    if low < 0 or high > 65535:
        raise UserError(f"{name} holds integers from {low:g} to {high:g}; 8 bits (to 255) and 16 (to 65535) are known.")
    wide = high > 255 or pixels.dtype in (np.uint16, np.dtype(">u2"))
    return Range(1 / 257 if wide else 1.0, False)


def to_8_bit(pixels: NDArray[np.generic], span: Range) -> Pixels:
    """Bytes of (a part of) an array whose range is known."""
    if span.exact:
        return pixels.astype(np.uint8, copy=False)
    return np.round(pixels.astype(np.float64) * span.scale).astype(np.uint8)


def fit(picture: Pixels, size: int, how: Fit = "crop") -> Pixels:
    """Make ``[H, W, C]`` a square of ``size``, averaging where it shrinks.

    Args:
        how: "crop" cuts out the centred square, "pad" fills up to a square in the mean colour of the picture's edge,
            "stretch" changes the proportions.
    """
    height, width, channels = picture.shape
    if how == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        picture = picture[top : top + side, left : left + side]
    elif how == "pad" and height != width:
        picture = _padded(picture)
    height, width, _ = picture.shape
    if (height, width) != (size, size):
        import cv2  # here: a model that was trained needs none of it

        method = cv2.INTER_AREA if height * width > size * size else cv2.INTER_CUBIC
        resized = cv2.resize(np.ascontiguousarray(picture), (size, size), interpolation=method)
        picture = np.asarray(resized, np.uint8)
    return picture.reshape(size, size, channels)


def _padded(picture: Pixels) -> Pixels:
    """The picture in the middle of the smallest square that holds it."""
    height, width, channels = picture.shape
    side = max(height, width)
    edge = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    canvas = np.empty((side, side, channels), np.uint8)
    canvas[:] = np.round(edge.mean(0)).astype(np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    canvas[top : top + height, left : left + width] = picture
    return canvas


def to_channels(pictures: Pixels, channels: int) -> Pixels:
    """Grey to RGB by repetition, RGB to grey by ITU-R 601 luma; the last axis is the channel."""
    if pictures.shape[-1] == channels:
        return pictures
    if channels == 3:
        return pictures.repeat(3, -1)
    return np.round(pictures @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)[..., None]

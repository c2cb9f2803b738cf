"""A file of the user's as the input of a translator that was trained on computed inputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from torch import Tensor

from rollouts.console import say
from rollouts.errors import UserError
from worldmodels.generative.data.image_files import DAMAGE, Fit, fit, read_image, to_channels
from worldmodels.generative.data.making import InputKind, enlarged, masked
from worldmodels.generative.data.samples import to_tensor
from worldmodels.training.randomness import generator_for


def read_input(path: Path, size: int, channels: int, how: Fit) -> Tensor:
    """A picture as it is, ``[1, channels, size, size]`` in [0, 1].

    Raises:
        UserError: it cannot be read.
    """
    return to_tensor(to_channels(fit(read_image(path), size, how), channels)[None].copy())


def read_grey(path: Path, size: int, how: Fit) -> Tensor:
    """A picture without its colours."""
    return read_input(path, size, 1, how)


def read_small(path: Path, size: int, channels: int, how: Fit, times: int) -> Tensor:
    """A picture brought to ``size / times``, and enlarged from there as in training."""
    return enlarged(read_input(path, size // times, channels, how), size)


def read_holes(path: Path, size: int, channels: int, how: Fit) -> Tensor:
    """A picture whose transparent parts are to be filled, with the holes as one more plane.

    Raises:
        UserError: it has no transparent part, or nothing else.
    """
    try:
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file).convert("RGBA")
    except DAMAGE as error:
        raise UserError(f"{path} is not a readable picture ({error}).") from error
    pixels = np.asarray(image)
    picture = to_tensor(to_channels(fit(np.ascontiguousarray(pixels[..., :3]), size, how), channels)[None])
    # Every pixel that a hole touches is in it: whatever colour the transparent parts have, none of it comes in.
    holes = (to_tensor(fit(np.ascontiguousarray(255 - pixels[..., 3:]), size, how)[None]) > 0).float()
    if not holes.any():
        raise UserError(f"{path} has no transparent part: erase what is to be made in a paint program, and save a PNG.")
    if holes.all():
        raise UserError(f"{path} is transparent all over: something must be left to go by.")
    return masked(picture, holes)


def read_drawing(path: Path, size: int, how: Fit, kind: InputKind) -> Tensor:
    """A drawing in black and white as it is; a coloured picture is taken for a photo, and drawn first."""
    picture = read_image(path)
    if (picture == picture[..., :1]).all():
        return read_input(path, size, 1, how)
    say(f"{path} has colours: the drawing is made of it.")
    return kind.make(read_input(path, size, 3, how), generator_for(0, 0))

"""Pictures that need no file of the user's: sections of two photos that ship inside scikit-learn."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from rollouts.errors import UserError
from worldmodels.generative.data.image_files import fit, read_image, to_channels
from worldmodels.generative.data.samples import Samples
from worldmodels.generative.data.store import Pixels

TWO_PHOTOS = "two-photos"
SIDE, STEP, HELD_OUT = 128, 16, 240
"""Sections of 128x128, every 16 pixels; held out are those that begin in column 240."""


def two_photos(size: int = 0, channels: int = 0) -> Samples:
    """Sections of the photos that ship inside scikit-learn, a temple and a flower: for training 684, and 38 held out.

    Held out is a band through the middle of both, of which no training section sees anything.

    Args:
        size: their side; 0 is 64.
        channels: 1 or 3; 0 is 3.

    Raises:
        UserError: the package is not there.
    """
    spec = importlib.util.find_spec("sklearn")
    if spec is None or not spec.submodule_search_locations:
        raise UserError("These photos come with scikit-learn, which is not installed: pip install scikit-learn.")
    parts: tuple[list[Pixels], list[Pixels]] = ([], [])
    for name in ("china.jpg", "flower.jpg"):
        photo = read_image(Path(spec.submodule_search_locations[0]) / "datasets" / "images" / name)
        height, width, _ = photo.shape
        for top in range(0, height - SIDE + 1, STEP):
            for left in range(0, width - SIDE + 1, STEP):
                if left == HELD_OUT or abs(left - HELD_OUT) >= SIDE:
                    section = photo[top : top + SIDE, left : left + SIDE]
                    parts[left == HELD_OUT].append(fit(section, size or 64))
    train, test = (to_channels(np.stack(part), channels or 3) for part in parts)
    return Samples(TWO_PHOTOS, train, test)

"""A small labelled set of images that needs no package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def images(tmp_path_factory) -> str:
    """200 grey 8x8 images of two classes: a bright upper or lower half, and noise."""
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 2
    pixels = rng.integers(0, 60, (200, 8, 8), dtype=np.uint8)
    pixels[labels == 0, :4] += 180
    pixels[labels == 1, 4:] += 180
    path: Path = tmp_path_factory.mktemp("data") / "halves.npz"
    np.savez(path, images=pixels, labels=labels)
    return str(path)

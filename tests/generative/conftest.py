"""A small labelled set of images that needs no package."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from worldmodels.generative.fit import fit_images
from worldmodels.generative.models.registry import preset

DOCS = str(Path(__file__).parents[2] / "scripts" / "docs")


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


@pytest.fixture(scope="session")
def runs(images, tmp_path_factory) -> Path:
    """A VAE and a conditional GAN, trained for a moment."""
    folder = tmp_path_factory.mktemp("runs")
    for name in ("vae", "cgan"):
        fit_images(
            name,
            dataclasses.replace(preset(name, "tiny"), data=images, steps=4, log_every=2),
            folder / name,
            torch.device("cpu"),
        )
    return folder


@pytest.fixture(scope="session")
def cache(tmp_path_factory) -> Path:
    """Where the classifiers of all tests are kept, each trained once."""
    return tmp_path_factory.mktemp("classifiers")


@pytest.fixture
def docs(monkeypatch):
    """The tools that write the documentation can be imported."""
    monkeypatch.syspath_prepend(DOCS)
    yield
    for name in ("images_page", "images_table", "publish_images", "readme"):
        sys.modules.pop(name, None)

"""Finished runs of image models, ready to draw."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch

from rollouts.errors import UserError
from rollouts.runs.stage import Stage
from worldmodels.generative.data.datasets import Samples
from worldmodels.generative.models.base import ImageConfig, ImageModel, Shape, build
from worldmodels.generative.models.registry import MODELS
from worldmodels.training.checkpoint import load_weights


class Trained(NamedTuple):
    """A finished run's model and the data it was made from."""

    name: str
    config: ImageConfig
    model: ImageModel
    samples: Samples
    run: Path


def load_trained(run: Path, device: torch.device) -> Trained:
    """A finished run of :func:`worldmodels.generative.fit.fit_images`.

    Raises:
        UserError: it is missing, unfinished or damaged, or its data have changed.
    """
    stage = Stage.require(run, "images", "train-images")
    name = str(stage.manifest["inputs"]["model"])
    if name not in MODELS:
        raise UserError(f"{stage.path} holds a model called {name!r}; known are {', '.join(MODELS)}.")
    config = stage.config(type(MODELS[name]))
    samples = config.load()
    if samples.hash != stage.manifest["inputs"]["data"]:
        raise UserError(f"{config.data} has changed since {run} was made from it; its samples cannot be compared.")
    model = build(config, Shape(**stage.manifest["architecture"]), device)
    load_weights(model.network, stage.path / "weights.safetensors")
    return Trained(name, config, model, samples, run)

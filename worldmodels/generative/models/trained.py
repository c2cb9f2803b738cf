"""Finished runs of image models, ready to draw, also where their data are not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rollouts.errors import UserError
from rollouts.runs.layout import Run
from worldmodels.generative.data.samples import Samples
from worldmodels.generative.models.base import ImageConfig, ImageModel, Shape, build
from worldmodels.generative.models.registry import MODELS
from worldmodels.training.checkpoint import load_weights


def about(samples: Samples) -> dict[str, Any]:
    """What a manifest keeps of the data, so that nothing else of them is needed to draw."""
    return {
        "name": samples.name,
        "class_names": list(samples.class_names),
        "label_shares": [round(share, 6) for share in samples.label_shares],
        "train": len(samples.train),
        "test": len(samples.test),
    }


@dataclass(frozen=True)
class Trained:
    """A finished run's model, and what is known of its data."""

    name: str
    config: ImageConfig
    model: ImageModel
    run: Path
    shape: Shape
    class_names: tuple[str, ...]
    label_shares: tuple[float, ...]

    @cached_property
    def samples(self) -> Samples:
        """The data, read at the first use.

        Raises:
            UserError: they are gone, or have changed.
        """
        samples = self.config.load()
        if samples.hash != Run(self.run).images.manifest["inputs"]["data"]:
            raise UserError(
                f"{self.config.data} has changed since {self.run} was made from it; its samples cannot be compared."
            )
        return samples

    def find_samples(self) -> Samples | None:
        """The data, or None where they are gone or have changed."""
        try:
            return self.samples
        except UserError:
            return None

    def labels_of(self, names: Sequence[str]) -> Tensor:
        """Class numbers of these names, ``[len(names)]``.

        Raises:
            UserError: the model knows no classes, or not this one.
        """
        if not self.model.classes:
            raise UserError(
                f"{self.run} holds a model without classes: train a conditional one, such as cgan-projection or cvae, "
                "on data with labels."
            )
        for name in names:
            if name not in self.class_names:
                raise UserError(f"There is no class {name!r}; known are {', '.join(self.class_names)}.")
        return torch.tensor([self.class_names.index(name) for name in names])


def load_trained(run: Path, device: torch.device) -> Trained:
    """A finished run of :func:`worldmodels.generative.fit.fit_images`; its data are not needed.

    Raises:
        UserError: it is missing, unfinished or damaged.
    """
    stage = Run(run).images.require()
    manifest = stage.manifest
    name = str(manifest["inputs"]["model"])
    if name not in MODELS:
        raise UserError(f"{stage.path} holds a model called {name!r}; known are {', '.join(MODELS)}.")
    config = stage.config(type(MODELS[name]))
    try:
        shape = Shape(**manifest["architecture"])
        model = build(config, shape, device)
    except (TypeError, ValueError, RuntimeError, ZeroDivisionError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{manifest.path} is damaged (its architecture makes no network: {reason}). Delete the folder {stage.path} "
            "and train again."
        ) from error
    load_weights(model.network, stage.weights)
    facts = manifest["data"] if "data" in manifest else _about_from_data(config, shape)
    return Trained(name, config, model, run, shape, tuple(facts["class_names"]), tuple(facts["label_shares"]))


def _about_from_data(config: ImageConfig, shape: Shape) -> dict[str, Any]:
    """What manifests older than :func:`about` leave out: from the data, or else numbers for names."""
    try:
        return about(config.load())
    except UserError:
        numbers = [str(number) for number in range(shape.classes)]
        return {"class_names": numbers, "label_shares": [1 / shape.classes] * shape.classes}

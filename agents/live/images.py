"""The image models of ``worldmodels train-images`` on the page: samples, paths between them, attributes."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from agents.live.packets import jpeg, pack
from rollouts.errors import UserError
from rollouts.runs.stage import Stage
from worldmodels.generative.data.datasets import to_tensor
from worldmodels.generative.models.trained import Trained, load_trained
from worldmodels.generative.sampling import attribute_vector, require_decoder, require_encoder, slerp
from worldmodels.generative.sheets import rgb
from worldmodels.pictures import grid
from worldmodels.training.randomness import generator_for

CELLS, COLUMNS = 60, 10  #: of a sheet of samples
STOPS = 24  #: pictures on the path between two of them
ENCODED = 2000  #: test images that attribute vectors are measured on


def image_runs(folder: Path) -> dict[str, Path]:
    """Finished runs of image models (not of points) under ``folder``, the newest first."""
    files = sorted(folder.glob("*/images/weights.safetensors"), key=lambda file: -file.stat().st_mtime)
    runs = {file.parent.parent.name: file.parent.parent for file in files}
    return {name: run for name, run in runs.items() if _makes_pictures(run)}


def _makes_pictures(run: Path) -> bool:
    try:
        stage = Stage(run, "images")
        return stage.complete and stage.manifest["architecture"]["size"] > 0
    except (UserError, KeyError, TypeError):
        return False


@lru_cache(maxsize=2)
def _load(run: Path) -> Trained:
    return load_trained(run, torch.device("cpu"))


class ImageBench:
    """One viewer's image model; each verb gives packets."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.trained: Trained | None = None
        self._z: Tensor = torch.zeros(0, 0)
        self._labels: Tensor | None = None
        self._vectors = torch.zeros(0, 0)

    def image_run(self, name: str) -> list[bytes]:
        """Load a run, and tell what can be done with it.

        Raises:
            UserError: it is damaged, or its data are gone.
        """
        runs = image_runs(self.folder)
        if name not in runs:
            return []
        self.trained = trained = _load(runs[name])
        model, samples = trained.model, trained.samples
        # An autoencoder has no prior to sample from: its sheet shows what it makes of test images instead.
        attributes = model.encode is not None and not model.classes and samples.test_labels is not None
        if attributes:
            self._measure_attributes(trained)
        header = {
            "name": name,
            "model": trained.name,
            "latents": model.latent_size,
            "labels": list(samples.class_names) if model.classes else [],
            "attributes": list(samples.class_names) if attributes else [],
            "samples": model.draws,
        }
        return [pack("image_model", header)]

    def image_grid(self, seed: int, truncation: float, label: int) -> list[bytes]:
        """A sheet of samples whose latents are kept within +-truncation, or of reconstructions."""
        if self.trained is None:
            return []
        model = self.trained.model
        rng = generator_for(seed, 0)
        if not model.draws:
            tests = self._tests(torch.randint(len(self.trained.samples.test), (CELLS,), generator=rng))
            self._z = require_encoder(model)(tests, None)
        else:
            self._z = truncated_normal(torch.rand(CELLS, model.latent_size, generator=rng), truncation)
        self._labels = None
        if model.classes:
            every = torch.arange(CELLS) % COLUMNS % model.classes
            self._labels = every if not 0 <= label < model.classes else torch.full((CELLS,), label)
        return [self._sheet("image_grid", self._z, self._labels, {"cells": CELLS}, COLUMNS)]

    def image_path(self, first: int, second: int) -> list[bytes]:
        """The way from one sample of the sheet to another, along the sphere."""
        if self.trained is None or max(first, second) >= len(self._z):
            return []
        shares = [stop / (STOPS - 1) for stop in range(STOPS)]
        z = torch.stack([slerp(self._z[first], self._z[second], share) for share in shares])
        labels = None if self._labels is None else self._labels[[first] * (STOPS // 2) + [second] * (STOPS // 2)]
        return [self._sheet("image_path", z, labels, {"cells": STOPS}, STOPS)]

    def image_attributes(self, item: int, strengths: tuple[float, ...]) -> list[bytes]:
        """A test image and what becomes of it with more or less of every attribute: ``z + sum_i alpha_i v_i``."""
        if self.trained is None or len(strengths) != len(self._vectors):
            return []
        x = self._tests(torch.tensor([item % len(self.trained.samples.test)]))
        model = self.trained.model
        z = require_encoder(model)(x, None) + torch.tensor([strengths]) @ self._vectors
        made = require_decoder(model)(z, None)
        return [pack("image_attributes", {}, [jpeg(rgb(x)[0]), jpeg(rgb(made)[0])])]

    def _measure_attributes(self, trained: Trained) -> None:
        chosen = torch.randperm(len(trained.samples.test), generator=generator_for(0, 1))[:ENCODED]
        codes = require_encoder(trained.model)(self._tests(chosen), None)
        assert trained.samples.test_labels is not None
        labels = torch.from_numpy(trained.samples.test_labels)[chosen]
        zero = torch.zeros(codes.shape[1])
        self._vectors = torch.stack(
            [
                attribute_vector(codes, labels == label) if 0 < int((labels == label).sum()) < len(labels) else zero
                for label in range(len(trained.samples.class_names))
            ]
        )

    def _tests(self, chosen: Tensor) -> Tensor:
        assert self.trained is not None
        return to_tensor(self.trained.samples.test[chosen.numpy()])

    def _sheet(self, kind: str, z: Tensor, labels: Tensor | None, header: dict[str, int], columns: int) -> bytes:
        assert self.trained is not None
        pictures = rgb(require_decoder(self.trained.model)(z, labels).clamp(0, 1))
        size = int(pictures.shape[1])
        sheet = np.ascontiguousarray(grid(pictures, columns, gap=0))
        return pack(kind, {**header, "columns": columns, "side": size}, [jpeg(sheet, fine=True)])


def truncated_normal(uniform: Tensor, limit: float) -> Tensor:
    """Standard normal values within ``+-limit`` from uniform ones in [0, 1), by the inverse of their distribution."""
    reach = math.erf(limit / math.sqrt(2))
    return math.sqrt(2) * torch.erfinv((2 * uniform - 1) * reach)

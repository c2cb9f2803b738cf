"""The image models of ``worldmodels train-images`` on the page: samples, paths between them, attributes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from agents.live.packets import jpeg, pack
from rollouts.errors import UserError
from rollouts.runs.layout import Run, runs_in
from worldmodels.generative.data.datasets import to_tensor
from worldmodels.generative.models.trained import Trained, load_trained
from worldmodels.generative.sampling import attribute_vector, require_decoder, require_encoder, slerp, truncated_normal
from worldmodels.generative.sheets import rgb
from worldmodels.pictures import grid
from worldmodels.training.randomness import generator_for

CELLS, COLUMNS = 60, 10  #: of a sheet of samples
STOPS = 24  #: pictures on the path between two of them
ENCODED = 2000  #: test images that attribute vectors are measured on


def image_runs(folder: Path) -> dict[str, Path]:
    """Finished runs of image models (not of points) under ``folder``, the newest first."""
    runs = [run for run in runs_in(folder) if run.images.weights.exists() and _makes_pictures(run)]
    return {run.path.name: run.path for run in sorted(runs, key=lambda run: -run.images.weights.stat().st_mtime)}


def _makes_pictures(run: Run) -> bool:
    try:
        stage = run.images
        return stage.complete and stage.manifest["architecture"]["size"] > 0
    except (UserError, KeyError, TypeError):
        return False


@lru_cache(maxsize=2)
def _load(run: Path) -> Trained:
    return load_trained(run, torch.device("cpu"))


@dataclass
class Bench:
    """A model with all that was made with it, so that nothing of one model ever meets another."""

    trained: Trained
    vectors: Tensor  #: [attributes, Z]; none where the model has no attributes
    z: Tensor | None = None  #: [CELLS, Z], of the sheet that is shown
    labels: Tensor | None = None  #: [CELLS]


class ImageBench:
    """One viewer's image model; each verb gives packets."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bench: Bench | None = None
        self.verbs: dict[str, Callable[..., list[bytes]]] = {
            "image_run": self.image_run,
            "image_grid": self.image_grid,
            "image_path": self.image_path,
            "image_attributes": self.image_attributes,
        }

    def image_run(self, name: str) -> list[bytes]:
        """Load a run, and tell what can be done with it.

        Raises:
            UserError: it is damaged.
        """
        runs = image_runs(self.folder)
        if name not in runs:
            return []
        trained = _load(runs[name])
        model, samples = trained.model, trained.find_samples()
        # An autoencoder has no prior to sample from: its sheet shows what it makes of test images instead.
        labelled = samples is not None and samples.test_labels is not None
        attributes = labelled and model.encode is not None and not model.classes
        self.bench = Bench(trained, _attribute_vectors(trained) if attributes else torch.zeros(0, model.latent_size))
        header = {
            "name": name,
            "model": trained.name,
            "latents": model.latent_size,
            "labels": list(trained.class_names) if model.classes else [],
            "attributes": list(trained.class_names) if attributes else [],
            "samples": model.draws,
        }
        return [pack("image_model", header)]

    def image_grid(self, seed: int, truncation: float, label: int) -> list[bytes]:
        """A sheet of samples whose latents are kept within +-truncation, or of reconstructions."""
        if (bench := self.bench) is None:
            return []
        model, rng = bench.trained.model, generator_for(seed, 0)
        if not model.draws:
            chosen = torch.randint(len(bench.trained.samples.test), (CELLS,), generator=rng)
            bench.z = require_encoder(model)(_tests(bench.trained, chosen), None)
        else:
            bench.z = truncated_normal(torch.rand(CELLS, model.latent_size, generator=rng), truncation)
        bench.labels = None
        if model.classes:
            every = torch.arange(CELLS) % COLUMNS % model.classes
            bench.labels = every if not 0 <= label < model.classes else torch.full((CELLS,), label)
        return [_sheet(bench.trained, "image_grid", bench.z, bench.labels, COLUMNS)]

    def image_path(self, first: int, second: int) -> list[bytes]:
        """The way from one sample of the sheet to another, along the sphere."""
        if (bench := self.bench) is None or bench.z is None or max(first, second) >= len(bench.z):
            return []
        shares = [stop / (STOPS - 1) for stop in range(STOPS)]
        z = torch.stack([slerp(bench.z[first], bench.z[second], share) for share in shares])
        ends = [first] * (STOPS // 2) + [second] * (STOPS // 2)
        return [_sheet(bench.trained, "image_path", z, None if bench.labels is None else bench.labels[ends], STOPS)]

    def image_attributes(self, item: int, strengths: tuple[float, ...]) -> list[bytes]:
        """A test image and what becomes of it with more or less of every attribute: ``z + sum_i alpha_i v_i``."""
        if (bench := self.bench) is None or not strengths or len(strengths) != len(bench.vectors):
            return []
        model = bench.trained.model
        x = _tests(bench.trained, torch.tensor([item % len(bench.trained.samples.test)]))
        z = require_encoder(model)(x, None) + torch.tensor([strengths]) @ bench.vectors
        decoded = require_decoder(model)(z, None)
        return [pack("image_attributes", {}, [jpeg(rgb(x)[0]), jpeg(rgb(decoded)[0])])]


def _attribute_vectors(trained: Trained) -> Tensor:
    """``[attributes, Z]``, measured on test images; zero for a label that all of them have, or none."""
    chosen = torch.randperm(len(trained.samples.test), generator=generator_for(0, 1))[:ENCODED]
    codes = require_encoder(trained.model)(_tests(trained, chosen), None)
    assert trained.samples.test_labels is not None
    labels = torch.from_numpy(trained.samples.test_labels)[chosen]
    zero = torch.zeros(codes.shape[1])
    return torch.stack(
        [
            attribute_vector(codes, labels == label) if 0 < int((labels == label).sum()) < len(labels) else zero
            for label in range(len(trained.samples.class_names))
        ]
    )


def _tests(trained: Trained, chosen: Tensor) -> Tensor:
    return to_tensor(trained.samples.test[chosen.numpy()])


def _sheet(trained: Trained, kind: str, z: Tensor, labels: Tensor | None, columns: int) -> bytes:
    pictures = rgb(require_decoder(trained.model)(z, labels).clamp(0, 1))
    sheet = np.ascontiguousarray(grid(pictures, columns, gap=0))
    header = {"cells": len(z), "columns": columns, "side": int(pictures.shape[1])}
    return pack(kind, header, [jpeg(sheet, fine=True)])

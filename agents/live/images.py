"""The image models of ``worldmodels train-images`` on the page: samples, paths between them, attributes; clips and
translations."""

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
from worldmodels.generative.data.batches import held_out
from worldmodels.generative.data.datasets import to_tensor
from worldmodels.generative.models.base import ImageModel
from worldmodels.generative.models.trained import Trained, load_trained
from worldmodels.generative.sampling import attribute_vector, require_decoder, require_encoder, slerp, truncated_normal
from worldmodels.generative.sheets import rgb
from worldmodels.generative.translating import visible
from worldmodels.pictures import grid
from worldmodels.training.randomness import generator_for

CELLS, COLUMNS = 60, 10  #: of a sheet of samples
STOPS = 24  #: pictures on the path between two of them
CLIPS = 6  #: of a sheet
POOL = 300  #: held-out pictures from which those of a sheet are chosen
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
    choices: list[str]  #: classes, or captions, of which one may be asked for
    vectors: Tensor  #: [attributes, Z]; none where the model has no attributes
    z: Tensor | None = None  #: [cells, Z], of the sheet that is shown; None where it has no latents
    labels: Tensor | None = None  #: [cells, ...], the class or the caption of each

    def conditions(self, count: int, choice: int) -> Tensor | None:
        """The class or caption of each of ``count`` samples: one of them, or a column of each."""
        if not self.choices:
            return None
        numbers = torch.arange(count) % COLUMNS % len(self.choices)
        if 0 <= choice < len(self.choices):
            numbers = torch.full((count,), choice)
        read = self.trained.model.read
        return numbers if read is None else torch.stack([read(text) for text in self.choices])[numbers]


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
        """Load a run, and tell what can be done with it; or why nothing can."""
        runs, self.bench = image_runs(self.folder), None
        if name not in runs:
            return []
        try:
            self.bench = _bench(_load(runs[name]))
        except UserError as error:
            return [pack("image_model", {"name": name, "refused": str(error)})]
        trained, model = self.bench.trained, self.bench.trained.model
        header = {
            "name": name,
            "model": trained.name,
            "shows": _shows(model),
            "latents": model.latent_size,
            "paths": _has_latents(model),
            "truncates": _has_latents(model) and model.draws and model.normal_latents,
            "choice": "Class" if model.read is None else "Caption",
            "labels": self.bench.choices,
            "attributes": list(trained.class_names) if len(self.bench.vectors) else [],
        }
        return [pack("image_model", header)]

    def image_grid(self, seed: int, truncation: float, label: int) -> list[bytes]:
        """A sheet of samples, of latents within +-truncation where there are such; or what becomes of held-out data."""
        if (bench := self.bench) is None:
            return []
        model, rng = bench.trained.model, generator_for(seed, 0)
        if model.condition_channels:
            return [_translations(bench.trained, rng)]
        if not _has_latents(model):
            count = CLIPS if model.frames else min(CELLS, model.watched // COLUMNS * COLUMNS)
            drawn = model.draw(count, rng, bench.conditions(count, label))
            cells, columns = (drawn.flatten(0, 1), model.frames) if model.frames else (drawn, COLUMNS)
            return [_sheet("image_grid", cells, columns)]
        bench.labels = bench.conditions(CELLS, label)
        if not model.draws:
            chosen = torch.randint(len(bench.trained.samples.test), (CELLS,), generator=rng)
            bench.z = require_encoder(model)(_tests(bench.trained, chosen), None)
        elif model.normal_latents:
            bench.z = truncated_normal(torch.rand(CELLS, model.latent_size, generator=rng), truncation)
        else:
            bench.z = model.latent(CELLS, rng)
        return [_decoded(bench.trained, "image_grid", bench.z, bench.labels, COLUMNS)]

    def image_path(self, first: int, second: int) -> list[bytes]:
        """The way from one sample of the sheet to another, along the sphere."""
        if (bench := self.bench) is None or bench.z is None or max(first, second) >= len(bench.z):
            return []
        shares = [stop / (STOPS - 1) for stop in range(STOPS)]
        z = torch.stack([slerp(bench.z[first], bench.z[second], share) for share in shares])
        ends = [first] * (STOPS // 2) + [second] * (STOPS // 2)
        return [_decoded(bench.trained, "image_path", z, None if bench.labels is None else bench.labels[ends], STOPS)]

    def image_attributes(self, item: int, strengths: tuple[float, ...]) -> list[bytes]:
        """A test image and what becomes of it with more or less of every attribute: ``z + sum_i alpha_i v_i``."""
        if (bench := self.bench) is None or not strengths or len(strengths) != len(bench.vectors):
            return []
        model = bench.trained.model
        x = _tests(bench.trained, torch.tensor([item % len(bench.trained.samples.test)]))
        z = require_encoder(model)(x, None) + torch.tensor([strengths]) @ bench.vectors
        decoded = require_decoder(model)(z, None)
        return [pack("image_attributes", {}, [jpeg(rgb(x)[0]), jpeg(rgb(decoded)[0])])]


def _bench(trained: Trained) -> Bench:
    """A model with what it can be asked for.

    Raises:
        UserError: it shows what becomes of its data, and these are gone.
    """
    model = trained.model
    if model.condition_channels or not model.draws:
        _ = trained.samples
    choices = list(trained.class_names) if model.classes else []
    if model.read is not None:
        choices = list(dict.fromkeys(model.captions(COLUMNS, generator_for(0, 1))))
    vectors = torch.zeros(0, model.latent_size)
    if model.encode is not None and not model.classes:
        samples = trained.find_samples()
        if samples is not None and samples.test_labels is not None:
            vectors = _attribute_vectors(trained)
    return Bench(trained, choices, vectors)


def _has_latents(model: ImageModel) -> bool:
    """Whether there is a way from one sample to another."""
    return model.decode is not None and not model.condition_channels


def _shows(model: ImageModel) -> str:
    """What is on the sheet."""
    if model.condition_channels:
        return "What was given, and below it what the model makes of it"
    if model.frames:
        return "Clips, one in every row"
    # An autoencoder has no prior to sample from: its sheet shows what it makes of test images instead.
    return "Samples" if model.draws else "Reconstructions of test images"


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


@torch.no_grad()
def _decoded(trained: Trained, kind: str, z: Tensor, labels: Tensor | None, columns: int) -> bytes:
    return _sheet(kind, require_decoder(trained.model)(z, labels), columns)


def _translations(trained: Trained, rng: torch.Generator) -> bytes:
    """Rows of held-out pictures to be translated, each above its translations."""
    model = trained.model
    conditions = model.condition(held_out(trained.samples, POOL, model.device, model.condition_of))
    assert conditions is not None
    columns = min(COLUMNS, len(conditions))
    count = min(CELLS // 2, len(conditions)) // columns * columns
    chosen = conditions[torch.randperm(len(conditions), generator=rng)[:count]]
    versions = [visible(chosen), model.draw(count, rng, chosen)]
    rows = [part for pair in zip(*(x.split(columns) for x in versions), strict=True) for part in pair]
    return _sheet("image_grid", torch.cat([part.expand(-1, 3, -1, -1) for part in rows]), columns)


def _sheet(kind: str, pictures: Tensor, columns: int) -> bytes:
    """Pictures ``[N, C, S, S]`` as a grid without gaps."""
    frames = rgb(pictures.clamp(0, 1))
    header = {"cells": len(frames), "columns": columns, "side": int(frames.shape[1])}
    return pack(kind, header, [jpeg(np.ascontiguousarray(grid(frames, columns, gap=0)), fine=True)])

"""Measures of a trained model, with the floor that real data have beside every one of them, as one JSON file."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rollouts.errors import UserError
from rollouts.runs.files import read_json
from rollouts.runs.layout import Run
from rollouts.runs.provenance import package_versions
from worldmodels.generative.data.batches import held_out, spread
from worldmodels.generative.data.datasets import STACKED, load_samples
from worldmodels.generative.data.samples import Samples, to_tensor
from worldmodels.generative.data.store import Pictures
from worldmodels.generative.data.synthetic import DISTRIBUTIONS, MODES
from worldmodels.generative.measures import metrics
from worldmodels.generative.measures.clips import clip_measures
from worldmodels.generative.measures.features import Features, features_for, frozen_classifier
from worldmodels.generative.models.base import ImageModel
from worldmodels.generative.models.trained import Trained
from worldmodels.training.randomness import generator_for, numpy_generator_for

Measures = dict[str, Any]
CPU = torch.device("cpu")
COUNT = {"points": 2500, "images": 1000, "clips": 200}
"""Generated samples per evaluation, if no other number is chosen; as many real ones are compared with them."""
OWN_COUNT = 500
"""Held-out samples for the model's own measures, such as bounds of the likelihood."""
STACKED_COUNT = 26_000
"""Samples in which the modes of stacked digits are counted; as many as in Srivastava et al. (2017)."""
NEAREST = 200
"""Samples whose nearest training image is searched."""
PER_FEATURE = 2
"""Samples per feature below which a Fréchet distance says nothing: two draws of one 64-dimensional Gaussian, of 100
each, are 22 apart."""


@torch.no_grad()
def image_measures(fake: Tensor, real: Tensor, samples: Samples, features: Features, labels: Tensor | None) -> Measures:
    """Images ``[N, C, S, S]`` in [0, 1] against as many held-out ones, and against the training images.

    Args:
        labels: the classes of which a conditional model drew them, ``[N]``.
    """
    fake = fake.clamp(0, 1)
    f_real, f_fake = features.extract(real), features.extract(fake)
    inside = metrics.precision_recall(f_real, f_fake)
    distances = [nearest_image(x[spread(NEAREST, len(x))], samples.train).distance.mean() for x in (fake, real)]
    measures: Measures = {
        "features": features.name,
        "kernel": metrics.kernel_distance(f_real, f_fake),
        "precision": inside.precision,
        "recall": inside.recall,
        "nearest_training_image": float(distances[0] / distances[1]),
    }
    least = PER_FEATURE * f_real.shape[1]
    if len(fake) >= least:
        measures["frechet"] = metrics.frechet_distance(f_real, f_fake)
        measures["frechet_of_infinitely_many"] = metrics.extrapolated_frechet(f_real, f_fake)
    else:
        count = len(fake)
        measures["frechet_left_out"] = f"{f_real.shape[1]} features need {least} held-out images, there are {count}"
    if features.classifier is not None:
        probabilities = features.probabilities(fake)
        histogram = metrics.class_histogram(probabilities, torch.tensor(samples.label_shares))
        measures |= {
            "classifier_score": metrics.classifier_score(probabilities),
            "class_shares": histogram.shares,
            "class_kl": histogram.kl,
        }
        if labels is not None:
            measures["label_accuracy"] = float((probabilities.argmax(1) == labels.cpu()).double().mean())
    return measures


@torch.no_grad()
def point_measures(fake: Tensor, samples: Samples) -> Measures:
    """Generated points ``[N, D]`` against held-out ones."""
    real = to_tensor(samples.test[: len(fake)])
    fake = fake[: len(real)]
    least = min(500, len(fake))
    measures: Measures = {
        "earth_movers": metrics.earth_movers(real[:least], fake[:least]),
        "mmd": metrics.mmd(real, fake, bandwidth=0.5),
    }
    if samples.name in MODES:
        count = metrics.count_modes(fake, MODES[samples.name])
        measures |= {
            "modes": count.modes,
            "of": count.of,
            "high_quality": count.high_quality,
            "mode_kl": count.kl_to_uniform,
        }
    return measures


@torch.no_grad()
def stacked_measures(fake: Tensor, samples: Samples, cache: Path) -> Measures:
    """How many of the 1,000 triples of digits are among the pictures ``[N, 3, S, S]``, each channel read by itself."""
    classifier = frozen_classifier(load_samples("digits", samples.size), cache)
    digits = [classifier(channel.clamp(0, 1)).argmax(1) for part in fake.split(1000) for channel in part.split(1, 1)]
    triples = torch.cat([torch.stack(digits[i : i + 3], 1) for i in range(0, len(digits), 3)])
    count = metrics.count_triples(triples, classifier.head.out_features)
    return {"modes": count.modes, "of": count.of, "mode_kl": count.kl_to_uniform, "mode_samples": len(fake)}


def labels_by_share(count: int, shares: Sequence[float]) -> Tensor:
    """``count`` class numbers, as often as their shares say (to one), in a fixed shuffled order.

    With every class equally often, a conditional model would be compared with data that have other shares.
    """
    exact = np.asarray(shares) * count
    numbers = np.floor(exact).astype(int)
    for label in np.argsort(numbers - exact)[: count - numbers.sum()]:
        numbers[label] += 1
    labels = np.repeat(np.arange(len(numbers)), numbers)
    return torch.from_numpy(numpy_generator_for(0, 4).permutation(labels))


def nearest_image(queries: Tensor, pictures: Pictures, at_once: int = 2000) -> metrics.Neighbours:
    """The closest of any number of stored pictures to each of ``[N, C, S, S]``, read a part at a time."""
    best = metrics.Neighbours(torch.zeros(len(queries), dtype=torch.int64), torch.full((len(queries),), torch.inf))
    for start in range(0, len(pictures), at_once):
        neighbours = metrics.nearest(queries.cpu(), to_tensor(pictures[start : start + at_once]))
        closer = neighbours.distance < best.distance
        best = metrics.Neighbours(
            torch.where(closer, neighbours.indices + start, best.indices),
            torch.where(closer, neighbours.distance, best.distance),
        )
    return best


def evaluate(trained: Trained, cache: Path, count: int | None = None) -> dict[str, Any]:
    """All measures of a finished run on its model's device, with what is needed to judge them.

    Args:
        count: generated and held-out samples; at most as many as are held out.
    """
    samples, model = trained.samples, trained.model
    began = time.perf_counter()
    known = held_out(samples, OWN_COUNT, model.device, model.condition_of)
    measures = {**model.measures(known), "samples": len(known.x)}
    if model.frames:
        measures |= clip_measures(model, samples, cache, samples_of(samples, count))
    elif model.draws and not model.condition_channels:
        measures |= _generated(model, samples, cache, count)
    training = Run(trained.run).images.manifest.get("seconds", 0.0)
    return _file(trained.name, samples, measures, training, time.perf_counter() - began)


def _generated(model: ImageModel, samples: Samples, cache: Path, count: int | None) -> Measures:
    count = samples_of(samples, count)
    labels = labels_by_share(count, samples.label_shares) if model.classes else None
    condition = held_out(samples, count, model.device).condition if model.read else labels
    fake = model.draw(count, generator_for(0, 2), condition).cpu()
    if not samples.are_images:
        return {**point_measures(fake, samples), "floor": _floats(_real_points(samples, count)), "samples": count}
    features = features_for(samples, cache, model.device)
    measures = image_measures(fake, _held_out(samples, count), samples, features, labels)
    floor = _real_measures(samples, features, count)
    if samples.name == STACKED:
        triple_labels = labels_by_share(STACKED_COUNT, samples.label_shares) if model.classes else None
        stacked = model.draw(STACKED_COUNT, generator_for(0, 3), triple_labels).cpu()
        measures |= stacked_measures(stacked, samples, cache)
    return {**measures, "floor": _floats(floor), "samples": count}


def _floats(measures: Measures) -> dict[str, float]:
    return {name: value for name, value in measures.items() if isinstance(value, float)}


def samples_of(samples: Samples, count: int | None) -> int:
    """How many samples are measured.

    Raises:
        UserError: that is too few to say anything.
    """
    kind = "clips" if samples.frames else "images" if samples.are_images else "points"
    count = min(count or COUNT[kind], len(samples.test), len(samples.train))
    if count < 8:
        raise UserError(
            f"{samples.name} has {len(samples.test)} held-out samples, and {count} are to be measured: from so few "
            "nothing can be said; use more data, or a larger --count."
        )
    return count


def _held_out(samples: Samples, count: int) -> Tensor:
    return to_tensor(samples.test[spread(count, len(samples.test))])


def _real_measures(samples: Samples, features: Features, count: int) -> Measures:
    """Training images as if they had been generated: what a perfect sampler would score with so many samples."""
    chosen = np.random.default_rng(0).permutation(len(samples.train))[:count]
    labels = None if samples.train_labels is None else torch.from_numpy(samples.train_labels[chosen])
    measures = image_measures(to_tensor(samples.train[chosen]), _held_out(samples, count), samples, features, labels)
    del measures["nearest_training_image"]  # 0: they are training images
    return measures


def _real_points(samples: Samples, count: int) -> Measures:
    chosen = np.random.default_rng(0).permutation(len(samples.train))[:count]
    return point_measures(to_tensor(samples.train[chosen]), samples)


def evaluate_reference(
    samples: Samples, cache: Path, count: int | None = None, device: torch.device = CPU
) -> dict[str, Any]:
    """The same measures for as many training samples: what a perfect sampler would score."""
    began = time.perf_counter()
    count = samples_of(samples, count)
    if samples.are_images:
        measures = _real_measures(samples, features_for(samples, cache, device), count)
        if samples.name == STACKED:
            measures |= stacked_measures(to_tensor(samples.train[:STACKED_COUNT]), samples, cache)
    else:
        measures = _real_points(samples, count)
    return _file("real data", samples, {**measures, "samples": count}, 0.0, time.perf_counter() - began)


def evaluate_perfect(samples: Samples) -> dict[str, Any]:
    """The measures of new draws from a known distribution."""
    began = time.perf_counter()
    fake = torch.from_numpy(DISTRIBUTIONS[samples.name](COUNT["points"], numpy_generator_for(0, 2))[0])
    measures = {**point_measures(fake, samples), "samples": len(fake)}
    return _file("perfect sampler", samples, measures, 0.0, time.perf_counter() - began)


def _file(
    name: str, samples: Samples, measures: Mapping[str, Any], training: float, evaluating: float
) -> dict[str, Any]:
    return {
        "model": name,
        "data": samples.name,
        "data_hash": samples.hash,
        "measures": dict(measures),
        "training_seconds": round(training, 1),
        "evaluation_seconds": round(evaluating, 1),
        "versions": package_versions(),
    }


def read_evaluation(path: Path) -> dict[str, Any]:
    """A file written by ``evaluate-images``.

    Raises:
        UserError: it is missing, damaged, or something else.
    """
    report = read_json(path)
    if not isinstance(report, dict) or "measures" not in report:
        raise UserError(f"{path} is not an evaluation of an image model; make one with evaluate-images.")
    return report

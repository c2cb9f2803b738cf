"""Measures of a trained model, with real data (and a perfect sampler) as reference rows, as one JSON file."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rollouts.errors import UserError
from rollouts.runs.files import read_json
from rollouts.runs.provenance import package_versions
from rollouts.runs.stage import Stage
from worldmodels.generative.data.batches import held_out, spread
from worldmodels.generative.data.datasets import STACKED, Samples, load_samples, to_tensor
from worldmodels.generative.data.synthetic import DISTRIBUTIONS, MODES
from worldmodels.generative.measures import metrics
from worldmodels.generative.measures.features import Features, features_for, frozen_classifier
from worldmodels.generative.models.trained import Trained
from worldmodels.training.randomness import generator_for, numpy_generator_for

Measures = dict[str, Any]
COUNT = {"points": 2500, "images": 1000}
"""Generated samples per evaluation; the same number of real ones is held against them."""
OWN_COUNT = 500
"""Held-out samples for what only the model itself can say of them."""
STACKED_COUNT = 26_000
"""Samples in which the modes of stacked digits are counted; as many as in Srivastava et al. (2017)."""


@torch.no_grad()
def image_measures(made: Tensor, samples: Samples, features: Features, labels: Tensor | None = None) -> Measures:
    """Generated images ``[N, C, S, S]`` against held-out and training images.

    Args:
        labels: what a conditional model was asked for.
    """
    made = made.clamp(0, 1)
    real, train = to_tensor(samples.test[spread(len(made), len(samples.test))]), to_tensor(samples.train)
    f_real, f_made = features.extract(real), features.extract(made)
    inside = metrics.precision_recall(f_real, f_made)
    distances = [metrics.nearest(x[spread(200, len(x))], train).distance.mean() for x in (made, real)]
    found: Measures = {
        "features": features.name,
        "frechet": metrics.frechet_distance(f_real, f_made),
        "kernel": metrics.kernel_distance(f_real, f_made),
        "precision": inside.precision,
        "recall": inside.recall,
        "nearest_training_image": float(distances[0] / distances[1]),
    }
    if features.classifier is not None:
        probabilities = features.classifier(made).softmax(1)
        histogram = metrics.class_histogram(probabilities)
        found |= {
            "classifier_score": metrics.classifier_score(probabilities),
            "class_shares": histogram.shares,
            "class_kl": histogram.kl_to_uniform,
        }
        if labels is not None:
            found["label_accuracy"] = float((probabilities.argmax(1) == labels).double().mean())
    return found


@torch.no_grad()
def point_measures(made: Tensor, samples: Samples) -> Measures:
    """Generated points ``[N, D]`` against held-out ones."""
    real = to_tensor(samples.test[: len(made)])
    found: Measures = {
        "earth_movers": metrics.earth_movers(real[:500], made[:500]),
        "mmd": metrics.mmd(real, made, bandwidth=0.5),
    }
    if samples.name in MODES:
        count = metrics.count_modes(made, MODES[samples.name])
        found |= {
            "modes": count.modes,
            "of": count.of,
            "high_quality": count.high_quality,
            "mode_kl": count.kl_to_uniform,
        }
    return found


@torch.no_grad()
def stacked_measures(made: Tensor, samples: Samples, cache: Path) -> Measures:
    """How many of the 1,000 triples of digits are among the pictures ``[N, 3, S, S]``, each channel read by itself."""
    classifier = frozen_classifier(load_samples("digits", samples.size), cache)
    digits = [classifier(channel.clamp(0, 1)).argmax(1) for part in made.split(1000) for channel in part.split(1, 1)]
    triples = torch.cat([torch.stack(digits[i : i + 3], 1) for i in range(0, len(digits), 3)])
    count = metrics.count_triples(triples, classifier.head.out_features)
    return {"modes": count.modes, "of": count.of, "mode_kl": count.kl_to_uniform, "mode_samples": len(made)}


def evaluate(trained: Trained, cache: Path) -> dict[str, Any]:
    """All measures of a finished run, with what is needed to judge them."""
    samples, model = trained.samples, trained.model
    began = time.perf_counter()
    batch = held_out(samples, OWN_COUNT, model.device, model.condition_of)
    found = model.measures(batch)
    if model.draws and not model.condition_channels:
        count = min(COUNT["images" if samples.are_images else "points"], len(samples.test))
        labels = torch.arange(count) % model.classes if model.classes else None
        made = model.draw(count, generator_for(0, 2), labels)
        if samples.are_images:
            found |= image_measures(made, samples, features_for(samples, cache), labels)
            if samples.name == STACKED:
                found |= stacked_measures(model.draw(STACKED_COUNT, generator_for(0, 3)), samples, cache)
        else:
            found |= point_measures(made, samples)
        found["samples"] = count
    training = Stage(trained.run, "images").manifest.get("seconds", 0.0)
    return _file(trained.name, samples, found, training, time.perf_counter() - began)


def evaluate_reference(samples: Samples, cache: Path) -> dict[str, Any]:
    """The same measures for as many training samples: what a perfect sampler would score."""
    began = time.perf_counter()
    count = min(COUNT["images" if samples.are_images else "points"], len(samples.test), len(samples.train))
    chosen = np.random.default_rng(0).permutation(len(samples.train))[:count]
    real = to_tensor(samples.train[chosen])
    if samples.are_images:
        labels = None if samples.train_labels is None else torch.from_numpy(samples.train_labels[chosen])
        found = image_measures(real, samples, features_for(samples, cache), labels)
        del found["nearest_training_image"]  # 0: they are training images
        if samples.name == STACKED:
            found |= stacked_measures(to_tensor(samples.train[:STACKED_COUNT]), samples, cache)
    else:
        found = point_measures(real, samples)
    return _file("real data", samples, {**found, "samples": count}, 0.0, time.perf_counter() - began)


def evaluate_perfect(samples: Samples) -> dict[str, Any]:
    """The measures of new draws from a known distribution."""
    began = time.perf_counter()
    made = torch.from_numpy(DISTRIBUTIONS[samples.name](COUNT["points"], numpy_generator_for(0, 2))[0])
    found = {**point_measures(made, samples), "samples": len(made)}
    return _file("perfect sampler", samples, found, 0.0, time.perf_counter() - began)


def _file(name: str, samples: Samples, found: Mapping[str, Any], training: float, evaluating: float) -> dict[str, Any]:
    return {
        "model": name,
        "data": samples.name,
        "data_hash": samples.hash,
        "measures": dict(found),
        "training_seconds": round(training, 1),
        "evaluation_seconds": round(evaluating, 1),
        "versions": package_versions(),
    }


def read_evaluation(path: Path) -> dict[str, Any]:
    """A file written by ``evaluate_images.py``.

    Raises:
        UserError: it is missing, damaged, or something else.
    """
    found = read_json(path)
    if not isinstance(found, dict) or "measures" not in found:
        raise UserError(f"{path} is not an evaluation of an image model; make one with scripts/evaluate_images.py.")
    return found

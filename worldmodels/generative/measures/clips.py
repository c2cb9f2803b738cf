"""Measures of a video model: whether each clip keeps its class over all frames, whether clips cover all classes, and
whether the futures of one first frame are as varied, and each as likely, as in the data."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldmodels.generative.data.batches import spread
from worldmodels.generative.data.moving_digits import MOVING, STEP
from worldmodels.generative.data.samples import Samples, to_tensor
from worldmodels.generative.measures.features import Classifier, frozen_classifier
from worldmodels.generative.measures.metrics import classifier_score
from worldmodels.generative.models.base import ImageModel
from worldmodels.training.randomness import generator_for

BEST_OF = 8  #: futures of which the best is compared with the real one
DRAWN = 20  #: futures by which the directions of a first step are counted
CENTRAL = 3.5  #: pixels from the middle within which a digit can go in all four directions
CLEAR = 0.75  #: pixels by which a step may be longer or shorter along each axis


def clip_measures(model: ImageModel, samples: Samples, cache: Path, count: int) -> dict[str, Any]:
    """Measures of ``count`` drawn clips, and the same of as many held-out ones (``floor``)."""
    real = to_tensor(samples.test[spread(count, len(samples.test))])
    labels = None
    if samples.test_labels is not None:
        labels = torch.from_numpy(samples.test_labels[spread(count, len(samples.test))])
    measures: dict[str, Any] = {"samples": count}
    floor: dict[str, float] = {}
    drawn = model.draw(count, generator_for(0, 2), labels if model.classes else None).cpu()
    if samples.classes >= 2:
        classifier = frame_classifier(samples, cache)
        measures |= class_measures(classifier, drawn)
        floor |= class_measures(classifier, real)
    measures |= _best_futures(model, real, labels)
    if samples.name == MOVING:
        context = real[:, : model.context_frames].to(model.device)
        futures = model.futures(context, generator_for(0, 3), labels).cpu()
        measures |= motion_measures(futures[:, model.context_frames - 1 :])
        floor |= motion_measures(real[:, model.context_frames - 1 :])
        if model.context_frames == 1:
            measures["direction_kl"] = _directions(model, real, labels)
            floor["direction_kl"] = uniform_directions(DRAWN)
    return {**measures, "floor": floor}


def frame_classifier(samples: Samples, cache: Path) -> Classifier:
    """A classifier of single frames, trained once and frozen."""
    parts = []
    for clips, labels in ((samples.train, samples.train_labels), (samples.test, samples.test_labels)):
        assert labels is not None
        frames = np.asarray(clips[: len(labels)])
        parts.append((frames.reshape(-1, *frames.shape[2:]), labels.repeat(frames.shape[1])))
    (train, train_labels), (test, test_labels) = parts
    name = f"frames of {samples.name}"
    return frozen_classifier(Samples(name, train, test, train_labels, test_labels, samples.class_names), cache)


@torch.no_grad()
def class_measures(classifier: Classifier, clips: Tensor) -> dict[str, float]:
    """The three measures of He et al. (2018), table 1, of clips ``[N, T, C, S, S]``, entropies in nats.

    p(y | clip) is the mean over its frames. ``intra_entropy``: its mean entropy, 0 where each clip shows one sure thing
    in all its frames. ``inter_entropy``: that of all clips' mean, log K where all K are shown equally often.
    ``inception_score``: exp of their difference.
    """
    frames = clips.flatten(0, 1).split(500)
    logits = torch.cat([classifier(part.clamp(0, 1)) for part in frames])
    p = logits.double().softmax(1).unflatten(0, clips.shape[:2]).mean(1)
    return {
        "intra_entropy": float(_entropy(p).mean()),
        "inter_entropy": float(_entropy(p.mean(0))),
        "inception_score": classifier_score(p),
    }


def _entropy(p: Tensor) -> Tensor:
    return -torch.xlogy(p, p).sum(-1)


def _best_futures(model: ImageModel, real: Tensor, labels: Tensor | None) -> dict[str, float]:
    """Squared error per frame of the best of ``BEST_OF`` futures, and of a picture that stands still."""
    context = real[:, : model.context_frames]
    future_labels = None if labels is None else labels.repeat_interleave(BEST_OF)
    contexts = context.repeat_interleave(BEST_OF, 0).to(model.device)
    drawn = model.futures(contexts, generator_for(0, 4), future_labels).cpu()
    target = real[:, model.context_frames :]
    errors = (drawn[:, model.context_frames :].unflatten(0, (len(real), BEST_OF)) - target[:, None]).square()
    still = (context[:, -1:] - target).square()
    frames = target.shape[1]
    return {
        f"best_of_{BEST_OF}_squared_error": float(errors.flatten(2).sum(2).min(1).values.mean() / frames),
        "still_squared_error": float(still.flatten(1).sum(1).mean() / frames),
    }


def steps_of(clips: Tensor) -> Tensor:
    """How far the centre of brightness moves per frame, ``[N, T, C, S, S] -> [N, T - 1, 2]`` (across, down), pixels."""
    places = torch.arange(clips.shape[-1]) + 0.5
    ink = clips.mean(2)
    mass = ink.sum((-1, -2)).clamp(min=1e-6)
    across, down = (ink.sum(-2) @ places) / mass, (ink.sum(-1) @ places) / mass
    return torch.stack([across, down], -1).diff(dim=1)


def motion_measures(clips: Tensor) -> dict[str, float]:
    """Of moving digits: how often a step is one of the four possible ones, and how often it keeps its direction."""
    steps = steps_of(clips)
    right = ((steps.abs() - STEP).abs() < CLEAR).all(-1)
    measures = {"steps_right": float(right.float().mean())}
    if steps.shape[1] > 1:
        measures["direction_kept"] = float((steps[:, 1:].sign() == steps[:, :-1].sign()).float().mean())
    return measures


def _directions(model: ImageModel, real: Tensor, labels: Tensor | None) -> float:
    """Mean KL, in nats, between the directions of drawn first steps and the four equally likely ones."""
    places = torch.arange(real.shape[-1]) + 0.5
    ink = real[:, 0].mean(1)
    mass = ink.sum((-1, -2))
    centre = torch.stack([(ink.sum(-2) @ places) / mass, (ink.sum(-1) @ places) / mass], -1)
    free = ((centre - real.shape[-1] / 2).abs() <= CENTRAL).all(1)
    context = real[free, :1].repeat_interleave(DRAWN, 0).to(model.device)
    future_labels = None if labels is None else labels[free].repeat_interleave(DRAWN)
    first = steps_of(model.futures(context, generator_for(0, 5), future_labels).cpu()[:, :2])[:, 0]
    return directions_kl(first.unflatten(0, (-1, DRAWN)))


def directions_kl(steps: Tensor) -> float:
    """Mean over N starts of ``KL(shares of the four diagonal directions || 1/4)``, of steps ``[N, K, 2]``."""
    which = (steps[..., 0] > 0).long() * 2 + (steps[..., 1] > 0).long()
    shares = torch.nn.functional.one_hot(which, 4).double().mean(1)
    return float((math.log(4) - _entropy(shares)).mean())


def uniform_directions(count: int) -> float:
    """The mean of :func:`directions_kl` over so many uniform steps: about 3 / (2 count)."""
    return directions_kl(torch.rand(4000, count, 2, generator=generator_for(0, 6)) - 0.5)

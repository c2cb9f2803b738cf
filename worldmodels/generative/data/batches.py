"""Shuffled batches of samples for the trainer, and held-out ones to look at."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rollouts.errors import UserError
from worldmodels.generative.data.augment import augment
from worldmodels.generative.data.samples import Samples, to_tensor
from worldmodels.generative.objectives.units import Batch, Data
from worldmodels.training.randomness import generator_for, numpy_generator_for

ConditionOf = Callable[[Tensor, torch.Generator], Tensor]
"""(pictures ``[N, C, S, S]`` in [0, 1], randomness) -> conditions for the model."""
OTHER, CONDITION, AUGMENT = 1_000_003, 1_000_033, 1_000_037  #: keep their random numbers apart


class Batches:
    """Shuffled batches of the training part; batch ``number`` is a function of (seed, number). A short last batch is
    skipped.

    Args:
        low: images come in [low, 1].
        flip: mirror half of them (``augment.py``).
        crop: cut away up to this share of their sides.
        condition_of: makes the conditions where the data have none of their own.
    """

    def __init__(
        self,
        samples: Samples,
        batch_size: int,
        seed: int,
        device: torch.device,
        low: float = 0.0,
        condition_of: ConditionOf | None = None,
        flip: bool = False,
        crop: float = 0.0,
    ) -> None:
        for part in (samples.train, samples.train_other):
            if part is not None and len(part) < batch_size:
                raise UserError(f"{len(part)} samples are fewer than one batch of {batch_size}; lower --batch-size.")
        self.samples, self.batch_size, self.seed, self.device, self.low = samples, batch_size, seed, device, low
        self.flip, self.crop = flip, crop
        self.condition_of = None if samples.train_condition is not None else condition_of
        self.pictured = samples.train_condition is None or samples.train_condition.ndim == 4
        self._orders: dict[int, tuple[int, NDArray[np.int64]]] = {}

    def __call__(self, number: int) -> Data:
        """The data ``[batch_size, ...]`` of one batch."""
        samples = self.samples
        chosen = self._chosen(number, len(samples.train), self.seed)
        x = to_tensor(samples.train[chosen]).to(self.device)
        labels = condition = other = None
        if samples.train_labels is not None:
            labels = torch.from_numpy(samples.train_labels[chosen]).to(self.device)
        if samples.train_condition is not None:
            condition = to_tensor(samples.train_condition[chosen]).to(self.device)
            if condition.ndim == 3:
                condition = one_of(condition, generator_for(self.seed + CONDITION, number))
        if self.flip or self.crop:
            rng = generator_for(self.seed + AUGMENT, number)
            alike = [x, condition] if condition is not None and self.pictured else [x]
            x, *beside = augment(alike, rng, self.flip, self.crop)
            condition = beside[0] if beside else condition
        if condition is None and self.condition_of is not None:
            condition = self.condition_of(x, generator_for(self.seed + CONDITION, number))
        if samples.train_other is not None:
            others = self._chosen(number, len(samples.train_other), self.seed + OTHER)
            other = to_tensor(samples.train_other[others]).to(self.device)
            if self.flip or self.crop:
                (other,) = augment([other], generator_for(self.seed + OTHER, number), self.flip, self.crop)
        condition = _maybe(self._scaled, condition) if self.pictured else condition
        return Data(self._scaled(x), labels, condition, _maybe(self._scaled, other))

    def _chosen(self, number: int, count: int, seed: int) -> NDArray[np.int64]:
        """Which of ``count`` samples are in this batch."""
        epoch, place = divmod(number, count // self.batch_size)
        last_epoch, order = self._orders.get(seed, (-1, np.empty(0, np.int64)))
        if epoch != last_epoch:
            order = numpy_generator_for(seed, epoch).permutation(count)
            self._orders[seed] = epoch, order
        return order[place * self.batch_size : (place + 1) * self.batch_size]

    def _scaled(self, x: Tensor) -> Tensor:
        return x if self.low == 0 or self.samples.train.dtype != np.uint8 else self.low + (1 - self.low) * x


def held_out(samples: Samples, count: int, device: torch.device, condition_of: ConditionOf | None = None) -> Batch:
    """Up to ``count`` held-out samples in [0, 1], spread evenly over all: data often come sorted by class."""
    chosen = spread(count, len(samples.test))
    x = to_tensor(samples.test[chosen]).to(device)
    labels = condition = other = None
    if samples.test_labels is not None:
        labels = torch.from_numpy(samples.test_labels[chosen]).to(device)
    if samples.test_condition is not None:
        condition = to_tensor(samples.test_condition[chosen]).to(device)
        condition = condition[:, 0] if condition.ndim == 3 else condition
    elif condition_of is not None:
        condition = condition_of(x, generator_for(CONDITION, 0))
    if samples.test_other is not None:
        other = to_tensor(samples.test_other[spread(count, len(samples.test_other))]).to(device)
    return Batch(x, labels, generator_for(0, 0), condition, other)


def one_of(captions: Tensor, rng: torch.Generator) -> Tensor:
    """One of the captions ``[N, K, T]`` of every picture, at random: ``[N, T]``."""
    count, several = captions.shape[:2]
    return captions[torch.arange(count), torch.randint(several, (count,), generator=rng)]


def spread(count: int, of: int) -> NDArray[np.int64]:
    """Up to ``count`` indices spread evenly over ``of``."""
    return np.linspace(0, of - 1, min(count, of)).astype(np.int64)


def _maybe(function: Callable[[Tensor], Tensor], x: Tensor | None) -> Tensor | None:
    return None if x is None else function(x)

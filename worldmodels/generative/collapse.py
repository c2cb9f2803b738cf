"""Notices when a model makes only one picture, or when its latents carry nothing."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from rollouts.console import say
from rollouts.errors import UserError
from worldmodels.generative.models.base import ImageModel
from worldmodels.generative.objectives.units import Batch
from worldmodels.generative.sheets import fitting
from worldmodels.pictures import GAP, Frames, with_captions
from worldmodels.training.loop import MetricsLog
from worldmodels.training.randomness import generator_for

COLLAPSED = 0.05
"""Samples whose mean distance is below this share of the data's are all alike."""
GRACE_SHARE, GRACE_STEPS = 0.25, 200
"""Share of the steps, and their least number, before which a lack of diversity is not yet called collapse."""


class CollapseError(UserError):
    """All samples are alike, or no latent unit carries anything: training on would not help."""


class Watch:
    """Looks at a model while it trains, without changing it.

    Args:
        held_out: a batch of held-out data in [0, 1].
        steps: of the whole training.
    """

    def __init__(self, model: ImageModel, held_out: Batch, steps: int) -> None:
        self.model, self.held_out, self.steps, self.collapses = model, held_out, steps, 0

    def state_dict(self) -> dict[str, int]:
        """At how many checkpoints in a row the model had collapsed."""
        return {"collapses": self.collapses}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        self.collapses = state_dict["collapses"]

    def report(self, step: int, log: MetricsLog) -> None:
        """Pictures, diversity and latent units to TensorBoard; stop on collapse."""
        training = self.model.network.training
        for name, view in self.model.views().items():
            log.picture(step, name, named(view(self._batch(0)), name, self.model, self.held_out))
        self.check_collapse(step, log)
        self.model.network.train(training)

    def check_collapse(self, step: int, log: MetricsLog) -> None:
        """Measure diversity and active units.

        Raises:
            CollapseError: at two checkpoints in a row.
        """
        if not self.model.draws:
            return
        batch = self._batch(1)
        condition = self.model.condition(batch)
        if self.model.condition_channels and condition is not None:
            samples = self.model.draw(len(condition), batch.rng, condition)
        else:
            samples = self.model.draw(self.model.watched, batch.rng)
        latents = self.model.latents(batch)
        active = {} if latents is None else {"active_units": latents.active_by_kl}
        spread = mean_distance(batch.x)  # 0 where held-out data are all alike, NaN where there is one only
        diversity = mean_distance(samples) / spread if spread > 0 else math.inf
        log.held_out(step, {"diversity": diversity, **active} if spread > 0 else active)
        if latents is not None:
            log.histogram(step, "kl_per_unit", latents.kl_per_unit.tolist())
        fault = None
        if diversity < COLLAPSED:
            fault = f"all samples are alike (their spread is {diversity:.1%} of the data's)"
        elif latents is not None and latents.collapsed:
            fault = "no latent unit carries information any more"
        self.collapses = self.collapses + 1 if fault and step >= max(GRACE_SHARE * self.steps, GRACE_STEPS) else 0
        if self.collapses >= 2:
            raise CollapseError(
                f"The model has collapsed: at step {step} {fault}. Try another loss or penalty, a lower learning rate "
                "or KL weight, or another --seed."
            )
        if fault and step == self.steps:
            say(f"Careful: {fault}.")

    def _batch(self, number: int) -> Batch:
        return self.held_out._replace(rng=generator_for(0, number))


def named(sheet: Frames, view: str, model: ImageModel, batch: Batch) -> Frames:
    """A view of a model, enlarged, with names of what its rows and columns are."""
    if batch.x.ndim != 4:
        return with_captions(sheet, (), scale=fitting(sheet))
    side = batch.x.shape[-1] + GAP
    rows, columns = ((length - GAP) // side for length in sheet.shape[:2])
    kinds: tuple[str, ...] = ("data", "their copy") if view == "reconstructions" else ()
    if view == "samples" and model.condition_channels:
        kinds = ("condition", "drawn", "data")
    classes = [f"class {label}" for label in range(columns)] if view == "samples" and model.classes == columns else ()
    return with_captions(sheet, [kinds[row % len(kinds)] for row in range(rows) if kinds], classes, fitting(sheet))


@torch.no_grad()
def mean_distance(x: Tensor) -> float:
    """Mean Euclidean distance between two of the samples ``[N, ...]``."""
    return float(nn.functional.pdist(x.flatten(1).cpu().double()).mean())  # Apple's MPS has no float64

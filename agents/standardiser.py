"""What makes all features of C equally loud."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from rollouts.errors import UserError
from worldmodels.dream import Features, join_features
from worldmodels.world_model import WorldModel

SD_LIMIT = 8.0  #: standardised features are clipped here, so that nothing never seen before drowns all else
SD_FLOOR = 0.02  #: of a feature that hardly ever moves


@dataclass(frozen=True)
class Standardiser:
    """``clip((features - mean) / sd, -8, 8)``; its numbers are kept with C.

    Without it, of 256 units of M's memory those with a large mean act as so many biases: a random step of the
    weights is for the most part a constant turn of the wheel.
    """

    mean: Tensor  #: [F]
    sd: Tensor  #: [F]

    @classmethod
    def of(cls, model: WorldModel, features: Features) -> Standardiser:
        """Measured on the recorded moments that M keeps as starts of dreams; a previous action stays as it is.

        The deviation of z is that of its samples, so that latents in which V says nothing stay quiet.

        Raises:
            UserError: M keeps no such moments.
        """
        if model.starts is None:
            raise UserError("This world model was saved without starting points; fit M again.")
        starts = model.starts.only("recorded")
        still = torch.zeros(len(starts), model.action_spec.size, device=model.device)
        vectors = join_features(starts.mean, model.outputs(starts.state), features, still)
        variance = vectors.var(0, correction=0)
        variance[: model.latent_size] += starts.logvar.exp().mean(0)
        if "a" in features:
            variance[-still.shape[1] :] = 1.0
        return cls(vectors.mean(0), variance.sqrt().clamp(min=SD_FLOOR))

    @classmethod
    def among(cls, tensors: Mapping[str, Tensor]) -> Standardiser | None:
        """The one in a controller's file, if it has one."""
        return cls(tensors["feature_mean"], tensors["feature_sd"]) if "feature_mean" in tensors else None

    def tensors(self) -> dict[str, Tensor]:
        """For a controller's file."""
        return {"feature_mean": self.mean, "feature_sd": self.sd}

    def grow(self, inputs: int) -> Standardiser:
        """For so many features: further ones are left as they are."""
        more = self.mean.new_zeros(inputs - len(self.mean))
        return Standardiser(torch.cat([self.mean, more]), torch.cat([self.sd, more + 1]))

    def on(self, device: torch.device) -> Standardiser:
        """The same on another device."""
        return Standardiser(self.mean.to(device), self.sd.to(device))

    def __call__(self, features: Tensor) -> Tensor:
        return ((features - self.mean) / self.sd).clamp(-SD_LIMIT, SD_LIMIT)

"""C: the controller, as small as it can be, evaluated for a whole population at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from rollouts.actions import ActionSpec
from rollouts.errors import UserError
from worldmodels.dream import Features, join_features
from worldmodels.world_model import WorldModel

SD_LIMIT = 8.0  #: standardised features are clipped here, so that nothing never seen before drowns all else
SD_FLOOR = 0.02  #: of a feature that hardly ever moves


@dataclass(frozen=True)
class Standardiser:
    """Makes all features equally loud: ``clip((features - mean) / sd, -8, 8)``. Its numbers are kept with C.

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
        seen = join_features(starts.mean, (starts.h, starts.c), features, still)
        variance = seen.var(0, correction=0)
        variance[: model.latent_size] += starts.logvar.exp().mean(0)
        if "a" in features:
            variance[-still.shape[1] :] = 1.0
        return cls(seen.mean(0), variance.sqrt().clamp(min=SD_FLOOR))

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


class LinearController:
    """``action = squash(W features + b)``, optionally through one hidden tanh layer.

    It owns no weights: a candidate is a flat vector, a population a matrix of them. The paper's sizes: 867 for
    [z, h] with 3 actions, 99 for [z] alone, 1,443 for [z] with 40 hidden units, 1,088 for [z, c, h] of Take Cover
    without bias.
    """

    def __init__(
        self,
        inputs: int,
        action_spec: ActionSpec,
        hidden: int = 0,
        bias: bool = True,
        standardiser: Standardiser | None = None,
    ) -> None:
        if hidden < 0:
            raise UserError(f"The hidden layer cannot have {hidden} units; 0 means none.")
        self.inputs, self.action_spec, self.hidden, self.bias = inputs, action_spec, hidden, bias
        self.standardiser = standardiser
        outputs, one = action_spec.outputs, int(bias)
        widths = [(hidden, inputs + one), (outputs, hidden + one)] if hidden else [(outputs, inputs + one)]
        self.shapes = widths
        self.parameter_count = sum(rows * columns for rows, columns in widths)

    def act(self, parameters: Tensor, features: Tensor) -> Tensor:
        """Actions of N lanes.

        Args:
            parameters: one candidate for all lanes ``[P]``, or one for each lane ``[N, P]``.
            features: ``[N, inputs]``.

        Returns:
            action vectors ``[N, A]``, inside the action space.
        """
        values, start = features if self.standardiser is None else self.standardiser(features), 0
        for rows, columns in self.shapes:
            weights = parameters[..., start : start + rows * columns].unflatten(-1, (rows, columns))
            if start:
                values = torch.tanh(values)
            start += rows * columns
            bias = weights[..., -1] if self.bias else None
            matrix = weights[..., :-1] if self.bias else weights
            values = values @ matrix.t() if parameters.dim() == 1 else torch.bmm(matrix, values[:, :, None])[..., 0]
            values = values if bias is None else values + bias
        return squash(values, self.action_spec)

    def translate(self, parameters: Tensor, before: Standardiser | None) -> Tensor:
        """A candidate for features standardised as ``before``, or plain ones, as one for what this controller sees.

        It acts as it did, but where features are clipped.
        """
        rows, columns = self.shapes[0]
        first, rest = parameters[: rows * columns].reshape(rows, columns), parameters[rows * columns :]
        weights, bias = first[:, : self.inputs], first[:, self.inputs :]
        if before is not None:
            weights = weights / before.sd
            bias = bias - (weights @ before.mean)[:, None]
        if self.standardiser is not None:
            bias = bias + (weights @ self.standardiser.mean)[:, None]
            weights = weights * self.standardiser.sd
        return torch.cat([torch.cat([weights, bias], 1).reshape(-1), rest])

    def grow(self, parameters: Tensor, inputs_before: int) -> Tensor:
        """A linear candidate for the first ``inputs_before`` features as one for all: new weights are zero."""
        if self.hidden:
            raise UserError("Only a controller without a hidden layer can grow to more features.")
        rows, columns = self.shapes[0]
        one = int(self.bias)
        grown = torch.zeros(rows, columns)
        small = parameters.reshape(rows, inputs_before + one)
        grown[:, :inputs_before] = small[:, :inputs_before]
        if one:
            grown[:, -1] = small[:, -1]
        return grown.reshape(-1)


def squash(raw: Tensor, spec: ActionSpec) -> Tensor:
    """Raw outputs ``[N, outputs]`` -> action vectors ``[N, size]``, as the :class:`ActionSpec` says."""
    if spec.kind == "discrete":
        return torch.nn.functional.one_hot(raw.argmax(-1), spec.size).to(raw.dtype)
    scale, offset, low, high = (raw.new_tensor(values) for values in (spec.scale, spec.offset, spec.low, spec.high))
    if not spec.pedals:
        return torch.clamp(scale * torch.tanh(raw) + offset, low, high)
    driving = raw.new_zeros(*raw.shape[:-1], spec.size)
    driving[..., spec.driven] = raw
    action = torch.clamp(scale * torch.tanh(driving) + offset, low, high)
    for pedal in spec.pedals:
        p = torch.tanh(driving[..., pedal.positive] + pedal.offset)
        shares = (torch.where(p > -pedal.slack, p.clamp(min=pedal.creep), 0.0), (-p - pedal.slack).clamp(min=0.0))
        for component, share in zip((pedal.positive, pedal.negative), shares, strict=True):
            action[..., component] = low[component] + (high - low)[component] * share
    return action

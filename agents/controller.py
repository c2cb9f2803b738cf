"""C: the controller, as small as it can be, evaluated for a whole population at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from agents.standardiser import Standardiser
from rollouts.envs.actions import ActionSpec
from rollouts.errors import UserError
from worldmodels.dream import Features, feature_size
from worldmodels.world_model import WorldModel

LatentKind = Literal["sample", "mean"]


class Controller(Protocol):
    """Anything that acts on what is seen, from a flat vector of weights: of its own it holds none."""

    @property
    def parameter_count(self) -> int: ...

    @property
    def standardiser(self) -> Standardiser | None:
        """What it puts features through first; it is kept with the weights."""

    def act(self, parameters: Tensor, features: Tensor) -> Tensor:
        """Actions ``[N, A]`` for features ``[N, F]``, of one candidate ``[P]`` or of one for each lane ``[N, P]``."""


class Spec(Protocol):
    """What a controller sees and how it is built; it stands in the manifest of a controller's stage."""

    @property
    def features(self) -> Features: ...

    @property
    def latent(self) -> LatentKind: ...

    def build(self, model: WorldModel, standardiser: Standardiser | None = None) -> Controller:
        """The controller for one world model, with the standardiser that was kept with it."""


@dataclass(frozen=True)
class ControllerSpec:
    """What a controller sees and how big it is."""

    features: Features = "zh"
    """What it sees: z, then outputs of M (h or ch for an LSTM), then a for the previous action, as far as named."""
    hidden: int = 0
    """Units of a hidden tanh layer; 0 is the paper's linear controller."""
    bias: bool = True
    """Add a constant to every output."""
    latent: LatentKind = "sample"
    """In the real world: z drawn from V's posterior, as the paper does, or its mean."""
    standardised: bool = False
    """Take the mean off every feature and divide it by its deviation, both kept with C, before C weighs it."""

    def build(self, model: WorldModel, standardiser: Standardiser | None = None) -> LinearController:
        """The controller for one world model.

        Args:
            standardiser: the one that was kept with C; if there is none, a new one is measured where it is asked for.
        """
        if self.standardised:
            standardiser = (standardiser or Standardiser.of(model, self.features)).on(model.device)
        inputs = feature_size(model, self.features)
        return LinearController(inputs, model.action_spec, self.hidden, self.bias, standardiser)


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
        inputs = features if self.standardiser is None else self.standardiser(features)
        return squash(perceptron(parameters, inputs, self.shapes, self.bias), self.action_spec)

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


def perceptron(
    parameters: Tensor,
    values: Tensor,
    shapes: Sequence[tuple[int, int]],
    bias: bool,
    activation: Callable[[Tensor], Tensor] = torch.tanh,
) -> Tensor:
    """Layers of weights ``[rows, columns]`` on values ``[N, inputs]``; a bias is the last column.

    Args:
        parameters: all weights in a row, ``[P]`` for all lanes or ``[N, P]``.
        activation: between the layers.
    """
    start = 0
    for rows, columns in shapes:
        weights = parameters[..., start : start + rows * columns].unflatten(-1, (rows, columns))
        if start:
            values = activation(values)
        start += rows * columns
        constant = weights[..., -1] if bias else None
        matrix = weights[..., :-1] if bias else weights
        values = values @ matrix.t() if parameters.dim() == 1 else torch.bmm(matrix, values[:, :, None])[..., 0]
        values = values if constant is None else values + constant
    return values


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

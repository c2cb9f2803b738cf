"""C: the controller, as small as it can be, evaluated for a whole population at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from rollouts.envs.actions import ActionSpec
from rollouts.errors import UserError
from worldmodels.dream import Features, feature_size
from worldmodels.world_model import WorldModel

LatentKind = Literal["sample", "mean"]


class Controller(Protocol):
    """Anything that acts on what is seen, from a flat vector of weights: of its own it holds none."""

    @property
    def parameter_count(self) -> int: ...

    def act(self, parameters: Tensor, features: Tensor) -> Tensor:
        """Actions ``[N, A]`` for features ``[N, F]``, of one candidate ``[P]`` or of one for each lane ``[N, P]``."""


class Spec(Protocol):
    """What a controller sees and how it is built; it stands in the manifest of a controller's stage."""

    @property
    def features(self) -> Features: ...

    @property
    def latent(self) -> LatentKind: ...

    def build(self, model: WorldModel) -> Controller:
        """The controller for one world model."""


@dataclass(frozen=True)
class ControllerSpec:
    """What a controller sees and how big it is."""

    features: Features = "zh"
    """What it sees: z, [z, h] or [z, c, h]."""
    hidden: int = 0
    """Units of a hidden tanh layer; 0 is the paper's linear controller."""
    bias: bool = True
    """Add a constant to every output."""
    latent: LatentKind = "sample"
    """In the real world: z drawn from V's posterior, as the paper does, or its mean."""

    def build(self, model: WorldModel) -> LinearController:
        """The controller for one world model."""
        return LinearController(feature_size(model, self.features), model.action_spec, self.hidden, self.bias)


class LinearController:
    """``action = squash(W features + b)``, optionally through one hidden tanh layer.

    It owns no weights: a candidate is a flat vector, a population a matrix of them. The paper's sizes: 867 for
    [z, h] with 3 actions, 99 for [z] alone, 1,443 for [z] with 40 hidden units, 1,088 for [z, c, h] of Take Cover
    without bias.
    """

    def __init__(self, inputs: int, action_spec: ActionSpec, hidden: int = 0, bias: bool = True) -> None:
        if hidden < 0:
            raise UserError(f"The hidden layer cannot have {hidden} units; 0 means none.")
        self.inputs, self.action_spec, self.hidden, self.bias = inputs, action_spec, hidden, bias
        outputs, one = action_spec.size, int(bias)
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
        return squash(perceptron(parameters, features, self.shapes, self.bias), self.action_spec)

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
    """Raw outputs ``[N, A]`` -> action vectors ``[N, A]``, as the :class:`ActionSpec` says."""
    if spec.kind == "discrete":
        return torch.nn.functional.one_hot(raw.argmax(-1), spec.size).to(raw.dtype)
    scale, offset, low, high = (raw.new_tensor(values) for values in (spec.scale, spec.offset, spec.low, spec.high))
    return torch.clamp(scale * torch.tanh(raw) + offset, low, high)

"""Controllers that are networks of several layers: actors of gradient learners, and other people's."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from agents.controller import ControllerSpec, LatentKind, Spec, perceptron, squash
from agents.standardiser import Standardiser
from rollouts.envs.actions import ActionSpec
from rollouts.errors import UserError
from rollouts.runs.options import config_from_dict
from worldmodels.dream import Features, feature_size
from worldmodels.world_model import WorldModel

Activation = Literal["relu", "tanh"]
Output = Literal["squash", "clip", "scale"]


@dataclass(frozen=True)
class NetworkSpec:
    """What a network sees, its size, and how its outputs become an action."""

    features: Features = "zh"
    """What it sees: z, then outputs of M, then a for the previous action, as far as named."""
    latent: LatentKind = "mean"
    """In the real world: z drawn from V's posterior, or its mean."""
    layers: tuple[int, ...] = (256, 256)
    """Units of its hidden layers."""
    activation: Activation = "relu"
    """Between them."""
    output: Output = "squash"
    """'squash' as the environment's preset says; 'clip' to the action space; 'scale' tanh to all of it. Where actions
    are discrete, the largest output is chosen."""

    def build(self, model: WorldModel, standardiser: Standardiser | None = None) -> NetworkController:
        """The controller for one world model; it takes its features as they are."""
        return NetworkController(feature_size(model, self.features), model.action_spec, self)


def plain(spec: Spec) -> Spec:
    """A network without hidden layers, whose outputs are squashed, as the linear controller that it is.

    Its weights are laid out in the same way.
    """
    if isinstance(spec, NetworkSpec) and not spec.layers and spec.output == "squash":
        return ControllerSpec(spec.features, latent=spec.latent)
    return spec


class NetworkController:
    """A perceptron on features. It owns no weights: they are a flat vector, layer by layer, as :func:`flatten` says."""

    def __init__(self, inputs: int, action_spec: ActionSpec, spec: NetworkSpec) -> None:
        self.inputs, self.action_spec, self.spec = inputs, action_spec, spec
        self.standardiser: Standardiser | None = None
        outputs = action_spec.outputs if spec.output == "squash" else action_spec.size
        widths = [inputs, *spec.layers, outputs]
        self.shapes = [(rows, columns + 1) for columns, rows in itertools.pairwise(widths)]
        self.parameter_count = sum(rows * columns for rows, columns in self.shapes)

    def act(self, parameters: Tensor, features: Tensor) -> Tensor:
        """Actions ``[N, A]`` for features ``[N, F]``, of one network ``[P]`` or of one for each lane ``[N, P]``."""
        activation = torch.relu if self.spec.activation == "relu" else torch.tanh
        return self.action(perceptron(parameters, features, self.shapes, True, activation))

    def action(self, raw: Tensor) -> Tensor:
        """What raw outputs ``[N, outputs]`` do: actions ``[N, A]``."""
        if self.spec.output == "squash" or self.action_spec.kind == "discrete":
            return squash(raw, self.action_spec)
        low, high = raw.new_tensor(self.action_spec.low), raw.new_tensor(self.action_spec.high)
        if self.spec.output == "scale":
            raw = low + (torch.tanh(raw) + 1) / 2 * (high - low)
        return torch.clamp(raw, low, high)


def require_units(layers: Sequence[int], option: str) -> None:
    """Refuse hidden layers of no units; no layers at all are a linear network.

    Raises:
        UserError: it names the option.
    """
    if any(units < 1 for units in layers):
        raise UserError(f"--{option}: layers need at least one unit each, got {' '.join(map(str, layers))}.")


def flatten(layers: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Weights ``[rows, columns]`` and biases ``[rows]`` of all layers as one vector: row by row, the bias last."""
    return torch.cat([torch.cat([weight, bias[:, None]], 1).reshape(-1) for weight, bias in layers]).detach()


def spec_of(values: Mapping[str, Any]) -> Spec:
    """The specification of a controller from a manifest.

    Raises:
        UserError: it has an option that is not known here.
    """
    if "layers" in values:
        return config_from_dict(NetworkSpec, values)
    return config_from_dict(ControllerSpec, values)

"""Evolve along the principal directions of what a controller sees, not along every single weight.

M's memory h has 256 units and far fewer degrees of freedom: along CarRacing's roads, 32 directions hold about 95 % of
its variance. A strategy that disturbs all 867 weights alike spends most of its candidates on a handful of loud
directions. Here it searches over a linear map from K *whitened* directions, all equally loud, to the actions; what it
finds is written out as weights on [z, h], so the controller stays the paper's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.controller import ControllerSpec, LinearController
from agents.learning.base import Strategy
from rollouts.errors import UserError
from worldmodels.dream import join_features
from worldmodels.world_model import WorldModel

Array = NDArray[np.float64]
ACTED = 0.5  #: deviation, about 0, that is taken for what was done before: recorded moments do not keep it


def principal_weights(model: WorldModel, spec: ControllerSpec, count: int, power: float = 1.0) -> Array:
    """Directions in weight space, each of which moves one raw output along one principal direction of what is seen.

    Those directions are taken from the recorded moments that M keeps as starts of dreams, where z, c and h, different
    in size as they are, count equally. All move their action equally much, so much that a random step of some length
    along them moves actions as one along all weights does: a step size means the same here and there.

    Args:
        power: of the whitening. With 1 all directions are equally loud, with 0 each is as loud as it is in what is
            seen, with 0.5 its loudness (a deviation) is the root of that.

    Returns:
        ``[P, Q]`` with ``Q = outputs x (count + 1)``, the one more being the bias, where the controller has it; and as
        many more as a previous action has components, if that is seen, each a direction of its own.

    Raises:
        UserError: M keeps no starts, or there are not ``count`` directions.
    """
    outputs = model.outputs(model.initial_state(1))
    parts = [model.latent_size, *(outputs[name].shape[1] for name in spec.features[1:].removesuffix("a"))]
    return whitening(_recorded(model, spec), parts, count, spec.bias, spec.build(model), power)


def centred_weights(model: WorldModel, spec: ControllerSpec) -> Array:
    """Directions in weight space, one for each weight of a linear controller, which act on features less their mean.

    The bias goes with a weight against what the mean of its feature does: ``w (x - mean) = w x - w mean``.

    Returns:
        ``[P, P]``.

    Raises:
        UserError: M keeps no starts.
    """
    middle = _recorded(model, spec).mean(0)
    if spec.features.endswith("a"):
        middle = np.concatenate([middle, np.zeros(model.action_spec.size)])
    block = np.eye(len(middle) + 1)
    block[-1, :-1] = -middle
    return np.asarray(np.kron(np.eye(model.action_spec.outputs), block), np.float64)


def _recorded(model: WorldModel, spec: ControllerSpec) -> Array:
    """What a controller would have seen in the recorded moments that M keeps as starts of dreams ``[N, inputs]``.

    Without the previous action, which is not kept.
    """
    if model.starts is None:
        raise UserError("This world model was saved without starting points; fit M again.")
    starts = model.starts.only("recorded")
    seen = spec.features.removesuffix("a")
    return join_features(starts.mean, model.outputs(starts.state), seen).double().cpu().numpy()


def whitening(
    features: Array, parts: Sequence[int], count: int, bias: bool, controller: LinearController, power: float = 1.0
) -> Array:
    """:func:`principal_weights` of features ``[N, inputs]``, in parts of these sizes that count equally.

    What the controller sees beyond them is the previous action.
    """
    size = np.concatenate([np.full(part.shape[1], np.sqrt(part.var(0).sum())) for part in _cut(features, parts)])
    middle = features.mean(0) if bias else np.zeros(features.shape[1])
    _, lengths, axes = np.linalg.svd((features - middle) / size, full_matrices=False)
    spread = lengths / np.sqrt(len(features))
    usable = int((spread > 1e-6 * spread[0]).sum())
    if not 1 <= count <= usable:
        raise UserError(f"What the controller sees has {usable} principal directions; {count} were asked for.")
    louder = spread[:count] ** -power
    louder /= np.sqrt(np.mean((louder * spread[:count]) ** 2))  # a deviation of 1 on average, as with a power of 1
    block = (axes[:count] * louder[:, None] / size).T
    acted = controller.inputs - features.shape[1]
    if acted:
        nothing = np.zeros((len(block), acted))
        block = np.block([[block, nothing], [np.zeros((acted, count)), np.eye(acted) / ACTED]])
        middle = np.concatenate([middle, np.zeros(acted)])
    if bias:  # the last row: a direction's mean is taken off, and the bias itself is searched too
        block = np.block([[block, np.zeros((len(block), 1))], [-middle @ block, np.ones((1, 1))]])
    loudness = (features**2).sum(1).mean() + acted * ACTED**2 + bias  # of an action, were every weight disturbed by 1
    return np.kron(np.eye(controller.action_spec.outputs), block * np.sqrt(loudness / block.shape[1]))


def _cut(features: Array, parts: Sequence[int]) -> list[Array]:
    return np.split(features, np.cumsum(parts)[:-1], axis=1)


class Subspace:
    """A strategy over coordinates, shown as one over weights: ``weights = origin + directions @ coordinates``.

    Args:
        strategy: over coordinates ``[Q]``.
        origin: ``[P]``.
        directions: ``[P, Q]``.
    """

    def __init__(self, strategy: Strategy, origin: Array, directions: Array) -> None:
        self.strategy, self.origin, self.directions = strategy, origin, directions

    def ask(self) -> Array:
        return self._weights(self.strategy.ask())

    def tell(self, fitness: Array) -> None:
        self.strategy.tell(fitness)

    @property
    def mean(self) -> Array:
        return self._weights(self.strategy.mean)

    @property
    def best(self) -> Array:
        return self._weights(self.strategy.best)

    @property
    def best_fitness(self) -> float:
        return self.strategy.best_fitness

    @property
    def sigma(self) -> float:
        return self.strategy.sigma

    @property
    def state(self) -> dict[str, Any]:
        return self.strategy.state

    def restore(self, state: Mapping[str, Any]) -> bool:
        return self.strategy.restore(state)

    def _weights(self, coordinates: Array) -> Array:
        return self.origin + coordinates @ self.directions.T

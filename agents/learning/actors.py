"""Networks of gradient learners: an actor that draws its actions, and critics; and the mathematics of both."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents.learning.learner import Array
from agents.networks import flatten

LOG_STD = (-5.0, 2.0)  #: limits of the logarithm of the actor's standard deviation


class Actor(nn.Module):
    """A Gaussian over raw outputs, from features: ``[mean, log std]`` of each output.

    The action is what the environment's preset makes of a raw output (``squash``); learning sees its tanh.
    """

    def __init__(self, inputs: int, outputs: int, layers: Sequence[int], generator: torch.Generator) -> None:
        super().__init__()
        widths = [inputs, *layers, 2 * outputs]
        self.stack = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))
        self.outputs = outputs
        for linear in self.linears:
            _begin(linear.weight, linear.bias, generator)

    @property
    def linears(self) -> list[nn.Linear]:
        """Its layers."""
        return [cast(nn.Linear, layer) for layer in self.stack]

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """``[N, F]`` -> mean and log standard deviation ``[N, A]``."""
        *hidden, last = self.linears
        for linear in hidden:
            features = torch.relu(linear(features))
        return split(last(features))

    def weights(self) -> Tensor:
        """All of it in a row, for workers that explore with it."""
        return flatten([(linear.weight, linear.bias) for linear in self.linears])

    @torch.no_grad()
    def take_mean(self, weights: Tensor) -> None:
        """Begin with the mean of an earlier actor, as :meth:`mean_weights` lays it out."""
        start, last = 0, self.linears[-1]
        for linear in self.linears:
            rows = self.outputs if linear is last else linear.out_features
            size = rows * (linear.in_features + 1)
            layer = weights[start : start + size].reshape(rows, -1)
            linear.weight[:rows], linear.bias[:rows] = layer[:, :-1], layer[:, -1]
            start += size

    def mean_weights(self) -> Tensor:
        """C: the mean alone, in a row, as :class:`agents.networks.NetworkController` takes it."""
        *hidden, last = self.linears
        mean = (last.weight[: self.outputs], last.bias[: self.outputs])
        return flatten([*((linear.weight, linear.bias) for linear in hidden), mean])


class SteadyActor(nn.Module):
    """A Gaussian over raw outputs whose mean is a network with tanh, and whose standard deviations are always the same.

    Its last layer begins small, so that the actor begins undecided.
    """

    def __init__(self, sizes: Sequence[int], std: float, generator: torch.Generator) -> None:
        super().__init__()
        self.stack = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))
        for linear in self.linears:
            _begin(linear.weight, linear.bias, generator)
        with torch.no_grad():
            self.linears[-1].weight.mul_(0.01)
            self.linears[-1].bias.zero_()
        self.log_std = nn.Parameter(torch.full((sizes[-1],), math.log(std)))

    @property
    def linears(self) -> list[nn.Linear]:
        """Its layers."""
        return [cast(nn.Linear, layer) for layer in self.stack]

    def forward(self, features: Tensor) -> Tensor:
        """``[N, F]`` -> means ``[N, A]``."""
        *hidden, last = self.linears
        for linear in hidden:
            features = torch.tanh(linear(features))
        means: Tensor = last(features)
        return means

    def weights(self) -> Tensor:
        """All of it in a row, the logarithms of the standard deviations last, for workers that explore with it."""
        return torch.cat([self.mean_weights(), self.log_std.detach()])

    def mean_weights(self) -> Tensor:
        """C: the mean alone, in a row, as :class:`agents.networks.NetworkController` takes it."""
        return flatten([(linear.weight, linear.bias) for linear in self.linears])

    @torch.no_grad()
    def take_mean(self, weights: Tensor) -> None:
        """Begin with the mean of an earlier actor, as :meth:`mean_weights` lays it out."""
        start = 0
        for linear in self.linears:
            size = linear.out_features * (linear.in_features + 1)
            layer = weights[start : start + size].reshape(linear.out_features, -1)
            linear.weight.copy_(layer[:, :-1])
            linear.bias.copy_(layer[:, -1])
            start += size


class Critic(nn.Module):
    """What a state is worth: a perceptron with LayerNorm, that begins at zero."""

    def __init__(self, inputs: int, layers: Sequence[int], generator: torch.Generator) -> None:
        super().__init__()
        sizes, parts = [inputs, *layers], list[nn.Module]()
        for before, after in zip(sizes, layers, strict=False):
            linear = nn.Linear(before, after)
            with torch.no_grad():
                linear.weight.copy_(torch.randn(after, before, generator=generator) / before**0.5)
                linear.bias.zero_()
            parts += [linear, nn.LayerNorm(after), nn.SiLU()]
        last = nn.Linear(sizes[-1], 1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(*parts, last)

    def forward(self, features: Tensor) -> Tensor:
        """``[..., F]`` -> ``[...]``."""
        values: Tensor = self.layers(features)[..., 0]
        return values


class Critics(nn.Module):
    """Several critics of (features, tanh of raw outputs), as one batch of networks with LayerNorm.

    LayerNorm keeps values of actions that were never tried from running away (Ball et al. 2023).
    """

    def __init__(
        self, inputs: int, outputs: int, layers: Sequence[int], generator: torch.Generator, count: int = 2
    ) -> None:
        super().__init__()
        widths = [inputs + outputs, *layers, 1]
        shapes = list(itertools.pairwise(widths))
        self.matrices = nn.ParameterList(torch.empty(count, a, b) for a, b in shapes)
        self.biases = nn.ParameterList(torch.empty(count, 1, b) for _, b in shapes)
        self.scales = nn.ParameterList(torch.ones(count, 1, width) for width in layers)
        self.shifts = nn.ParameterList(torch.zeros(count, 1, width) for width in layers)
        for matrix, bias in zip(self.matrices, self.biases, strict=True):
            for critic in range(count):
                _begin(matrix.data[critic].t(), bias.data[critic, 0], generator)

    def forward(self, features: Tensor, actions: Tensor) -> Tensor:
        """``[N, F]``, ``[N, A]`` -> values ``[critics, N]``."""
        values = torch.cat([features, actions], 1).expand(len(self.matrices[0]), -1, -1)
        for layer, (matrix, bias) in enumerate(zip(self.matrices, self.biases, strict=True)):
            values = torch.baddbmm(bias, values, matrix)
            if layer < len(self.scales):
                normal = F.layer_norm(values, values.shape[-1:])
                values = torch.relu(torch.addcmul(self.shifts[layer], normal, self.scales[layer]))
        return values[..., 0]


def lambda_returns(rewards: Tensor, discounts: Tensor, values: Tensor, trace: float) -> Tensor:
    """Returns averaged over all lengths of look-ahead, ``trace^k`` the weight of k steps more (Sutton & Barto, 12.1).

    ``R[t] = r[t] + discount[t] ((1 - trace) v[t + 1] + trace R[t + 1])``, and ``R[T] = v[T]``.

    Args:
        rewards: ``[T, N]``; discounts: ``[T, N]``, 0 where the step is the last; values: ``[T + 1, N]``.

    Returns:
        ``[T, N]``.
    """
    following, returns = values[-1], list[Tensor]()
    for t in reversed(range(len(rewards))):
        following = rewards[t] + discounts[t] * ((1 - trace) * values[t + 1] + trace * following)
        returns.append(following)
    return torch.stack(returns[::-1])


def _begin(weight: Tensor, bias: Tensor, generator: torch.Generator) -> None:
    """PyTorch's own initialisation of a linear layer ``[rows, columns]``, from a generator of one's own."""
    reach = weight.shape[1] ** -0.5
    with torch.no_grad():
        for tensor in (weight, bias):
            tensor.copy_(torch.empty(tensor.shape).uniform_(-reach, reach, generator=generator))


def split(raw: Tensor) -> tuple[Tensor, Tensor]:
    """The actor's outputs ``[N, 2 A]`` as mean and limited log standard deviation ``[N, A]``."""
    mean, log_std = raw.chunk(2, dim=-1)
    return mean, log_std.clamp(*LOG_STD)


def draw(mean: Tensor, log_std: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """An action by reparameterisation, and its log probability.

    The density is that of ``u = tanh(raw)``, ``raw ~ N(mean, std^2)``: the normal one, less
    ``log(1 - tanh(raw)^2) = 2 (log 2 - raw - softplus(-2 raw))`` for every output (Haarnoja et al. 2018, appendix C).

    Returns:
        u ``[N, A]`` and log pi(u) ``[N]``.
    """
    raw = mean + log_std.exp() * noise
    normal = -0.5 * noise**2 - log_std - 0.5 * math.log(2 * math.pi)
    stretch = 2 * (math.log(2) - raw - F.softplus(-2 * raw))
    return torch.tanh(raw), (normal - stretch).sum(-1)


def soft_target(rewards: Tensor, discounts: Tensor, values: Tensor, log_probs: Tensor, alpha: Tensor) -> Tensor:
    """What critics are fitted to: ``R + discount (min Q(s', a') - alpha log pi(a'))``, the smallest of the critics'.

    Args:
        rewards: discounted sum of the rewards up to s' ``[N]``.
        discounts: gamma to the number of steps to s', 0 where the episode has ended there ``[N]``.
        values: of the target critics at s' ``[critics, N]``.
        log_probs: of the actions there ``[N]``.
    """
    return rewards + discounts * (values.min(0).values - alpha * log_probs)


@torch.no_grad()
def follow(slow: nn.Module, fast: nn.Module, share: float) -> None:
    """Polyak averaging: ``slow = (1 - share) slow + share fast``."""
    for behind, ahead in zip(slow.parameters(), fast.parameters(), strict=True):
        behind.lerp_(ahead, share)


def descend(optimiser: torch.optim.Optimizer, loss: Tensor, clip: float | None = None) -> None:
    """One step of the optimiser's own parameters, the norm of their gradient clipped to ``clip``."""
    optimiser.zero_grad()
    loss.backward()
    if clip is not None:
        nn.utils.clip_grad_norm_([weight for group in optimiser.param_groups for weight in group["params"]], clip)
    optimiser.step()


class GradientLearner:
    """What actor-critics have in common: C is the actor's mean, and their networks and optimisers are their state."""

    NETWORKS: ClassVar[tuple[str, ...]]  #: attributes
    actor: Actor | SteadyActor
    optimisers: list[torch.optim.Adam]

    @property
    def weights(self) -> Array:
        """C, see :class:`agents.learning.learner.Learner`."""
        return self.actor.mean_weights().double().cpu().numpy()

    @property
    def results(self) -> dict[str, Array]:
        """The whole actor, standard deviations included."""
        return {"actor": self.actor.weights().cpu().numpy()}

    @property
    def state(self) -> dict[str, Any]:
        """Networks and optimisers, for :meth:`restore`."""
        networks = {name: getattr(self, name).state_dict() for name in self.NETWORKS}
        return {**networks, "optimisers": [optimiser.state_dict() for optimiser in self.optimisers]}

    def restore(self, state: Mapping[str, Any]) -> bool:
        """Go on from a state."""
        for name in self.NETWORKS:
            getattr(self, name).load_state_dict(state[name])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        return True

    def repeat(self, record: Mapping[str, Any]) -> bool:
        """Never: gradients cannot be had again from returns."""
        return False

"""An actor-critic that learns in the dream alone (after Hafner et al. 2023), as a learner of C.

One update: dream a few steps from recorded moments, with the actor as it stands; let a critic say what the last state
is worth; average over all lengths of look-ahead (lambda-returns); make what went better than expected more likely. The
critic is fitted to the same returns. C is the actor's mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from agents.controller import Controller, ControllerSpec, perceptron, squash
from agents.lanes import Lanes
from agents.learning.actors import Actor, Critic, GradientLearner, descend, follow, lambda_returns, split
from agents.learning.learner import Progress, Task, World
from agents.networks import NetworkController, NetworkSpec, require_units
from rollouts.errors import UserError, require_positive
from rollouts.seeds import evolution_seed
from worldmodels.training.randomness import generator_for
from worldmodels.training.threads import one_thread

LANES_PER_TASK = 128  #: dreams that one worker has side by side; results depend on it, so it is no option
LOW, HIGH = 0.05, 0.95  #: quantiles of returns whose distance is their scale (Hafner et al. 2023)
MOST_GRADIENT = 100.0  #: norm that gradients are clipped to
SCALE_KEPT = 0.99  #: share of that scale which stays from one update to the next


@dataclass(frozen=True)
class DreamerConfig:
    """How the actor-critic learns in the dream."""

    worlds: ClassVar[Sequence[str]] = ("dream",)
    layers: tuple[int, ...] = (256, 256)
    """Units of the hidden layers, of actor and critic."""
    updates: int = 50
    """Updates per iteration."""
    lanes: int = 256
    """Dreams per update."""
    horizon: int = 15
    """Steps of a dream, after which the critic says what the rest is worth."""
    gamma: float = 0.99
    """Discount per decision."""
    trace: float = 0.95
    """Lambda: 0 trusts the critic after one step, 1 only at the horizon."""
    learning_rate: float = 3e-4
    """Adam's, of actor and critic."""
    entropy: float = 3e-4
    """Worth of the actor's entropy, in scaled returns."""
    tau: float = 0.02
    """Share of the critic that its slow copy, which says what states are worth, takes over in every update."""

    def check(self) -> None:
        """Refuse what makes no sense.

        Raises:
            UserError: it names the option.
        """
        require_positive(self, ("updates", "lanes", "horizon", "learning_rate"), "controller.dreamer.")
        require_units(self.layers, "controller.dreamer.layers")
        for name in ("gamma", "tau"):
            if not 0 < getattr(self, name) <= 1:
                value = getattr(self, name)
                raise UserError(f"--controller.dreamer.{name} must be above 0 and at most 1, got {value}.")
        if not 0 <= self.trace <= 1 or self.entropy < 0:
            raise UserError("--controller.dreamer.trace lies between 0 and 1, and entropy is not negative.")

    def shape(self, spec: ControllerSpec) -> NetworkSpec:
        """The actor's mean as a controller; it sees what ``spec`` says."""
        return NetworkSpec(spec.features, spec.latent, self.layers)

    def decisions(self, max_steps: int) -> int:
        """Of all dreams, whose length is not that of an episode."""
        return self.updates * self.lanes * self.horizon

    def begin(self, task: Task) -> Dreamer:
        """Raises:
        UserError: actions are discrete.
        """
        return Dreamer(self, task)


class Imagined(NamedTuple):
    """Dreams of T steps in N lanes."""

    features: Tensor  #: [T + 1, N, F]
    raw: Tensor  #: raw outputs that were drawn [T, N, A]
    rewards: Tensor  #: [T, N]
    going: Tensor  #: 0 where the step ended the dream, else 1 [T, N]


class Dreamer(GradientLearner):
    """The learner: an actor, a critic, its slow copy, and the scale of returns."""

    NETWORKS = ("actor", "critic", "slow")

    def __init__(self, options: DreamerConfig, task: Task) -> None:
        controller = task.controller
        assert isinstance(controller, NetworkController)
        if controller.action_spec.kind == "discrete":
            raise UserError("The actor-critic needs continuous actions; take --controller.learner evolution here.")
        self.options, self.seed, self.device = options, task.seed, task.model.device
        generator = generator_for(task.seed, 0)
        self.actor = Actor(controller.inputs, controller.shapes[-1][0], options.layers, generator)
        if task.warm:
            self.actor.take_mean(torch.from_numpy(task.initial).float())
        self.critic = Critic(controller.inputs, options.layers, generator).to(self.device)
        self.slow = deepcopy(self.critic).requires_grad_(False)
        self.actor.to(self.device)
        learning = (self.actor, self.critic)
        self.optimisers = [torch.optim.Adam(part.parameters(), options.learning_rate) for part in learning]
        self.scale = 0.0

    @property
    def state(self) -> dict[str, Any]:
        return {**super().state, "scale": self.scale}

    def restore(self, state: Mapping[str, Any]) -> bool:
        self.scale = state["scale"]
        return super().restore(state)

    def improve(self, world: World, iteration: int) -> Progress:
        """So many updates, each from dreams of its own."""
        options, returns, sums = self.options, list[float](), torch.zeros(3)
        for update in range(options.updates):
            number = iteration * options.updates + update
            seeds = [evolution_seed(self.seed, number, lane) for lane in range(options.lanes)]
            blocks = [seeds[i : i + LANES_PER_TASK] for i in range(0, len(seeds), LANES_PER_TASK)]
            weights = self.actor.weights().cpu()
            by_task = dict(world.run(imagine, [(weights, block, options.horizon) for block in blocks]))
            dreams = [by_task[index] for index in range(len(blocks))]
            joined = Imagined(*(torch.cat(parts, 1).to(self.device) for parts in zip(*dreams, strict=True)))
            sums += self._update(joined)
            alive = torch.cat([torch.ones_like(joined.going[:1]), joined.going[:-1]]).cumprod(0)
            returns.append(float((alive * joined.rewards).sum(0).mean()))
        entropy, loss, value = (sums / options.updates).tolist()
        facts = {"entropy": entropy, "critic_loss": loss, "value": value, "scale": self.scale}
        return Progress(np.array(returns), options.updates * options.lanes * options.horizon, facts)

    def _update(self, dreams: Imagined) -> Tensor:
        """One step of actor and critic: the entropy, the critic's loss, and what states are worth."""
        options = self.options
        with torch.no_grad():
            values = self.slow(dreams.features)
            targets = lambda_returns(dreams.rewards, options.gamma * dreams.going, values, options.trace)
            alive = torch.cat([torch.ones_like(dreams.going[:1]), dreams.going[:-1]]).cumprod(0)
            spread = float(targets.quantile(HIGH) - targets.quantile(LOW))
            self.scale = SCALE_KEPT * self.scale + (1 - SCALE_KEPT) * spread if self.scale else spread
            advantage = (targets - values[:-1]) / max(1.0, self.scale)
        mean, log_std = self.actor(dreams.features[:-1])
        log_prob = (-0.5 * ((dreams.raw - mean) / log_std.exp()) ** 2 - log_std).sum(-1)
        entropy = log_std.sum(-1)  # of the raw outputs, but for a constant
        loss = -(alive * (advantage * log_prob + options.entropy * entropy)).mean()
        fit = (alive * (self.critic(dreams.features[:-1]) - targets) ** 2).mean()
        for optimiser, cost in zip(self.optimisers, (loss, fit), strict=True):
            descend(optimiser, cost, clip=MOST_GRADIENT)
        follow(self.slow, self.critic, options.tau)
        return torch.stack([entropy.detach().mean(), fit.detach(), values.mean()]).cpu()


@torch.inference_mode()
def imagine(
    setup: tuple[Lanes, Controller, torch.device], weights: Tensor, seeds: Sequence[int], steps: int
) -> Imagined:
    """Dreams with the actor's noise, one for each seed, in a worker. Those that end are dreamed on, to no effect."""
    lanes, controller, device = setup
    assert isinstance(controller, NetworkController)
    *hidden, (outputs, columns) = controller.shapes
    shapes, weights = [*hidden, (2 * outputs, columns)], weights.to(device)
    generator = generator_for(seeds[0], 1)
    with one_thread():
        lanes.reset(seeds)
        features, drawn, earned, going = [lanes.features()], list[Tensor](), list[Tensor](), list[Tensor]()
        for _ in range(steps):
            mean, log_std = split(perceptron(weights, features[-1], shapes, True, torch.relu))
            raw = mean + log_std.exp() * torch.randn(len(seeds), outputs, generator=generator).to(device)
            reward, terminated, _ = lanes.step(squash(raw, controller.action_spec))
            features.append(lanes.features())
            drawn.append(raw)
            earned.append(reward)
            going.append(1.0 - terminated.float())
    return Imagined(*(torch.stack(part).float().cpu() for part in (features, drawn, earned, going)))

"""Proximal policy optimisation (Schulman et al. 2017) as a learner of C, in the real world or in the dream.

One iteration: live through some episodes with the actor and its noise, wherever lanes run; say of every decision how
much better than expected it went (generalised advantages); make what went well likelier, but not by more than a step in
which that judgement can be trusted. C is the actor's mean. In a dream the noise does more than explore: what only works
without it is mostly a flaw of M.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from agents.controller import Controller, ControllerSpec, perceptron, squash
from agents.fitness import even_share
from agents.lanes import Lanes
from agents.learning.actors import Critic, Perceptron, lambda_returns
from agents.learning.experience import Trace, experience
from agents.learning.learner import Array, Progress, Task, World
from agents.networks import NetworkController, NetworkSpec
from rollouts.errors import UserError, require_positive
from rollouts.seeds import evolution_seed
from worldmodels.training.randomness import generator_for
from worldmodels.training.threads import one_thread

LANES_PER_TASK = 64  #: episodes that one worker has side by side; results depend on it, so it is no option
NAMES = ("actor_loss", "critic_loss", "clipped")


@dataclass(frozen=True)
class PPOConfig:
    """How the actor learns from what it has just done."""

    worlds: ClassVar[Sequence[str]] = ("real", "dream")
    layers: tuple[int, ...] = (64, 64)
    """Units of the hidden layers, of actor and critic."""
    episodes: int = 64
    """Episodes per iteration."""
    epochs: int = 4
    """How often each of their decisions is learned from."""
    batch_size: int = 1024
    """Decisions per update."""
    learning_rate: float = 3e-4
    """Adam's, of actor and critic."""
    gamma: float = 0.98
    """Discount per decision."""
    trace: float = 0.95
    """Lambda: 0 trusts the critic after one step, 1 only where an episode was broken off."""
    clip: float = 0.2
    """How far the probability of an action may move, as a share of it, before moving it pays no more."""
    spread: float = 1.0
    """Standard deviation of raw outputs that the actor begins with."""
    entropy: float = 0.0
    """Worth of the actor's entropy, in standard deviations of the advantage."""

    def check(self) -> None:
        """Refuse what makes no sense.

        Raises:
            UserError: it names the option.
        """
        positive = ("episodes", "epochs", "batch_size", "learning_rate", "clip", "spread")
        require_positive(self, positive, "controller.ppo.")
        if not 0 < self.gamma <= 1:
            raise UserError(f"--controller.ppo.gamma must be above 0 and at most 1, got {self.gamma}.")
        if not 0 <= self.trace <= 1 or not 0 <= self.entropy < math.inf:
            raise UserError("--controller.ppo.trace lies between 0 and 1, and entropy is a number, not negative.")

    def shape(self, spec: ControllerSpec) -> NetworkSpec:
        """The actor's mean as a controller; it sees what ``spec`` says."""
        return NetworkSpec(spec.features, spec.latent, self.layers, "tanh")

    def decisions(self, max_steps: int) -> int:
        """If no episode ends early."""
        return self.episodes * max_steps

    def begin(self, task: Task) -> PPO:
        """The learner, from new networks or an earlier actor's mean."""
        return PPO(self, task)


class Decisions(NamedTuple):
    """All decisions of an iteration's episodes, one after the other."""

    features: Tensor  #: [D, F]
    raw: Tensor  #: raw outputs that were drawn [D, A]
    log_prob: Tensor  #: of these, as the actor was [D]
    returns: Tensor  #: lambda-returns, what the critic is fitted to [D]
    advantage: Tensor  #: how much more that is than what the critic expected [D]


class PPO:
    """The learner: an actor, the logarithm of its standard deviations, and a critic."""

    def __init__(self, options: PPOConfig, task: Task) -> None:
        controller = task.controller
        assert isinstance(controller, NetworkController)
        self.options, self.seed, self.device = options, task.seed, task.model.device
        generator, outputs = generator_for(task.seed, 0), controller.shapes[-1][0]
        self.actor = Perceptron([controller.inputs, *options.layers, outputs], generator, last=0.01)
        if task.warm:
            self.actor.take(torch.from_numpy(task.initial).float())
        self.critic = Critic(controller.inputs, options.layers, generator).to(self.device)
        self.actor.to(self.device)
        self.log_std = nn.Parameter(torch.full((outputs,), math.log(options.spread), device=self.device))
        parameters = [*self.actor.parameters(), self.log_std, *self.critic.parameters()]
        self.optimiser = torch.optim.Adam(parameters, options.learning_rate, eps=1e-5)

    @property
    def weights(self) -> Array:
        return self.actor.weights().double().cpu().numpy()

    @property
    def results(self) -> dict[str, Array]:
        """The noise that it has learned to act with."""
        return {"log_std": self.log_std.detach().cpu().numpy()}

    @property
    def state(self) -> dict[str, Any]:
        networks = {name: getattr(self, name).state_dict() for name in ("actor", "critic")}
        return {**networks, "log_std": self.log_std.detach().clone(), "optimiser": self.optimiser.state_dict()}

    def restore(self, state: Mapping[str, Any]) -> bool:
        for name in ("actor", "critic"):
            getattr(self, name).load_state_dict(state[name])
        with torch.no_grad():
            self.log_std.copy_(state["log_std"])
        self.optimiser.load_state_dict(state["optimiser"])
        return True

    def repeat(self, record: Mapping[str, Any]) -> bool:
        """Gradients cannot be had again from returns."""
        return False

    def improve(self, world: World, iteration: int) -> Progress:
        """Live, judge, learn."""
        options = self.options
        seeds = [evolution_seed(self.seed, iteration, episode) for episode in range(options.episodes)]
        block = even_share(len(seeds), LANES_PER_TASK)
        actor = (self.actor.weights().cpu(), self.log_std.detach().cpu())
        tasks = [(*actor, seeds[i : i + block], world.max_steps, world.patience) for i in range(0, len(seeds), block)]
        found = dict(world.run(explore, tasks))
        traces = [trace for index in range(len(tasks)) for trace in found[index]]
        decisions, generator = self._judge(traces), generator_for(self.seed, 1 + iteration)
        count, sums = len(decisions.returns), list[Tensor]()
        for _ in range(options.epochs):
            for part in torch.randperm(count, generator=generator).split(options.batch_size):
                sums.append(self._update(Decisions(*(values[part.to(self.device)] for values in decisions))))
        facts = dict(zip(NAMES, torch.stack(sums).mean(0).tolist(), strict=True))
        facts |= {"value": float(decisions.returns.mean()), "std": float(self.log_std.detach().exp().mean())}
        return Progress(np.array([float(trace.rewards.double().sum()) for trace in traces]), count, facts)

    @torch.no_grad()
    def _judge(self, traces: Sequence[Trace]) -> Decisions:
        """Lambda-returns and advantages of every decision."""
        seen, lengths = torch.cat([trace.features for trace in traces]), [len(trace.rewards) for trace in traces]
        values = self.critic(seen.to(self.device).float()).cpu().split([length + 1 for length in lengths])
        returns = returns_of(traces, values, self.options.gamma, self.options.trace)
        advantages = [got - expected[:-1] for got, expected in zip(returns, values, strict=True)]
        features = torch.cat([trace.features[:-1] for trace in traces]).to(self.device).float()
        raw = torch.cat([trace.actions for trace in traces]).to(self.device)
        judged = (torch.cat(part).to(self.device) for part in (returns, advantages))
        return Decisions(features, raw, self._log_prob(features, raw), *judged)

    def _log_prob(self, features: Tensor, raw: Tensor) -> Tensor:
        """Of raw outputs ``[D, A]``, but for a constant: ``[D]``."""
        return (-0.5 * ((raw - self.actor(features)) / self.log_std.exp()) ** 2 - self.log_std).sum(-1)

    def _update(self, batch: Decisions) -> Tensor:
        """One step of actor and critic; the figures of :data:`NAMES`."""
        ratio = (self._log_prob(batch.features, batch.raw) - batch.log_prob).exp()
        advantage = (batch.advantage - batch.advantage.mean()) / (batch.advantage.std(correction=0) + 1e-8)
        actor_loss = -clipped_gain(ratio, advantage, self.options.clip).mean()
        critic_loss = (self.critic(batch.features) - batch.returns).square().mean()
        loss = actor_loss + 0.5 * critic_loss - self.options.entropy * self.log_std.sum()
        self.optimiser.zero_grad()
        loss.backward()
        for part in ([*self.actor.parameters(), self.log_std], self.critic.parameters()):
            nn.utils.clip_grad_norm_(part, 0.5)
        self.optimiser.step()
        clipped = ((ratio - 1).abs() > self.options.clip).float().mean()
        return torch.stack([actor_loss.detach(), critic_loss.detach(), clipped]).cpu()


def returns_of(traces: Sequence[Trace], values: Sequence[Tensor], gamma: float, trace: float) -> list[Tensor]:
    """Lambda-returns ``[T]`` of episodes of different lengths, given what their states are worth ``[T + 1]`` each."""
    lengths = torch.tensor([len(one.rewards) for one in traces])
    rewards, worth = pad_sequence([one.rewards for one in traces]), pad_sequence(list(values))
    over = torch.arange(len(rewards))[:, None] >= lengths  # [T, N]
    discounts = torch.where(over, 0.0, gamma)
    for lane, (one, length) in enumerate(zip(traces, lengths.tolist(), strict=True)):
        if one.terminal:
            discounts[length - 1, lane] = 0.0
        if length < len(rewards):
            rewards[length, lane] = worth[length, lane]  # what the last step looks ahead to
    found = lambda_returns(rewards, discounts, worth, trace)
    return [found[:length, lane] for lane, length in enumerate(lengths.tolist())]


def clipped_gain(ratio: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """``min(r A, clip(r, 1 - clip, 1 + clip) A)`` (Schulman et al. 2017, formula 7)."""
    return torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)


def explore(
    kept: tuple[Lanes, Controller, torch.device],
    weights: Tensor,
    log_std: Tensor,
    seeds: Sequence[int],
    max_steps: int,
    patience: int | None,
) -> list[Trace]:
    """Episodes of the actor with its noise, one for each seed, in a worker; kept are raw outputs."""
    lanes, controller, device = kept
    assert isinstance(controller, NetworkController)
    weights, std = weights.to(device), log_std.exp().to(device)
    chance = generator_for(seeds[0], 1)

    def act(features: Tensor, running: Tensor) -> tuple[Tensor, Tensor]:
        mean = perceptron(weights, features, controller.shapes, True)
        noise = torch.randn(len(seeds), len(std), generator=chance)  # for all, so that ends do not change the others'
        raw = mean + std * noise[running].to(device)
        return squash(raw, controller.action_spec), raw

    with one_thread():
        return experience(lanes, act, seeds, max_steps, patience)

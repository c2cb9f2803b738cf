"""Proximal policy optimisation (Schulman et al. 2017) as a learner of C, in the real world or in the dream.

One iteration: live through some episodes with the actor and its noise, wherever lanes run; estimate how much better
than expected every decision went (generalised advantages); make the better ones likelier, by a step so small that the
estimate still holds. C is the actor's mean. In a dream the noise does more than explore: a policy that only works
without it mostly exploits a flaw of M.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from agents.controller import Controller, ControllerSpec, perceptron
from agents.lanes import Lanes
from agents.learning.actors import Critic, GradientLearner, SteadyActor, descend, lambda_returns
from agents.learning.experience import Trace, experience, gather, returns_of
from agents.learning.learner import Progress, Task, World
from agents.networks import NetworkController, NetworkSpec, Output, require_units
from rollouts.errors import UserError, require_positive
from rollouts.seeds import evolution_seed
from worldmodels.training.randomness import generator_for
from worldmodels.training.threads import one_thread

LANES_PER_TASK = 64  #: episodes that one worker lives through side by side; results depend on it, so it is no option
NAMES = ("actor_loss", "critic_loss", "clipped")


@dataclass(frozen=True)
class PPOConfig:
    """How the actor learns from its newest episodes."""

    worlds: ClassVar[Sequence[str]] = ("real", "dream")
    layers: tuple[int, ...] = (64, 64)
    """Units of the hidden layers, of actor and critic; none, and C is linear."""
    critic_layers: tuple[int, ...] | None = None
    """Those of the critic, where it is to have others."""
    output: Output = "squash"
    """How raw outputs become an action: 'squash' as the environment's preset says, 'clip' to the action space."""
    episodes: int = 64
    """Episodes per iteration."""
    epochs: int = 4
    """Passes over their decisions."""
    batch_size: int = 1024
    """Decisions per update."""
    learning_rate: float = 3e-4
    """Adam's, of actor and critic."""
    gamma: float = 0.98
    """Discount per decision."""
    trace: float = 0.95
    """Lambda: 0 trusts the critic after one step, 1 only where an episode was broken off."""
    clip: float = 0.2
    """Largest change of an action's probability, as a share of it, that still lowers the loss."""
    spread: float = 1.0
    """Initial standard deviation of the actor's raw outputs."""
    entropy: float = 0.0
    """Worth of the actor's entropy, in standard deviations of the advantage."""

    def check(self) -> None:
        """Refuse what makes no sense.

        Raises:
            UserError: it names the option.
        """
        positive = ("episodes", "epochs", "batch_size", "learning_rate", "clip", "spread")
        require_positive(self, positive, "controller.ppo.")
        require_units(self.layers, "controller.ppo.layers")
        require_units(self.critic_layers or (), "controller.ppo.critic-layers")
        if not 0 < self.gamma <= 1:
            raise UserError(f"--controller.ppo.gamma must be above 0 and at most 1, got {self.gamma}.")
        if not 0 <= self.trace <= 1 or not 0 <= self.entropy < math.inf:
            raise UserError("--controller.ppo.trace lies between 0 and 1, and entropy is a number, not negative.")

    def shape(self, spec: ControllerSpec) -> NetworkSpec:
        """The actor's mean as a controller that sees the features of ``spec``."""
        return NetworkSpec(spec.features, spec.latent, self.layers, "tanh", self.output)

    def decisions(self, max_steps: int) -> int:
        """Of all episodes, if none ends early."""
        return self.episodes * max_steps

    def begin(self, task: Task) -> PPO:
        """The learner, from new networks or an earlier actor's mean."""
        return PPO(self, task)


class Decisions(NamedTuple):
    """All decisions of an iteration's episodes, one after the other."""

    features: Tensor  #: [D, F]
    raw: Tensor  #: raw outputs of the noisy actor [D, A]
    log_prob: Tensor  #: of these, under the actor that drew them [D]
    returns: Tensor  #: lambda-returns, the critic's targets [D]
    advantage: Tensor  #: returns minus the critic's values [D]


class PPO(GradientLearner):
    """The learner: an actor whose noise does not depend on what it sees, and a critic."""

    NETWORKS = ("actor", "critic")
    actor: SteadyActor

    def __init__(self, options: PPOConfig, task: Task) -> None:
        controller = task.controller
        assert isinstance(controller, NetworkController)
        self.options, self.seed, self.device = options, task.seed, task.model.device
        generator = generator_for(task.seed, 0)
        sizes = [controller.inputs, *options.layers, controller.shapes[-1][0]]
        hidden = options.layers if options.critic_layers is None else options.critic_layers
        self.actor = SteadyActor(sizes, options.spread, generator)
        if task.warm:
            self.actor.take_mean(torch.from_numpy(task.initial).float())
        self.actor.to(self.device)
        self.critic = Critic(controller.inputs, hidden, generator).to(self.device)
        parameters = [*self.actor.parameters(), *self.critic.parameters()]
        self.optimisers = [torch.optim.Adam(parameters, options.learning_rate, eps=1e-5)]

    def improve(self, world: World, iteration: int) -> Progress:
        """Live, judge, learn."""
        options = self.options
        seeds = [evolution_seed(self.seed, iteration, episode) for episode in range(options.episodes)]
        traces = gather(world, explore, [self.actor.weights().cpu()], seeds, LANES_PER_TASK)
        decisions, generator = self._judge(traces), generator_for(self.seed, 1 + iteration)
        count, sums = len(decisions.returns), list[Tensor]()
        for _ in range(options.epochs):
            for part in torch.randperm(count, generator=generator).split(options.batch_size):
                sums.append(self._update(Decisions(*(values[part.to(self.device)] for values in decisions))))
        facts = dict(zip(NAMES, torch.stack(sums).mean(0).tolist(), strict=True))
        facts |= {"value": float(decisions.returns.mean()), "std": float(self.actor.log_std.detach().exp().mean())}
        return Progress(returns_of(traces), count, facts)

    @torch.no_grad()
    def _judge(self, traces: Sequence[Trace]) -> Decisions:
        """Lambda-returns and advantages of every decision."""
        states, lengths = torch.cat([trace.features for trace in traces]), [len(trace.rewards) for trace in traces]
        values = self.critic(states.to(self.device).float()).cpu().split([length + 1 for length in lengths])
        returns = critic_targets(traces, values, self.options.gamma, self.options.trace)
        advantages = [target - value[:-1] for target, value in zip(returns, values, strict=True)]
        features = torch.cat([trace.features[:-1] for trace in traces]).to(self.device).float()
        raw = torch.cat([trace.actions for trace in traces]).to(self.device)
        judged = (torch.cat(part).to(self.device) for part in (returns, advantages))
        return Decisions(features, raw, self._log_prob(features, raw), *judged)

    def _log_prob(self, features: Tensor, raw: Tensor) -> Tensor:
        """Of raw outputs ``[D, A]``, but for a constant: ``[D]``."""
        log_std = self.actor.log_std
        return (-0.5 * ((raw - self.actor(features)) / log_std.exp()) ** 2 - log_std).sum(-1)

    def _update(self, batch: Decisions) -> Tensor:
        """One step of actor and critic; the figures of :data:`NAMES`."""
        ratio = (self._log_prob(batch.features, batch.raw) - batch.log_prob).exp()
        advantage = (batch.advantage - batch.advantage.mean()) / (batch.advantage.std(correction=0) + 1e-8)
        actor_loss = -clipped_gain(ratio, advantage, self.options.clip).mean()
        critic_loss = (self.critic(batch.features) - batch.returns).square().mean()
        loss = actor_loss + 0.5 * critic_loss - self.options.entropy * self.actor.log_std.sum()
        descend(self.optimisers[0], loss, 0.5)
        clipped = ((ratio - 1).abs() > self.options.clip).float().mean()
        return torch.stack([actor_loss.detach(), critic_loss.detach(), clipped]).cpu()


def critic_targets(traces: Sequence[Trace], values: Sequence[Tensor], gamma: float, trace: float) -> list[Tensor]:
    """Lambda-returns ``[T]`` of episodes of different lengths, from the values ``[T + 1]`` of their states."""
    lengths = torch.tensor([len(one.rewards) for one in traces])
    rewards, worth = pad_sequence([one.rewards for one in traces]), pad_sequence(list(values))
    over = torch.arange(len(rewards))[:, None] >= lengths  # [T, N]
    discounts = torch.where(over, 0.0, gamma)
    for lane, (one, length) in enumerate(zip(traces, lengths.tolist(), strict=True)):
        if one.terminal:
            discounts[length - 1, lane] = 0.0
        if length < len(rewards):
            rewards[length, lane] = worth[length, lane]  # the value after the last step
    returns = lambda_returns(rewards, discounts, worth, trace)
    return [returns[:length, lane] for lane, length in enumerate(lengths.tolist())]


def clipped_gain(ratio: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """``min(r A, clip(r, 1 - clip, 1 + clip) A)`` (Schulman et al. 2017, formula 7)."""
    return torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)


def explore(
    setup: tuple[Lanes, Controller, torch.device],
    weights: Tensor,
    seeds: Sequence[int],
    max_steps: int,
    patience: int | None,
) -> list[Trace]:
    """Episodes of the actor with its noise, one for each seed, in a worker; the traces hold raw outputs."""
    lanes, controller, device = setup
    assert isinstance(controller, NetworkController)
    outputs = controller.shapes[-1][0]
    weights, std = weights[:-outputs].to(device), weights[-outputs:].exp().to(device)
    chance = generator_for(seeds[0], 1)

    def act(features: Tensor, running: Tensor) -> tuple[Tensor, Tensor]:
        mean = perceptron(weights, features, controller.shapes, True)
        noise = torch.randn(len(seeds), outputs, generator=chance)  # for all, so that ends do not change the others'
        raw = mean + std * noise[running].to(device)
        return controller.action(raw), raw

    with one_thread():
        return experience(lanes, act, seeds, max_steps, patience)

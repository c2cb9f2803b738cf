"""Soft actor-critic (Haarnoja et al. 2018) as a learner of C, in the real world or in the dream.

One iteration: explore for some episodes with the actor as it stands, wherever lanes run; add them to the replay; then
learn from samples of the replay. C is the actor's mean. What differs from the paper: returns over several steps,
LayerNorm in the critics, and scaled rewards, so that values stay in a range that networks like.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from agents.controller import Controller, ControllerSpec, perceptron, squash
from agents.lanes import Lanes
from agents.learning.actors import Actor, Critics, GradientLearner, descend, draw, follow, soft_target, split
from agents.learning.elsewhere import experienced, recorded
from agents.learning.experience import Trace, experience, gather, returns_of
from agents.learning.learner import Progress, Task, World
from agents.learning.replay import Replay
from agents.networks import NetworkController, NetworkSpec, require_units
from rollouts.errors import UserError, require_at_least, require_positive
from rollouts.runs.layout import Run
from rollouts.seeds import evolution_seed
from worldmodels.training.checkpoint import load_newest_state
from worldmodels.training.optimiser import learning_rate
from worldmodels.training.randomness import generator_for
from worldmodels.training.threads import one_thread

LONGEST_STUMBLE = 8  #: steps
LANES_PER_TASK = 8  #: episodes that one worker explores side by side; results depend on it, so it is no option


@dataclass(frozen=True)
class SACConfig:
    """How the actor-critic learns."""

    worlds: ClassVar[Sequence[str]] = ("real", "dream")
    layers: tuple[int, ...] = (256, 256)
    """Units of the hidden layers, of the actor and of each critic."""
    actor_layers: tuple[int, ...] | None = None
    """Those of the actor, where it is to have others; none (the option without a number), and C is linear, which an
    evolution can go on with."""
    episodes: int = 16
    """Episodes per iteration."""
    updates: float = 0.12
    """Updates per decision. New decisions cost little beside updates, and more updates of fewer decisions learn worse
    drivers in more time: after 113,000 decisions of CarRacing 816 with 0.12 of them, 756 with 0.5."""
    least_updates: int = 0
    """Updates of an iteration at least, however few decisions the episodes of a beginner have."""
    warm_up: int = 2000
    """Decisions before the first update."""
    batch_size: int = 256
    """Decisions per update."""
    learning_rate: float = 3e-4
    """Adam's, of actor, critics and temperature."""
    decay: int | None = None
    """Iterations in which the rates of actor and critics fall, by a cosine, to a twentieth, where they stay."""
    gamma: float = 0.99
    """Discount per decision."""
    steps: int = 3
    """Rewards that are summed before the critics' value of what follows (n-step returns)."""
    tau: float = 0.005
    """Share of the critics that the target critics take over in every update."""
    reward_scale: float = 0.2
    """Rewards are multiplied by it."""
    idle: float = 0.0
    """Cost, in rewards, of a second step in a row in which nothing is earned, a fifth of it for each of the next six;
    nothing if nothing is earned any more. Discounted reward is a rate: a car that cuts a bend loses the tiles in it and
    is the quicker for it, but for the end of the lap nearly all tiles are needed. This charges what lies beside the
    road; for learning only, not for scores."""
    idle_after: int = 60
    """Iterations without that cost, and without stumbles: both would frighten who has yet to learn to drive."""
    stumbles: float = 0.0
    """Share of exploring steps at which the actor stumbles: it does one random thing for up to eight steps, and has to
    come back from wherever that led. A good driver leaves the road too seldom to learn what to do there."""
    later_patience: int | None = None
    """Instead of --controller.patience once the actor stumbles: to come back takes longer."""
    alpha: float = 0.1
    """Initial temperature: worth of entropy, in scaled rewards. It is then adapted."""
    entropy: float | None = None
    """Entropy to keep, in nats. Default: minus the number of outputs."""
    capacity: int = 300_000
    """Moments to learn from; each takes two bytes per feature, in memory and on disk."""
    recorded: bool = False
    """Begin with the episodes in the replay that V and M learned from (those of the newest round), whoever drove: a
    beginner then knows what earns something."""
    experience: str | None = None
    """Begin with the critics and the replay of another run that learned so, on the same V and M: a run directory, or
    'teacher' for the run's own (RUN/teacher). An actor of the same layers goes on too, with other options than before;
    one of others is new: with critics that know what is good, a linear actor learns in minutes what it could not find
    alone."""

    def check(self) -> None:
        """Refuse what makes no sense.

        Raises:
            UserError: it names the option.
        """
        positive = ("episodes", "updates", "batch_size", "learning_rate", "steps", "reward_scale", "alpha", "capacity")
        require_positive(self, positive, "controller.sac.")
        if not 0 <= self.stumbles < 1:
            raise UserError(f"--controller.sac.stumbles must be at least 0 and below 1, got {self.stumbles}.")
        for name in ("gamma", "tau"):
            if not 0 < getattr(self, name) <= 1:
                raise UserError(f"--controller.sac.{name} must be above 0 and at most 1, got {getattr(self, name)}.")
        require_at_least(1, self, ("decay", "later_patience"), "controller.sac.")
        require_at_least(0, self, ("idle", "idle_after", "least_updates"), "controller.sac.")
        if self.warm_up < 0:
            raise UserError(f"--controller.sac.warm-up cannot be negative, got {self.warm_up}.")
        require_units(self.layers, "controller.sac.layers")
        require_units(self.actor_layers or (), "controller.sac.actor-layers")

    def shape(self, spec: ControllerSpec) -> NetworkSpec:
        """The actor's mean as a controller that sees the features of ``spec``."""
        return NetworkSpec(spec.features, spec.latent, self.layers if self.actor_layers is None else self.actor_layers)

    def decisions(self, max_steps: int) -> int:
        """Of all episodes."""
        return self.episodes * max_steps

    def begin(self, task: Task) -> SAC:
        """Raises:
        UserError: actions are discrete.
        """
        return SAC(self, task)


class SAC(GradientLearner):
    """The learner: an actor, two critics, their slow copies, and a temperature that keeps the entropy."""

    NETWORKS = ("actor", "critics", "targets")

    def __init__(self, options: SACConfig, task: Task) -> None:
        controller = task.controller
        assert isinstance(controller, NetworkController)
        if controller.action_spec.kind == "discrete":
            raise UserError("The actor-critic needs continuous actions; take --controller.learner evolution here.")
        self.options, self.seed, self.device = options, task.seed, task.model.device
        inputs, outputs = controller.inputs, controller.shapes[-1][0]
        generator = generator_for(task.seed, 0)
        self.actor = Actor(inputs, outputs, controller.spec.layers, generator)
        if task.warm:
            self.actor.take_mean(torch.from_numpy(task.initial).float())
        self.critics = Critics(inputs, outputs, options.layers, generator).to(self.device)
        self.actor.to(self.device)
        self.targets = deepcopy(self.critics).requires_grad_(False)
        self.log_alpha = torch.tensor(options.alpha, device=self.device).log().requires_grad_()
        parts = (self.actor.parameters(), self.critics.parameters(), [self.log_alpha])
        self.optimisers = [torch.optim.Adam(part, options.learning_rate, fused=True) for part in parts]
        self.entropy = -float(outputs) if options.entropy is None else options.entropy
        self.replay = Replay(task.folder / "replay", inputs, outputs, options.capacity)
        self.task = task
        self.before = None if options.experience is None else experienced(options.experience, task, options.layers)

    @property
    def state(self) -> dict[str, Any]:
        return {**super().state, "log_alpha": self.log_alpha.detach(), "replay": self.replay.state}

    def restore(self, state: Mapping[str, Any]) -> bool:
        if not self.replay.restore(state["replay"]):
            return False
        with torch.no_grad():
            self.log_alpha.copy_(state["log_alpha"])
        return super().restore(state)

    def improve(self, world: World, iteration: int) -> Progress:
        """Explore, keep, learn."""
        options, later = self.options, iteration >= self.options.idle_after
        new = self._begin() if iteration == 0 else 0
        seeds = [evolution_seed(self.seed, iteration, episode) for episode in range(options.episodes)]
        if later and options.later_patience is not None:
            world = replace(world, patience=options.later_patience)
        how = [self.actor.weights().cpu(), options.stumbles if later else 0.0]
        traces = gather(world, explore, how, seeds, LANES_PER_TASK)
        self.replay.add(traces)
        decisions, generator = sum(len(trace.rewards) for trace in traces), generator_for(self.seed, 1 + iteration)
        wanted = max(options.least_updates, round(options.updates * (new + decisions)))
        updates = wanted if sum(self.replay.rows) >= options.warm_up else 0
        self._set_rates(iteration)
        sums = torch.zeros(len(NAMES))
        for _ in range(updates):
            sums += self.update(generator, options.idle if later else 0.0)
        facts = dict(zip(NAMES, (sums / max(updates, 1)).tolist(), strict=True)) if updates else {}
        facts |= {"alpha": float(self.log_alpha.detach().exp()), "updates": updates}
        return Progress(returns_of(traces), decisions, facts)

    def _begin(self) -> int:
        """Take over what others have lived through, if that is asked for; how much of it is new to these critics."""
        if self.before is not None:
            self._take_over(self.before)
        if not self.options.recorded:
            return 0
        assert self.task.run is not None
        traces = recorded(self.task.run, self.task.model, self.task.spec)
        self.replay.add(traces)
        return sum(len(trace.rewards) for trace in traces)

    def _take_over(self, before: Run) -> None:
        """As it all stood at the end of another learning; the actor too, if it has the same layers."""
        state = load_newest_state(before.controller, self.device)
        if state is None or not self.replay.take_over(before.controller.path / "replay", state["learner"]["replay"]):
            raise UserError(
                f"{before.controller.path} has not kept what is to be learned from (state.pt and replay/), or less of "
                f"it than --controller.sac.capacity {self.options.capacity} asks for."
            )
        self.critics.load_state_dict(state["learner"]["critics"])
        self.targets.load_state_dict(state["learner"]["targets"])
        actor = state["learner"]["actor"]
        if not self.task.warm and _shapes(actor) == _shapes(self.actor.state_dict()):
            self.actor.load_state_dict(actor)
        with torch.no_grad():
            self.log_alpha.copy_(state["learner"]["log_alpha"])

    def _set_rates(self, iteration: int) -> None:
        """The rates of actor and critics fall as the options say; the temperature goes on as fast as ever."""
        options, steps = self.options, self.options.decay or 1
        rate = learning_rate(options.learning_rate, options.decay is not None, min(iteration, steps), steps)
        for optimiser in self.optimisers[:2]:
            for group in optimiser.param_groups:
                group["lr"] = rate

    def update(self, generator: torch.Generator, idle: float = 0.0) -> Tensor:
        """One step of critics, actor and temperature; the losses of :data:`NAMES`."""
        options = self.options
        batch = self.replay.sample(options.batch_size, options.steps, options.gamma, generator, idle)
        features, actions, rewards, discounts, following = (part.to(self.device) for part in batch)
        noise = torch.randn(2, *actions.shape, generator=generator).to(self.device)
        alpha = self.log_alpha.exp().detach()
        with torch.no_grad():
            mean, log_std = self.actor(following)
            intended, log_probs = draw(mean, log_std, noise[0])
            values = self.targets(following, intended)
            target = soft_target(options.reward_scale * rewards, discounts, values, log_probs, alpha)
        loss = (self.critics(features, actions) - target).square().mean(1).sum()
        descend(self.optimisers[1], loss)
        mean, log_std = self.actor(features)
        intended, log_probs = draw(mean, log_std, noise[1])
        self.critics.requires_grad_(False)
        worth = self.critics(features, intended).min(0).values
        actor_loss = (alpha * log_probs - worth).mean()
        descend(self.optimisers[0], actor_loss)
        self.critics.requires_grad_(True)
        entropy = -log_probs.detach().mean()
        descend(self.optimisers[2], self.log_alpha * (entropy - self.entropy))
        follow(self.targets, self.critics, options.tau)
        return torch.stack([loss.detach(), worth.detach().mean(), entropy]).cpu()


NAMES = ("critic_loss", "value", "entropy")


def _shapes(weights: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: one.shape for name, one in weights.items()}


def explore(
    setup: tuple[Lanes, Controller, torch.device],
    weights: Tensor,
    stumbles: float,
    seeds: Sequence[int],
    max_steps: int,
    patience: int | None,
) -> list[Trace]:
    """Episodes of the actor with its noise, one for each seed, in a worker; the traces hold the tanh of raw outputs."""
    lanes, controller, device = setup
    assert isinstance(controller, NetworkController)
    *hidden, (outputs, columns) = controller.shapes
    shapes, weights = [*hidden, (2 * outputs, columns)], weights.to(device)
    chance = [generator_for(seed, 1) for seed in seeds]
    missteps = [Missteps(stumbles, outputs, generator_for(seed, 2)) for seed in seeds]

    def act(features: Tensor, running: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_std = split(perceptron(weights, features, shapes, True, torch.relu))
        noise = torch.stack([torch.randn(outputs, generator=chance[lane]) for lane in running.tolist()])
        raw = mean + log_std.exp() * noise.to(device)
        if stumbles:
            raw = torch.stack([missteps[lane].instead_of(one) for lane, one in zip(running.tolist(), raw, strict=True)])
        return squash(raw, controller.action_spec), torch.tanh(raw)

    with one_thread():
        return experience(lanes, act, seeds, max_steps, patience)


class Missteps:
    """Stumbles of one episode: random raw outputs, each held for one to :data:`LONGEST_STUMBLE` steps.

    Args:
        rate: share of steps at which one begins, of those that are not part of one.
    """

    def __init__(self, rate: float, outputs: int, generator: torch.Generator) -> None:
        self.rate, self.outputs, self.generator = rate, outputs, generator
        self.left, self.held = 0, torch.zeros(outputs)

    def instead_of(self, raw: Tensor) -> Tensor:
        """Raw outputs ``[A]``, or those of a stumble."""
        begins, length, *directions = torch.rand(2 + self.outputs, generator=self.generator).tolist()
        if not self.left and begins < self.rate:
            self.left = 1 + int(length * LONGEST_STUMBLE)
            self.held = torch.atanh(0.99 * (2 * torch.tensor(directions) - 1))
        if not self.left:
            return raw
        self.left -= 1
        return self.held.to(raw)

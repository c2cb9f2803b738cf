"""Distillation: C imitates another agent, whatever that agent is, and is then what evolution begins with.

DAgger (Ross, Gordon & Bagnell 2011): the teacher drives first; from then on C drives, and the teacher says what it
would have done in all that C got into. C is fitted to everything said so far. The teacher sees the same frames through
its own V and M; C sees them through this run's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from agents.agent import Agent
from agents.controller import Controller, ControllerSpec, LinearController, perceptron
from agents.lanes import Lanes, RealLanes
from agents.learning.actors import descend
from agents.learning.experience import Trace, experience, gather, returns_of
from agents.learning.learner import Array, Progress, Task, World
from agents.learning.replay import Replay
from agents.senses import Senses
from agents.standardiser import SD_FLOOR
from rollouts.envs.actions import ActionSpec
from rollouts.errors import UserError, require_positive
from rollouts.runs.layout import Run
from rollouts.seeds import evolution_seed
from worldmodels.training.randomness import generator_for
from worldmodels.training.threads import one_thread

LANES_PER_TASK = 4  #: episodes that one worker plays side by side; results depend on it, so it is no option


@dataclass(frozen=True)
class DistilConfig:
    """How C imitates another agent."""

    worlds: ClassVar[Sequence[str]] = ("real",)
    teacher: str | None = None
    """The agent to imitate: a run directory, or pretrained/NAME. Default: the run's own teacher (RUN/teacher)."""
    episodes: int = 8
    """Episodes per iteration; in the first one the teacher drives."""
    updates: int = 1000
    """Steps of Adam per iteration."""
    batch_size: int = 1024
    """Decisions per step."""
    learning_rate: float = 0.01
    """Of Adam on standardised features, falling to zero within each iteration."""
    capacity: int = 300_000
    """Moments to learn from, the newest ones."""

    def check(self) -> None:
        """Refuse what makes no sense.

        Raises:
            UserError: it names the option.
        """
        positive = ("episodes", "updates", "batch_size", "learning_rate", "capacity")
        require_positive(self, positive, "controller.distil.")

    def shape(self, spec: ControllerSpec) -> ControllerSpec:
        """C as the options describe it, linear or with a hidden layer: evolution goes on with it."""
        return spec

    def decisions(self, max_steps: int) -> int:
        """Of all episodes."""
        return self.episodes * max_steps

    def begin(self, task: Task) -> Distillation:
        """Raises:
        UserError: there is no such agent, or it acts otherwise than C does.
        """
        name = self.teacher or self.own_teacher(task.folder.parent)
        teacher = Agent.load(name) if self.teacher else Agent.from_folder(Path(name), seeing=task.run)
        ours = task.model.action_spec
        teacher_spec = teacher.model.action_spec
        if (teacher_spec.kind, teacher_spec.low, teacher_spec.high) != (ours.kind, ours.low, ours.high):
            raise UserError(f"{name} acts in another world: its action vector is not the one of this run's M.")
        return Distillation(self, task, teacher)

    @staticmethod
    def own_teacher(run: Path) -> Path:
        """Raises:
        UserError: there is none in the run.
        """
        teacher = Run(run).home.teacher
        if not teacher.controller.complete:
            raise UserError("Whom shall C imitate? Name an agent: --controller.distil.teacher RUN")
        return teacher.path


class Distillation:
    """The learner: what the teacher said, and C fitted to it."""

    def __init__(self, options: DistilConfig, task: Task, teacher: Agent) -> None:
        assert isinstance(task.controller, LinearController)
        self.options, self.teacher, self.seed, self.controller = options, teacher, task.seed, task.controller
        self.parameters = torch.from_numpy(task.initial).float()
        if task.controller.hidden and not task.warm:  # equal units would stay equal
            noise = torch.randn(len(self.parameters), generator=generator_for(task.seed, 0))
            self.parameters = noise / task.controller.inputs**0.5
        size = teacher.model.action_spec.size
        self.replay = Replay(task.folder / "replay", task.controller.inputs, size, options.capacity)

    @property
    def weights(self) -> Array:
        return self.parameters.double().numpy()

    @property
    def results(self) -> dict[str, Array]:
        return {}

    @property
    def state(self) -> dict[str, Any]:
        return {"parameters": self.parameters, "replay": self.replay.state}

    def restore(self, state: Mapping[str, Any]) -> bool:
        if not self.replay.restore(state["replay"]):
            return False
        self.parameters = state["parameters"]
        return True

    def repeat(self, record: Mapping[str, Any]) -> bool:
        """What the teacher said is not in the history."""
        return False

    def improve(self, world: World, iteration: int) -> Progress:
        """Drive, ask the teacher, fit."""
        seeds = [evolution_seed(self.seed, iteration, episode) for episode in range(self.options.episodes)]
        driver = self.parameters if iteration else None
        traces = gather(world, demonstrate, [self.teacher, driver], seeds, LANES_PER_TASK)
        self.replay.add(traces)
        error = self._fit(generator_for(self.seed, 1 + iteration))
        return Progress(returns_of(traces), sum(len(trace.rewards) for trace in traces), {"imitation_error": error})

    def _fit(self, generator: torch.Generator) -> float:
        """Fit C to all that was said; the mean error of the last tenth of the steps.

        Features are standardised while it is fitted, for without that the quiet ones would hardly ever be learned.
        """
        options, controller, replay = self.options, self.controller, self.replay
        inputs = self._inputs(replay.features[replay.left > 0].float())
        mean = inputs.mean(0) if controller.bias else torch.zeros(controller.inputs)
        sd = inputs.std(0, correction=0).clamp(min=SD_FLOOR)
        weights = rescaled(self.parameters, controller, mean, sd).requires_grad_()
        optimiser, errors = torch.optim.Adam([weights], options.learning_rate), list[float]()
        for update in range(options.updates):
            falling = 0.5 * (1 + math.cos(math.pi * update / options.updates))
            optimiser.param_groups[0]["lr"] = options.learning_rate * falling
            batch = replay.sample(options.batch_size, 1, 1.0, generator)
            raw = perceptron(weights, (self._inputs(batch.features) - mean) / sd, controller.shapes, controller.bias)
            error = imitation_error(raw, batch.actions, controller.action_spec)
            descend(optimiser, error)
            errors.append(float(error.detach()))
        self.parameters = rescaled(weights.detach(), controller, -mean / sd, 1 / sd)
        return float(np.mean(errors[-max(1, len(errors) // 10) :]))

    def _inputs(self, features: Tensor) -> Tensor:
        """The features as C takes them: standardised, if it has a standardiser."""
        standardiser = self.controller.standardiser
        return features if standardiser is None else standardiser.on(torch.device("cpu"))(features)


def rescaled(parameters: Tensor, controller: LinearController, mean: Tensor, sd: Tensor) -> Tensor:
    """The weights that do with ``(features - mean) / sd`` what ``parameters`` do with ``features``."""
    rows, columns = controller.shapes[0]
    first, rest = parameters[: rows * columns].reshape(rows, columns), parameters[rows * columns :]
    weights, bias = first[:, : controller.inputs], first[:, controller.inputs :]
    return torch.cat([torch.cat([weights * sd, bias + (weights @ mean)[:, None]], 1).reshape(-1), rest])


def imitation_error(raw: Tensor, actions: Tensor, spec: ActionSpec) -> Tensor:
    """How far raw outputs ``[N, outputs]`` are from what makes these action vectors ``[N, A]``.

    The mean squared difference, in shares of each component's range, before it is clipped to that range: where the
    teacher is at a limit, anything beyond it is as good. On a pedal it is the axis that is compared. Where actions are
    discrete, the cross-entropy.
    """
    if spec.kind == "discrete":
        return F.cross_entropy(raw, actions.argmax(-1))
    scale, offset, low, high = (raw.new_tensor(values) for values in (spec.scale, spec.offset, spec.low, spec.high))
    driving = raw.new_zeros(*raw.shape[:-1], spec.size).index_copy(-1, torch.tensor(spec.driven), raw)
    off = (scale * torch.tanh(driving) + offset - actions) / (high - low)
    off = torch.where(actions <= low, off.clamp(min=0), torch.where(actions >= high, off.clamp(max=0), off))
    shares, errors = (actions - low) / (high - low), list(off.unbind(-1))
    for pedal in spec.pedals:
        positive, negative = shares[..., pedal.positive], shares[..., pedal.negative]
        target = torch.where(negative > 0, positive - negative - pedal.slack, positive)
        p = torch.tanh(driving[..., pedal.positive] + pedal.offset)
        idle = (negative <= 0) & (positive <= pedal.creep)  # all between slack and creep does that
        outside = (p + pedal.slack).clamp(max=0) + (p - pedal.creep).clamp(min=0)
        errors[pedal.positive] = torch.where(idle, outside, p - target)
    return torch.stack([errors[component] for component in spec.driven], -1).square().mean()


def demonstrate(
    setup: tuple[Lanes, Controller, torch.device],
    teacher: Agent,
    driver: Tensor | None,
    seeds: Sequence[int],
    max_steps: int,
    patience: int | None,
) -> list[Trace]:
    """Episodes with what the teacher would do at every step as actions, one for each seed, in a worker.

    Args:
        driver: C's weights ``[P]``, or None where the teacher drives.
    """
    lanes, controller, device = setup
    assert isinstance(lanes, RealLanes)
    eyes = Senses(teacher.model, teacher.spec.features, teacher.spec.latent, seeds)
    watched = torch.arange(len(seeds))

    def act(features: Tensor, running: Tensor) -> tuple[Tensor, Tensor]:
        nonlocal watched
        if len(running) < len(watched):
            eyes.keep(torch.isin(watched, running))
            watched = running
        eyes.see(lanes.senses.frames)
        advice = teacher.controller.act(teacher.parameters, eyes.features)
        action = advice if driver is None else controller.act(driver.to(device), features)
        eyes.remember(action)
        return action, advice

    with one_thread():
        return experience(lanes, act, seeds, max_steps, patience)

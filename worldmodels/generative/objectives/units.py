"""One trainer for every objective: an objective yields update units, this executes them.

A VAE is one unit; a GAN two; a WGAN the critic's five times and then the generator's, with clipping after each. What a
step does is a function of (seed, step), so a continued run equals an uninterrupted one bit for bit.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from worldmodels.training.distributed import Ranks
from worldmodels.training.randomness import generator_for

ALONE = Ranks()


class Part(NamedTuple):
    """Where in the joint batch of several processes the samples of this one are."""

    start: int
    whole: int  #: samples of the joint batch


class Batch(NamedTuple):
    """What a loss (or a view) may look at: data, their labels and conditions, and the source of everything random."""

    x: Tensor  #: [N, ...]
    labels: Tensor | None  #: classes, [N]
    rng: torch.Generator  #: on the CPU, so that a run does not depend on the device
    condition: Tensor | None = None  #: what belongs to each sample: its grey version, say, [N, C', S, S]
    other: Tensor | None = None  #: as many samples of another set, which belong to none of these
    part: Part | None = None  #: of several processes that train together

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers beside the data; the first dimension counts samples (or so many for each)."""
        return self._own(torch.randn, shape)

    def uniform(self, *shape: int) -> Tensor:
        """Numbers from U(0, 1) beside the data; the first dimension counts samples (or so many for each)."""
        return self._own(torch.rand, shape)

    def mean_of_all(self, values: Tensor) -> Tensor:
        """The mean of one value per sample ``[N]`` over the samples of all processes, without its gradient."""
        if self.part is None:
            return values.detach().mean()
        total = Ranks.here().add_scalars({"total": values.detach().sum()})["total"]
        return values.new_tensor(total / self.part.whole)

    def of_all(self, x: Tensor) -> Tensor:
        """``x [N, ...]`` of these samples with that of all other processes' samples: of the joint batch."""
        return x if self.part is None else Ranks.here().join(x, self.part.whole)

    def own(self, joint: Tensor) -> Tensor:
        """These samples' part of something that was made of the joint batch."""
        return joint if self.part is None else joint[self.part.start : self.part.start + len(self.x)]

    def _own(self, draw: Callable[..., Tensor], shape: tuple[int, ...]) -> Tensor:
        """Of what is drawn for the joint batch, the part that belongs to these samples: then it does not matter how
        many processes there are."""
        count, part = len(self.x), self.part
        if part is None or shape[0] % count:
            return draw(shape, generator=self.rng, dtype=self.x.dtype).to(self.x.device)
        each = shape[0] // count
        joint = draw((each * part.whole, *shape[1:]), generator=self.rng, dtype=self.x.dtype)
        return joint[each * part.start : each * (part.start + count)].to(self.x.device)


class Data(NamedTuple):
    """A batch before it has its random numbers."""

    x: Tensor
    labels: Tensor | None = None
    condition: Tensor | None = None
    other: Tensor | None = None


class Loss(NamedTuple):
    """What is differentiated, and the terms to log."""

    total: Tensor
    terms: Mapping[str, Tensor]


def do_nothing() -> None:
    """No hook."""


@dataclass(frozen=True)
class Unit:
    """One optimiser's share of a training step. Only that optimiser's parameters are touched."""

    name: str
    optimiser: torch.optim.Optimizer
    loss: Callable[[Batch], Loss]
    repeats: int = 1
    after: Callable[[], None] = do_nothing
    """Called after every optimiser step: clipping, averaging."""


class Trainer:
    """Executes units: ``trainer(step)`` is one training step, for :func:`worldmodels.training.loop.train`.

    Every repeat of every unit sees a batch of its own.

    Args:
        batches: batch number -> data; a pure function.
        learning_rate: step -> factor on every optimiser's learning rate.
        half: compute losses (not their gradients' sums, nor the weights) with bfloat16 where PyTorch deems it safe.
        ranks: this process among those that train together. Each takes its part of every batch and of the numbers that
            are drawn for it, and gradients are added up, so that for losses that are means over samples it does not
            matter how many there are. What couples samples (batch normalisation, the pull-away term, a choice of wrong
            captions) sees a part only, and dropout's masks are each process's own.
    """

    def __init__(
        self,
        units: Sequence[Unit],
        batches: Callable[[int], Data],
        seed: int,
        learning_rate: Callable[[int], float] = lambda step: 1.0,
        half: bool = False,
        ranks: Ranks = ALONE,
    ) -> None:
        self.half, self.ranks = half, ranks
        self.units, self.batches, self.seed, self.learning_rate = units, batches, seed, learning_rate
        self.updates = {unit.name: 0 for unit in units}
        self._rates = {unit.name: [group["lr"] for group in unit.optimiser.param_groups] for unit in units}

    def __call__(self, step: int) -> dict[str, Tensor]:
        """Do step ``step`` and return the terms of every unit's last repeat."""
        number = step * sum(unit.repeats for unit in self.units)
        terms: dict[str, Tensor] = {}
        for unit in self.units:
            for group, rate in zip(unit.optimiser.param_groups, self._rates[unit.name], strict=True):
                group["lr"] = rate * self.learning_rate(step)
            for _ in range(unit.repeats):
                rng = generator_for(self.seed, number)
                # Dropout can only draw from the global generator; processes must not all draw the same for their parts.
                torch.manual_seed(rng.initial_seed() + self.ranks.rank)
                terms.update(self._update(unit, self._part(Data(*self.batches(number)), rng)))
                number += 1
        return terms

    def _part(self, data: Data, rng: torch.Generator) -> Batch:
        """This process's part of a joint batch."""
        if self.ranks.count == 1:
            return Batch(data.x, data.labels, rng, data.condition, data.other)
        own = self.ranks.part(len(data.x))
        labels, condition, other = (None if part is None else part[own] for part in data[1:])
        return Batch(data.x[own], labels, rng, condition, other, Part(own.start, len(data.x)))

    def _update(self, unit: Unit, batch: Batch) -> Mapping[str, Tensor]:
        with torch.autocast(batch.x.device.type, torch.bfloat16, enabled=self.half):
            loss = unit.loss(batch)
        share = 1.0 if batch.part is None else len(batch.x) / batch.part.whole
        parameters = [parameter for group in unit.optimiser.param_groups for parameter in group["params"]]
        # Not backward(): that would also fill the gradients of networks that belong to another unit.
        for parameter, gradient in zip(parameters, torch.autograd.grad(share * loss.total, parameters), strict=True):
            parameter.grad = gradient
        self.ranks.add_gradients(parameters)
        unit.optimiser.step()
        unit.optimiser.zero_grad(set_to_none=True)
        unit.after()
        self.updates[unit.name] += 1
        return loss.terms if share == 1.0 else {name: share * value for name, value in loss.terms.items()}

    def state_dict(self) -> dict[str, Any]:
        """How often each unit has been executed."""
        return dict(self.updates)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.updates = dict(state_dict)


WARM = 10**6  #: updates after which any average is warm


class Average:
    """Exponential moving average of a network's parameters; buffers are copied. Yazıcı et al. (2019).

    It warms up: update k (from 0) keeps ``d_k = min(decay, (1 + k) / (10 + k))`` of it, so that the untrained weights
    it begins with are soon forgotten, and not after 1 / (1 - decay) updates only. After n updates of a constant network
    p, starting at p0, it is ``p + d_0 ... d_{n-1} (p0 - p)``.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.source, self.decay = network, decay
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.updates = 0

    @torch.no_grad()
    def update(self) -> None:
        """Move towards the source."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        for average, current in zip(self.network.parameters(), self.source.parameters(), strict=True):
            average.lerp_(current, 1 - decay)
        for buffer, current_buffer in zip(self.network.buffers(), self.source.buffers(), strict=True):
            buffer.copy_(current_buffer)

    def state_dict(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "updates": self.updates}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """A state from before there was a warm-up is that of a network alone, and goes on without one."""
        if "updates" not in state_dict:
            state_dict = {"network": state_dict, "updates": WARM}
        self.network.load_state_dict(state_dict["network"])
        self.updates = state_dict["updates"]

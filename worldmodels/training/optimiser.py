"""What the optimiser steps of V and of M have in common."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Protocol

import torch
from torch import Tensor, nn

from worldmodels.training.distributed import Ranks


class DescentConfig(Protocol):
    """The options of V's or M's training that its optimiser takes."""

    @property
    def steps(self) -> int: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def decay(self) -> bool: ...


def learning_rate(base: float, decay: bool, step: int, steps: int) -> float:
    """Constant, or half a cosine from ``base`` down to ``base / 20``."""
    return base * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / steps))) if decay else base


class Descent:
    """Adam, with a schedule, and the gradients of all processes added up.

    Args:
        clip: every element of the gradient is clipped to plus or minus this.
    """

    def __init__(self, config: DescentConfig, parameters: Iterable[nn.Parameter], clip: float | None = None) -> None:
        self.config, self.clip = config, clip
        self.parameters = [parameter for parameter in parameters if parameter.requires_grad]
        self.optimiser = torch.optim.Adam(self.parameters, lr=config.learning_rate)

    def step(self, step: int, loss: Tensor) -> None:
        """One step down the gradient of the joint loss, of which ``loss`` is this process's share."""
        config = self.config
        self.optimiser.param_groups[0]["lr"] = learning_rate(config.learning_rate, config.decay, step, config.steps)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        Ranks.here().add_gradients(self.parameters)
        if self.clip is not None:
            torch.nn.utils.clip_grad_value_(self.parameters, self.clip)
        self.optimiser.step()

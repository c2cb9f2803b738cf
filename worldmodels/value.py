"""What is still to come at the end of a dream: a linear critic on what M remembers, fitted to recorded returns.

A short dream knows nothing of what follows it: full speed into a bend that begins behind its horizon costs nothing.
With a value at the horizon it does (Hafner et al. 2020). The value is that of going on as the recorded drivers did.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rollouts.errors import UserError
from worldmodels.data.latents import LatentEpisode
from worldmodels.diagnostics import r_squared
from worldmodels.dynamics import Dynamics
from worldmodels.training.checkpoint import load_tensors

RIDGE = 1e-3  #: weight of the squared weights beside the mean squared error, both of standardised features
SD_FLOOR = 1e-3


@dataclass(frozen=True)
class Value:
    """``mean_return + ((features - mean) / sd) @ weights`` for features ``[z, h]``."""

    weights: Tensor  #: [Z + H]
    mean: Tensor  #: [Z + H]
    sd: Tensor  #: [Z + H]
    mean_return: Tensor  #: []

    def __call__(self, z: Tensor, h: Tensor) -> Tensor:
        """Discounted reward from here on ``[N]``, of states with latents ``[N, Z]`` and M's outputs ``[N, H]``."""
        scaled = (torch.cat([z, h], 1) - self.mean) / self.sd
        return self.mean_return + scaled.clamp(-5.0, 5.0) @ self.weights

    @classmethod
    def fit(cls, features: Tensor, returns: Tensor) -> Value:
        """Ridge regression of returns ``[N]`` on features ``[N, Z + H]``."""
        mean, sd, middle = features.mean(0), features.std(0, correction=0).clamp(min=SD_FLOOR), returns.mean()
        scaled = ((features - mean) / sd).double()
        identity = torch.eye(scaled.shape[1], dtype=torch.float64, device=scaled.device)
        gram = scaled.T @ scaled / len(scaled) + RIDGE * identity
        weights = torch.linalg.solve(gram, scaled.T @ (returns - middle).double() / len(scaled))
        return cls(weights.float(), mean, sd, middle)

    @classmethod
    def load(cls, path: Path, device: torch.device) -> Value:
        """As :meth:`tensors` were saved.

        Raises:
            UserError: the file is not whole.
        """
        tensors = {name: value.to(device).float() for name, value in load_tensors(path).items()}
        if tensors.keys() != cls.__dataclass_fields__.keys():
            raise UserError(f"{path} is damaged (it holds {', '.join(sorted(tensors)) or 'nothing'}); fit M again.")
        return cls(**tensors)

    def tensors(self) -> dict[str, Tensor]:
        """For a file."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@torch.inference_mode()
def fit_value(
    mdnrnn: Dynamics, training: Sequence[LatentEpisode], held_out: Sequence[LatentEpisode], discount: float
) -> tuple[Value, float | None]:
    """The value of states along recorded episodes, and its R² on episodes that it was not fitted to."""
    value = Value.fit(*_states(mdnrnn, training, discount))
    features, returns = _states(mdnrnn, held_out, discount)
    size = mdnrnn.latent_size
    return value, r_squared(value(features[:, :size], features[:, size:]).tolist(), returns.tolist())


def _states(mdnrnn: Dynamics, episodes: Sequence[LatentEpisode], discount: float) -> tuple[Tensor, Tensor]:
    """Features ``[N, Z + H]`` and discounted returns ``[N]`` of all moments whose future was recorded far enough."""
    device = mdnrnn.mixture_head.weight.device
    features, returns = list[Tensor](), list[NDArray[np.float64]]()
    for episode in episodes:
        z = torch.as_tensor(episode.mean[: len(episode)], device=device).float()
        actions = torch.as_tensor(episode.actions, device=device)
        h, _ = mdnrnn.unroll(z[None], actions[None], mdnrnn.initial_state(1))
        before = torch.cat([h.new_zeros(1, h.shape[2]), h[0, :-1]])  # what it remembered when it saw z
        count = known_moments(len(episode), bool(episode.terminated[-1]), discount)
        features.append(torch.cat([z, before], 1)[:count])
        returns.append(discounted(episode.rewards, discount)[:count])
    if not sum(map(len, returns)):
        raise UserError("No recorded episode is long enough for a value at the horizon: lower --mdnrnn.value.")
    return torch.cat(features), torch.as_tensor(np.concatenate(returns), dtype=torch.float32, device=device)


def discounted(rewards: NDArray[np.float32], discount: float) -> NDArray[np.float64]:
    """``G[t] = r[t] + discount G[t + 1]``."""
    total, returns = 0.0, np.zeros(len(rewards))
    for step in reversed(range(len(rewards))):
        total = float(rewards[step]) + discount * total
        returns[step] = total
    return returns


def known_moments(length: int, terminated: bool, discount: float) -> int:
    """How many moments at the start of an episode have a return that what was not recorded hardly changes.

    All of them where it has ended; else those before the last two time constants, ``2 / (1 - discount)`` steps.
    """
    return length if terminated else max(length - round(2 / (1 - discount)), 0)

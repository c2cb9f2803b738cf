"""Worlds in which many lanes run at once. Evolution does not know whether they are real or dreamed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.controller import LatentKind
from agents.senses import Senses
from rollouts.envs.config import EnvConfig
from rollouts.envs.image_env import ImageEnv, make_env
from rollouts.envs.presets import resolve
from rollouts.errors import UserError
from rollouts.pools.life import beat
from worldmodels.dream import Features
from worldmodels.world_model import WorldModel


class Lanes(Protocol):
    """N episodes side by side; ``worldmodels.dream.Dream`` is one, :class:`RealLanes` the other."""

    def reset(self, seeds: Sequence[int], copies: int = 1) -> None:
        """Begin ``copies * len(seeds)`` lanes; lane i has seed ``seeds[i % len(seeds)]``."""

    def features(self) -> Tensor:
        """What controllers see, ``[N, F]``."""

    def step(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``actions [N, A]`` -> reward, terminated, truncated, ``[N]`` each."""

    def keep(self, lanes: Tensor) -> None:
        """Go on with these lanes only."""


class RealLanes:
    """Real environments seen through V and remembered through M, which run on all lanes as one batch.

    Args:
        latent: ``sample`` gives the controller z ~ N(mean, var) as the paper does, ``mean`` the mean.

    Raises:
        UserError: the environment's preprocessing is not the one the model was fitted to.
    """

    def __init__(
        self, model: WorldModel, env: EnvConfig, features: Features = "zh", latent: LatentKind = "sample"
    ) -> None:
        check_observations(model, env)
        self.model, self.env, self.kind, self.latent = model, env, features, latent
        self._spare: list[ImageEnv] = []
        self._envs: list[ImageEnv] = []

    def reset(self, seeds: Sequence[int], copies: int = 1) -> None:
        self._spare += self._envs
        of_lane = [int(seed) for seed in seeds] * copies
        while len(self._spare) < len(of_lane):
            self._spare.append(make_env(self.env))
        self._envs, self._spare = self._spare[: len(of_lane)], self._spare[len(of_lane) :]
        self.senses = Senses(self.model, self.kind, self.latent, of_lane, memory=len(self.kind.removesuffix("a")) > 1)
        self.senses.see(np.stack([env.reset(seed=seed)[0] for env, seed in zip(self._envs, of_lane, strict=True)]))

    def features(self) -> Tensor:
        return self.senses.features

    def step(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        results = [env.step(action) for env, action in zip(self._envs, actions.cpu().numpy(), strict=True)]
        frames, rewards, terminated, truncated, _ = zip(*results, strict=True)
        self.senses.remember(actions)
        self.senses.see(np.stack(frames))
        return torch.tensor(rewards), torch.tensor(terminated), torch.tensor(truncated)

    def keep(self, lanes: Tensor) -> None:
        kept = torch.arange(len(self._envs))[lanes.cpu()].tolist()
        self._spare += [env for lane, env in enumerate(self._envs) if lane not in set(kept)]
        self._envs = [self._envs[lane] for lane in kept]
        self.senses.keep(lanes)

    def close(self) -> None:
        """Close all environments."""
        for env in self._envs + self._spare:
            env.close()


@dataclass(frozen=True)
class Outcome:
    """What came of some lanes."""

    returns: NDArray[np.float64]  #: [N]
    lengths: NDArray[np.int64]  #: [N] steps


def rollout(
    lanes: Lanes,
    act: Callable[[Tensor, Tensor], Tensor],
    count: int,
    max_steps: int,
    patience: int | None = None,
) -> Outcome:
    """Run ``count`` lanes that were just reset to their ends.

    Args:
        act: ``(features [n, F], which lanes [n]) -> actions [n, A]`` for the lanes that still run.
        max_steps: lanes are stopped here.
        patience: a lane is hopeless, and stopped, after so many steps without a positive reward. For fitness only,
            never for scores.
    """
    returns, lengths = np.zeros(count), np.zeros(count, np.int64)
    active, waited = torch.arange(count), np.zeros(count, np.int64)
    for _ in range(max_steps):
        beat()
        reward, terminated, truncated = lanes.step(act(lanes.features(), active))
        gains = reward.cpu().double().numpy()
        where = active.numpy()
        returns[where] += gains
        lengths[where] += 1
        waited[where] = np.where(gains > 0, 0, waited[where] + 1)
        over = (terminated | truncated).cpu()
        if patience is not None:
            over |= torch.from_numpy(waited[where] >= patience)
        if over.any():
            active = active[~over]
            if not len(active):
                break
            lanes.keep(~over)
    return Outcome(returns, lengths)


def check_observations(model: WorldModel, env: EnvConfig) -> None:
    """Refuse an environment whose frames are preprocessed otherwise than those the model was fitted to."""
    preprocessing = resolve(env).observation_hash
    if preprocessing != model.observation_hash:
        raise UserError(
            f"The world model was fitted to frames of {model.env.id} (preprocessing {model.observation_hash}), but "
            f"{env.id} has preprocessing {preprocessing}. Use the model's own environment, or fit a model for this one."
        )

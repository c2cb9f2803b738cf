"""What an agent sees and remembers: the one place where frames become features, for one lane or many."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.controller import LatentKind
from worldmodels.dream import Features, join_features
from worldmodels.dynamics import State, take
from worldmodels.vae import reparameterise
from worldmodels.world_model import WorldModel


class Senses:
    """Frames seen through V, the past remembered through M, for N lanes side by side.

    At each step: :meth:`see` the frames, act on :attr:`features`, :meth:`remember` what was done.

    Args:
        features: what of it a controller gets.
        latent: ``sample`` draws z ~ N(mean, var), as the paper does, ``mean`` takes the mean.
        seeds: one for each lane, for those draws.
        memory: whether M's memory is kept up, which a controller that does not see it can do without.
    """

    def __init__(
        self, model: WorldModel, features: Features, latent: LatentKind, seeds: Sequence[int], memory: bool = True
    ) -> None:
        self.model, self.kind, self.latent = model, features, latent
        self.memory = memory
        self.z: Tensor = torch.zeros(len(seeds), model.latent_size, device=model.device)
        self.action: Tensor = torch.zeros(len(seeds), model.action_spec.size, device=model.device)
        self.state: State = model.initial_state(len(seeds))
        self._chance = [np.random.default_rng(seed) for seed in seeds]

    @property
    def features(self) -> Tensor:
        """What a controller gets, ``[N, F]``."""
        return join_features(self.z, self.model.outputs(self.state), self.kind, self.action)

    def see(self, frames: NDArray[np.uint8]) -> None:
        """Frames ``[N, 64, 64, 3]`` become z ``[N, Z]``."""
        self.frames = frames
        mean, logvar = self.model.encode(frames)
        if self.latent == "sample":
            noise = np.stack([chance.standard_normal(mean.shape[1], dtype=np.float32) for chance in self._chance])
            mean = reparameterise(mean, logvar, torch.from_numpy(noise).to(mean.device))
        self.z = mean

    def remember(self, actions: Tensor) -> None:
        """Advance M's memory by what was seen and done, ``[N, A]``."""
        self.action = actions
        if self.memory:
            self.state = self.model.remember(self.z, actions, self.state)

    def keep(self, lanes: Tensor) -> None:
        """Go on with these lanes only (a mask or indices)."""
        self.frames = self.frames[lanes.cpu().numpy()]
        self._chance = [self._chance[lane] for lane in torch.arange(len(self.z))[lanes.cpu()].tolist()]
        self.z, self.action, self.state = self.z[lanes], self.action[lanes], take(self.state, lanes)

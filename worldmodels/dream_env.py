"""The dream as a Gymnasium environment, one lane or many."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray
from torch import Tensor

from rollouts.errors import UserError
from worldmodels.dream import Dream, Features, StartKind, feature_size
from worldmodels.training.checkpoint import pick_device
from worldmodels.world_model import WorldModel


class DreamVectorEnv(VectorEnv[NDArray[np.float32], Any, NDArray[Any]]):
    """Many dreams at once, a Gymnasium ``VectorEnv``: ``gymnasium.make_vec("worldmodels/Dream-v0", 16, run=PATH)``.

    Observations are what a controller sees, ``[z, h]`` by default. A predicted end terminates, the horizon truncates.

    Args:
        run: a run directory (its newest finished round) or ``pretrained/NAME``, or a loaded :class:`WorldModel`.
        render_mode: ``rgb_array`` draws the dream through V's decoder.
        autoreset_mode: what becomes of a lane that is over, as Gymnasium defines it. ``NEXT_STEP``: the following step
            resets it and ignores its action. ``SAME_STEP``: it is reset at once, and the last observation of the
            episode is in ``info["final_obs"]``. ``DISABLED``: nothing, until ``reset(options={"reset_mask": ...})``.
    """

    metadata = {  # noqa: RUF012
        "render_modes": ["rgb_array"],
        "render_fps": 50,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self,
        num_envs: int = 1,
        run: Path | str | WorldModel | None = None,
        temperature: float = 1.0,
        horizon: int = 1000,
        starts: StartKind = "any",
        features: Features = "zh",
        device: str = "cpu",
        render_mode: str | None = None,
        dropout: float = 0.0,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
    ) -> None:
        super().__init__()
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}
        if run is None:
            raise UserError('A dream needs a world model: gymnasium.make("worldmodels/Dream-v0", run="runs/NAME").')
        model = run if isinstance(run, WorldModel) else WorldModel.load(run, pick_device(device))
        self.dream = Dream(model, temperature, horizon, starts, features, dropout)
        self.num_envs, self.render_mode = num_envs, render_mode
        spec = model.action_spec
        limits = np.full(feature_size(model, features), np.inf, np.float32)
        self.single_observation_space = gym.spaces.Box(-limits, limits, dtype=np.float32)
        self.single_action_space = (
            gym.spaces.Discrete(spec.size)
            if spec.kind == "discrete"
            else gym.spaces.Box(np.array(spec.low, np.float32), np.array(spec.high, np.float32), dtype=np.float32)
        )
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._finished = np.zeros(num_envs, np.bool_)

    @torch.inference_mode()
    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin every lane anew; the seed, or every lane's own, decides starts and noise.

        Args:
            options: with a ``reset_mask [N]``, only its lanes begin anew, and all go on with the luck they have.

        Raises:
            UserError: the mask is none, or comes with a seed.
        """
        mask = (options or {}).get("reset_mask")
        if mask is not None:
            return self._reset_some(mask, seed), {}
        first = seed if isinstance(seed, int) or seed is None else next((s for s in seed if s is not None), None)
        super().reset(seed=first, options=options)
        own = [None] * self.num_envs if isinstance(seed, int) or seed is None else seed
        drawn = self.np_random.integers(2**31, size=self.num_envs)
        self.dream.reset([int(d) if s is None else s for s, d in zip(own, drawn, strict=True)])
        self._finished[:] = False
        return self._observe(), {}

    @torch.inference_mode()
    def step(
        self, actions: Any
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """One step in every lane; what becomes of those that are over, says ``autoreset_mode``.

        Raises:
            UserError: a lane is over, and nobody has reset it (``DISABLED``).
        """
        if self.autoreset_mode is AutoresetMode.DISABLED and self._finished.any():
            over = ", ".join(map(str, np.flatnonzero(self._finished)[:8]))
            raise UserError(f'Lanes that are over ({over}) have to be reset, by reset(options={{"reset_mask": mask}}).')
        reward, terminated, truncated = (
            value.cpu().numpy() for value in self.dream.step(self._action_vectors(actions))
        )
        if self._finished.any():
            self.dream.restart(torch.from_numpy(self._finished))
        kept, info = ~self._finished, dict[str, Any]()
        terminated, truncated = terminated & kept, truncated & kept
        self._finished = terminated | truncated
        if self.autoreset_mode is AutoresetMode.SAME_STEP and self._finished.any():
            last = self._observe()
            for lane in np.flatnonzero(self._finished).tolist():
                info = self._add_info(info, {"final_obs": last[lane], "final_info": {}}, lane)
            self._restart(self._finished)
        return self._observe(), np.where(kept, reward, 0.0).astype(np.float64), terminated, truncated, info

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """The dreamed frames, one ``[64, 64, 3]`` per lane."""
        return tuple(self.dream.model.decode(self.dream.z)) if self.render_mode == "rgb_array" else None

    def _reset_some(self, mask: NDArray[np.bool_], seed: object) -> NDArray[np.float32]:
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (self.num_envs,):
            raise UserError(f"A reset_mask is an array of {self.num_envs} booleans, one for each lane.")
        if seed is not None:
            raise UserError("Lanes that a reset_mask names go on with the luck they have; a seed is for all lanes.")
        self._restart(mask)
        return self._observe()

    def _restart(self, lanes: NDArray[np.bool_]) -> None:
        self.dream.restart(torch.from_numpy(lanes))
        self._finished = self._finished & ~lanes

    def _observe(self) -> NDArray[np.float32]:
        return self.dream.features().float().cpu().numpy().copy()

    def _action_vectors(self, actions: Any) -> Tensor:
        if isinstance(self.single_action_space, gym.spaces.Discrete):
            actions = np.eye(int(self.single_action_space.n), dtype=np.float32)[np.asarray(actions, int)]
        array = np.asarray(actions, np.float32).reshape(self.num_envs, -1)
        low, high = self.dream.model.action_spec.low, self.dream.model.action_spec.high
        return torch.from_numpy(np.clip(array, low, high).astype(np.float32)).to(self.dream.model.device)


class DreamEnv(gym.Env[NDArray[np.float32], Any]):
    """One dream, a Gymnasium ``Env``: ``gymnasium.make("worldmodels/Dream-v0", run=PATH, temperature=1.15)``.

    Takes the options of :class:`DreamVectorEnv`.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 50}  # noqa: RUF012

    def __init__(self, run: Path | str | WorldModel | None = None, **options: Any) -> None:
        self._lanes = DreamVectorEnv(1, run, **options)
        self.render_mode = self._lanes.render_mode
        self.observation_space = self._lanes.single_observation_space
        self.action_space = self._lanes.single_action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        super().reset(seed=seed)
        observation, info = self._lanes.reset(seed=int(self.np_random.integers(2**31)))
        return observation[0], info

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, _ = self._lanes.step(np.asarray(action)[None])
        return observation[0], float(reward[0]), bool(terminated[0]), bool(truncated[0]), {}

    def render(self) -> NDArray[np.uint8] | None:
        frames = self._lanes.render()
        return None if frames is None else frames[0]

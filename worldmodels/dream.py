"""The dream: the world model as a world of its own, for evolution and for any Gymnasium client.

:class:`Dream` runs many lanes on tensors and is what controllers are evolved in. :class:`DreamVectorEnv` and
:class:`DreamEnv` show the same lanes to the outside as ``gymnasium.make_vec`` / ``gymnasium.make`` of
``worldmodels/Dream-v0``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray
from torch import Tensor

from rollouts.errors import UserError
from worldmodels.checkpoint import pick_device
from worldmodels.mdn_rnn import dropout_mask
from worldmodels.training import generator_for
from worldmodels.vae import reparameterise
from worldmodels.world_model import DreamStarts, WorldModel

Features = Literal["z", "zh", "zch", "za", "zha"]
StartKind = Literal["any", "episode", "recorded"]
END_PROBABILITY = 0.5  #: the dream ends above it; a cut-off is "more stable than sampling" (the paper)


def feature_size(model: WorldModel, features: Features) -> int:
    """Length of what a controller sees: z, then c and h of M's memory and the previous action, as far as named."""
    sizes = {"z": model.latent_size, "c": model.mdnrnn.hidden_size, "h": model.mdnrnn.hidden_size}
    return sum((sizes | {"a": model.action_spec.size})[part] for part in features)


def join_features(z: Tensor, state: tuple[Tensor, Tensor], features: Features, action: Tensor | None = None) -> Tensor:
    """``[N, Z]`` and M's memory -> ``[N, feature_size]``, in the paper's order z, c, h.

    Args:
        action: the previous action ``[N, A]``, zero before the first one, for features with an ``a``.
    """
    if features == "z":
        return z
    parts = {"z": z, "h": state[0], "c": state[1]} | ({} if action is None else {"a": action})
    return torch.cat([parts[part] for part in features], dim=1)


class Dream:
    """Lanes of imagination, advanced together.

    Args:
        horizon: steps after which a lane is truncated.
        starts: where dreams begin: ``episode`` starts, ``recorded`` (warm) moments, or ``any``.
        dropout: share of M's output units that a lane does without; which ones is drawn anew for every episode, so
            that no flaw of one M can be relied on.
    """

    def __init__(
        self,
        model: WorldModel,
        temperature: float = 1.0,
        horizon: int = 1000,
        starts: StartKind = "any",
        features: Features = "zh",
        dropout: float = 0.0,
    ) -> None:
        if temperature < 0:
            raise UserError(f"The temperature cannot be negative, got {temperature}.")
        if horizon < 1:
            raise UserError(f"The horizon of a dream must be at least one step, got {horizon}.")
        if not 0 <= dropout < 1:
            raise UserError(f"The dropout of a dream must be at least 0 and below 1, got {dropout}.")
        if features not in get_args(Features):
            raise UserError(f"What is seen of a dream is one of {', '.join(get_args(Features))}, not {features!r}.")
        if model.starts is None:
            raise UserError("This world model was saved without starting points; fit M again to dream with it.")
        self.model, self.temperature, self.horizon, self.features_kind = model, temperature, horizon, features
        self.starts: DreamStarts = model.starts.only(starts)
        self.dropout = dropout

    @torch.inference_mode()
    def reset(self, seeds: Sequence[int], copies: int = 1) -> None:
        """Begin ``copies`` x ``len(seeds)`` lanes; lane i has seed ``i % len(seeds)``.

        Lanes of one seed share their start and all their noise, whatever is done in them, so that candidates are
        compared on equal luck.
        """
        self.generators = [generator_for(int(seed), 0) for seed in seeds]
        chosen = torch.cat([torch.randint(len(self.starts), (1,), generator=g) for g in self.generators])
        chosen = chosen.to(self.model.device)
        normal = torch.cat([torch.randn((1, self.model.latent_size), generator=g) for g in self.generators])
        z = reparameterise(self.starts.mean[chosen], self.starts.logvar[chosen], normal.to(self.model.device))
        self.z = z.repeat(copies, 1)
        self.state = (self.starts.h[chosen].repeat(copies, 1), self.starts.c[chosen].repeat(copies, 1))
        self.action = torch.zeros(len(self.z), self.model.action_spec.size, device=self.model.device)
        self.luck = torch.arange(len(seeds), device=self.model.device).repeat(copies)
        self.elapsed = torch.zeros(len(self.luck), dtype=torch.long, device=self.model.device)
        masks = [self._mask(g) for g in self.generators] if self.dropout else []
        self.masks = torch.stack(masks).repeat(copies, 1) if masks else None
        self._noise: list[tuple[Tensor, Tensor]] = []

    def features(self) -> Tensor:
        """What controllers see, ``[N, F]``."""
        return join_features(self.z, self.state, self.features_kind, self.action)

    @torch.inference_mode()
    def step(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Advance all lanes by one step with ``actions [N, A]``.

        Returns:
            reward ``[N]``, terminated ``[N]`` (the end was predicted), truncated ``[N]`` (the horizon is reached).
        """
        uniform, normal = self._next_noise()
        noise = (uniform[self.luck], normal[self.luck])
        self.z, reward, end, self.state = self.model.step(
            self.z, actions, self.state, self.temperature, noise, self.masks
        )
        self.action = actions
        self.elapsed += 1
        terminated = end > END_PROBABILITY
        return reward, terminated, (self.elapsed >= self.horizon) & ~terminated

    def keep(self, lanes: Tensor) -> None:
        """Go on with these lanes only (indices or a mask)."""
        self.z, self.luck, self.elapsed = self.z[lanes], self.luck[lanes], self.elapsed[lanes]
        self.state, self.action = (self.state[0][lanes], self.state[1][lanes]), self.action[lanes]
        self.masks = None if self.masks is None else self.masks[lanes]

    @torch.inference_mode()
    def restart(self, lanes: Tensor) -> None:
        """Begin anew in the masked lanes, each from a start drawn by its own generator."""
        self.action = self.action * ~lanes[:, None].to(self.action.device)
        for lane in torch.nonzero(lanes).flatten().tolist():
            generator = self.generators[lane]
            chosen = int(torch.randint(len(self.starts), (1,), generator=generator))
            noise = torch.randn(self.model.latent_size, generator=generator).to(self.model.device)
            self.z[lane] = reparameterise(self.starts.mean[chosen], self.starts.logvar[chosen], noise)
            self.state[0][lane], self.state[1][lane] = self.starts.h[chosen], self.starts.c[chosen]
            self.elapsed[lane] = 0
            if self.masks is not None:
                self.masks[lane] = self._mask(generator)

    def _mask(self, generator: torch.Generator) -> Tensor:
        return dropout_mask((self.model.mdnrnn.hidden_size,), self.dropout, generator).to(self.model.device)

    def _next_noise(self) -> tuple[Tensor, Tensor]:
        """Noise of every seed for one step, ``[seeds, Z]`` each; drawn 64 steps at a time to spare small calls."""
        if not self._noise:
            block, size = 64, self.model.latent_size
            uniform = torch.stack([torch.rand((block, size), generator=g) for g in self.generators], 1)
            normal = torch.stack([torch.randn((block, size), generator=g) for g in self.generators], 1)
            device = self.model.device
            self._noise = list(zip(uniform.to(device), normal.to(device), strict=True))[::-1]
        return self._noise.pop()


class DreamVectorEnv(VectorEnv[NDArray[np.float32], Any, NDArray[Any]]):
    """Many dreams at once, a Gymnasium ``VectorEnv``: ``gymnasium.make_vec("worldmodels/Dream-v0", 16, run=PATH)``.

    Observations are what a controller sees, ``[z, h]`` by default. A predicted end terminates, the horizon truncates;
    a finished lane is reset by the following step (``AutoresetMode.NEXT_STEP``), whose action it ignores.

    Args:
        run: a run directory (its newest finished round) or ``pretrained/NAME``, or a loaded :class:`WorldModel`.
        render_mode: ``rgb_array`` draws the dream through V's decoder.
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
    ) -> None:
        super().__init__()
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

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin every lane anew; the seed, or every lane's own, decides starts and noise."""
        first = seed if isinstance(seed, int) or seed is None else next((s for s in seed if s is not None), None)
        super().reset(seed=first, options=options)
        own = [None] * self.num_envs if isinstance(seed, int) or seed is None else seed
        drawn = self.np_random.integers(2**31, size=self.num_envs)
        self.dream.reset([int(d) if s is None else s for s, d in zip(own, drawn, strict=True)])
        self._finished[:] = False
        return self._observe(), {}

    def step(
        self, actions: Any
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """One step in every lane; lanes that ended in the last step are reset instead."""
        reset = torch.from_numpy(self._finished)
        with torch.inference_mode():
            reward, terminated, truncated = (
                value.cpu().numpy() for value in self.dream.step(self._action_vectors(actions))
            )
        if self._finished.any():
            self.dream.restart(reset)
        kept = ~self._finished
        terminated, truncated = terminated & kept, truncated & kept
        self._finished = terminated | truncated
        return self._observe(), np.where(kept, reward, 0.0).astype(np.float64), terminated, truncated, {}

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """The dreamed frames, one ``[64, 64, 3]`` per lane."""
        return tuple(self.dream.model.decode(self.dream.z)) if self.render_mode == "rgb_array" else None

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


def register() -> None:
    """Make ``worldmodels/Dream-v0`` known to Gymnasium (idempotent)."""
    if "worldmodels/Dream-v0" not in gym.registry:
        gym.register(
            "worldmodels/Dream-v0", "worldmodels.dream:DreamEnv", vector_entry_point="worldmodels.dream:DreamVectorEnv"
        )

"""A dream as Stable-Baselines3 wants its environments: all lanes in one step instead of one after the other.

``PPO("MlpPolicy", DreamVecEnv(256, run="runs/car"))``; wrapped in SB3's ``VecMonitor``, it logs returns.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from rollouts.errors import UserError
from worldmodels.dream_env import DreamVectorEnv
from worldmodels.world_model import WorldModel

try:
    from stable_baselines3.common.vec_env.base_vec_env import VecEnv, VecEnvIndices, VecEnvStepReturn
except ImportError as error:
    raise UserError("worldmodels.sb3_env needs Stable-Baselines3: pip install stable-baselines3") from error


class DreamVecEnv(VecEnv):
    """Many dreams at once, an SB3 ``VecEnv``. Takes the options of :class:`worldmodels.dream_env.DreamVectorEnv`.

    As in every ``VecEnv``, a lane that is over is reset at once; its last observation is
    ``infos[lane]["terminal_observation"]``, and ``infos[lane]["TimeLimit.truncated"]`` says that its horizon was
    reached.
    """

    def __init__(self, num_envs: int = 1, run: Path | str | WorldModel | None = None, **options: Any) -> None:
        self.dreams = DreamVectorEnv(num_envs, run, autoreset_mode=AutoresetMode.SAME_STEP, **options)
        super().__init__(num_envs, self.dreams.single_observation_space, self.dreams.single_action_space)

    def reset(self) -> NDArray[np.float32]:
        """Begin every lane anew; seeds that were set count once."""
        seeds = None if all(seed is None for seed in self._seeds) else self._seeds
        observations, _ = self.dreams.reset(seed=seeds)
        self._reset_seeds()
        self._reset_options()
        return observations

    def step_async(self, actions: NDArray[Any]) -> None:
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Observations ``[N, F]``, rewards ``[N]``, whether lanes are over ``[N]``, and a dictionary for each."""
        observations, rewards, terminated, truncated, info = self.dreams.step(self._actions)
        over, infos = terminated | truncated, [dict[str, Any]() for _ in range(self.num_envs)]
        for lane in np.flatnonzero(over):
            infos[lane] = {
                "terminal_observation": info["final_obs"][lane],
                "TimeLimit.truncated": bool(truncated[lane]),
            }
        return observations, rewards.astype(np.float32), over, infos

    def close(self) -> None:
        self.dreams.close()

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        """The dreamed frames, one for each lane."""
        return self.dreams.render() or [None] * self.num_envs

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """An attribute of the dreams, the same for all lanes."""
        return [getattr(self.dreams, attr_name)] * len(self._lanes(indices))

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of all dreams.

        Raises:
            UserError: only some lanes were asked for.
        """
        if len(self._lanes(indices)) < self.num_envs:
            raise UserError("The lanes of a dream are one environment: an attribute is that of all of them.")
        setattr(self.dreams, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """No method can be called of single lanes.

        Raises:
            UserError: always.
        """
        raise UserError(f"The lanes of a dream are one environment: {method_name!r} cannot be called in one of them.")

    def env_is_wrapped(self, wrapper_class: type[Any], indices: VecEnvIndices = None) -> list[bool]:
        """Lanes have no wrappers."""
        return [False] * len(self._lanes(indices))

    def _lanes(self, indices: VecEnvIndices) -> Sequence[int]:
        return list(self._get_indices(indices))

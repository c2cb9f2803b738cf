"""The world as data: environments, preprocessing, exploration, recording, storing."""

from rollouts.envs.config import EnvConfig, EnvPreset
from rollouts.envs.image_env import make_env
from rollouts.envs.presets import add_preset
from rollouts.episodes import Episode, EpisodeStore
from rollouts.errors import UserError

__all__ = ["EnvConfig", "EnvPreset", "Episode", "EpisodeStore", "UserError", "add_preset", "make_env"]

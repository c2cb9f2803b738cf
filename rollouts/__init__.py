"""The world as data: environments, preprocessing, exploration, recording, storing."""

from rollouts.envs.config import EnvConfig
from rollouts.envs.image_env import make_env
from rollouts.episodes import Episode, EpisodeStore
from rollouts.errors import UserError

__all__ = ["EnvConfig", "Episode", "EpisodeStore", "UserError", "make_env"]

"""The world as data: environments, preprocessing, exploration, recording, storing."""

from rollouts.envs import EnvConfig, make_env
from rollouts.episodes import Episode, EpisodeStore
from rollouts.errors import UserError

__all__ = ["EnvConfig", "Episode", "EpisodeStore", "UserError", "make_env"]

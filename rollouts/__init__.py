"""The world as data: environments, preprocessing, exploration, recording, storing."""

from typing import TYPE_CHECKING

from rollouts.lazy import lazily

if TYPE_CHECKING:
    from rollouts.envs.config import EnvConfig, EnvPreset
    from rollouts.envs.image_env import make_env
    from rollouts.envs.presets import add_preset
    from rollouts.episodes import Episode, EpisodeStore
    from rollouts.errors import UserError
    from rollouts.runs.layout import Run

__all__ = ["EnvConfig", "EnvPreset", "Episode", "EpisodeStore", "Run", "UserError", "add_preset", "make_env"]
__getattr__ = lazily(
    __name__,
    {
        "EnvConfig": "rollouts.envs.config",
        "EnvPreset": "rollouts.envs.config",
        "Episode": "rollouts.episodes",
        "EpisodeStore": "rollouts.episodes",
        "Run": "rollouts.runs.layout",
        "UserError": "rollouts.errors",
        "add_preset": "rollouts.envs.presets",
        "make_env": "rollouts.envs.image_env",
    },
)

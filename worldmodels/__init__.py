"""Everything that learns by gradient: V (ConvVAE), M (MDNRNN), the world model and its dream.

Importing this package makes ``worldmodels/Dream-v0`` and the project's real environments known to Gymnasium.
"""

from rollouts.envs.presets import register as _register_environments
from worldmodels.dream_env import DreamEnv, DreamVectorEnv
from worldmodels.dream_env import register as _register_dream
from worldmodels.mdn_rnn import MDNRNN
from worldmodels.vae import ConvVAE
from worldmodels.world_model import WorldModel

_register_environments()
_register_dream()

__all__ = ["MDNRNN", "ConvVAE", "DreamEnv", "DreamVectorEnv", "WorldModel"]

"""Everything that learns by gradient: V (ConvVAE), M (MDNRNN), the world model and its dream.

Importing this package makes ``worldmodels/Dream-v0`` and the project's real environments known to Gymnasium. What is
named here is loaded when it is first asked for.
"""

from typing import TYPE_CHECKING

from rollouts.envs.registration import register
from rollouts.lazy import lazily

if TYPE_CHECKING:
    from worldmodels.dream_env import DreamEnv, DreamVectorEnv
    from worldmodels.mdn_rnn import MDNRNN
    from worldmodels.vae import ConvVAE
    from worldmodels.world_model import WorldModel

__version__ = "0.3.0"

register()
register(
    {
        "worldmodels/Dream-v0": {
            "entry_point": "worldmodels.dream_env:DreamEnv",
            "vector_entry_point": "worldmodels.dream_env:DreamVectorEnv",
        }
    }
)

__all__ = ["MDNRNN", "ConvVAE", "DreamEnv", "DreamVectorEnv", "WorldModel", "__version__"]
__getattr__ = lazily(
    __name__,
    {
        "ConvVAE": "worldmodels.vae",
        "DreamEnv": "worldmodels.dream_env",
        "DreamVectorEnv": "worldmodels.dream_env",
        "MDNRNN": "worldmodels.mdn_rnn",
        "WorldModel": "worldmodels.world_model",
    },
)

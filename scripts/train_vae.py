"""V: train the variational autoencoder on the frames of a run's episodes.

python scripts/train_vae.py --run runs/car
python scripts/train_vae.py --run runs/car --vae.latent-size 64
torchrun --nproc-per-node 2 -- scripts/train_vae.py --run runs/car        # on two GPUs
"""

from __future__ import annotations

from typing import Any

from cli import main

from rollouts.episodes import EpisodeStore
from rollouts.stage import Stage
from worldmodels.distributed import process_group
from worldmodels.fit_vae import fit_vae


def body(arguments: Any) -> None:
    """Train, or train on."""
    rollouts = Stage.require(arguments.run, "rollouts", "collect.py")
    with process_group(arguments.device) as device:
        fit_vae(arguments.vae, arguments.run, [EpisodeStore(rollouts.path / "episodes")], device)


if __name__ == "__main__":
    main(__doc__, body, ("vae",), joins_group=True)

"""V: train the variational autoencoder on the frames of a run's episodes.

python scripts/train_vae.py --run runs/car
python scripts/train_vae.py --run runs/car --vae.latent-size 64
"""

from __future__ import annotations

from typing import Any

from cli import main

from rollouts.artifacts import Stage
from rollouts.episodes import EpisodeStore
from worldmodels.checkpoint import pick_device
from worldmodels.fit_vae import fit_vae


def body(arguments: Any) -> None:
    """Train, or train on."""
    rollouts = Stage.require(arguments.run, "rollouts", "collect.py")
    fit_vae(arguments.vae, arguments.run, [EpisodeStore(rollouts.path / "episodes")], pick_device(arguments.device))


if __name__ == "__main__":
    main(__doc__, body, ("vae",))

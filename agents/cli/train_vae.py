"""V: train the variational autoencoder on the frames of a run's episodes.

worldmodels train-vae --run runs/car
worldmodels train-vae --run runs/car --vae.latent-size 64
torchrun --nproc-per-node 2 -- scripts/train_vae.py --run runs/car        # on two GPUs
"""

from __future__ import annotations

from typing import Any

from agents.cli.options import main
from rollouts.episodes import EpisodeStore
from rollouts.runs.stage import Stage
from worldmodels.fit_vae import fit_vae
from worldmodels.training.distributed import process_group


def body(arguments: Any) -> None:
    """Train, or train on."""
    rollouts = Stage.require(arguments.run, "rollouts", "collect")
    with process_group(arguments.device) as device:
        fit_vae(arguments.vae, arguments.run, [EpisodeStore(rollouts.path / "episodes")], device)


def run() -> None:
    """Parse the command line, and do it."""
    main(__doc__, body, ("vae",), joins_group=True)

"""M: train the MDN-RNN on what V sees in a run's episodes, and report how well it foresees.

worldmodels train-mdnrnn --run runs/car
worldmodels train-mdnrnn --run runs/car --mdnrnn.hidden-size 512 --mdnrnn.reward-spread 8 15
torchrun --nproc-per-node 2 -- scripts/train_mdnrnn.py --run runs/car     # on two GPUs
"""

from __future__ import annotations

from typing import Any

from agents.cli.options import main
from rollouts.episodes import EpisodeStore
from rollouts.runs.stage import Stage
from worldmodels.fit_mdn_rnn import fit_mdn_rnn
from worldmodels.training.distributed import process_group


def body(arguments: Any) -> None:
    """Train, or train on."""
    rollouts = Stage.require(arguments.run, "rollouts", "collect")
    Stage.require(arguments.run, "vae", "train-vae")
    with process_group(arguments.device) as device:
        fit_mdn_rnn(arguments.mdnrnn, arguments.run, [EpisodeStore(rollouts.path / "episodes")], device)


def run() -> None:
    """Parse the command line, and do it."""
    main(__doc__, body, ("mdnrnn",), joins_group=True)

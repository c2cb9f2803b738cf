"""M: train the MDN-RNN on what V sees in a run's episodes, and report how well it foresees.

python scripts/train_mdnrnn.py --run runs/car
python scripts/train_mdnrnn.py --run runs/car --mdnrnn.hidden-size 512 --mdnrnn.reward-spread 8 15
torchrun --nproc-per-node 2 -- scripts/train_mdnrnn.py --run runs/car     # on two GPUs
"""

from __future__ import annotations

from typing import Any

from cli import main

from rollouts.episodes import EpisodeStore
from rollouts.stage import Stage
from worldmodels.distributed import process_group
from worldmodels.fit_mdn_rnn import fit_mdn_rnn


def body(arguments: Any) -> None:
    """Train, or train on."""
    rollouts = Stage.require(arguments.run, "rollouts", "collect.py")
    Stage.require(arguments.run, "vae", "train_vae.py")
    with process_group(arguments.device) as device:
        fit_mdn_rnn(arguments.mdnrnn, arguments.run, [EpisodeStore(rollouts.path / "episodes")], device)


if __name__ == "__main__":
    main(__doc__, body, ("mdnrnn",), joins_group=True)

"""M: train the MDN-RNN on what V sees in a run's episodes, and report how well it foresees.

worldmodels train-mdnrnn --run runs/car
worldmodels train-mdnrnn --run runs/car --mdnrnn.hidden-size 512 --mdnrnn.reward-spread 8 15
torchrun --nproc-per-node 2 -- scripts/train_mdnrnn.py --run runs/car     # on two GPUs
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agents.cli.options import Command, Device, PresetName, RunDirectory, Tracking
from rollouts.runs.layout import Run
from worldmodels.configs import MDNRNNConfig
from worldmodels.fit_mdn_rnn import fit_mdn_rnn
from worldmodels.training.distributed import process_group


@dataclass(frozen=True)
class Arguments:
    """Which run's M to train, and how."""

    run: RunDirectory
    preset: PresetName
    mdnrnn: MDNRNNConfig
    start_from: Path | None = None
    """Begin with the M of this run, or of pretrained/NAME; it may lack heads"""
    device: Device = "auto"
    track: Tracking = ()


def body(arguments: Arguments) -> None:
    """Train, or train on."""
    run = Run(arguments.run)
    run.rollouts.require()
    run.vae.require()
    start = None if arguments.start_from is None else Run.named(arguments.start_from).trained("mdnrnn").weights
    with process_group(arguments.device) as device:
        fit_mdn_rnn(arguments.mdnrnn, run.path, [run.episodes], device, start)


COMMAND = Command(
    __doc__,
    Arguments,
    body,
    main=(
        *("run", "preset", "device"),
        *("mdnrnn.core", "mdnrnn.hidden_size", "mdnrnn.mixtures", "mdnrnn.reward_head", "mdnrnn.termination_head"),
        *("mdnrnn.steps", "mdnrnn.batch_size", "mdnrnn.sequence_length", "mdnrnn.carry_state", "mdnrnn.burn_in"),
        *("mdnrnn.learning_rate", "mdnrnn.decay", "mdnrnn.dropout", "mdnrnn.precision", "mdnrnn.reward_spread"),
        *("mdnrnn.death_weight", "mdnrnn.fall_head", "mdnrnn.seed"),
    ),
    joins_group=True,
)

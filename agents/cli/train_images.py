"""Train an image model: a VAE, a GAN, any of the family, on any images.

worldmodels train-images --run runs/digits
worldmodels train-images --model vae --data digits --kl-weight 2
worldmodels train-images --model wgan-gp --data photos/ --size 64
worldmodels train-images --model sngan --data runs/car/round-1

The last one trains on the frames of the episodes that were recorded in that round (runs/car alone: random ones).
Without --run, a new run is begun each time.
"""

from __future__ import annotations

import sys

from agents.cli.image_options import parse_training
from agents.cli.options import stoppable, tell_errors
from rollouts.console import say
from worldmodels.generative.fit import fit_images
from worldmodels.training.checkpoint import pick_device


def body() -> None:
    """Train, or train on."""
    arguments = parse_training(__doc__, sys.argv[1:])
    say(f"Run: {arguments.run}   (the same command with --run {arguments.run} continues it)")
    with stoppable(arguments):
        fit_images(arguments.model, arguments.config, arguments.run, pick_device(arguments.device))


def run() -> None:
    """Parse the command line, and do it."""
    tell_errors(body)

"""Train an image model: a VAE, a GAN, any of the family, on any images.

python scripts/train_images.py --run runs/digits
python scripts/train_images.py --model vae --data digits --kl-weight 2
python scripts/train_images.py --model wgan-gp --data photos/ --size 64
python scripts/train_images.py --model sngan --data runs/car/round-1

The last one trains on the frames of the episodes that were recorded in that round (runs/car alone: random ones).
Without --run, a new run is begun each time.
"""

from __future__ import annotations

import sys

from cli import stoppable, tell_errors
from images_cli import parse_training

from rollouts.console import say
from worldmodels.checkpoint import pick_device
from worldmodels.generative.fit import fit_images


def body() -> None:
    """Train, or train on."""
    arguments = parse_training(__doc__, sys.argv[1:])
    say(f"Run: {arguments.run}   (the same command with --run {arguments.run} continues it)")
    with stoppable(arguments):
        fit_images(arguments.model, arguments.config, arguments.run, pick_device(arguments.device))


if __name__ == "__main__":
    tell_errors(body)

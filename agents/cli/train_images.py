"""Train an image model: a VAE, a GAN, any of the family, on any images.

worldmodels train-images --run runs/digits
worldmodels train-images --model vae --data digits --kl-weight 2
worldmodels train-images --data photos/ --preset photos
worldmodels train-images --model wgan-gp --data photos/ --size 64
worldmodels train-images --model sngan --data runs/car/round-1
worldmodels train-images --model colourise --data photos/ --size 64
torchrun --nproc-per-node 2 -- scripts/train_images.py --run runs/mine --data photos/  # two GPUs

A few hundred photos in half an hour on two cores give colours, textures and rough shapes at 64x64, hardly a face: for
more, let it train for a night (--steps), or on a GPU. With --data runs/car/round-1 it trains on the frames of the
episodes that were recorded in that round (runs/car alone: random ones).
Without --run, a new run is begun each time.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from agents.cli.options import Command, Device, Tracking, read, typed_options
from agents.cli.places import new_run
from rollouts.console import quoted, say
from rollouts.errors import UserError
from rollouts.runs.layout import Run
from worldmodels.generative.data.synthetic import DISTRIBUTIONS
from worldmodels.generative.fit import fit_images
from worldmodels.generative.models.base import ImageConfig
from worldmodels.generative.models.registry import MODELS, ModelName, PresetName, preset
from worldmodels.training.distributed import process_group

DEFAULT_MODEL = "sngan"
DEFAULT_FOR_DIGITS = "cgan-projection"  #: best in docs/images.md, but it needs labels, which other data may not have
DEFAULT_FOR_PHOTOS = "gan"  #: after a few hundred steps it has the colours of the photos, where sngan has two of them


@dataclass(frozen=True)
class Arguments:
    """What to train, and where; the model decides which other options there are."""

    model: ModelName
    """What to train; decides which other options there are. Default: cgan-projection on the digits, sngan on others,
    gan with --preset photos or book."""
    preset: PresetName
    """tiny: seconds, to try things. quick: minutes on two cores. laptop: ten times as many steps. photos: for a few
    hundred photos, half an hour. book: the 28x28 GAN of Foster's "Generative Deep Learning", with its settings."""
    run: Path
    """Run directory. Default: a new one under runs/."""
    config: ImageConfig
    device: Device = "auto"
    track: Tracking = ()


def parse(of: Command[Arguments], argv: Sequence[str]) -> Arguments:
    """The command line. A run that was begun before supplies its own options as defaults.

    Raises:
        UserError: there is no such model or preset, or several processes are to begin a run without a name.
    """
    typed = typed_options(argv, "model", "preset", "data", "run")
    begun = Run(Path(typed["run"])).images if typed["run"] else None
    begun = begun if begun and begun.config_file.exists() else None
    default = DEFAULT_FOR_DIGITS if typed["data"] in (None, "digits") else DEFAULT_MODEL
    if typed["preset"] in ("photos", "book"):
        default = DEFAULT_FOR_PHOTOS
    model: Any = typed["model"] or (str(begun.manifest["inputs"]["model"]) if begun else default)
    if model not in MODELS:
        raise UserError(f"There is no model {model!r}; choose one of {', '.join(MODELS)}.")
    size = typed["preset"] or "quick"
    if size not in get_args(PresetName):
        raise UserError(f"There is no preset {size!r}; choose one of {', '.join(get_args(PresetName))}.")
    options = preset(model, size, points=typed["data"] in DISTRIBUTIONS)
    if begun and typed["preset"] is None and begun.manifest["inputs"]["model"] == model:
        options = begun.config(type(options))
    if not typed["run"] and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError("Several processes need to know which run is theirs: give --run, a new one if you like.")
    run = Path(typed["run"]) if typed["run"] else new_run(f"images-{model}")
    own = dataclasses.make_dataclass("Arguments", [("config", type(options))], bases=(Arguments,), frozen=True)
    own.__doc__ = Arguments.__doc__
    return read(dataclasses.replace(of, arguments=own), argv, model=model, preset=size, run=run, config=options)


def body(arguments: Arguments) -> None:
    """Train, or train on."""
    name = quoted("--run", arguments.run)
    say(f"Run: {arguments.run}   (the same command with {name} continues it)")
    with process_group(arguments.device) as device:
        fit_images(arguments.model, arguments.config, arguments.run, device)


COMMAND = Command(
    __doc__,
    Arguments,
    body,
    main=(
        *("model", "preset", "run", "device", "config.data", "config.size", "config.flip"),
        *("config.steps", "config.batch_size", "config.latent_size", "config.width", "config.learning_rate"),
        *("config.precision", "config.seed"),
    ),
    flat=True,
    parse=parse,
    joins_group=True,
)

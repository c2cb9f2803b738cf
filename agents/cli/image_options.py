"""What the image scripts share: options of the chosen model, and where runs live."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, get_args

import tyro

from agents.cli.options import RUNS, new_run, shown
from rollouts.console import command
from rollouts.errors import UserError
from rollouts.runs.stage import Stage
from worldmodels.generative.data.synthetic import DISTRIBUTIONS
from worldmodels.generative.models.base import ImageConfig
from worldmodels.generative.models.registry import MODELS, ModelName, PresetName, preset

DEFAULT_MODEL = "sngan"
DEFAULT_FOR_DIGITS = "cgan-projection"
"""Best in docs/images.md, but it needs labels, which other data may not have."""


@dataclasses.dataclass(frozen=True)
class TrainArguments:
    """Options of train-images beside the model's own."""

    model: ModelName
    """What to train; decides which other options there are. Default: cgan-projection on the digits, sngan on others."""
    preset: PresetName
    """tiny: seconds, to try things; quick: minutes on two cores; laptop: ten times as many steps."""
    run: Path
    """Run directory. Default: a new one under runs/."""
    device: str
    """auto, cpu, cuda or mps."""
    config: Annotated[Any, "replaced by the model's own type"]


def parse_training(description: str | None, argv: Sequence[str]) -> TrainArguments:
    """The command line of train-images. A run that was begun before supplies its own options as defaults.

    Raises:
        UserError: there is no such model or preset.
    """
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--model")
    first.add_argument("--preset")
    first.add_argument("--data")
    first.add_argument("--run", type=Path)
    given, _ = first.parse_known_args(argv)
    begun = Stage(given.run, "images") if given.run else None
    begun = begun if begun and (begun.path / "config.json").exists() else None
    default = DEFAULT_FOR_DIGITS if given.data in (None, "digits") else DEFAULT_MODEL
    model = given.model or (str(begun.manifest["inputs"]["model"]) if begun else default)
    if model not in MODELS:
        raise UserError(f"There is no model {model!r}; choose one of {', '.join(MODELS)}.")
    name = given.preset or "quick"
    if name not in get_args(PresetName):
        raise UserError(f"There is no preset {name!r}; choose one of {', '.join(get_args(PresetName))}.")
    defaults: ImageConfig = preset(model, name, points=given.data in DISTRIBUTIONS)
    if begun and given.preset is None and begun.manifest["inputs"]["model"] == model:
        defaults = begun.config(type(defaults))
    run = given.run or new_run(f"images-{model}")
    arguments_type = dataclasses.make_dataclass(
        "Arguments",
        [("config", type(defaults))],
        bases=(TrainArguments,),
        frozen=True,
    )
    return tyro.cli(
        arguments_type,
        args=list(argv),
        default=arguments_type(model=model, preset=name, run=run, device="auto", config=defaults),
        description=shown(description),
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.AvoidSubcommands),
    )


def newest_run() -> Path:
    """The newest finished run of train-images.

    Raises:
        UserError: there is none.
    """
    runs = [path.parent.parent for path in RUNS.glob("*/images/weights.safetensors")]
    if not runs:
        raise UserError(f"There is no finished image run under {RUNS}/. Make one: {command('train-images')}")
    return max(runs, key=lambda run: (run / "images" / "weights.safetensors").stat().st_mtime)

"""Pictures from a trained image model: grids, reconstructions, walks through latent space, attributes, memorisation.

worldmodels sample-images --run runs/images-vae-1 --show reconstructions
worldmodels sample-images --show interpolation --out walk.gif
worldmodels sample-images --run runs/images-vae-1 --show attribute --attribute 3
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import tyro

from agents.cli.image_options import newest_run
from agents.cli.options import shown, tell_errors
from rollouts.console import say
from rollouts.errors import UserError
from worldmodels.generative import sampling, sheets
from worldmodels.generative.data.datasets import to_tensor
from worldmodels.generative.models.trained import Trained, load_trained
from worldmodels.pictures import Frames, save_png
from worldmodels.training.checkpoint import pick_device
from worldmodels.training.randomness import generator_for


@dataclass(frozen=True)
class Arguments:
    """What to draw, and where."""

    run: Path | None = None
    """Run directory. Default: the newest finished one under runs/."""
    show: Literal["grid", "reconstructions", "interpolation", "walk", "attribute", "neighbours"] = "grid"
    """walk: one latent unit from -3 to 3; attribute: z + alpha v; neighbours: the closest training images."""
    out: Path | None = None
    """A .png, or a .gif for interpolation, walk and attribute. Default: in the run."""
    rows: int = 8
    """Rows of the picture."""
    columns: int = 10
    """Columns of the picture, or frames of the animation."""
    unit: int = 0
    """Latent unit of a walk."""
    attribute: str = "0"
    """Class whose samples have the attribute; the vector is their mean code minus that of all others."""
    seed: int = 0
    """Decides the latents."""
    device: str = "cpu"
    """cpu, cuda, mps or auto."""


def draw(arguments: Arguments, trained: Trained) -> Frames:
    """The picture, ``[H, W, 3]``.

    Raises:
        UserError: the model or the data cannot show this.
    """
    model, samples, rng = trained.model, trained.samples, generator_for(arguments.seed, 0)
    rows, columns, device = arguments.rows, arguments.columns, model.device
    if not samples.are_images and arguments.show != "grid":
        raise UserError(f"{samples.name} are points; only --show grid draws them.")
    order = torch.randperm(len(samples.test), generator=generator_for(arguments.seed, 1))  # data often come sorted
    test = to_tensor(samples.test)[order].to(device)
    labels = torch.from_numpy(samples.test_labels)[order].to(device) if samples.test_labels is not None else None
    if arguments.show == "grid":
        return sheets.picture(model.draw(rows * columns if samples.are_images else 2500, rng), columns)
    if arguments.show == "reconstructions":
        count = min(5 * rows, len(test))
        chosen = labels[:count] if model.classes and labels is not None else None
        codes = sampling.require_encoder(model)(test[:count], chosen)
        return sheets.rows_below([test[:count], sampling.require_decoder(model)(codes, chosen)])
    if arguments.show == "interpolation":
        return sampling.interpolation(model, rows, columns, rng)
    if arguments.show == "walk":
        if not 0 <= arguments.unit < model.latent_size:
            raise UserError(f"--unit must be 0 to {model.latent_size - 1}, got {arguments.unit}.")
        return sampling.latent_walk(model, arguments.unit, rows, columns, rng)
    if arguments.show == "neighbours":
        return sampling.neighbour_rows(model.draw(columns, rng).clamp(0, 1), to_tensor(samples.train))
    if labels is None or arguments.attribute not in samples.class_names:
        known = ", ".join(samples.class_names) or "none: the data have no labels"
        raise UserError(f"There is no class {arguments.attribute!r} to make an attribute of; known are {known}.")
    if model.classes:
        raise UserError("A conditional model is told the class; attribute vectors are for models without labels.")
    has = labels == samples.class_names.index(arguments.attribute)
    vector = sampling.attribute_vector(sampling.require_encoder(model)(test, None), has)
    strengths = torch.linspace(0, 1.5, columns - 1).tolist()
    return sampling.attribute_rows(model, test[~has][:rows], vector, strengths)


def body() -> None:
    """Draw, and say where the picture is."""
    arguments = tyro.cli(Arguments, description=shown(__doc__))
    if min(arguments.rows, arguments.columns - 1) < 1:
        raise UserError("--rows must be at least 1 and --columns at least 2.")
    run = arguments.run or newest_run()
    out = arguments.out or run / f"{arguments.show}.png"
    if out.suffix not in (".png", ".gif"):
        raise UserError(f"--out must end in .png or .gif, got {out}.")
    if out.suffix == ".gif" and arguments.show not in ("interpolation", "walk", "attribute"):
        raise UserError(f"--show {arguments.show} is one picture: use a .png.")
    trained = load_trained(run, pick_device(arguments.device))
    picture = draw(arguments, trained)
    if out.suffix == ".png":
        save_png(picture, out, scale=2)
    else:
        sheets.save_gif(columns_of(picture, trained.samples.size), out)
    say(f"Look at {out}")


def columns_of(picture: Frames, size: int, gap: int = 2) -> list[Frames]:
    """A grid's columns as the frames of an animation, there and back."""
    step = size + gap
    columns = [
        picture[:, left : left + step + gap].repeat(3, 0).repeat(3, 1)
        for left in range(0, picture.shape[1] - gap, step)
    ]
    return [*columns, *columns[-2:0:-1]]


def run() -> None:
    """Parse the command line, and do it."""
    tell_errors(body)

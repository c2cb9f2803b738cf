"""The user's own pictures through a trained translator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from rollouts.errors import UserError
from worldmodels.generative.data.inputs import read_input
from worldmodels.generative.models.trained import Trained
from worldmodels.generative.sheets import enlargement, rgb, rows_below
from worldmodels.pictures import save_png
from worldmodels.training.randomness import generator_for


def translate(trained: Trained, paths: Sequence[Path], samples: int, back: bool, seed: int, out: Path) -> str:
    """Pictures from files above their translations as one .png, or single translations in a folder; says where.

    Raises:
        UserError: there is no picture, or ``out`` is neither, or the model cannot do it.
    """
    if not paths:
        raise UserError("--show translation needs pictures: --input FILE")
    if samples < 1:
        raise UserError(f"--samples must be at least 1, got {samples}.")
    if out.suffix not in (".png", ""):
        raise UserError(f"--out must end in .png, or be a folder, got {out}.")
    rng = generator_for(seed, 0)
    inputs = read_inputs(trained, paths, rng, back)
    outputs = translations(trained, inputs, samples, rng, back)
    if not out.suffix:
        return f"{save_each(outputs, paths, out)} pictures are in {out}"
    save_png(rows_below([visible(inputs), *outputs]), out, enlargement(trained.shape.size))
    return f"Look at {out}"


def read_inputs(trained: Trained, paths: Sequence[Path], rng: torch.Generator, back: bool = False) -> Tensor:
    """Files as conditions ``[N, C', S, S]`` in [0, 1]; with ``back`` as pictures of the kind that the model makes.

    Raises:
        UserError: the model translates nothing, or not this way, or a file cannot be read.
    """
    model, shape, how = trained.model, trained.shape, trained.config.fit
    if not model.condition_channels:
        raise UserError(f"{trained.name} translates no pictures; pix2pix, colourise, inpaint and cyclegan, say, do.")
    if back:
        if model.back is None:
            raise UserError(f"{trained.name} knows no way back; cyclegan does.")
        return torch.cat([read_input(path, shape.size, shape.channels, how) for path in paths])
    if model.read_input is not None:
        return torch.cat([model.read_input(path, how) for path in paths])
    if model.condition_of is None:
        return torch.cat([read_input(path, shape.size, model.condition_channels, how) for path in paths])
    pictures = torch.cat([read_input(path, shape.size, shape.channels, how) for path in paths])
    return model.condition_of(pictures, rng)


def translations(trained: Trained, inputs: Tensor, count: int, rng: torch.Generator, back: bool = False) -> Tensor:
    """``count`` translations of every input, ``[count, N, C, S, S]`` in [0, 1].

    Raises:
        UserError: several are asked for, and there is only one.
    """
    model, inputs = trained.model, inputs.to(trained.model.device)
    if back:
        assert model.back is not None
        outputs = torch.stack([model.back(inputs, rng) for _ in range(count)])
    else:
        outputs = torch.stack([model.draw(len(inputs), rng, inputs) for _ in range(count)])
    if count > 1 and bool((outputs == outputs[0]).all()):
        raise UserError(f"{trained.run} makes one translation of a picture, having no noise: leave out --samples.")
    return outputs


def visible(condition: Tensor) -> Tensor:
    """The part of a condition ``[N, C', S, S]`` that is a picture: not the plane that tells where holes are."""
    return condition[:, : 3 if condition.shape[1] >= 3 else 1]


def save_each(outputs: Tensor, paths: Sequence[Path], folder: Path) -> int:
    """Single pictures, ``folder/NAME.png``, further ones of the same input ``folder/NAME-2.png``; how many.

    Raises:
        UserError: two inputs have one name.
    """
    names = [path.stem for path in paths]
    if len(set(names)) < len(names):
        raise UserError(f"Two of the pictures have one name ({', '.join(names)}): translate them one by one.")
    for number, version in enumerate(outputs, 1):
        for name, frame in zip(names, rgb(version), strict=True):
            save_png(frame, folder / (f"{name}.png" if number == 1 else f"{name}-{number}.png"))
    return outputs.shape[0] * outputs.shape[1]

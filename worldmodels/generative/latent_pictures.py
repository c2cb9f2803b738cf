"""What the latents of a trained model look like: a plane of them, classes among them, and sums of them."""

from __future__ import annotations

import colorsys
import re
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from rollouts.errors import UserError
from worldmodels.generative.models.base import ImageModel
from worldmodels.generative.sampling import require_prior
from worldmodels.generative.sheets import picture, rgb
from worldmodels.pictures import Frames, grid

NEARBY = 0.25  #: reach of the noise around a sum of latents, as in Radford et al. (2016), section 6.3.2
SIDE, MARGIN = 480, 12  #: of the map of latents, in pixels


@torch.no_grad()
def manifold(model: ImageModel, rows: int, columns: int, label: Tensor | None = None) -> Frames:
    """The plane of a model with two latents: the first grows to the right, the second upwards.

    Both go through equal shares of N(0, 1), as in figure 4 of Kingma & Welling (2014).

    Args:
        label: of all pictures ``[1]``, for a model of classes.

    Raises:
        UserError: there are not two latents.
    """
    decode = require_prior(model)
    if model.latent_size != 2:
        raise UserError(
            f"A plane has two coordinates, this model has {model.latent_size} latents: train one with --latent-size 2, "
            "or look at --show walk."
        )
    across, up = (torch.special.ndtri((torch.arange(n) + 0.5) / n) for n in (columns, rows))
    z = torch.stack([across.repeat(rows), up.flip(0).repeat_interleave(columns)], 1).to(model.device)
    return picture(decode(z, None if label is None else label.expand(len(z))), columns)


def plane_of(codes: Tensor) -> tuple[Tensor, str]:
    """Codes ``[N, D]`` as points ``[N, 2]``, and how: as they are, or along their two main directions."""
    if codes.shape[1] == 1:
        return torch.cat([codes, torch.zeros_like(codes)], 1), "the only latent"
    if codes.shape[1] == 2:
        return codes, "both latents"
    centred = codes - codes.mean(0)
    values, directions = torch.linalg.eigh(centred.T @ centred)
    share = float(values[-2:].sum() / values.sum())
    how = f"two main directions of {codes.shape[1]} latents, {share:.0%} of their variance"
    return centred @ directions[:, [-1, -2]], how


def latent_map(codes: Tensor, labels: Tensor | None, names: Sequence[str]) -> Frames:
    """Codes ``[N, D]`` as dots, coloured by class ``[N]``, with the names of the classes on the right."""
    points, how = plane_of(codes.cpu().double())
    middle = (points.amin(0) + points.amax(0)) / 2
    reach = max(float((points - middle).abs().max()), 1e-9)
    places = (((points - middle) / reach * torch.tensor([1.0, -1.0]) + 1) / 2 * (SIDE - 2 * MARGIN) + MARGIN).tolist()
    font = ImageFont.load_default()
    names = list(names) if labels is not None else []
    legend = max((round(font.getlength(name)) + 30 for name in names), default=0)
    canvas = Image.new("RGB", (SIDE + legend, SIDE + 20), "white")
    pen = ImageDraw.Draw(canvas)
    colours = [colour_of(number, max(len(names), 1)) for number in range(max(len(names), 1))]
    numbers = [0] * len(places) if labels is None else labels.tolist()
    for (x, y), number in zip(places, numbers, strict=True):
        pen.ellipse((x - 2, y - 2, x + 2, y + 2), colours[number])
    for number, name in enumerate(names[: SIDE // 14]):
        y = MARGIN + 14 * number
        pen.rectangle((SIDE + 4, y + 2, SIDE + 14, y + 12), colours[number])
        pen.text((SIDE + 20, y + 7), name, "black", font, anchor="lm")
    pen.text((MARGIN, SIDE + 10), how, "black", font, anchor="lm")
    return np.asarray(canvas)


def colour_of(number: int, count: int) -> tuple[int, int, int]:
    """One of ``count`` colours that differ as much as they can, bright and dark in turn."""
    red, green, blue = colorsys.hsv_to_rgb(number / count, 0.85, 0.9 if number % 2 else 0.65)
    return round(255 * red), round(255 * green), round(255 * blue)


def read_terms(terms: Sequence[str], count: int) -> list[list[int]]:
    """``"3,17,25"`` each: numbers of samples, from 0.

    Raises:
        UserError: they are not three lists of such numbers.
    """
    if len(terms) != 3:
        raise UserError(
            f"--show arithmetic makes A - B + C and needs three --terms, got {len(terms)}: numbers of samples in the "
            "picture of --show grid, counted from 0, such as --terms 3,17,25 4,8,9 1,2,6"
        )
    numbers = []
    for term in terms:
        if not re.fullmatch(r"\d+(,\d+)*", term) or any(int(number) >= count for number in term.split(",")):
            raise UserError(f"--terms must be numbers from 0 to {count - 1}, separated by commas, got {term!r}.")
        numbers.append([int(number) for number in term.split(",")])
    return numbers


@torch.no_grad()
def arithmetic(
    model: ImageModel, z: Tensor, terms: Sequence[Sequence[int]], rng: torch.Generator, label: Tensor | None = None
) -> Frames:
    """A - B + C of averaged latents. Radford et al. (2016), section 6.3.2.

    Three rows show the samples of each term and, last, what their mean latent gives; the fourth begins with the sum and
    goes on with its surroundings.

    Args:
        z: latents ``[N, D]`` of the samples that ``terms`` number.
        label: of all pictures ``[1]``, for a model of classes.
    """
    decode = require_prior(model)
    width = max(len(term) for term in terms) + 1
    means = torch.stack([z[list(term)].mean(0) for term in terms])
    total = means[0] - means[1] + means[2]
    around = total + NEARBY * (2 * torch.rand(width - 1, z.shape[1], generator=rng) - 1)

    def drawn(latents: Tensor) -> Frames:
        latents = latents.to(model.device)
        return rgb(decode(latents, None if label is None else label.expand(len(latents))).clamp(0, 1))

    rows = []
    for term, mean in zip(terms, means, strict=True):
        singles = drawn(z[list(term)])
        empty = np.full((width - 1 - len(term), *singles.shape[1:]), 235, np.uint8)
        rows += [singles, empty, drawn(mean[None])]
    return grid(np.concatenate([*rows, drawn(torch.cat([total[None], around]))]), width)

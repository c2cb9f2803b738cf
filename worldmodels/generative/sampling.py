"""What a trained model can show: walks through latent space, attributes, memorisation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rollouts.errors import UserError
from worldmodels.generative.data.samples import to_tensor
from worldmodels.generative.data.store import Pictures
from worldmodels.generative.measures.evaluation import nearest_image
from worldmodels.generative.models.base import Encode, ImageModel, decode_all
from worldmodels.generative.sheets import picture, rgb
from worldmodels.pictures import Frames, grid
from worldmodels.training.randomness import generator_for


def require_encoder(model: ImageModel) -> Encode:
    """The model's encoder.

    Raises:
        UserError: it has none.
    """
    if model.encode is None:
        raise UserError("This model has no encoder: use an autoencoder or a VAE.")
    return model.encode


def require_prior(model: ImageModel) -> Encode:
    """The decoder of a model whose latents come from N(0, 1).

    Raises:
        UserError: it has no latents, or no distribution of them.
    """
    if not model.draws:
        raise UserError(
            "This model has no distribution of latents: look at its reconstructions, or at the way between two "
            "pictures of yours (--show between)."
        )
    return require_decoder(model)


def require_decoder(model: ImageModel) -> Encode:
    """The model's decoder of latents.

    Raises:
        UserError: it has none.
    """
    if model.decode is None:
        raise UserError("This model has no latents: use an autoencoder, a VAE or a GAN.")
    return model.decode


# Walks


def lerp(start: Tensor, end: Tensor, share: float) -> Tensor:
    """The point ``share`` of the way along the straight line."""
    return start + share * (end - start)


def slerp(start: Tensor, end: Tensor, share: float) -> Tensor:
    """The point ``share`` of the angle from one vector to the other, the length going from one to the other linearly.

    Shoemake (1985); for Gaussian latents it keeps to the shell where they live (White 2016). Vectors that have no
    angle between them (zero, equal or opposite ones) are joined by a straight line. ``[..., D]``.
    """
    length_start, length_end = start.norm(dim=-1, keepdim=True), end.norm(dim=-1, keepdim=True)
    tiny = torch.finfo(start.dtype).tiny
    cosine = ((start * end).sum(-1, keepdim=True) / (length_start * length_end).clamp(min=tiny)).clamp(-1, 1)
    angle = torch.acos(cosine)
    sine = torch.sin(angle)
    defined = (sine > 1e-4) & (length_start > tiny) & (length_end > tiny)
    safe = torch.where(defined, sine, torch.ones_like(sine))
    direction = torch.sin((1 - share) * angle) / safe * start / length_start.clamp(min=tiny) + torch.sin(
        share * angle
    ) / safe * end / length_end.clamp(min=tiny)
    return torch.where(defined, lerp(length_start, length_end, share) * direction, lerp(start, end, share))


@torch.no_grad()
def interpolation(
    model: ImageModel, rows: int, columns: int, rng: torch.Generator, labels: Tensor | None = None
) -> Frames:
    """Rows of samples between two random latents each, along the sphere.

    Args:
        labels: of the rows, for a model of classes; by default they go round all.
    """
    decode = require_prior(model)
    start, end = model.latent(2 * rows, rng).to(model.device).chunk(2)
    z = torch.stack([slerp(start, end, i / (columns - 1)) for i in range(columns)], 1).flatten(0, 1)
    return picture(decode(z, _label_per_row(model, rows, columns, labels)), columns)


@torch.no_grad()
def latent_walk(
    model: ImageModel, unit: int, rows: int, columns: int, rng: torch.Generator, labels: Tensor | None = None
) -> Frames:
    """Rows of samples in which one latent unit goes from -3 to 3 and the others keep still; ``labels`` as above."""
    decode = require_prior(model)
    z = model.latent(rows, rng).to(model.device).repeat_interleave(columns, 0)
    z[:, unit] = torch.linspace(-3, 3, columns, device=model.device).repeat(rows)
    return picture(decode(z, _label_per_row(model, rows, columns, labels)), columns)


def _label_per_row(model: ImageModel, rows: int, columns: int, labels: Tensor | None) -> Tensor | None:
    if not model.classes:
        return None
    if labels is None:
        labels = torch.arange(rows) % model.classes
    return labels.to(model.device).repeat_interleave(columns)


@torch.no_grad()
def path_between(model: ImageModel, codes: Tensor, columns: int, label: Tensor | None = None) -> Frames:
    """One row per pair of neighbouring codes ``[N, D]``: the way from one to the next, ``columns`` pictures each.

    Args:
        label: of all of them ``[1]``, for a model of classes.
    """
    ways = [slerp(start, end, i / (columns - 1)) for start, end in pairwise(codes.unbind()) for i in range(columns)]
    z = torch.stack(ways)
    return picture(require_decoder(model)(z, None if label is None else label.expand(len(z))), columns)


def codes_of(model: ImageModel, x: Tensor, label: Tensor | None = None) -> Tensor:
    """Latents ``[N, D]`` of given pictures in [0, 1]: the encoder's, or found by :func:`invert`."""
    condition = None if label is None else label.expand(len(x))
    if model.encode is None:
        return invert(model, x, condition)
    return model.encode(x, condition)


def invert(
    model: ImageModel, x: Tensor, condition: Tensor | None = None, steps: int = 300, starts: int = 8, seed: int = 0
) -> Tensor:
    """Latents whose decoded pictures come as close to ``x`` as gradient descent on the squared error gets them.

    Several starts from the prior, the best is taken; latents are kept near the shell where those of the prior live, at
    a length of sqrt(D). Zhu et al. (2016), section 3.1.
    """
    decode, count = require_decoder(model), len(x)
    rng = generator_for(seed, 0)
    z = torch.randn(starts * count, model.latent_size, generator=rng).to(model.device).requires_grad_(True)
    target = x.repeat(starts, *[1] * (x.ndim - 1))
    conditions = None if condition is None else condition.repeat(starts)
    optimiser = torch.optim.Adam([z], lr=0.1)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = 0.1 * (1 - step / steps)
        error = (decode(z, conditions) - target).square().flatten(1).mean(1)
        length = (z.square().mean(1) - 1).square()
        (z.grad,) = torch.autograd.grad((error + 0.01 * length).sum(), z)
        optimiser.step()
    with torch.no_grad():
        error = (decode(z, conditions) - target).square().flatten(1).mean(1).reshape(starts, count)
    return z.detach().reshape(starts, count, -1)[error.argmin(0), torch.arange(count)]


def truncated_normal(uniform: Tensor, limit: float) -> Tensor:
    """Standard normal values within ``+-limit`` from uniform ones in [0, 1), by the inverse of their distribution.

    Nearer to the middle of what a model has learnt: better pictures, fewer kinds. Brock et al. (2019), section 3.1.
    """
    reach = math.erf(limit / math.sqrt(2))
    return math.sqrt(2) * torch.erfinv((2 * uniform - 1) * reach)


def draw(
    model: ImageModel, count: int, rng: torch.Generator, condition: Tensor | None = None, truncation: float = 0.0
) -> Tensor:
    """``model.draw``, with latents kept within ``+-truncation``, if that is not 0.

    Raises:
        UserError: it is to be truncated, and has no latents.
    """
    if not truncation or not model.draws:
        return model.draw(count, rng, condition)
    require_decoder(model)
    if not model.normal_latents:
        raise UserError("--truncation cuts off the tails of N(0, 1), and this model has learned another prior.")
    return decode_all(
        model, truncated_normal(torch.rand(count, model.latent_size, generator=rng), truncation), condition
    )


# Attributes


def attribute_vector(codes: Tensor, has: Tensor) -> Tensor:
    """Mean code of samples with an attribute minus mean code of those without: ``[N, D]``, bool ``[N]`` -> ``[D]``.

    Raises:
        ValueError: nobody or everybody has it.
    """
    if not has.any() or has.all():
        raise ValueError("an attribute vector needs samples with the attribute and samples without it")
    return codes[has].mean(0) - codes[~has].mean(0)


def apply_attribute(z: Tensor, vector: Tensor, strengths: Sequence[float]) -> Tensor:
    """``z + alpha v`` for every strength: ``[N, D] -> [N, len(strengths), D]``."""
    return z[:, None] + torch.tensor(strengths, dtype=z.dtype, device=z.device)[:, None] * vector


@torch.no_grad()
def attribute_rows(model: ImageModel, x: Tensor, vector: Tensor, strengths: Sequence[float]) -> Frames:
    """Rows of pictures: each original, then itself with more and more of an attribute."""
    z = apply_attribute(require_encoder(model)(x, None), vector, strengths)
    changed = require_decoder(model)(z.flatten(0, 1), None).reshape(len(x), len(strengths), *x.shape[1:])
    return picture(torch.cat([x[:, None], changed], 1).flatten(0, 1), 1 + len(strengths))


# Outliers


class Surprise(NamedTuple):
    """How badly a model accounts for pictures ``[N, C, S, S]``, and what it makes of them; None where nothing is."""

    score: Tensor  #: [N]
    copies: Tensor | None
    of: str  #: what the score is


def surprise(model: ImageModel, x: Tensor, condition: Tensor | None = None) -> Surprise:
    """Exact nats where the model has likelihoods; else the mean squared error of its copies, by its encoder or, as
    AnoGAN does (Schlegl et al. 2017), by the latents that come closest.

    Raises:
        UserError: it has neither.
    """
    if model.nats is not None:
        with torch.no_grad():
            return Surprise(model.nats(x, condition), None, "nats")
    decode = require_decoder(model)
    codes = invert(model, x, condition) if model.encode is None else model.encode(x, condition)
    with torch.no_grad():
        copies = decode(codes, condition).clamp(0, 1)
    return Surprise((copies - x).square().flatten(1).mean(1), copies, "squared error of a value")


# Memorisation


def neighbour_rows(samples: Tensor, data: Pictures) -> Frames:
    """Samples above their nearest training images: a generator that memorises shows the same picture twice."""
    neighbours = to_tensor(data[nearest_image(samples, data).indices.numpy()])
    return grid(np.concatenate([rgb(samples.cpu()), rgb(neighbours)]), len(samples))

"""What a trained model can show: walks through latent space, attributes, memorisation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from rollouts.errors import UserError
from worldmodels.generative.measures.metrics import nearest
from worldmodels.generative.models.base import Encode, ImageModel
from worldmodels.generative.sheets import picture, rgb
from worldmodels.pictures import Frames, grid


def require_encoder(model: ImageModel) -> Encode:
    """The model's encoder.

    Raises:
        UserError: it has none.
    """
    if model.encode is None:
        raise UserError("This model has no encoder: use an autoencoder or a VAE.")
    return model.encode


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


def interpolation(model: ImageModel, rows: int, columns: int, rng: torch.Generator) -> Frames:
    """Rows of samples between two random latents each, along the sphere."""
    start, end = torch.randn(2, rows, model.latent_size, generator=rng).to(model.device).unbind()
    z = torch.stack([slerp(start, end, i / (columns - 1)) for i in range(columns)], 1).flatten(0, 1)
    return picture(require_decoder(model)(z, _label_per_row(model, rows, columns)), columns)


def latent_walk(model: ImageModel, unit: int, rows: int, columns: int, rng: torch.Generator) -> Frames:
    """Rows of samples in which one latent unit goes from -3 to 3 and the others keep still."""
    z = torch.randn(rows, model.latent_size, generator=rng).to(model.device).repeat_interleave(columns, 0)
    z[:, unit] = torch.linspace(-3, 3, columns, device=model.device).repeat(rows)
    return picture(require_decoder(model)(z, _label_per_row(model, rows, columns)), columns)


def _label_per_row(model: ImageModel, rows: int, columns: int) -> Tensor | None:
    if not model.classes:
        return None
    return torch.arange(rows, device=model.device).repeat_interleave(columns) % model.classes


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


def attribute_rows(model: ImageModel, x: Tensor, vector: Tensor, strengths: Sequence[float]) -> Frames:
    """Rows of pictures: each original, then itself with more and more of an attribute."""
    z = apply_attribute(require_encoder(model)(x, None), vector, strengths)
    changed = require_decoder(model)(z.flatten(0, 1), None).reshape(len(x), len(strengths), *x.shape[1:])
    return picture(torch.cat([x[:, None], changed], 1).flatten(0, 1), 1 + len(strengths))


# Memorisation


def neighbour_rows(samples: Tensor, data: Tensor) -> Frames:
    """Samples above their nearest training images: a generator that memorises shows the same picture twice."""
    found = data[nearest(samples.cpu(), data.cpu()).indices]
    return grid(np.concatenate([rgb(samples.cpu()), rgb(found)]), len(samples))

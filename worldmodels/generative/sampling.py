"""What a trained model can show: grids, reconstructions, walks through latent space, attributes, memorisation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from rollouts.runs.files import atomic_path
from worldmodels.generative.build import Sampler
from worldmodels.generative.metrics import nearest
from worldmodels.pictures import Frames, grid, to_uint8


def picture(x: Tensor, columns: int) -> Frames:
    """Images ``[N, C, S, S]`` in [0, 1] as a grid, or points ``[N, 2+]`` as a scatter plot of [-2, 2]^2."""
    return grid(rgb(x), columns) if x.ndim == 4 else scatter(x)


def rgb(x: Tensor) -> Frames:
    """Images ``[N, C, S, S]`` in [0, 1], C = 1 or 3, as uint8 ``[N, S, S, 3]``."""
    return to_uint8(x if x.shape[1] == 3 else x.expand(-1, 3, -1, -1))


def scatter(points: Tensor, side: int = 256, reach: float = 2.0) -> Frames:
    """Dark dots on white; the first two coordinates, x to the right, y upwards."""
    canvas = np.full((side, side, 3), 255, np.uint8)
    places = ((points[:, :2].detach().cpu().numpy() / reach + 1) / 2 * side).astype(int)
    inside = ((places >= 0) & (places < side)).all(1)
    canvas[side - 1 - places[inside, 1], places[inside, 0]] = (20, 60, 140)
    return canvas


def save_gif(frames: Sequence[Frames], path: Path, milliseconds: int = 80) -> None:
    """An endless animation of pictures ``[H, W, 3]``."""
    first, *rest = [Image.fromarray(frame) for frame in frames]
    with atomic_path(path) as temporary:
        first.save(temporary, format="GIF", save_all=True, append_images=rest, duration=milliseconds, loop=0)


def reconstruction_pairs(sampler: Sampler, x: Tensor, labels: Tensor | None = None) -> Frames:
    """Originals above their reconstructions, in rows of up to ten."""
    made = sampler.decode(sampler.encode(x, labels), labels)
    if x.ndim != 4:
        return np.concatenate([scatter(x), scatter(made)], 1)
    columns = min(len(x), 10)
    missing = np.full((-len(x) % columns, *x.shape[2:], 3), 235, np.uint8)  # of the last row
    originals, copies = (np.concatenate([rgb(part), missing]) for part in (x, made))
    rows = [part[i : i + columns] for i in range(0, len(originals), columns) for part in (originals, copies)]
    return grid(np.concatenate(rows), columns)


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


def interpolation(sampler: Sampler, rows: int, columns: int, rng: torch.Generator) -> Frames:
    """Rows of samples between two random latents each, along the sphere."""
    device = next(sampler.network.parameters()).device
    start, end = torch.randn(2, rows, sampler.latent_size, generator=rng).to(device).unbind()
    z = torch.stack([slerp(start, end, i / (columns - 1)) for i in range(columns)], 1).flatten(0, 1)
    labels = torch.arange(rows).repeat_interleave(columns).to(device) % sampler.classes if sampler.classes else None
    return picture(sampler.decode(z, labels), columns)


def latent_walk(sampler: Sampler, unit: int, rows: int, columns: int, rng: torch.Generator) -> Frames:
    """Rows of samples in which one latent unit goes from -3 to 3 and the others keep still."""
    device = next(sampler.network.parameters()).device
    z = torch.randn(rows, sampler.latent_size, generator=rng).to(device).repeat_interleave(columns, 0)
    z[:, unit] = torch.linspace(-3, 3, columns, device=device).repeat(rows)
    labels = torch.arange(rows).repeat_interleave(columns).to(device) % sampler.classes if sampler.classes else None
    return picture(sampler.decode(z, labels), columns)


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


def attribute_rows(sampler: Sampler, x: Tensor, vector: Tensor, strengths: Sequence[float]) -> Frames:
    """Rows of pictures: each original, then itself with more and more of an attribute."""
    z = apply_attribute(sampler.encode(x), vector, strengths)
    changed = sampler.decode(z.flatten(0, 1)).reshape(len(x), len(strengths), *x.shape[1:])
    return picture(torch.cat([x[:, None], changed], 1).flatten(0, 1), 1 + len(strengths))


# Memorisation


def neighbour_rows(samples: Tensor, data: Tensor) -> Frames:
    """Samples above their nearest training images: a generator that memorises shows the same picture twice."""
    found = data[nearest(samples.cpu(), data.cpu()).indices]
    return grid(np.concatenate([rgb(samples.cpu()), rgb(found)]), len(samples))

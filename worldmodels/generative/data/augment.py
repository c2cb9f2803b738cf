"""More pictures from few: mirrored, and cut a little closer. What comes out is a picture that might be in the data.

For all objectives alike: a model learns the mirrored pictures too, so mirror what may be mirrored (not writing).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def augment(parts: Sequence[Tensor], rng: torch.Generator, flip: bool, crop: float) -> list[Tensor]:
    """Mirror every sample with probability 1/2, and cut away up to ``crop`` of its sides, somewhere.

    What belongs together, ``[N, C, S, S]`` each, is treated alike, as are the frames of clips ``[N, T, C, S, S]``. A
    cut is enlarged to the old size again and never reaches beyond the picture, so no border comes in.
    """
    count, device, shapes = len(parts[0]), parts[0].device, [part.shape for part in parts]
    parts = [part.flatten(1, -3) for part in parts]
    if flip:
        mirrored = (torch.rand(count, generator=rng) < 0.5).to(device)[:, None, None, None]
        parts = [torch.where(mirrored, part.flip(-1), part) for part in parts]
    if crop:
        kept = 1 - crop * torch.rand(count, generator=rng)
        across, down = ((1 - kept) * (2 * torch.rand(count, generator=rng) - 1) for _ in range(2))
        zero = torch.zeros(count)
        maps = torch.stack([torch.stack([kept, zero, across], 1), torch.stack([zero, kept, down], 1)], 1).to(device)
        parts = [_resampled(part, maps) for part in parts]
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def _resampled(x: Tensor, maps: Tensor) -> Tensor:
    places = F.affine_grid(maps, list(x.shape), align_corners=False)
    return F.grid_sample(x, places.to(x.dtype), mode="bilinear", padding_mode="reflection", align_corners=False)

"""Do pictures fit their captions, where nobody knows what the words mean?"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SIDE = 8  #: to which pictures are shrunk: colours and where they are


def own_picture_nearer(drawn: Tensor, real: Tensor, captions: Tensor) -> float | None:
    """How often a picture drawn for a caption is nearer to the real picture with that caption than to one with another.

    Distances are squared, of pictures shrunk to 8x8. Of a model that does not read, the expected value is a half.

    Args:
        drawn: for every caption, ``[N, C, S, S]``; real: with that caption, ``[N, C, S, S]``.
        captions: tokens, ``[N, T]``.

    Returns:
        None where all captions are the same.
    """
    a, b = (F.adaptive_avg_pool2d(x.float().cpu(), SIDE).flatten(1).double() for x in (drawn, real))
    distance = torch.cdist(a, b).square()
    own = distance.diag()[:, None]
    nearer = (own < distance).double() + 0.5 * (own == distance)
    others = (captions[:, None] != captions).any(2).cpu()
    return float(nearer[others].mean()) if others.any() else None

"""DiffAugment and ADA: what a critic sees is disturbed, real and fake alike, so that it cannot learn few by heart.

Zhao et al. (2020); Karras et al. (2020). The generator's gradient goes through the disturbance; its samples never do,
and since the critic has no undisturbed picture to compare with, they do not learn to look disturbed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from rollouts.errors import UserError
from worldmodels.generative.objectives.units import Batch

Policy = Literal["none", "colour", "translation", "cutout", "colour-translation", "all"]
POLICIES: dict[Policy, tuple[str, ...]] = {
    "none": (),
    "colour": ("colour",),
    "translation": ("translation",),
    "cutout": ("cutout",),
    "colour-translation": ("colour", "translation"),
    "all": ("colour", "translation", "cutout"),
}
SHIFT = 1 / 8  #: of the side, at most, in either direction
HOLE = 1 / 2  #: side of the hole, as a share of the picture's


def augmenter(policy: Policy) -> Callable[[Tensor, Batch], Tensor] | None:
    """What an objective applies to the inputs of its critic; None for no disturbance."""
    return None if policy == "none" else partial(diffaugment, policy=policy)


def refuse_augmented_points(policy: str, points: bool) -> None:
    """Points have no colours, and nothing to cut out.

    Raises:
        UserError: they are to be disturbed.
    """
    if points and policy != "none":
        raise UserError("--diffaugment is for pictures, and these are points; leave it out.")


def diffaugment(x: Tensor, batch: Batch, policy: Policy) -> Tensor:
    """Disturb every picture ``[N, C, S, S]`` in [-1, 1] by random numbers of its own."""
    for step in POLICIES[policy]:
        x = {"colour": colour, "translation": translation, "cutout": cutout}[step](x, batch)
    return x


def colour(x: Tensor, batch: Batch) -> Tensor:
    """Brightness by up to 0.5, saturation between 0 and 2, contrast between 0.5 and 1.5."""
    brightness, saturation, contrast = batch.uniform(len(x), 3, 1, 1, 1).unbind(1)
    x = x + (brightness - 0.5)
    grey = x.mean(1, keepdim=True)
    x = (x - grey) * (2 * saturation) + grey
    middle = x.mean((1, 2, 3), keepdim=True)
    return (x - middle) * (contrast + 0.5) + middle


def translation(x: Tensor, batch: Batch) -> Tensor:
    """Move by whole pixels; what comes in at the border is 0, a middle grey."""
    side = x.shape[-1]
    reach = round(SHIFT * side)
    down, across = (_whole(batch, len(x), 2 * reach + 1) - reach for _ in range(2))
    rows = torch.arange(side, device=x.device)[None] + down[:, None] + 1
    columns = torch.arange(side, device=x.device)[None] + across[:, None] + 1
    padded = torch.nn.functional.pad(x, (1, 1, 1, 1))
    picture = torch.arange(len(x), device=x.device)[:, None, None]
    moved = padded.movedim(1, -1)[picture, rows.clamp(0, side + 1)[:, :, None], columns.clamp(0, side + 1)[:, None, :]]
    return moved.movedim(-1, 1)


def cutout(x: Tensor, batch: Batch) -> Tensor:
    """A square hole of 0 somewhere, half of it outside at the most."""
    side = x.shape[-1]
    hole = round(HOLE * side)
    top, left = (_whole(batch, len(x), side + 1 - hole % 2) - hole // 2 for _ in range(2))
    place = torch.arange(side, device=x.device)[None]
    rows, columns = ((place >= edge[:, None]) & (place < edge[:, None] + hole) for edge in (top, left))
    inside = rows[:, None, :, None] & columns[:, None, None, :]
    return x * (~inside).to(x.dtype)


class AdaptiveAugment:
    """ADA: every disturbance strikes every picture with probability p, which follows how sure the critic is.

    ``r = E sign D(x)`` over real pictures is 1 where the critic knows all of them by heart. Where it is above
    :data:`SURE`, p rises, else it falls; :data:`SWING` pictures take it from 0 to 1. It stays below :data:`HIGHEST`: as
    long as enough pictures are undisturbed, a generator cannot do as well by making disturbed ones. Karras et al.
    (2020), sections 2 and 3.
    """

    def __init__(self) -> None:
        self.probability = torch.zeros(())

    def __call__(self, x: Tensor, batch: Batch) -> Tensor:
        """Pictures ``[N, C, S, S]`` in [-1, 1], some of them mirrored, turned, moved, recoloured."""
        for disturb in (mirror, quarter_turn, translation, colour):
            struck = batch.uniform(len(x)) < self.probability.to(x.device)
            x = torch.where(struck[:, None, None, None], disturb(x, batch), x)
        return x

    def observe(self, logits: Tensor, batch: Batch) -> None:
        """Look at the critic's logits of real pictures, ``[N, ...]``, once per update of it."""
        sure = batch.mean_of_all(logits.float().flatten(1).mean(1).sign())
        step = (len(logits) if batch.part is None else batch.part.whole) / SWING
        self.probability = (self.probability.to(sure) + step * (sure - SURE).sign()).clamp(0, HIGHEST)

    def state_dict(self) -> dict[str, Tensor]:
        return {"probability": self.probability}

    def load_state_dict(self, state_dict: dict[str, Tensor]) -> None:
        self.probability = state_dict["probability"]


SURE = 0.6  #: the paper's target for r
SWING = 100_000  #: there 500,000, for trainings of 25 million pictures
HIGHEST = 0.8  #: above, disturbances begin to leak (section 2.2)


def mirror(x: Tensor, batch: Batch) -> Tensor:
    """Half of the pictures, left for right."""
    return torch.where((batch.uniform(len(x)) < 0.5)[:, None, None, None], x.flip(-1), x)


def quarter_turn(x: Tensor, batch: Batch) -> Tensor:
    """Turned by 0, 1, 2 or 3 right angles."""
    turns = _whole(batch, len(x), 4)
    turned = torch.stack([x.rot90(number, (2, 3)) for number in range(4)])
    return turned[turns, torch.arange(len(x), device=x.device)]


def _whole(batch: Batch, count: int, below: int) -> Tensor:
    """Whole numbers in [0, below), ``[count]``."""
    return (batch.uniform(count) * below).long().clamp(max=below - 1)

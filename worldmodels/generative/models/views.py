"""Pictures that several models show of themselves."""

from __future__ import annotations

import torch

from worldmodels.generative.models.base import ImageModel
from worldmodels.generative.objectives.units import Batch
from worldmodels.generative.sheets import rows_below
from worldmodels.pictures import Frames


@torch.no_grad()
def reconstructions(model: ImageModel, batch: Batch, count: int = 20) -> Frames:
    """Originals above their reconstructions."""
    assert model.encode is not None
    assert model.decode is not None
    x, condition = batch.x[:count], model.condition(batch)
    condition = None if condition is None else condition[:count]
    return rows_below([x, model.decode(model.encode(x, condition), condition)])

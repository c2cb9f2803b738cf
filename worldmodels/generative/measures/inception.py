"""The published measures that need the Inception network: FID, Inception score, KID, computed by torch-fidelity.

They are only comparable with other people's when made with the original weights, which no package carries: the user
brings the file (torch-fidelity's documentation names it, ``weights-inception-2015-12-05``).
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from rollouts.errors import UserError
from worldmodels.generative.data.datasets import to_tensor
from worldmodels.generative.measures.evaluation import COUNT
from worldmodels.generative.models.trained import Trained
from worldmodels.training.randomness import generator_for


class Bytes(Dataset[Tensor]):
    """Images ``[N, C, S, S]`` in [0, 1] as uint8 RGB, which is what Inception was measured on."""

    def __init__(self, images: Tensor) -> None:
        self.images = images.clamp(0, 1).mul(255).round().to(torch.uint8).expand(-1, 3, -1, -1)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return self.images[index]


def inception_measures(real: Tensor, made: Tensor, weights: Path) -> dict[str, float]:
    """FID, Inception score and KID of generated against real images, ``[N, C, S, S]`` each.

    Raises:
        UserError: torch-fidelity is not installed, or there are no weights at ``weights``.
    """
    if not weights.exists():
        raise UserError(f"There are no Inception weights at {weights}; download them once and give their path.")
    try:
        from torch_fidelity import calculate_metrics
    except ImportError as error:
        raise UserError("FID needs the package torch-fidelity: pip install 'worldmodels[fidelity]'") from error
    found = calculate_metrics(
        input1=Bytes(made),
        input2=Bytes(real),
        cuda=torch.cuda.is_available(),
        isc=True,
        fid=True,
        kid=True,
        kid_subset_size=min(1000, len(made), len(real)),
        feature_extractor_weights_path=str(weights),
        verbose=False,
    )
    return {
        "fid": float(found["frechet_inception_distance"]),
        "inception_score": float(found["inception_score_mean"]),
        "kid": float(found["kernel_inception_distance_mean"]),
    }


@torch.no_grad()
def evaluate_inception(trained: Trained, weights: Path) -> dict[str, float]:
    """:func:`inception_measures` of a trained image model against its held-out data."""
    samples, model = trained.samples, trained.model
    if not samples.are_images:
        raise UserError(f"FID is a measure of images; {samples.name} are points.")
    count = min(COUNT["images"], len(samples.test))
    labels = torch.arange(count) % model.classes if model.classes else None
    made = model.draw(count, generator_for(0, 2), labels)
    return inception_measures(to_tensor(samples.test[:count]), made, weights)

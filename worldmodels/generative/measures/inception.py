"""The published measures that need the Inception network: FID, Inception score, KID, computed by torch-fidelity.

They are only comparable with other people's when made with the original weights, which no package carries: the user
brings the file (torch-fidelity's documentation names it, ``weights-inception-2015-12-05``).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from rollouts.console import extra
from rollouts.errors import UserError
from worldmodels.generative.data.samples import Samples
from worldmodels.generative.data.store import Pictures
from worldmodels.generative.measures.evaluation import labels_by_share
from worldmodels.generative.models.trained import Trained
from worldmodels.training.randomness import generator_for

MOST = 50_000  #: generated images, as in published tables
DRAWN = 1000  #: of them at once


def as_bytes(images: Tensor) -> Tensor:
    """Images in [0, 1] as uint8 on the CPU."""
    return images.clamp(0, 1).mul(255).round().to(torch.uint8).cpu()


class Bytes(Dataset[Tensor]):
    """Images ``[N, C, S, S]`` in [0, 1], or uint8 already, as uint8 RGB, which is what Inception was measured on."""

    def __init__(self, images: Tensor) -> None:
        self.images = (images if images.dtype == torch.uint8 else as_bytes(images)).expand(-1, 3, -1, -1)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return self.images[index]


class StoredBytes(Dataset[Tensor]):
    """Stored pictures, one part after the other, as uint8 RGB; each is read when it is asked for."""

    def __init__(self, parts: Sequence[Pictures]) -> None:
        self.parts = parts

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    def __getitem__(self, index: int) -> Tensor:
        for part in self.parts:
            if index < len(part):
                picture = torch.from_numpy(np.ascontiguousarray(part[index : index + 1][0]))
                return picture.permute(2, 0, 1).expand(3, -1, -1)
            index -= len(part)
        raise IndexError(index)


def captions_of_all(samples: Samples, count: int) -> Tensor:
    """``count`` captions ``[count, T]``, spread evenly over all pictures: each picture's first one."""
    assert isinstance(samples.train_condition, np.ndarray)
    assert isinstance(samples.test_condition, np.ndarray)
    captions = np.concatenate([samples.train_condition, samples.test_condition])
    captions = captions[:, 0] if captions.ndim == 3 else captions
    return torch.from_numpy(captions[np.arange(count) * len(captions) // count])


def inception_measures(
    real: Tensor | StoredBytes, fake: Tensor, weights: Path, device: torch.device | str = "cpu"
) -> dict[str, float]:
    """FID, Inception score and KID of generated against real images, ``[N, C, S, S]`` each.

    Raises:
        UserError: torch-fidelity is not installed, or there are no weights at ``weights``.
    """
    if not weights.exists():
        raise UserError(f"There are no Inception weights at {weights}; download them once and give their path.")
    try:
        from torch_fidelity import calculate_metrics
    except ImportError as error:
        raise UserError(f"FID needs the package torch-fidelity: {extra('fidelity')}") from error
    metrics = calculate_metrics(
        input1=Bytes(fake),
        input2=Bytes(real) if isinstance(real, Tensor) else real,
        cuda=torch.device(device).type == "cuda",
        isc=True,
        fid=True,
        kid=True,
        kid_subset_size=min(1000, len(fake), len(real)),
        feature_extractor_weights_path=str(weights),
        verbose=False,
    )
    return {
        "fid": float(metrics["frechet_inception_distance"]),
        "inception_score": float(metrics["inception_score_mean"]),
        "kid": float(metrics["kernel_inception_distance_mean"]),
    }


@torch.no_grad()
def evaluate_inception(trained: Trained, weights: Path, count: int | None = None) -> dict[str, float]:
    """:func:`inception_measures` of a trained image model against all its data, on its device.

    Args:
        count: generated images; as many as there are data by default, and at most 50,000: both measures are meant for
            10,000 and more.
    """
    samples, model = trained.samples, trained.model
    if not samples.are_images:
        raise UserError(f"FID is a measure of images; {samples.name} are points.")
    if model.condition_channels or model.frames or not model.draws:
        raise UserError(f"FID is a measure of pictures that are drawn from nothing, which {trained.name} does not do.")
    real = StoredBytes([samples.train, samples.test])
    count = min(count or len(real), MOST)
    labels = labels_by_share(count, samples.label_shares) if model.classes else None
    labels = captions_of_all(samples, count) if model.read else labels
    rng, fake = generator_for(0, 2), list[Tensor]()
    for start in range(0, count, DRAWN):
        part_labels = None if labels is None else labels[start : start + DRAWN]
        fake.append(as_bytes(model.draw(min(DRAWN, count - start), rng, part_labels)))
    metrics = inception_measures(real, torch.cat(fake), weights, model.device)
    return {**metrics, "fid_samples": count, "fid_real": len(real)}

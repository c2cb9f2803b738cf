"""Named ways of turning images into vectors: a classifier trained here and then frozen, or principal components."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rollouts.console import say
from rollouts.runs.files import fingerprint
from worldmodels.generative.data.batches import Batches, spread
from worldmodels.generative.data.samples import Samples, to_tensor
from worldmodels.layers import ConvSpec, conv_stack
from worldmodels.training.checkpoint import load_weights, save_tensors

CHUNK = 500  #: images whose features are taken at once
PIXELS = 100_000_000  #: values from which principal components are taken, at most


class Classifier(nn.Module):
    """A small convolutional classifier; its last hidden layer gives features."""

    def __init__(self, channels: int, size: int, classes: int, features: int = 64) -> None:
        super().__init__()
        specs = [ConvSpec(16, 3, 2, "same"), ConvSpec(32, 3, 2, "same"), ConvSpec(64, 3, 1, "same")]
        stack, side = conv_stack(channels, size, specs)
        self.body = nn.Sequential(*stack, nn.Flatten(), nn.Linear(64 * side * side, features), nn.ReLU())
        self.head = nn.Linear(features, classes)

    def features(self, x: Tensor) -> Tensor:
        return self.body(x)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the classes."""
        return self.head(self.body(x))


def frozen_classifier(samples: Samples, cache: Path, steps: int = 600) -> Classifier:
    """A classifier of the training images, trained once (seeded) and kept in ``cache``."""
    classifier = Classifier(samples.channels, samples.size, samples.classes)
    weights = cache / f"classifier-{fingerprint([samples.hash, steps])}.safetensors"
    if weights.exists():
        load_weights(classifier, weights)
        return classifier.eval().requires_grad_(False)
    say(f"Training a classifier of {samples.name} for the measures, once ({weights}) …")
    torch.manual_seed(0)
    classifier = Classifier(samples.channels, samples.size, samples.classes)
    optimiser = torch.optim.Adam(classifier.parameters(), lr=2e-3)
    batches = Batches(samples, min(64, len(samples.train)), 0, torch.device("cpu"))
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = 2e-3 * (1 - step / steps)
        x, labels, _, _ = batches(step)
        assert labels is not None
        optimiser.zero_grad()
        F.cross_entropy(classifier(x), labels).backward()
        optimiser.step()
    save_tensors(classifier.state_dict(), weights)
    return classifier.eval().requires_grad_(False)


class Features:
    """A named way of turning images into vectors; distances are only comparable under one name.

    Args:
        on_chunk: images ``[n, C, S, S]`` to features ``[n, D]``, both on the device.
    """

    def __init__(
        self, name: str, on_chunk: Callable[[Tensor], Tensor], classifier: Classifier | None, device: torch.device
    ) -> None:
        self.name, self.classifier, self._on_chunk, self._device = name, classifier, on_chunk, device

    def extract(self, images: Tensor) -> Tensor:
        """Features of any number of images, a chunk at a time, on the CPU: ``[N, C, S, S] -> [N, D]``."""
        return torch.cat([self._on_chunk(chunk.to(self._device)).cpu() for chunk in images.split(CHUNK)])

    def probabilities(self, images: Tensor) -> Tensor:
        """What the classifier, which must be there, says of them, ``[N, K]``."""
        assert self.classifier is not None
        chunks = [self.classifier(chunk.to(self._device)).softmax(1).cpu() for chunk in images.split(CHUNK)]
        return torch.cat(chunks)


def features_for(samples: Samples, cache: Path, device: torch.device | str = "cpu") -> Features:
    """The last hidden layer of a classifier where there are labels, else the first 64 principal components."""
    device = torch.device(device)
    if samples.classes >= 2:
        classifier = frozen_classifier(samples, cache)
        with torch.no_grad():
            activations = classifier.features(to_tensor(samples.train[spread(2000, len(samples.train))]))
        sd = activations.std(0)
        # Units that (nearly) never fire would otherwise outweigh all others.
        mean, sd = activations.mean(0), sd.clamp(min=0.1 * float(sd.mean()))
        name = f"{Path(samples.name).name} classifier, 64 units, standardised"
        classifier, mean, sd = classifier.to(device), mean.to(device), sd.to(device)
        return Features(name, lambda x: (classifier.features(x) - mean) / sd, classifier, device)
    fitting = max(PIXELS // int(np.prod(samples.train.shape[1:])), 2)
    pixels = to_tensor(samples.train[spread(min(5000, fitting), len(samples.train))]).flatten(1)
    mean = pixels.mean(0)
    components = min(64, len(pixels) - 1, pixels.shape[1])
    axes = torch.linalg.svd(pixels - mean, full_matrices=False)[2][:components].T
    mean, axes = mean.to(device), axes.to(device)
    name = f"{components} principal components of pixels"
    return Features(name, lambda x: (x.flatten(1) - mean) @ axes, None, device)

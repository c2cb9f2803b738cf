"""PixelCNN: p(x) as a product over pixels, so that likelihoods are exact, and any beginning can be completed."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from rollouts.errors import UserError, require_positive
from worldmodels.generative.models.base import ImageConfig, ImageModel, Shape, View, adam, labelled_classes
from worldmodels.generative.networks.pixelcnn import PixelCNN, Progress
from worldmodels.generative.objectives.elbo import bits_per_dimension
from worldmodels.generative.objectives.units import Batch, Loss, Unit
from worldmodels.generative.sheets import rows_below
from worldmodels.pictures import Frames
from worldmodels.training.loop import Stateful

CHUNK = 250  #: pictures that are drawn or measured at once
COMPLETIONS = 3  #: of every picture that is shown


@dataclass(frozen=True)
class PixelCNNConfig(ImageConfig):
    """A softmax over the values of every pixel and colour, given all before it."""

    levels: int = 256
    """Values of a pixel's colour: 256 for exact likelihoods of 8-bit pictures; 2 to 16 are learnt in less time."""
    layers: int = 4
    """Layers after the first one, which sees 7x7 pixels; the others see 3x3."""
    gated: bool = True
    """Gates, and two stacks that together see all that came before; otherwise one stack, with a blind spot."""
    conditional: bool = False
    """Give the label to every layer."""

    def build(self, shape: Shape, device: torch.device) -> PixelCNNModel:
        if not shape.size:
            raise ValueError("a PixelCNN needs pictures, not points")
        classes = labelled_classes(shape) if self.conditional else 0
        network = PixelCNN(shape.channels, self.levels, self.width, self.layers, classes, self.gated)
        return PixelCNNModel(network.to(device), shape.size, self.learning_rate)

    @property
    def takes_labels(self) -> bool:
        return self.conditional

    def check(self) -> None:
        super().check()
        require_positive(self, ("layers",))
        if not 2 <= self.levels <= 256:
            raise UserError(f"--levels must be 2 to 256, got {self.levels}.")

    def for_photos(self) -> PixelCNNConfig:
        """Small ones: a picture of 64x64 in colours is drawn in 12,288 steps."""
        return replace(super().for_photos(), size=32)


def quantised(x: Tensor, levels: int) -> Tensor:
    """Pictures in [0, 1] as whole numbers ``0 .. levels - 1``, each for equally many of the 256 values of a byte."""
    return (x * 255).round().clamp(0, 255).long() * levels // 256


def choose_by(rng: torch.Generator) -> Any:
    """A value for every row of logits ``[N, levels]``, drawn with its probability."""

    def choose(logits: Tensor) -> Tensor:
        probabilities = logits.float().softmax(1).cpu()
        return torch.multinomial(probabilities, 1, generator=rng)[:, 0].to(logits.device)

    return choose


class PixelCNNModel(ImageModel):
    """The network, and what follows from exact probabilities."""

    headline = ("bits",)
    watched = 16

    def __init__(self, network: PixelCNN, size: int, rate: float) -> None:
        self.network: PixelCNN = network
        self.size, self.classes, self.optimiser = size, network.classes, adam(network, rate)

    def nats(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Exact negative log likelihoods of pictures ``[N, C, S, S]`` in [0, 1], in nats, ``[N]``."""
        values = quantised(x, self.network.levels)
        logits = self.network(self.network.scaled(values), labels if self.classes else None)
        return F.cross_entropy(logits.float(), values, reduction="none").flatten(1).sum(1)

    def loss(self, batch: Batch) -> Loss:
        """Nats per pixel and colour."""
        nats = self.nats(batch.x, batch.labels).mean() / math.prod(batch.x.shape[1:])
        return Loss(nats, {"bits": nats / math.log(2)})

    def units(self) -> list[Unit]:
        return [Unit("pixels", self.optimiser, self.loss)]

    def parts(self) -> dict[str, Stateful]:
        return {"network": self.network, "optimiser": self.optimiser}

    def draw(self, count: int, rng: torch.Generator, condition: Tensor | None = None) -> Tensor:
        shape = (count, self.network.channels, self.size, self.size)
        if self.classes and condition is None:
            condition = torch.arange(count) % self.classes
        return self.complete(torch.zeros(shape, device=self.device), 0, rng, condition)

    @torch.no_grad()
    def complete(self, x: Tensor, begun: int, rng: torch.Generator, labels: Tensor | None = None) -> Tensor:
        """Pictures ``[N, C, S, S]`` in [0, 1] whose first ``begun`` rows are kept and whose others are drawn."""
        network, drawn = self.network.eval(), []
        labels = labels if self.classes else None
        for start in range(0, len(x), CHUNK):
            values = quantised(x[start : start + CHUNK], network.levels)
            part_labels = None if labels is None else labels[start : start + CHUNK].to(x.device)
            Progress(network, values, part_labels).draw(begun, choose_by(rng))
            drawn.append(values.float() / (network.levels - 1))
        return torch.cat(drawn)

    def views(self) -> dict[str, View]:
        return {**super().views(), "completion": self.completion}

    def completion(self, batch: Batch, count: int = 10) -> Frames:
        """Pictures, their upper halves, and several completions of these."""
        x, labels, half = batch.x[:count], batch.labels, self.size // 2
        labels = None if labels is None else labels[:count]
        upper = x.clone()
        upper[:, :, half:] = 0.5
        completions = [self.complete(x, half, batch.rng, labels) for _ in range(COMPLETIONS)]
        return rows_below([x, upper, *completions])

    @torch.no_grad()
    def measures(self, batch: Batch) -> dict[str, Any]:
        """Exact nats and bits per dimension: of 8-bit pictures, or of the ``levels`` that they were reduced to."""
        self.network.eval()
        parts = batch.x.split(CHUNK)
        labels = [None] * len(parts) if batch.labels is None else batch.labels.split(CHUNK)
        nats = torch.cat([self.nats(x, part_labels) for x, part_labels in zip(parts, labels, strict=True)]).mean()
        prefix = "conditional_" if self.classes else ""
        of = "" if self.network.levels == 256 else f"_of_{self.network.levels}_levels"
        bits = bits_per_dimension(nats.cpu(), math.prod(batch.x.shape[1:]), 1)
        return {f"{prefix}nats{of}": float(nats), f"{prefix}bits_per_dimension{of}": float(bits)}


PIXELCNN = PixelCNNConfig(learning_rate=1e-3, decay=True, batch_size=16, width=24, steps=1500, checkpoint_every=500)
PIXELCNN_CONDITIONAL = replace(PIXELCNN, conditional=True)

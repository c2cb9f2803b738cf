"""A critic with a second opinion, and generators whose noise is uniform, or in part a code."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldmodels.generative.networks.modules import Critic, Generator


class TwoHeads(Critic):
    """A critic with a second linear output ``[N, outputs]`` on the same features.

    Raises:
        ValueError: the critic judges patches, and has no features of the whole sample.
    """

    def __init__(self, critic: Critic, outputs: int) -> None:
        if not isinstance(critic.head, nn.Linear):
            raise ValueError("this model needs a critic of whole pictures: use another --architecture than patchgan")
        super().__init__(critic.body, critic.head)
        self.second = nn.Linear(critic.head.in_features, outputs)

    def both(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits ``[N, 1]`` and the second opinion."""
        features = self.body(x)
        return self.head(features), self.second(features)


class UniformGenerator(Generator):
    """A generator whose noise is uniform in [-1, 1]: the distribution function makes it of latents from N(0, 1)."""

    def __init__(self, generator: Generator) -> None:
        super().__init__(generator.latent_size, generator.body, generator.classes)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(torch.erf(z / math.sqrt(2)), labels)


class CodedGenerator(Generator):
    """Latents ``[N, D]`` from N(0, 1), of which the first become a code: one of ``categories``, and ``numbers``.

    Which of the first ``categories`` latents is the largest is uniform; the distribution function makes the next
    ``numbers`` uniform in [-1, 1]. So whatever draws or walks through normal latents also does so through codes.
    """

    def __init__(self, generator: Generator, categories: int, numbers: int) -> None:
        super().__init__(generator.latent_size, generator.body)
        self.categories, self.numbers = categories, numbers

    def code(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Category ``[N]`` and numbers ``[N, numbers]`` that are in latents."""
        chosen = z[:, : self.categories].argmax(1)
        return chosen, torch.erf(z[:, self.categories : self.categories + self.numbers] / math.sqrt(2))

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        chosen, numbers = self.code(z)
        one_hot = F.one_hot(chosen, self.categories).to(z.dtype)
        return self.body(torch.cat([one_hot, numbers, z[:, self.categories + self.numbers :]], 1))

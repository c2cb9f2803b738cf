"""The networks of a semi-supervised VAE: a conditional VAE, and a classifier for where the class is not known."""

from __future__ import annotations

from torch import Tensor, nn

from worldmodels.generative.networks.modules import VAE


class SemiSupervisedVAE(nn.Module):
    """q(z | x, y), p(x | y, z) and q(y | x).

    Args:
        features: what ``classifier`` gives.
    """

    def __init__(self, vae: VAE, classifier: nn.Module, features: int) -> None:
        super().__init__()
        self.vae, self.classifier, self.classes = vae, classifier, vae.classes
        self.head = nn.Linear(features, vae.classes)

    def class_logits(self, x: Tensor) -> Tensor:
        """Of q(y | x), ``[N, classes]``."""
        return self.head(self.classifier(x))

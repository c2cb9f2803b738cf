"""Generators, critics and autoencoders as modules, with and without class labels.

No network ends in a sigmoid that a loss would have to undo: critics give logits (or unbounded values), decoders give
what their likelihood expects.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """Class numbers ``[N]`` -> one-hot float rows ``[N, classes]``; rows that are already float pass unchanged.

    Raises:
        ValueError: rows have another length.
        RuntimeError: a label is outside ``0 .. classes - 1``.
    """
    if labels.is_floating_point():
        if labels.ndim != 2 or labels.shape[1] != classes:
            raise ValueError(f"expected labels of shape [N, {classes}], got {list(labels.shape)}")
        return labels
    return F.one_hot(labels, classes).to(torch.float32)


def append_labels(x: Tensor, labels: Tensor | None, classes: int, scale: float = 1.0) -> Tensor:
    """Labels as further features of a vector ``[N, D]``, or as further planes of an image ``[N, C, H, W]``.

    Mirza & Osindero (2014). The label is a one-hot row times ``scale``. With ``classes=0``, ``x`` unchanged.

    Raises:
        ValueError: labels are missing, or given to an unconditional network.
    """
    if (labels is None) != (classes == 0):
        raise ValueError("a conditional network needs labels" if classes else "this network takes no labels")
    if labels is None:
        return x
    rows = scale * one_hot(labels, classes).to(x.dtype)
    if x.ndim == 4:
        rows = rows[:, :, None, None].expand(-1, -1, *x.shape[2:])
    return torch.cat([x, rows], 1)


class Generator(nn.Module):
    """Latent vectors ``[N, latent_size]`` (and labels ``[N]``) to samples.

    Args:
        body: takes ``latent_size + classes`` features.
    """

    def __init__(self, latent_size: int, body: nn.Module, classes: int = 0) -> None:
        super().__init__()
        self.latent_size, self.classes, self.body = latent_size, classes, body

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.body(append_labels(z, labels, self.classes))


class Critic(nn.Module):
    """Samples (and labels) to one logit each ``[N, 1]``, or to a map of logits when ``head`` gives one.

    Conditional in one of two ways: labels as input planes, or the projection of Miyato & Koyama (2018, eq. 3),
    ``head(f) + <embedding(label), f>`` of the features f, where ``projection`` is their number.

    Args:
        body: samples to features; takes ``classes`` more channels when labels come as planes.
        head: features to logits.
    """

    def __init__(self, body: nn.Module, head: nn.Module, classes: int = 0, projection: int = 0) -> None:
        super().__init__()
        self.body, self.head, self.classes = body, head, classes
        # A Linear on one-hot rows is an embedding that spectral normalisation finds by itself.
        self.embedding = nn.Linear(classes, projection, bias=False) if projection else None

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        if self.embedding is None:
            # So that a plane varies as much as a pixel does: a critic hardly looks at planes of 0 and 1.
            return self.head(self.body(append_labels(x, labels, self.classes, self.classes**0.5)))
        if labels is None:
            raise ValueError("a conditional network needs labels")
        features = self.body(x)
        projected = self.embedding(one_hot(labels, self.classes).to(x.dtype))
        return self.head(features) + (features * projected).sum(1, keepdim=True)


class Autoencoder(nn.Module):
    """Samples to a short code ``[N, latent_size]`` and back.

    Args:
        encoder: samples to ``features`` features.
        decoder: code to the input of a likelihood (logits or means).
        sigmoid_code: squash the code into (0, 1), as activations whose sparsity can be counted.
    """

    def __init__(
        self, encoder: nn.Module, features: int, latent_size: int, decoder: nn.Module, sigmoid_code: bool = False
    ) -> None:
        super().__init__()
        self.latent_size, self.sigmoid_code = latent_size, sigmoid_code
        self.encoder, self.code, self.decoder = encoder, nn.Linear(features, latent_size), decoder

    def encode(self, x: Tensor) -> Tensor:
        code = self.code(self.encoder(x))
        return torch.sigmoid(code) if self.sigmoid_code else code

    def decode(self, code: Tensor) -> Tensor:
        return self.decoder(code)

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))


class VAE(nn.Module):
    """Samples to a Gaussian over latents, latents to the input of a likelihood; with ``classes``, a conditional VAE.

    Kingma & Welling (2014); Sohn et al. (2015) for the conditional one, whose encoder and decoder both see the label.

    Args:
        encoder: samples (with label planes) to ``features`` features.
        decoder: ``latent_size + classes`` features to logits or means.
        learned_variance: also learn one log variance of the Gaussian likelihood, shared by all pixels.
        prior: what makes the prior's mixture, given an encoder (``priors.py``); N(0, 1) where there is none.
    """

    def __init__(
        self,
        encoder: nn.Module,
        features: int,
        latent_size: int,
        decoder: nn.Module,
        classes: int = 0,
        learned_variance: bool = False,
        prior: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.latent_size, self.classes, self.prior = latent_size, classes, prior
        self.encoder, self.decoder = encoder, decoder
        self.mean, self.logvar = nn.Linear(features, latent_size), nn.Linear(features, latent_size)
        self.output_logvar = nn.Parameter(torch.zeros(())) if learned_variance else None

    def encode(self, x: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean and log variance of q(z | x), each ``[N, latent_size]``."""
        features = self.encoder(append_labels(x, labels, self.classes))
        return self.mean(features), self.logvar(features)

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.decoder(append_labels(z, labels, self.classes))

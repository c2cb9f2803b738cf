"""A semi-supervised VAE: it knows the class of a few pictures, and guesses that of all others."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rollouts.errors import require_at_least, require_positive
from worldmodels.generative.data.samples import Samples
from worldmodels.generative.models.base import (
    ImageConfig,
    LatentModel,
    Shape,
    View,
    adam,
    labelled_classes,
)
from worldmodels.generative.models.views import reconstructions
from worldmodels.generative.networks.coders import coder
from worldmodels.generative.networks.modules import VAE
from worldmodels.generative.networks.semi_supervised import SemiSupervisedVAE
from worldmodels.generative.objectives.autoencoders import LikelihoodName, likelihood_of
from worldmodels.generative.objectives.semi_supervised import SemiSupervised
from worldmodels.generative.objectives.units import Batch, Unit
from worldmodels.training.loop import Stateful


@dataclass(frozen=True)
class SemiSupervisedConfig(ImageConfig):
    """A VAE that knows the class of a few samples."""

    labelled: int = 100
    """Samples whose label training may see, as many of every class as possible; all others are used without."""
    likelihood: LikelihoodName = "bernoulli"
    """What the reconstruction error is: cross-entropy, or squared error by --variance."""
    variance: float = 0.1
    """Of the Gaussian likelihood, per pixel."""
    class_weight: float = 50.0
    """Times the classifier's error on labelled samples, in nats (alpha)."""

    def build(self, shape: Shape, device: torch.device) -> SemiSupervisedModel:
        classes = labelled_classes(shape)
        if self.likelihood == "gaussian-learned":
            raise ValueError("a semi-supervised VAE has a fixed variance, or one per pixel: use --likelihood gaussian")
        if not shape.size and self.likelihood == "bernoulli":
            raise ValueError("points need --likelihood gaussian, not bernoulli")
        size, channels, latent, width = shape.size, shape.channels, self.latent_size, self.width
        outputs = (2 if self.likelihood == "gaussian-per-pixel" else 1) * channels
        encoder, features, decoder = coder("conv", size, channels, latent, width, classes, outputs)
        classifier = coder("conv", size, channels, latent, width)
        vae = VAE(encoder, features, latent, decoder, classes)
        network = SemiSupervisedVAE(vae, classifier.encoder, classifier.features).to(device)
        likelihood = likelihood_of(self.likelihood, self.variance)
        optimiser = adam(network, self.learning_rate)
        return SemiSupervisedModel(SemiSupervised(network, likelihood, optimiser, self.class_weight))

    def shown(self, samples: Samples) -> Samples:
        """``labelled`` samples with their labels, and all training samples without."""
        labels = samples.train_labels
        assert labels is not None
        order = np.random.default_rng(self.seed).permutation(len(labels))
        places = np.empty(len(labels), np.int64)  #: of every sample among those of its class
        for label in range(samples.classes):
            members = order[labels[order] == label]
            places[members] = np.arange(len(members))
        chosen = np.sort(order[np.argsort(places[order], kind="stable")][: self.labelled])
        return replace(samples, train=samples.train[chosen], train_labels=labels[chosen], train_other=samples.train)

    @property
    def takes_labels(self) -> bool:
        return True

    def for_points(self) -> SemiSupervisedConfig:
        return replace(super().for_points(), likelihood="gaussian", variance=0.01, labelled=200)

    def check(self) -> None:
        super().check()
        require_positive(self, ("labelled", "variance"))
        require_at_least(0, self, ("class_weight",))


class SemiSupervisedModel(LatentModel):
    """A conditional VAE with a classifier of its own."""

    headline = ("class_error", "labelled_bound")

    def __init__(self, objective: SemiSupervised) -> None:
        self.objective, self.likelihood = objective, objective.likelihood
        self.network: SemiSupervisedVAE = objective.model
        self.latent_size, self.classes = self.network.vae.latent_size, self.network.classes

    def units(self) -> list[Unit]:
        return self.objective.units()

    def parts(self) -> dict[str, Stateful]:
        return self.objective.parts()

    @torch.no_grad()
    def encode(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Of the class in ``condition``, or else of the one that the classifier sees."""
        network = self.network.eval()
        return network.vae.encode(x, network.class_logits(x).argmax(1) if condition is None else condition)[0]

    def decode(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.likelihood.mean(self.network.eval().vae.decode(z, condition))

    def views(self) -> dict[str, View]:
        return {**super().views(), "reconstructions": lambda batch: reconstructions(self, batch)}

    @torch.no_grad()
    def measures(self, batch: Batch) -> dict[str, Any]:
        """How often the classifier is right, and the bound of log p(x) without labels, in nats."""
        assert batch.labels is not None
        network = self.network.eval()
        right = (network.class_logits(batch.x).argmax(1) == batch.labels).double().mean()
        bound = self.objective.unlabelled(batch.x, batch.normal(len(batch.x) * self.classes, self.latent_size)).mean()
        proper = not self.likelihood.binary or bool(((batch.x == 0) | (batch.x == 1)).all())
        codes = self.encode(batch.x, batch.labels)
        error = (self.decode(codes, batch.labels) - batch.x).square().flatten(1).sum(1).mean()
        name = "elbo" if proper else "cross_entropy_elbo"
        return {"classifier_accuracy": float(right), name: float(bound), "squared_error": float(error)}


SEMI_SUPERVISED = SemiSupervisedConfig(latent_size=16, learning_rate=1e-3, decay=True)

"""The bounds of a semi-supervised VAE (M2), as one update unit. Kingma et al. (2014), section 3.2."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from worldmodels.generative.networks.semi_supervised import SemiSupervisedVAE
from worldmodels.generative.objectives.autoencoders import Likelihood
from worldmodels.generative.objectives.losses import wide
from worldmodels.generative.objectives.units import Batch, Loss, Unit
from worldmodels.training.loop import Stateful
from worldmodels.vae import kl_to_standard_normal, reparameterise


def unlabelled_bound(bounds: Tensor, class_logits: Tensor) -> Tensor:
    """``sum_y q(y | x) (L(x, y) - log q(y | x))``: a lower bound of log p(x), from lower bounds L of log p(x, y).

    Both ``[N, classes]`` -> ``[N]``. Where L is exact, it is log p(x) less the KL from q(y | x) to the true posterior.
    Equation 7 of the paper.
    """
    log_q = class_logits.log_softmax(1)
    return (log_q.exp() * (bounds - log_q)).sum(1)


class SemiSupervised:
    """Minus the bounds of labelled and of unlabelled samples, and the classifier's error on the labelled ones.

    ``batch.x`` and ``batch.labels`` are labelled, ``batch.other`` is not. The class has a uniform prior.

    Args:
        class_weight: times that error (alpha), without which labels would not teach the classifier.
    """

    def __init__(
        self,
        model: SemiSupervisedVAE,
        likelihood: Likelihood,
        optimiser: torch.optim.Optimizer,
        class_weight: float,
    ) -> None:
        self.model, self.likelihood, self.optimiser, self.class_weight = model, likelihood, optimiser, class_weight

    def labelled(self, x: Tensor, labels: Tensor, noise: Tensor) -> Tensor:
        """``E log p(x | y, z) - KL(q(z | x, y) || N(0, 1)) + log p(y)``, a lower bound of log p(x, y), ``[N]``."""
        vae = self.model.vae
        mean, logvar = (wide(part) for part in vae.encode(x, labels))
        nll = self.likelihood.nll(vae.decode(reparameterise(mean, logvar, noise), labels), x)
        return -nll - kl_to_standard_normal(mean, logvar).sum(1) - math.log(self.model.classes)

    def unlabelled(self, x: Tensor, noise: Tensor) -> Tensor:
        """A lower bound of log p(x), ``[N]``: every class is tried, with ``noise [N * classes, latent_size]``."""
        classes, count = self.model.classes, len(x)
        labels = torch.arange(classes, device=x.device).repeat(count)
        bounds = self.labelled(x.repeat_interleave(classes, 0), labels, noise).reshape(count, classes)
        return unlabelled_bound(bounds, wide(self.model.class_logits(x)))

    def loss(self, batch: Batch) -> Loss:
        assert batch.labels is not None
        size, classes = self.model.vae.latent_size, self.model.classes
        bound = self.labelled(batch.x, batch.labels, batch.normal(len(batch.x), size)).mean()
        wrong = F.cross_entropy(wide(self.model.class_logits(batch.x)), batch.labels)
        total, terms = -bound + self.class_weight * wrong, {"labelled_bound": bound, "class_error": wrong}
        if batch.other is not None:
            other = self.unlabelled(batch.other, batch.normal(len(batch.other) * classes, size)).mean()
            total, terms = total - other, {**terms, "bound": other}
        return Loss(total, terms)

    def units(self) -> list[Unit]:
        return [Unit("semi-supervised", self.optimiser, self.loss)]

    def parts(self) -> dict[str, Stateful]:
        """What a checkpoint must hold."""
        return {"model": self.model, "optimiser": self.optimiser}

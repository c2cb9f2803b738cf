"""AC-GAN: a generator of classes, and a critic that is not told them but names them."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from rollouts.errors import UserError, require_at_least
from worldmodels.generative.models.base import Shape, labelled_classes
from worldmodels.generative.models.gan import GANConfig, GANModel
from worldmodels.generative.networks.heads import TwoHeads
from worldmodels.generative.objectives.auxiliary import ACGAN


@dataclass(frozen=True)
class ACGANConfig(GANConfig):
    """A generator of classes against a critic that names them."""

    class_weight: float = 1.0
    """Times the error of the class that the critic names."""

    def build(self, shape: Shape, device: torch.device) -> GANModel:
        classes = labelled_classes(shape)
        generator, critic = self.networks(shape, classes)
        named = TwoHeads(critic, classes)
        return GANModel(ACGAN(generator.to(device), named.to(device), *self.rules(), weight=self.class_weight))

    @property
    def takes_labels(self) -> bool:
        return True

    def check(self) -> None:
        super().check()
        require_at_least(0, self, ("class_weight",))

    def check_networks(self, points: bool) -> None:
        super().check_networks(points)
        if self.conditioning != "none":
            raise UserError("The critic of an AC-GAN names the class itself: leave out --conditioning.")
        if self.architecture == "foster" and not points:
            raise UserError("The networks of --architecture foster take no labels; use another one.")


# A weight of 1, as published, meets critics whose slope is not held at 1: here it leaves one picture of every class.
ACGAN_QUICK = ACGANConfig(spectral_norm=True, class_weight=0.1)

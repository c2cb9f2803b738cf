"""InfoGAN: some of the noise becomes a code that can be read off the sample, without any labels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import torch

from rollouts.errors import UserError, require_at_least, require_positive
from worldmodels.generative.models.base import Shape, View, decode_all
from worldmodels.generative.models.gan import GANConfig, GANModel
from worldmodels.generative.networks.heads import CodedGenerator, TwoHeads
from worldmodels.generative.objectives.auxiliary import InfoGAN, information_bound
from worldmodels.generative.objectives.units import Batch
from worldmodels.generative.sheets import picture
from worldmodels.pictures import Frames

READ = 1000  #: samples from which the information in the code is estimated
COLUMNS = 10  #: of the picture of codes


@dataclass(frozen=True)
class InfoGANConfig(GANConfig):
    """A GAN part of whose noise is a code that the critic can read."""

    categories: int = 10
    """Categories of the first part of the code."""
    numbers: int = 2
    """Numbers between -1 and 1 in the rest of the code."""
    code_weight: float = 1.0
    """Times the error with which the code is read."""

    def build(self, shape: Shape, device: torch.device) -> InfoGANModel:
        if self.latent_size < self.categories + self.numbers:
            raise ValueError(
                f"a code of {self.categories} categories and {self.numbers} numbers needs --latent-size of at least "
                f"{self.categories + self.numbers}, not {self.latent_size}"
            )
        generator, critic = self.networks(shape, 0)
        coded = CodedGenerator(generator, self.categories, self.numbers)
        reader = TwoHeads(critic, self.categories + self.numbers)
        return InfoGANModel(InfoGAN(coded.to(device), reader.to(device), *self.rules(), weight=self.code_weight))

    def for_points(self) -> InfoGANConfig:
        config = cast(InfoGANConfig, super().for_points())
        return replace(config, latent_size=self.categories + self.numbers + 2)

    def check(self) -> None:
        super().check()
        require_positive(self, ("categories",))
        require_at_least(0, self, ("numbers", "code_weight"))

    def check_networks(self, points: bool) -> None:
        super().check_networks(points)
        if self.conditioning != "none":
            raise UserError("An InfoGAN finds its own classes: leave out --conditioning, or use cgan-projection.")
        if self.noise != "normal":
            raise UserError("Of an InfoGAN's noise, --numbers are uniform, and the rest is normal: leave out --noise.")


class InfoGANModel(GANModel):
    """A GAN with a code."""

    game: InfoGAN

    def views(self) -> dict[str, View]:
        return {**super().views(), "codes": lambda batch: self._codes(batch)}

    @torch.no_grad()
    def measures(self, batch: Batch) -> dict[str, Any]:
        """What a sample tells of the category it was made from: at least so many nats, log(categories) at most."""
        z = torch.randn(READ, self.latent_size, generator=batch.rng).to(self.device)
        samples, chosen = self.generator.eval()(z), self.game.generator.code(z)[0]
        guess = self.game.critic.eval().both(samples)[1][:, : self.game.generator.categories].log_softmax(1)
        bound = information_bound(guess.gather(1, chosen[:, None])[:, 0], self.game.generator.categories)
        return {"code_information": float(bound)}

    def _codes(self, batch: Batch) -> Frames:
        """A row for every category; from left to right the first number grows, the rest of the noise keeps still."""
        categories, numbers = self.game.generator.categories, self.game.generator.numbers
        z = torch.randn(1, self.latent_size, generator=batch.rng).repeat(categories * COLUMNS, 1)
        z[:, :categories] = torch.eye(categories).repeat_interleave(COLUMNS, 0)
        if numbers:
            z[:, categories] = torch.linspace(-2, 2, COLUMNS).repeat(categories)
        return picture(decode_all(self, z), COLUMNS)


# As in acgan.py: 1, as published, would leave one picture of every category.
INFOGAN = InfoGANConfig(spectral_norm=True, code_weight=0.1)

"""BiGAN and ALI: a generator, an encoder that undoes it, and a critic of pairs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import torch
from torch import Tensor

from rollouts.errors import require_below_one, require_positive
from worldmodels.generative.models.base import ImageConfig, Shape, View, adam
from worldmodels.generative.models.gan import GeneratorModel
from worldmodels.generative.models.views import reconstructions
from worldmodels.generative.networks.coders import conv_coder, mlp_coder
from worldmodels.generative.networks.dcgan import dcgan_critic, dcgan_generator
from worldmodels.generative.networks.pairs import Inference, PairCritic
from worldmodels.generative.networks.perceptrons import mlp_critic, mlp_generator
from worldmodels.generative.objectives.bigan import BiGAN
from worldmodels.generative.objectives.penalties import spectrally_normalise
from worldmodels.generative.objectives.units import Batch, Unit
from worldmodels.training.loop import Stateful


@dataclass(frozen=True)
class BiGANConfig(ImageConfig):
    """A generator and an encoder against a critic of pairs."""

    stochastic: bool = False
    """The encoder gives a Gaussian (ALI), not a point (BiGAN)."""
    critic_learning_rate: float = 2e-4
    """Step size of the critic."""
    spectral_norm: bool = True
    """Divide every weight of the critic by its largest singular value: pairs are soon told apart without."""
    beta1: float = 0.5
    """Adam's first moment."""
    average_decay: float = 0.995
    """Of the moving average of generator and encoder that are used in the end; 0 is no averaging."""

    def build(self, shape: Shape, device: torch.device) -> BiGANModel:
        size, channels, latent, width = shape.size, shape.channels, self.latent_size, self.width
        if size:
            generator, critic = dcgan_generator(size, channels, latent, width), dcgan_critic(size, channels, width)
            encoder, features, _ = conv_coder(size, channels, latent, width)
        else:
            generator, critic = mlp_generator(channels, latent, width), mlp_critic(channels, width)
            encoder, features, _ = mlp_coder(channels, latent, width)
        pair = Inference(generator, encoder, features, self.stochastic)
        judge = PairCritic(critic, latent, 8 * width)
        if self.spectral_norm:
            spectrally_normalise(judge)
        make_adam = partial(adam, betas=(self.beta1, 0.999))
        game = BiGAN(
            pair.to(device),
            judge.to(device),
            partial(make_adam, rate=self.learning_rate),
            partial(make_adam, rate=self.critic_learning_rate),
            self.average_decay,
        )
        return BiGANModel(game)

    def for_points(self) -> BiGANConfig:
        return replace(super().for_points(), critic_learning_rate=2e-3)

    def check(self) -> None:
        super().check()
        require_positive(self, ("critic_learning_rate",))
        require_below_one(self, ("average_decay", "beta1"))


class BiGANModel(GeneratorModel):
    """A generator with an encoder that no reconstruction error has taught."""

    def __init__(self, game: BiGAN) -> None:
        inference = cast(Inference, game.average.network)
        super().__init__(inference.generator, ("critic", "generator"))
        self.network, self.inference, self.game = inference, inference, game

    def units(self) -> list[Unit]:
        return self.game.units()

    def parts(self) -> dict[str, Stateful]:
        return self.game.parts()

    @torch.no_grad()
    def encode(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.inference.eval().encode(2 * x - 1 if x.ndim == 4 else x)[0]

    def views(self) -> dict[str, View]:
        return {**super().views(), "reconstructions": lambda batch: reconstructions(self, batch)}

    @torch.no_grad()
    def measures(self, batch: Batch) -> dict[str, float]:
        error = (self.decode(self.encode(batch.x)) - batch.x).square().flatten(1).sum(1).mean()
        return {"squared_error": float(error)}


ALI = BiGANConfig(stochastic=True)

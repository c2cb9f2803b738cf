"""LAPGAN: one GAN for the smallest pictures, and one for each doubling that adds the detail which is missing.

Denton et al. (2015): a Laplacian pyramid, in which a picture is its half size, enlarged, plus a residual. The GAN of a
level makes residuals that suit the enlarged picture; here its critic judges the picture together with the enlarged one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from rollouts.errors import require_below_one, require_positive
from worldmodels.generative.models.base import ImageConfig, ImageModel, Shape, adam
from worldmodels.generative.networks.modules import Critic, Generator
from worldmodels.generative.networks.perceptrons import mlp_critic, mlp_generator
from worldmodels.generative.networks.pyramid import Residual, ResidualCritic, halved
from worldmodels.generative.objectives.gan import GAN
from worldmodels.generative.objectives.losses import NON_SATURATING
from worldmodels.generative.objectives.units import Batch, Loss, Unit
from worldmodels.training.loop import Stateful

SMALLEST = 8  #: side up to which pictures are made at once
CHUNK = 250  #: samples that are drawn at once


@dataclass(frozen=True)
class LAPGANConfig(ImageConfig):
    """A pyramid of GANs, each of which adds detail."""

    critic_learning_rate: float = 2e-4
    """Step size of the critics."""
    beta1: float = 0.5
    """Adam's first moment."""
    average_decay: float = 0.995
    """Of the moving averages of the generators that samples are drawn from; 0 is no averaging."""

    def build(self, shape: Shape, device: torch.device) -> LAPGANModel:
        if not shape.size:
            raise ValueError("a pyramid needs pictures, and these are points")
        side, sides = shape.size, []
        while side > SMALLEST and side % 2 == 0:
            sides.append(side)
            side //= 2
        if side > 2 * SMALLEST:
            raise ValueError(f"{shape.size}x{shape.size} pictures cannot be halved down to {SMALLEST} or a little more")
        make_adam = partial(adam, betas=(self.beta1, 0.999))
        optimisers = partial(make_adam, rate=self.learning_rate), partial(make_adam, rate=self.critic_learning_rate)
        pixels, hidden, cube = shape.channels * side * side, 8 * self.width, (shape.channels, side, side)
        smallest, judge = mlp_generator(pixels, self.latent_size, hidden), mlp_critic(pixels, hidden)
        levels: list[tuple[Any, Any]] = [
            (
                Generator(self.latent_size, nn.Sequential(smallest.body, nn.Tanh(), nn.Unflatten(1, cube))),
                Critic(nn.Sequential(nn.Flatten(), judge.body), judge.head),
            ),
            *((Residual(shape.channels, self.width), ResidualCritic(shape.channels, self.width)) for _ in sides),
        ]
        return LAPGANModel(
            [
                (LevelGAN if level else GAN)(
                    generator.to(device),
                    critic.to(device),
                    NON_SATURATING,
                    *optimisers,
                    average_decay=self.average_decay,
                )
                for level, (generator, critic) in enumerate(levels)
            ]
        )

    def check(self) -> None:
        super().check()
        require_positive(self, ("critic_learning_rate",))
        require_below_one(self, ("average_decay", "beta1"))


class LevelGAN(GAN):
    """The GAN of one doubling, on pictures of its own side: both sides see the half-size picture, enlarged."""

    generator: Any
    critic: Any

    def critic_loss(self, batch: Batch) -> Loss:
        low = halved(batch.x)
        with torch.no_grad():
            fake = self.generator(low, batch.normal(len(low), 1, *batch.x.shape[2:]))
        logits = self.critic(torch.cat([batch.x, fake]), torch.cat([low, low]))
        loss = self.game.critic(logits[: len(low)], logits[len(low) :])
        return Loss(loss.total, {"critic": loss.total, "critic_real": loss.real, "critic_fake": loss.fake})

    def generator_loss(self, batch: Batch) -> Loss:
        low = halved(batch.x)
        fake = self.generator(low, batch.normal(len(low), 1, *batch.x.shape[2:]))
        loss = self.game.generator(self.critic(fake, low))
        return Loss(loss, {"generator": loss})


class LAPGANModel(ImageModel):
    """Draws from the smallest pictures upwards; it has no latent vector."""

    low, headline = -1.0, ("level_0_generator",)

    def __init__(self, games: list[GAN]) -> None:
        self.games = games
        self.network = nn.ModuleList([game.average.network for game in games])

    def units(self) -> list[Unit]:
        return [self._at(level, unit) for level, game in enumerate(self.games) for unit in game.units()]

    def _at(self, level: int, unit: Unit) -> Unit:
        """The unit of one level, on pictures that are halved down to it."""
        halvings = len(self.games) - 1 - level

        def loss(batch: Batch) -> Loss:
            x = batch.x
            for _ in range(halvings):
                x = halved(x)
            level_loss = unit.loss(batch._replace(x=x))
            return Loss(level_loss.total, {f"level_{level}_{name}": value for name, value in level_loss.terms.items()})

        return Unit(f"level_{level}_{unit.name}", unit.optimiser, loss, unit.repeats, unit.after)

    def parts(self) -> dict[str, Stateful]:
        named = [(level, *part) for level, game in enumerate(self.games) for part in game.parts().items()]
        return {f"level_{level}_{name}": part for level, name, part in named}

    @torch.no_grad()
    def draw(self, count: int, rng: torch.Generator, condition: Tensor | None = None) -> Tensor:
        return torch.cat([self._drawn(min(CHUNK, count - start), rng) for start in range(0, count, CHUNK)])

    def _drawn(self, count: int, rng: torch.Generator) -> Tensor:
        smallest, *levels = (game.average.network.eval() for game in self.games)
        x = smallest(torch.randn(count, self.games[0].generator.latent_size, generator=rng).to(self.device))
        for level in levels:
            side = 2 * x.shape[-1]
            x = level(x, torch.randn(count, 1, side, side, generator=rng).to(self.device))
        return ((x + 1) / 2).clamp(0, 1)

"""Generators against critics: a game, a penalty, an architecture and a kind of conditioning, freely combined."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from rollouts.errors import UserError, require_at_least, require_below_one, require_positive
from worldmodels.generative.models.base import (
    ImageConfig,
    LatentModel,
    Shape,
    adam,
    labelled_classes,
)
from worldmodels.generative.networks import foster
from worldmodels.generative.networks.dcgan import Conditioning, Upsampling, dcgan_critic, dcgan_generator
from worldmodels.generative.networks.heads import UniformGenerator
from worldmodels.generative.networks.modules import Critic, Generator
from worldmodels.generative.networks.patchgan import patchgan
from worldmodels.generative.networks.perceptrons import mlp_critic, mlp_generator
from worldmodels.generative.networks.resnet import resnet_critic, resnet_generator
from worldmodels.generative.objectives.augment import AdaptiveAugment, Policy, augmenter, refuse_augmented_points
from worldmodels.generative.objectives.f_divergences import (
    JENSEN_SHANNON,
    KL,
    PEARSON,
    REVERSE_KL,
    SQUARED_HELLINGER,
    TOTAL_VARIATION,
    f_game,
)
from worldmodels.generative.objectives.gan import GAN, Penalty, around_real, between_real_and_fake
from worldmodels.generative.objectives.losses import (
    HINGE,
    LEAST_SQUARES,
    MINIMAX,
    NON_SATURATING,
    WASSERSTEIN,
    Adversarial,
)
from worldmodels.generative.objectives.penalties import spectrally_normalise
from worldmodels.generative.objectives.players import Players
from worldmodels.generative.objectives.units import Unit
from worldmodels.training.loop import Stateful

LossName = Literal[
    "minimax",
    "non-saturating",
    "least-squares",
    "wasserstein",
    "hinge",
    "f-kl",
    "f-reverse-kl",
    "f-pearson",
    "f-hellinger",
    "f-jensen-shannon",
    "f-total-variation",
]
PenaltyName = Literal["none", "gradient", "dragan"]
GANArchitecture = Literal["dcgan", "dcgan-resize", "resnet", "patchgan", "foster"]
OptimiserName = Literal["adam", "rmsprop", "sgd"]

GANPolicy = Literal[Policy, "adaptive"]

GAMES: dict[LossName, Adversarial] = {
    "minimax": MINIMAX,
    "non-saturating": NON_SATURATING,
    "least-squares": LEAST_SQUARES,
    "wasserstein": WASSERSTEIN,
    "hinge": HINGE,
    "f-kl": f_game(KL),
    "f-reverse-kl": f_game(REVERSE_KL),
    "f-pearson": f_game(PEARSON),
    "f-hellinger": f_game(SQUARED_HELLINGER),
    "f-jensen-shannon": f_game(JENSEN_SHANNON),
    "f-total-variation": f_game(TOTAL_VARIATION),
}
PENALTIES: dict[PenaltyName, Penalty | None] = {
    "none": None,
    "gradient": between_real_and_fake,
    "dragan": around_real,
}

PHOTO_RATE = 4e-4  #: twice the usual step size: half an hour is soon over


@dataclass(frozen=True)
class GANConfig(ImageConfig):
    """A generator against a critic; loss, penalty, constraint, architecture and conditioning combine freely."""

    loss: LossName = "non-saturating"
    """The game; those called f- estimate the divergence of that name (Nowozin et al. 2016)."""
    architecture: GANArchitecture = "dcgan"
    """Networks for images ("foster" is the 28x28 GAN of the book); points always take perceptrons."""
    conditioning: Conditioning = "none"
    """How the critic learns the label: as input planes, or by projection. The generator gets it with its noise."""
    noise: Literal["normal", "uniform"] = "normal"
    """What the generator makes pictures of: from N(0, 1), or uniform in [-1, 1]."""
    penalty: PenaltyName = "none"
    """On the critic's gradient: between real and fake (WGAN-GP), or around real (DRAGAN)."""
    penalty_weight: float = 10.0
    """Times the penalty."""
    spectral_norm: bool = False
    """Divide every weight of the critic by its largest singular value."""
    batch_norm: bool = False
    """Normalise the critic's activations over the batch (impossible with a penalty). PatchGAN has instance
    normalisation otherwise."""
    clip: float = 0.0
    """Bound on the critic's parameters after each of its updates; 0 is none."""
    critic_steps: int = 1
    """Critic updates per step."""
    critic_learning_rate: float = 2e-4
    """Step size of the critic."""
    optimiser: OptimiserName = "adam"
    """RMSProp is for weight clipping, where momentum does harm (Arjovsky et al. 2017); sgd has momentum --beta1."""
    rms_decay: float = 0.99
    """How much RMSProp keeps of its mean squared gradient; Keras has 0.9."""
    beta1: float = 0.5
    """Adam's first moment, and the momentum of sgd."""
    beta2: float = 0.999
    """Adam's second moment."""
    diffaugment: GANPolicy = "none"
    """Disturb what the critic sees, real and fake alike, so that few pictures last longer: colour, translation, cutout,
    colour-translation, or all of them; adaptive: as much as the critic needs (ADA)."""
    average_decay: float = 0.995
    """Of the moving average of the generator that samples are drawn from; 0 is no averaging."""

    def build(self, shape: Shape, device: torch.device) -> GANModel:
        generator, critic = self.networks(shape, labelled_classes(shape) if self.takes_labels else 0)
        return GANModel(GAN(generator.to(device), critic.to(device), *self.rules()))

    def networks(self, shape: Shape, classes: int) -> tuple[Generator, Critic]:
        """A generator of ``classes``, and a critic that takes them as ``conditioning`` says."""
        critic_classes = 0 if self.conditioning == "none" else classes
        networks = self._image_networks if shape.size else self._point_networks
        generator, critic = networks(shape, classes, critic_classes)
        if self.spectral_norm:
            spectrally_normalise(critic)
        return UniformGenerator(generator) if self.noise == "uniform" else generator, critic

    def rules(self) -> tuple[Any, ...]:
        """The arguments of :class:`GAN` after its networks, in its order."""
        return (
            GAMES[self.loss],
            self._optimiser(self.learning_rate),
            self._optimiser(self.critic_learning_rate),
            self.critic_steps,
            PENALTIES[self.penalty],
            self.penalty_weight,
            self.clip or None,
            self.average_decay,
            None if self.diffaugment == "adaptive" else augmenter(self.diffaugment),
            AdaptiveAugment() if self.diffaugment == "adaptive" else None,
        )

    def _image_networks(self, shape: Shape, classes: int, critic_classes: int) -> tuple[Generator, Critic]:
        size, channels, latent, width = shape.size, shape.channels, self.latent_size, self.width
        norm = nn.BatchNorm2d if self.batch_norm else None
        if self.architecture == "foster":
            if (size, channels, latent, classes) != (28, 1, 100, 0):
                raise ValueError("the foster networks are for 28x28 grey images, --latent-size 100, without labels")
            return foster.gan_generator(), foster.gan_discriminator()
        if self.architecture == "resnet":
            generator = resnet_generator(size, channels, latent, width, classes)
            return generator, resnet_critic(size, channels, width, critic_classes, self.conditioning)
        up: Upsampling = "resize" if self.architecture == "dcgan-resize" else "transposed"
        generator = dcgan_generator(size, channels, latent, width, up, classes=classes)
        if self.architecture == "patchgan":
            if self.conditioning == "projection":
                raise ValueError("a PatchGAN takes labels as planes, not by projection")
            # Without a normalisation, weights of N(0, 0.02) would let hardly any signal through (spectral normalisation
            # scales them itself); a normalisation over the batch is there for those who ask for it.
            isolas = norm or (None if self.spectral_norm else nn.InstanceNorm2d)
            return generator, patchgan(size, channels, width, isolas, critic_classes)
        return generator, dcgan_critic(size, channels, width, norm, critic_classes, self.conditioning)

    def _point_networks(self, shape: Shape, classes: int, critic_classes: int) -> tuple[Generator, Critic]:
        generator = mlp_generator(shape.channels, self.latent_size, self.width, classes)
        return generator, mlp_critic(shape.channels, self.width, critic_classes, self.conditioning)

    def _optimiser(self, rate: float) -> Callable[[nn.Module], torch.optim.Optimizer]:
        if self.optimiser == "rmsprop":
            return partial(_rmsprop, rate=rate, decay=self.rms_decay)
        if self.optimiser == "sgd":
            return partial(_sgd, rate=rate, momentum=self.beta1)
        return partial(adam, rate=rate, betas=(self.beta1, self.beta2))

    @property
    def takes_labels(self) -> bool:
        return self.conditioning != "none"

    def for_points(self) -> GANConfig:
        """A critic that learns twice as fast finds all modes with seeds that otherwise miss some; the idea of two time
        scales is Heusel et al.'s (2017). Gulrajani et al. (2017) use penalty weight 0.1 for these data."""
        config = replace(super().for_points(), critic_learning_rate=2e-3, penalty_weight=0.1, batch_norm=False)
        if config.clip:  # 0.01, meant for sums over thousands of inputs, leaves so narrow a critic almost flat
            config = replace(config, clip=0.05)
        if config.spectral_norm:  # a critic of slope 1 tells modes of width 0.014 apart only slowly
            config = replace(config, loss="non-saturating", critic_steps=3)
        return config

    def check(self) -> None:
        super().check()
        require_positive(self, ("critic_steps", "critic_learning_rate"))
        require_at_least(0, self, ("clip", "penalty_weight"))
        require_below_one(self, ("average_decay", "beta1", "beta2", "rms_decay"))

    def for_photos(self) -> GANConfig:
        """Resizing leaves no checkerboard, which few steps do not wash out; a spectrally normalised critic, whose slope
        is 1 at most, learns too slowly at the generator's rate to tell disturbed pictures apart."""
        architecture: GANArchitecture = "dcgan-resize" if self.architecture == "dcgan" else self.architecture
        config = replace(super().for_photos(), diffaugment="all", average_decay=0.998, architecture=architecture)
        if self.optimiser != "adam":
            return config
        critic_rate = 2.5 * PHOTO_RATE if self.spectral_norm else PHOTO_RATE
        return replace(config, learning_rate=PHOTO_RATE, critic_learning_rate=critic_rate)

    def check_networks(self, points: bool) -> None:
        super().check_networks(points)
        refuse_augmented_points(self.diffaugment, points)
        if self.diffaugment == "adaptive" and self.loss == "wasserstein":
            raise UserError(
                "--diffaugment adaptive follows the sign of the critic's logits, which a Wasserstein critic may move "
                "as it likes; give all."
            )
        if self.batch_norm and (points or self.architecture in ("resnet", "foster")):
            networks = "Perceptrons for points" if points else f"The networks of --architecture {self.architecture}"
            raise UserError(f"{networks} have no place for --batch-norm; give --no-batch-norm.")
        if self.batch_norm and self.penalty != "none":
            raise UserError(
                "--penalty needs a gradient per sample, which --batch-norm makes meaningless; drop one of them."
            )
        if self.architecture == "foster" and not points and self.width != GANConfig.width:
            raise UserError(
                f"The networks of --architecture foster have the book's widths, got --width {self.width}; leave it at "
                f"{GANConfig.width}."
            )


def _rmsprop(module: nn.Module, rate: float, decay: float) -> torch.optim.Optimizer:
    return torch.optim.RMSprop(module.parameters(), lr=rate, alpha=decay)


def _sgd(module: nn.Module, rate: float, momentum: float) -> torch.optim.Optimizer:
    return torch.optim.SGD(module.parameters(), lr=rate, momentum=momentum)


class GeneratorModel(LatentModel):
    """Whatever ends in a generator: its average is sampled, its images live in [-1, 1]."""

    low = -1.0

    def __init__(self, generator: nn.Module, headline: tuple[str, ...]) -> None:
        self.network = self.generator = cast(Generator, generator)
        self.latent_size, self.classes, self.headline = self.generator.latent_size, self.generator.classes, headline

    def decode(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        output = self.generator.eval()(z, condition)
        return (output + 1) / 2 if output.ndim == 4 else output


class GANModel(GeneratorModel):
    """A generator and what judges it."""

    def __init__(self, game: Players[Any], headline: tuple[str, ...] = ("critic", "generator")) -> None:
        super().__init__(game.average.network, headline)
        self.game = game

    def units(self) -> list[Unit]:
        return self.game.units()

    def parts(self) -> dict[str, Stateful]:
        return self.game.parts()


GAN_MINIMAX = GANConfig(loss="minimax")
LSGAN = GANConfig(loss="least-squares")
# Arjovsky et al. (2017), algorithm 1.
WGAN = GANConfig(
    loss="wasserstein",
    clip=0.01,
    optimiser="rmsprop",
    learning_rate=5e-5,
    critic_learning_rate=5e-5,
    critic_steps=5,
    batch_norm=True,
)
# Gulrajani et al. (2017), algorithm 1, except for the step size (there 1e-4).
WGAN_GP = GANConfig(loss="wasserstein", penalty="gradient", critic_steps=5, beta1=0.0, beta2=0.9)
SNGAN = GANConfig(loss="hinge", spectral_norm=True)
DRAGAN = GANConfig(penalty="dragan")
F_GAN = GANConfig(loss="f-kl", spectral_norm=True)
CGAN = GANConfig(conditioning="planes", spectral_norm=True)
CGAN_PROJECTION = GANConfig(loss="hinge", spectral_norm=True, conditioning="projection")
# Foster (2019), chapter 4: the 28x28 GAN. Its critic is updated once per step on real and fake pictures together, there
# twice, on each of them alone; samples come from the generator itself, not from an average.
BOOK = GANConfig(
    architecture="foster",
    latent_size=100,
    optimiser="rmsprop",
    rms_decay=0.9,
    learning_rate=4e-4,
    critic_learning_rate=8e-4,
    steps=6000,
    average_decay=0.0,
)

"""From options and the shape of the data to networks, an objective, and something to sample from."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Protocol, cast

import torch
from torch import Tensor, nn

from rollouts.errors import UserError
from worldmodels.generative import foster
from worldmodels.generative.architectures import (
    Coder,
    began_critic,
    began_generator,
    conv_coder,
    dcgan_critic,
    dcgan_generator,
    mlp_coder,
    mlp_critic,
    mlp_generator,
    patchgan,
    resnet_critic,
    resnet_generator,
)
from worldmodels.generative.autoencoders import (
    BERNOULLI,
    AutoencoderObjective,
    Likelihood,
    VAEObjective,
    fixed_gaussian,
    gaussian,
)
from worldmodels.generative.configs import AutoencoderConfig, BEGANConfig, Config, GANConfig, VAEConfig
from worldmodels.generative.datasets import Samples
from worldmodels.generative.gan import BEGAN, GAN, Penalty, around_real, between_real_and_fake
from worldmodels.generative.losses import HINGE, LEAST_SQUARES, MINIMAX, NON_SATURATING, WASSERSTEIN
from worldmodels.generative.networks import VAE, Autoencoder, Critic, Generator
from worldmodels.generative.penalties import spectrally_normalise
from worldmodels.generative.units import Unit
from worldmodels.training.loop import Stateful

GAMES = {
    "minimax": MINIMAX,
    "non-saturating": NON_SATURATING,
    "least-squares": LEAST_SQUARES,
    "wasserstein": WASSERSTEIN,
    "hinge": HINGE,
}
PENALTIES: dict[str, Penalty | None] = {"none": None, "gradient": between_real_and_fake, "dragan": around_real}


class Shape(NamedTuple):
    """What a model makes: images of ``size`` and ``channels``, or points of ``channels`` dimensions (size 0)."""

    size: int
    channels: int
    classes: int = 0

    @classmethod
    def of(cls, samples: Samples) -> Shape:
        return cls(samples.size if samples.are_images else 0, samples.channels, samples.classes)


class Objective(Protocol):
    """What the trainer needs of a model."""

    def units(self) -> list[Unit]: ...
    def parts(self) -> dict[str, Stateful]: ...


@dataclass(frozen=True)
class Sampler:
    """A trained model as something that decodes latents: images in [0, 1], or points."""

    network: Generator | VAE | Autoencoder
    likelihood: Likelihood | None = None

    @property
    def latent_size(self) -> int:
        return self.network.latent_size

    @property
    def classes(self) -> int:
        return 0 if isinstance(self.network, Autoencoder) else self.network.classes

    @torch.no_grad()
    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """``[N, latent_size]`` (and labels, for a conditional model) to samples ``[N, ...]``."""
        self.network.eval()
        if isinstance(self.network, Generator):
            made = self.network(z, labels)
            return (made + 1) / 2 if made.ndim == 4 else made
        assert self.likelihood is not None
        if isinstance(self.network, VAE):
            return self.likelihood.mean(self.network.decode(z, labels))
        return self.likelihood.mean(self.network.decode(z))

    @torch.no_grad()
    def encode(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """The code, or the mean of the posterior, of data.

        Raises:
            UserError: the model has no encoder.
        """
        self.network.eval()
        if isinstance(self.network, VAE):
            return self.network.encode(x, labels)[0]
        if isinstance(self.network, Autoencoder):
            return self.network.encode(x)
        raise UserError("A GAN has no encoder: reconstructions and attribute vectors need an autoencoder or a VAE.")

    def sample(self, count: int, rng: torch.Generator, labels: Tensor | None = None) -> Tensor:
        """Decode ``count`` latents from N(0, 1); labels, where needed, go round all classes unless given."""
        device = next(self.network.parameters()).device
        z = torch.randn(count, self.latent_size, generator=rng).to(device)
        if self.classes and labels is None:
            labels = torch.arange(count) % self.classes
        chunks = labels.to(device).split(500) if labels is not None else [None] * len(z.split(500))
        return torch.cat([self.decode(part, label) for part, label in zip(z.split(500), chunks, strict=True)])


class Model(NamedTuple):
    """A model ready to be trained."""

    objective: Objective
    sampler: Sampler
    low: float  #: lower end of the range in which the objective wants its images
    headline: tuple[str, ...]  #: the terms to show beside a progress bar


def build(config: Config, shape: Shape, device: torch.device) -> Model:
    """Networks with weights from ``config.seed``, and what trains them.

    Raises:
        UserError: the options do not fit the data.
    """
    torch.manual_seed(config.seed)
    try:
        if isinstance(config, GANConfig):
            return _gan(config, shape, device)
        if isinstance(config, BEGANConfig):
            return _began(config, shape, device)
        return _autoencoder(config, shape, device)
    except ValueError as error:
        raise UserError(f"These options do not fit the data: {error}.") from error


def _gan(config: GANConfig, shape: Shape, device: torch.device) -> Model:
    classes = _classes(shape) if config.conditioning != "none" else 0
    networks = _images_gan if shape.size else _points_gan
    generator, critic = (network.to(device) for network in networks(config, shape, classes))
    if config.spectral_norm:
        spectrally_normalise(critic)
    gan = GAN(
        cast(Generator, generator),
        cast(Critic, critic),
        GAMES[config.loss],
        _optimiser(config, config.learning_rate),
        _optimiser(config, config.critic_learning_rate),
        config.critic_steps,
        PENALTIES[config.penalty],
        config.penalty_weight,
        config.clip or None,
        config.average_decay,
    )
    return Model(gan, Sampler(cast(Generator, gan.average.network)), -1.0, ("critic", "generator"))


def _images_gan(config: GANConfig, shape: Shape, classes: int) -> tuple[Generator, Critic]:
    size, channels, latent, width = shape.size, shape.channels, config.latent_size, config.width
    norm = nn.BatchNorm2d if config.batch_norm else None
    if config.architecture == "foster":
        if (size, channels, latent, classes) != (28, 1, 100, 0):
            raise ValueError("the foster networks are for 28x28 grey images, --latent-size 100, without labels")
        return foster.gan_generator(), foster.gan_discriminator()
    if config.architecture == "resnet":
        generator = resnet_generator(size, channels, latent, width, classes)
        return generator, resnet_critic(size, channels, width, classes, config.conditioning)
    resize = config.architecture == "dcgan-resize"
    generator = dcgan_generator(size, channels, latent, width, "resize" if resize else "transposed", classes=classes)
    if config.architecture == "patchgan":
        if config.conditioning == "projection":
            raise ValueError("a PatchGAN takes labels as planes, not by projection")
        return generator, patchgan(size, channels, width, norm, classes)
    return generator, dcgan_critic(size, channels, width, norm, classes, config.conditioning)


def _points_gan(config: GANConfig, shape: Shape, classes: int) -> tuple[Generator, Critic]:
    generator = mlp_generator(shape.channels, config.latent_size, config.width, classes)
    return generator, mlp_critic(shape.channels, config.width, classes, config.conditioning)


def _began(config: BEGANConfig, shape: Shape, device: torch.device) -> Model:
    if shape.size:
        generator = began_generator(shape.size, shape.channels, config.latent_size, config.width)
        critic = began_critic(shape.size, shape.channels, config.latent_size, config.width)
    else:
        generator = mlp_generator(shape.channels, config.latent_size, config.width)
        # A code as long as a point could reproduce any point, and would judge none.
        code = min(config.latent_size, shape.channels - 1)
        critic = _join(mlp_coder(shape.channels, code, config.width), code)
    adam = partial(_adam, betas=(config.beta1, 0.999))
    objective = BEGAN(
        generator.to(device),
        critic.to(device),
        partial(adam, rate=config.learning_rate),
        partial(adam, rate=config.critic_learning_rate),
        config.gamma,
        config.gain,
        config.average_decay,
    )
    return Model(objective, Sampler(cast(Generator, objective.average.network)), -1.0, ("convergence", "k"))


def _autoencoder(config: AutoencoderConfig | VAEConfig, shape: Shape, device: torch.device) -> Model:
    if config.likelihood == "bernoulli" and not shape.size:
        raise ValueError("points need --likelihood gaussian or gaussian-learned, not bernoulli")
    conditional = isinstance(config, VAEConfig) and config.conditional
    classes = _classes(shape) if conditional else 0
    if shape.size:
        coder = conv_coder(shape.size, shape.channels, config.latent_size, config.width, classes)
    else:
        coder = mlp_coder(shape.channels, config.latent_size, config.width, classes)
    learned = config.likelihood == "gaussian-learned"
    if isinstance(config, VAEConfig):
        vae = VAE(coder.encoder, coder.features, config.latent_size, coder.decoder, classes, learned).to(device)
        if vae.output_logvar is not None:
            nn.init.constant_(vae.output_logvar, math.log(config.variance))
        likelihood = _likelihood(config, vae.output_logvar)
        adam = _adam(vae, config.learning_rate)
        bound = VAEObjective(vae, likelihood, adam, config.kl_weight, config.free_nats)
        return Model(bound, Sampler(vae, likelihood), 0.0, ("distortion", "rate"))
    if learned:
        raise ValueError("an autoencoder without a prior would learn a variance of 0: use --likelihood gaussian")
    model = _join(coder, config.latent_size, config.sparsity_weight > 0).to(device)
    likelihood = _likelihood(config, None)
    adam = _adam(model, config.learning_rate)
    objective = AutoencoderObjective(model, likelihood, adam, config.noise, config.sparsity_weight, config.sparsity)
    return Model(objective, Sampler(model, likelihood), 0.0, ("distortion",))


def _join(coder: Coder, latent_size: int, sigmoid_code: bool = False) -> Autoencoder:
    return Autoencoder(coder.encoder, coder.features, latent_size, coder.decoder, sigmoid_code)


def _likelihood(config: AutoencoderConfig | VAEConfig, learned: Tensor | None) -> Likelihood:
    if config.likelihood == "bernoulli":
        return BERNOULLI
    return fixed_gaussian(config.variance) if learned is None else gaussian(learned)


def _classes(shape: Shape) -> int:
    if shape.classes < 2:
        raise ValueError("a conditional model needs data with labels of at least two classes")
    return shape.classes


def _adam(module: nn.Module, rate: float, betas: tuple[float, float] = (0.9, 0.999)) -> torch.optim.Optimizer:
    # Fused is six times as fast for small networks, where a step is as long as its optimiser.
    fused = next(module.parameters()).device.type in ("cpu", "cuda")
    return torch.optim.Adam(module.parameters(), lr=rate, betas=betas, fused=fused)


def _optimiser(config: GANConfig, rate: float) -> Callable[[nn.Module], torch.optim.Optimizer]:
    if config.optimiser == "rmsprop":
        return lambda module: torch.optim.RMSprop(module.parameters(), lr=rate)
    return lambda module: _adam(module, rate, (config.beta1, config.beta2))

"""The networks of Foster, "Generative Deep Learning" (O'Reilly 2019), as published: sizes, settings, parameter counts.

Written from the layer tables of the book's models. Keras conventions are kept where they change results: SAME padding
(the odd pixel right and below), batch normalisation with eps 1e-3, weights ~ N(0, 0.02), zero biases.
"""

from __future__ import annotations

from functools import partial

from torch import nn

from worldmodels.generative.networks.modules import VAE, Autoencoder, Critic, Generator
from worldmodels.layers import Activation, ConvSpec, Normalisation, conv_stack, initialise_normal, project

keras_leaky_relu: Activation = partial(nn.LeakyReLU, 0.3)


def keras_batch_norm(momentum: float, dimensions: int = 2) -> Normalisation:
    """Keras' BatchNormalization: eps 1e-3, and ``momentum`` is the share of the *old* mean that is kept."""
    return partial(nn.BatchNorm2d if dimensions == 2 else nn.BatchNorm1d, eps=1e-3, momentum=1 - momentum)


def gan_discriminator() -> Critic:
    """ "Camel" GAN, 28x28x1: 720,833 parameters; ReLU and dropout 0.4 after each convolution."""
    specs = [
        ConvSpec(count, 5, stride, "same", dropout=0.4) for count, stride in ((64, 2), (64, 2), (128, 2), (128, 1))
    ]
    return _critic(1, 28, specs)


def gan_generator() -> Generator:
    """ "Camel" GAN: 844,161 parameters, 837,377 of them trainable. The first normalisation comes before the reshape."""
    norm = keras_batch_norm(0.9)
    specs = [
        ConvSpec(128, 5, 2, "same", up="resize", norm=norm),
        ConvSpec(64, 5, 2, "same", up="resize", norm=norm),
        ConvSpec(64, 5, 1, "same", up="transposed", norm=norm),
        ConvSpec(1, 5, 1, "same", up="transposed", activation=nn.Tanh),
    ]
    return _generator(64, 7, specs, keras_batch_norm(0.9, 1), nn.ReLU)


def wgan_critic() -> Critic:
    """WGAN on CIFAR horses, 32x32x3: 670,401 parameters."""
    leaky: Activation = partial(nn.LeakyReLU, 0.2)
    layers = ((32, 2), (64, 2), (128, 2), (128, 1))
    return _critic(3, 32, [ConvSpec(count, 5, stride, "same", activation=leaky) for count, stride in layers])


def wgan_generator() -> Generator:
    """WGAN on CIFAR horses: 884,163 parameters, 879,619 trainable."""
    leaky: Activation = partial(nn.LeakyReLU, 0.2)
    norm = keras_batch_norm(0.8)
    specs = [ConvSpec(count, 5, 2, "same", up="resize", norm=norm, activation=leaky) for count in (128, 64, 32)]
    specs.append(ConvSpec(3, 5, 1, "same", up="transposed", activation=nn.Tanh))
    return _generator(128, 4, specs, keras_batch_norm(0.8, 1), leaky)


def wgan_gp_critic() -> Critic:
    """WGAN-GP on CelebA, 64x64x3: 4,314,753 parameters."""
    leaky: Activation = partial(nn.LeakyReLU, 0.2)
    return _critic(3, 64, [ConvSpec(count, 5, 2, "same", activation=leaky) for count in (64, 128, 256, 512)])


def wgan_gp_generator() -> Generator:
    """WGAN-GP on CelebA: 5,168,003 parameters, 5,150,723 trainable."""
    leaky: Activation = partial(nn.LeakyReLU, 0.2)
    norm = keras_batch_norm(0.9)
    specs = [ConvSpec(count, 5, 2, "same", up="transposed", norm=norm, activation=leaky) for count in (256, 128, 64)]
    specs.append(ConvSpec(3, 5, 2, "same", up="transposed", activation=nn.Tanh))
    return _generator(512, 4, specs, keras_batch_norm(0.9, 1), leaky)


def digits_autoencoder(latent_size: int = 2) -> Autoencoder:
    """Autoencoder for 28x28x1 digits: encoder 98,946, decoder 102,017 parameters at two latents. Gives logits."""
    encoder, decoder = _digits_coder(latent_size)
    return Autoencoder(encoder, 3136, latent_size, decoder)


def digits_vae(latent_size: int = 2) -> VAE:
    """VAE for 28x28x1 digits: encoder 105,220, decoder 102,017 parameters at two latents.

    The book's loss, 1000 x mean squared error + KL, is that of a Gaussian with variance 784 / 2000 = 0.392.
    """
    encoder, decoder = _digits_coder(latent_size)
    return VAE(encoder, 3136, latent_size, decoder)


def faces_vae(latent_size: int = 200) -> VAE:
    """VAE for 128x128x3 faces: encoder 1,732,944, decoder 917,123 parameters, running statistics included.

    The book's loss factor of 10,000 is that of a Gaussian with variance 49152 / 20000 = 2.4576.
    """
    norm, leaky = keras_batch_norm(0.99), keras_leaky_relu
    down = [ConvSpec(count, 3, 2, "same", norm=norm, activation=leaky, dropout=0.25) for count in (32, 64, 64, 64)]
    up = [
        ConvSpec(count, 3, 2, "same", up="transposed", norm=norm, activation=leaky, dropout=0.25)
        for count in (64, 64, 32)
    ]
    up.append(ConvSpec(3, 3, 2, "same", up="transposed", activation=None))
    encoder, side = conv_stack(3, 128, down)
    decoder = nn.Sequential(*project(latent_size, 64, side), *conv_stack(64, side, up)[0])
    return VAE(nn.Sequential(*encoder, nn.Flatten()), 64 * side * side, latent_size, decoder)


def _digits_coder(latent_size: int) -> tuple[nn.Sequential, nn.Sequential]:
    leaky = keras_leaky_relu
    down = [ConvSpec(n, 3, stride, "same", activation=leaky) for n, stride in ((32, 1), (64, 2), (64, 2), (64, 1))]
    up = [
        ConvSpec(n, 3, stride, "same", up="transposed", activation=leaky) for n, stride in ((64, 1), (64, 2), (32, 2))
    ]
    up.append(ConvSpec(1, 3, 1, "same", up="transposed", activation=None))
    encoder, side = conv_stack(1, 28, down)
    decoder = nn.Sequential(*project(latent_size, 64, side), *conv_stack(64, side, up)[0])
    return nn.Sequential(*encoder, nn.Flatten()), decoder


def _critic(channels: int, size: int, specs: list[ConvSpec]) -> Critic:
    stack, side = conv_stack(channels, size, specs)
    critic = Critic(nn.Sequential(*stack, nn.Flatten()), nn.Linear(specs[-1].channels * side * side, 1))
    initialise_normal(critic)
    return critic


def _generator(
    channels: int, size: int, specs: list[ConvSpec], norm: Normalisation, activation: Activation
) -> Generator:
    latent_size = 100
    start = project(latent_size, channels, size, norm, activation)
    body = nn.Sequential(*start, *conv_stack(channels, size, specs)[0])
    initialise_normal(body)
    return Generator(latent_size, body)

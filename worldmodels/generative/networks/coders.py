"""Encoders and decoders: convolutional ones for images, perceptrons for points, and the pair of BEGAN."""

from __future__ import annotations

from typing import NamedTuple

from torch import nn

from worldmodels.generative.networks.dcgan import halvings
from worldmodels.generative.networks.modules import Autoencoder, Generator
from worldmodels.generative.networks.perceptrons import mlp
from worldmodels.layers import Activation, ConvSpec, conv_stack, project


class Coder(NamedTuple):
    """The two halves of an autoencoder before they are joined at a latent vector."""

    encoder: nn.Sequential
    features: int  #: what the encoder gives
    decoder: nn.Sequential


def conv_coder(
    size: int, channels: int, latent_size: int, width: int = 32, classes: int = 0, activation: Activation = nn.ReLU
) -> Coder:
    """4x4 convolutions of stride 2 down to 4x4 (or 7x7) and a dense layer; the decoder is its mirror image."""
    filters = [width << number for number in range(halvings(size))]
    down = [ConvSpec(count, 4, 2, "same", activation=activation) for count in filters]
    up = [ConvSpec(count, 4, 2, "same", up="transposed", activation=activation) for count in filters[-2::-1]]
    up.append(ConvSpec(channels, 4, 2, "same", up="transposed", activation=None))
    encoder, side = conv_stack(channels + classes, size, down)
    top = down[-1].channels
    hidden = 8 * width
    decoder = nn.Sequential(
        nn.Linear(latent_size + classes, hidden),
        activation(),
        *project(hidden, top, side, activation=activation),
        *conv_stack(top, side, up)[0],
    )
    dense = (nn.Flatten(), nn.Linear(top * side * side, hidden), activation())
    return Coder(nn.Sequential(*encoder, *dense), hidden, decoder)


def mlp_coder(dimensions: int, latent_size: int, width: int = 128, classes: int = 0) -> Coder:
    """Two hidden ReLU layers each way, for points."""
    encoder = nn.Sequential(*mlp([dimensions + classes, width, width]), nn.ReLU())
    return Coder(encoder, width, mlp([latent_size + classes, width, width, dimensions]))


def began_critic(size: int, channels: int, latent_size: int = 64, width: int = 32) -> Autoencoder:
    """The discriminator of BEGAN: an autoencoder of images in [-1, 1], with ELUs. Berthelot et al. (2017)."""
    encoder, features, decoder = conv_coder(size, channels, latent_size, width, activation=nn.ELU)
    return Autoencoder(encoder, features, latent_size, decoder)


def began_generator(size: int, channels: int, latent_size: int = 64, width: int = 32) -> Generator:
    """The generator of BEGAN: as its critic's decoder, with weights of its own."""
    return Generator(latent_size, conv_coder(size, channels, latent_size, width, activation=nn.ELU).decoder)

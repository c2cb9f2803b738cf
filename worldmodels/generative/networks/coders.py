"""Encoders and decoders: convolutional, pooled, dense and linear ones, and the pair of BEGAN."""

from __future__ import annotations

from typing import Literal, NamedTuple

from torch import nn

from worldmodels.generative.networks.dcgan import halvings
from worldmodels.generative.networks.modules import Autoencoder, Generator
from worldmodels.generative.networks.perceptrons import mlp
from worldmodels.layers import Activation, ConvSpec, conv_stack, project

CoderArchitecture = Literal["conv", "pooled", "dense", "linear"]


class Coder(NamedTuple):
    """The two halves of an autoencoder before they are joined at a latent vector."""

    encoder: nn.Sequential
    features: int  #: what the encoder gives
    decoder: nn.Sequential


def coder(
    architecture: CoderArchitecture,
    size: int,
    channels: int,
    latent_size: int,
    width: int,
    classes: int = 0,
    outputs: int = 0,
) -> Coder:
    """The coder of that name for images, or, with ``size`` 0, for points of ``channels`` dimensions.

    Args:
        outputs: channels that the decoder gives, if not as many as it encodes.
    """
    outputs = outputs or channels
    if architecture == "linear":
        return linear_coder(size, channels, latent_size, classes, outputs)
    if not size:
        return mlp_coder(channels, latent_size, width, classes, outputs)
    if architecture == "dense":
        return dense_coder(size, channels, latent_size, 8 * width, classes, outputs)
    return conv_coder(size, channels, latent_size, width, classes, outputs=outputs, pooled=architecture == "pooled")


def conv_coder(
    size: int,
    channels: int,
    latent_size: int,
    width: int = 32,
    classes: int = 0,
    activation: Activation = nn.ReLU,
    outputs: int = 0,
    pooled: bool = False,
) -> Coder:
    """4x4 convolutions of stride 2 down to 4x4 (or 7x7) and a dense layer; the decoder is its mirror image.

    Args:
        outputs: channels that the decoder gives, if not as many as it encodes.
        pooled: the encoder has 5x5 convolutions of stride 1, each followed by a maximum over 2x2 pixels, as LeNet
            (LeCun et al. 1998, there with a mean).
    """
    filters = [width << number for number in range(halvings(size))]
    kernel, stride = (5, 1) if pooled else (4, 2)
    pool = 2 if pooled else 1
    down = [ConvSpec(count, kernel, stride, "same", activation=activation, pool=pool) for count in filters]
    up = [ConvSpec(count, 4, 2, "same", up="transposed", activation=activation) for count in filters[-2::-1]]
    up.append(ConvSpec(outputs or channels, 4, 2, "same", up="transposed", activation=None))
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


def mlp_coder(dimensions: int, latent_size: int, width: int = 128, classes: int = 0, outputs: int = 0) -> Coder:
    """Two hidden ReLU layers each way, for points."""
    encoder = nn.Sequential(*mlp([dimensions + classes, width, width]), nn.ReLU())
    return Coder(encoder, width, mlp([latent_size + classes, width, width, outputs or dimensions]))


def dense_coder(size: int, channels: int, latent_size: int, width: int, classes: int, outputs: int) -> Coder:
    """Two fully connected ReLU layers each way, for images that are taken as one long vector."""
    pixels = size * size
    encoder = nn.Sequential(nn.Flatten(), *mlp([(channels + classes) * pixels, width, width]), nn.ReLU())
    decoder = mlp([latent_size + classes, width, width, outputs * pixels])
    return Coder(encoder, width, nn.Sequential(*decoder, nn.Unflatten(1, (outputs, size, size))))


def linear_coder(size: int, channels: int, latent_size: int, classes: int, outputs: int) -> Coder:
    """No layers at all but those into the code and out of it: under squared error, principal components."""
    shape = (size, size) if size else ()
    pixels = size * size or 1
    decoder = nn.Linear(latent_size + classes, outputs * pixels)
    return Coder(
        nn.Sequential(nn.Flatten()),
        (channels + classes) * pixels,
        nn.Sequential(decoder, nn.Unflatten(1, (outputs, *shape))),
    )


def began_critic(size: int, channels: int, latent_size: int = 64, width: int = 32) -> Autoencoder:
    """The discriminator of BEGAN: an autoencoder of images in [-1, 1], with ELUs. Berthelot et al. (2017)."""
    encoder, features, decoder = conv_coder(size, channels, latent_size, width, activation=nn.ELU)
    return Autoencoder(encoder, features, latent_size, decoder)


def began_generator(size: int, channels: int, latent_size: int = 64, width: int = 32) -> Generator:
    """The generator of BEGAN: as its critic's decoder, with weights of its own."""
    return Generator(latent_size, conv_coder(size, channels, latent_size, width, activation=nn.ELU).decoder)

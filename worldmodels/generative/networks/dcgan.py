"""DCGAN. What holds for all networks of images: they are ``[N, C, S, S]``; generators end in tanh, so in [-1, 1]."""

from __future__ import annotations

from functools import partial
from typing import Literal

from torch import nn

from worldmodels.generative.networks.modules import Critic, Generator
from worldmodels.layers import (
    Activation,
    ConvSpec,
    Normalisation,
    conv_stack,
    initialise_he,
    initialise_normal,
    project,
    start_size,
)

leaky_relu: Activation = partial(nn.LeakyReLU, 0.2)
Upsampling = Literal["transposed", "resize"]
Conditioning = Literal["none", "planes", "projection"]


def halvings(size: int) -> int:
    """How often a side can be halved before it is odd or at most 4: 28 -> 2 (7), 32 -> 3 (4), 64 -> 4 (4).

    Raises:
        ValueError: not even once.
    """
    count, side = 0, size
    while side > 4 and side % 2 == 0:
        count, side = count + 1, side // 2
    if count == 0 or side > 8:
        raise ValueError(
            f"images of {size}x{size} cannot be halved down to a side of 4 to 8; resize them, e.g. to "
            f"{8 << max((size - 1).bit_length() - 3, 0)}"
        )
    return count


def dcgan_generator(
    size: int,
    channels: int,
    latent_size: int = 100,
    width: int = 64,
    up: Upsampling = "transposed",
    norm: Normalisation | None = nn.BatchNorm2d,
    classes: int = 0,
) -> Generator:
    """Radford et al. (2016): from 4x4 (or 7x7) doubling up to ``size``, batch normalisation, ReLU, tanh.

    ``width`` filters before the last layer, doubling towards the latent vector. ``up="resize"`` replaces transposed
    convolutions by nearest-neighbour resizing and a 3x3 convolution, which leaves no checkerboard (Odena et al. 2016).
    """
    doublings = halvings(size)
    kernel = 4 if up == "transposed" else 3
    filters = [width << number for number in reversed(range(doublings))]
    # A bias before a normalisation is subtracted again by it.
    specs = [ConvSpec(count, kernel, 2, "same", up=up, norm=norm, bias=norm is None) for count in filters[1:]]
    specs.append(ConvSpec(channels, kernel, 2, "same", up=up, activation=nn.Tanh))
    start = start_size(size, specs)
    first = norm(filters[0]) if norm else None
    body = nn.Sequential(
        *project(latent_size + classes, filters[0], start, bias=norm is None),
        *([first] if first else []),
        nn.ReLU(),
        *conv_stack(filters[0], start, specs)[0],
    )
    initialise_normal(body)
    return Generator(latent_size, body, classes)


def dcgan_critic(
    size: int,
    channels: int,
    width: int = 64,
    norm: Normalisation | None = None,
    classes: int = 0,
    conditioning: Conditioning = "none",
) -> Critic:
    """Radford et al. (2016): 4x4 convolutions of stride 2 with LeakyReLU, then one logit.

    ``norm`` is never used on the first layer. Leave it out for gradient penalties and spectral normalisation.
    """
    planes = classes if conditioning == "planes" else 0
    specs = [
        ConvSpec(width << number, 4, 2, "same", norm=norm if number else None, activation=leaky_relu)
        for number in range(halvings(size))
    ]
    stack, side = conv_stack(channels + planes, size, specs)
    features = specs[-1].channels * side * side
    critic = Critic(
        nn.Sequential(*stack, nn.Flatten()),
        nn.Linear(features, 1),
        classes,
        features if conditioning == "projection" else 0,
    )
    if norm is None:
        initialise_he(critic)
        if critic.embedding is not None:  # one label at a time: He's weights are large, and large ones turn slowly
            initialise_normal(critic.embedding)
    else:
        initialise_normal(critic)
    return critic

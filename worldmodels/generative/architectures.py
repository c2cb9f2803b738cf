"""DCGAN, a small ResNet pair, PatchGAN, multilayer perceptrons for points, convolutional autoencoders.

Images are ``[N, C, S, S]``; generators end in tanh, so images live in [-1, 1] for them.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Literal, NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from worldmodels.generative.networks import Autoencoder, Critic, Generator
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


#: The 70x70 PatchGAN of Isola et al. (2017): C64-C128-C256-C512-1, kernels 4, strides 2, 2, 2, 1, 1, padding 1.
PATCHGAN_STRIDES = (2, 2, 2, 1, 1)


def patchgan_specs(width: int = 64, norm: Normalisation | None = None) -> list[ConvSpec]:
    """The five layers of the 70x70 PatchGAN; no normalisation on the first and the last."""
    filters = [width, 2 * width, 4 * width, 8 * width, 1]
    return [
        ConvSpec(
            count,
            4,
            stride,
            1,
            norm=norm if 0 < number < 4 else None,
            activation=leaky_relu if number < 4 else None,
        )
        for number, (count, stride) in enumerate(zip(filters, PATCHGAN_STRIDES, strict=True))
    ]


def patchgan(
    size: int, channels: int, width: int = 64, norm: Normalisation | None = nn.InstanceNorm2d, classes: int = 0
) -> Critic:
    """A critic whose logits ``[N, 1, h, w]`` each judge one 70x70 patch; 2,764,737 parameters for RGB images."""
    specs = patchgan_specs(width, norm)
    body, side = conv_stack(channels + classes, size, specs[:-1])
    head, _ = conv_stack(specs[-2].channels, side, specs[-1:])
    critic = Critic(body, head, classes)
    initialise_normal(critic)
    return critic


class ResidualUp(nn.Module):
    """Pre-activation block that doubles the side: norm, ReLU, resize, 3x3, norm, ReLU, 3x3, plus a 1x1 shortcut.

    Gulrajani et al. (2017), appendix F.
    """

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(out)
        self.conv1, self.conv2 = nn.Conv2d(channels, out, 3, padding=1), nn.Conv2d(out, out, 3, padding=1)
        self.shortcut = nn.Conv2d(channels, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(_double(F.relu(self.norm1(x))))
        return self.conv2(F.relu(self.norm2(h))) + self.shortcut(_double(x))


class ResidualDown(nn.Module):
    """Block that halves the side by averaging, without normalisation; the first block of a critic skips its ReLU."""

    def __init__(self, channels: int, out: int, first: bool = False) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(channels, out, 3, padding=1), nn.Conv2d(out, out, 3, padding=1)
        self.shortcut, self.first = nn.Conv2d(channels, out, 1), first

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv2(F.relu(self.conv1(x if self.first else F.relu(x))))
        return F.avg_pool2d(h, 2) + F.avg_pool2d(self.shortcut(x), 2)


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0)


def resnet_generator(size: int, channels: int, latent_size: int = 128, width: int = 64, classes: int = 0) -> Generator:
    """Residual blocks of constant ``width`` from 4x4 (or 7x7) up to ``size``, tanh."""
    doublings = halvings(size)
    body = nn.Sequential(
        *project(latent_size + classes, width, size >> doublings),
        *(ResidualUp(width, width) for _ in range(doublings)),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, channels, 3, padding=1),
        nn.Tanh(),
    )
    return Generator(latent_size, body, classes)


class SumOverPixels(nn.Module):
    """``[N, C, H, W] -> [N, C]``."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sum((2, 3))


def resnet_critic(
    size: int, channels: int, width: int = 64, classes: int = 0, conditioning: Conditioning = "none"
) -> Critic:
    """Residual blocks of constant ``width`` down to 4x4 (or 7x7), summed over pixels, one logit."""
    planes = classes if conditioning == "planes" else 0
    body = nn.Sequential(
        ResidualDown(channels + planes, width, first=True),
        *(ResidualDown(width, width) for _ in range(halvings(size) - 1)),
        nn.ReLU(),
        SumOverPixels(),
    )
    return Critic(body, nn.Linear(width, 1), classes, width if conditioning == "projection" else 0)


def mlp(sizes: list[int], activation: Activation = nn.ReLU) -> nn.Sequential:
    """Linear layers with the activation between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), activation()]
    return nn.Sequential(*layers[:-1])


def mlp_generator(dimensions: int, latent_size: int = 2, width: int = 128, classes: int = 0) -> Generator:
    """Three hidden ReLU layers, for points; the toy network of Gulrajani et al. (2017), there of width 512."""
    return Generator(latent_size, mlp([latent_size + classes, width, width, width, dimensions]), classes)


def mlp_critic(dimensions: int, width: int = 128, classes: int = 0, conditioning: Conditioning = "none") -> Critic:
    """As :func:`mlp_generator`, from points to one logit."""
    planes = classes if conditioning == "planes" else 0
    body = nn.Sequential(*mlp([dimensions + planes, width, width, width]), nn.ReLU())
    return Critic(body, nn.Linear(width, 1), classes, width if conditioning == "projection" else 0)


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

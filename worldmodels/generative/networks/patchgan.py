"""The PatchGAN: a critic that judges patches."""

from __future__ import annotations

from torch import nn

from worldmodels.generative.networks.dcgan import leaky_relu
from worldmodels.generative.networks.modules import Critic
from worldmodels.layers import ConvSpec, Normalisation, conv_stack, initialise_normal

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

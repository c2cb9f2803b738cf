"""The PatchGAN: a critic that judges patches."""

from __future__ import annotations

from typing import Literal

from torch import nn

from worldmodels.generative.networks.dcgan import leaky_relu
from worldmodels.generative.networks.modules import Critic
from worldmodels.layers import ConvSpec, Normalisation, conv_stack, initialise_normal

Patch = Literal[16, 34, 70, 142]
#: Halvings of a PatchGAN by the side of what it judges. The 70x70 one of Isola et al. (2017) is C64-C128-C256-C512-1,
#: kernels 4, strides 2, 2, 2, 1, 1, padding 1.
HALVINGS: dict[Patch, int] = {16: 1, 34: 2, 70: 3, 142: 4}


def patchgan_specs(
    width: int = 64, norm: Normalisation | None = None, patch: Patch = 70, bias: bool = True
) -> list[ConvSpec]:
    """The layers of a PatchGAN (five for 70x70); no normalisation on the first and the last.

    Args:
        bias: also before a normalisation.
    """
    halvings = HALVINGS[patch]
    filters = [width * min(2**number, 8) for number in range(halvings + 1)] + [1]
    last = len(filters) - 1
    return [
        ConvSpec(
            count,
            4,
            2 if number < halvings else 1,
            1,
            norm=norm if 0 < number < last else None,
            activation=leaky_relu if number < last else None,
            bias=bias or not 0 < number < last,
        )
        for number, count in enumerate(filters)
    ]


def patchgan(
    size: int,
    channels: int,
    width: int = 64,
    norm: Normalisation | None = nn.InstanceNorm2d,
    classes: int = 0,
    patch: Patch = 70,
    bias: bool = True,
) -> Critic:
    """A critic whose logits ``[N, 1, h, w]`` each judge one patch; 2,764,737 parameters for 70x70 and RGB images.

    A critic of translations sees what was translated as further ``channels``: 2,768,705 parameters for 6 of them with
    batch normalisation, ``bias=False``.
    """
    specs = patchgan_specs(width, norm, patch, bias)
    body, side = conv_stack(channels + classes, size, specs[:-1])
    head, _ = conv_stack(specs[-2].channels, side, specs[-1:])
    critic = Critic(body, head, classes)
    initialise_normal(critic)
    return critic

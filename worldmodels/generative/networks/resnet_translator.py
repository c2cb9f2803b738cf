"""The residual translator of CycleGAN: two halvings, residual blocks, two doublings."""

from __future__ import annotations

from torch import Tensor, nn

from worldmodels.layers import Normalisation, initialise_normal


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with reflected borders, added to the input; no activation after the sum."""

    def __init__(self, channels: int, norm: Normalisation, bias: bool, dropout: float) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=bias), norm(channels), nn.ReLU()),
            *([nn.Dropout(dropout)] if dropout else []),
            *(nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=bias), norm(channels)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def resnet_translator(
    size: int,
    channels: int,
    out: int,
    width: int = 64,
    blocks: int = 9,
    norm: Normalisation = nn.InstanceNorm2d,
    dropout: float = 0.0,
) -> nn.Sequential:
    """``[N, channels, S, S] -> [N, out, S, S]`` in [-1, 1]: c7s1-64, d128, d256, R256 x ``blocks``, u128, u64, c7s1-3.

    Zhu et al. (2017), section 7.2, after Johnson et al. (2016); 11,378,179 parameters for RGB to RGB with nine blocks.

    Raises:
        ValueError: the side cannot be halved twice.
    """
    if size % 4 or size < 8:
        raise ValueError(
            f"a residual translator halves pictures twice, which {size}x{size} do not allow; resize them to a multiple "
            f"of 4 from 8 on, such as {max(8, round(size / 4) * 4)}"
        )
    bias = norm is not nn.BatchNorm2d  # which would subtract it again
    layers: list[nn.Module] = [
        *(nn.ReflectionPad2d(3), nn.Conv2d(channels, width, 7, bias=bias), norm(width), nn.ReLU())
    ]
    for inner in (2 * width, 4 * width):
        layers += [nn.Conv2d(inner // 2, inner, 3, 2, 1, bias=bias), norm(inner), nn.ReLU()]
    layers += [ResidualBlock(4 * width, norm, bias, dropout) for _ in range(blocks)]
    for inner in (2 * width, width):
        layers += [nn.ConvTranspose2d(2 * inner, inner, 3, 2, 1, output_padding=1, bias=bias), norm(inner), nn.ReLU()]
    layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, out, 7), nn.Tanh()]
    network = nn.Sequential(*layers)
    initialise_normal(network)
    return network

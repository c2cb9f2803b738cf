"""Convolutional stacks from a readable spec, and the arithmetic of their sizes and receptive fields.

One set of modules gives the agent its eyes (V) and makes images (``worldmodels.generative``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from torch import Tensor, nn

Normalisation = Callable[[int], nn.Module]
"""Makes a normalisation for so many channels, e.g. ``nn.BatchNorm2d``."""
Activation = Callable[[], nn.Module]
"""Makes an activation, e.g. ``nn.ReLU`` or ``partial(nn.LeakyReLU, 0.2)``."""


@dataclass(frozen=True)
class ConvSpec:
    """One convolution of a stack, and what follows it: normalisation, activation, dropout, pooling, in this order."""

    channels: int
    """Filters, i.e. channels of the output."""
    kernel: int
    stride: int = 1
    """Divides the side; with ``up`` it multiplies it."""
    padding: int | Literal["same"] = 0
    """Pixels on every side, or "same" as TensorFlow understands it: the side is divided (or multiplied) by exactly
    the stride, rounded up, and an odd pixel of padding goes to the right and to the bottom."""
    up: Literal["transposed", "resize"] | None = None
    """Enlarge by a transposed convolution, or by repeating pixels and then convolving with stride 1."""
    norm: Normalisation | None = None
    activation: Activation | None = nn.ReLU
    dropout: float = 0.0
    """Probability with which an activation is set to zero while training."""
    bias: bool = True
    pool: int = 1
    """At the end, keep the maximum of every square of so many pixels' side, which divides the side."""


class ReceptiveField(NamedTuple):
    """What one output unit of a stack sees, in pixels of its input."""

    side: int
    step: int  #: distance between the centres of neighbouring units


def conv_size(size: int, kernel: int, stride: int, padding: int = 0) -> int:
    """Output side of a convolution: ``floor((size + 2 padding - kernel) / stride) + 1``."""
    return (size + 2 * padding - kernel) // stride + 1


def transposed_conv_size(size: int, kernel: int, stride: int, padding: int = 0) -> int:
    """Output side of a transposed convolution: ``(size - 1) stride - 2 padding + kernel``."""
    return (size - 1) * stride - 2 * padding + kernel


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Pixels before and after, such that the output side is ``ceil(size / stride)``.

    As TensorFlow's SAME: 28 pixels, kernel 5, stride 2 need (1, 2), where PyTorch's ``padding=2`` would give the
    same shape shifted by a pixel.
    """
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def output_size(size: int, spec: ConvSpec) -> int:
    """Output side of one layer.

    Raises:
        ValueError: the kernel does not fit what reaches it, or the spec contradicts itself.
    """
    if min(spec.channels, spec.kernel, spec.stride) < 1:
        raise ValueError(f"channels, kernel and stride must be at least 1, got {spec}")
    if spec.up == "transposed":
        if spec.padding == "same":
            if spec.kernel < spec.stride:
                raise ValueError(f"a {spec.kernel}x{spec.kernel} kernel leaves holes at stride {spec.stride}")
            return size * spec.stride
        side = transposed_conv_size(size, spec.kernel, spec.stride, spec.padding)
        if side < 1:
            raise ValueError(f"padding {spec.padding} removes all of a side of {size}")
        return side
    grown, stride = (size * spec.stride, 1) if spec.up == "resize" else (size, spec.stride)
    if spec.padding == "same":
        return -(-grown // stride)
    if grown + 2 * spec.padding < spec.kernel:
        raise ValueError(
            f"a {spec.kernel}x{spec.kernel} kernel does not fit a side of {grown} (padding {spec.padding})"
        )
    return conv_size(grown, spec.kernel, stride, spec.padding)


def pooled_size(size: int, pool: int) -> int:
    """Output side of a pooling: ``floor(size / pool)``; what does not fill a square is left out."""
    return size // pool


def start_size(size: int, specs: Sequence[ConvSpec]) -> int:
    """The side that a stack of "same" layers must start from to end at ``size``.

    Raises:
        ValueError: the strides do not divide ``size``.
    """
    factor = 1
    for spec in specs:
        factor *= spec.stride if spec.up else 1
    if size % factor:
        raise ValueError(
            f"images of {size}x{size} cannot be made by strides that multiply to {factor}: "
            f"choose a multiple of {factor}, such as {max(round(size / factor), 1) * factor}"
        )
    return size // factor


def receptive_field(specs: Sequence[ConvSpec]) -> ReceptiveField:
    """Receptive field of a stack of convolutions (and poolings): each adds ``(kernel - 1)`` steps of what came before.

    Padding does not change it.

    Raises:
        ValueError: a layer enlarges its input.
    """
    side, step = 1, 1
    for spec in specs:
        if spec.up:
            raise ValueError("a receptive field is defined for stacks that do not enlarge their input")
        side += (spec.kernel - 1) * step
        step *= spec.stride
        side += (spec.pool - 1) * step
        step *= spec.pool
    return ReceptiveField(side, step)


def conv_stack(channels: int, size: int, specs: Sequence[ConvSpec]) -> tuple[nn.Sequential, int]:
    """The layers of ``specs`` for an input of ``channels`` channels and side ``size``.

    Returns:
        The stack, ``[N, channels, size, size] -> [N, specs[-1].channels, side, side]``, and that side.

    Raises:
        ValueError: a layer does not fit what reaches it; the layer is named.
    """
    layers: list[nn.Module] = []
    for number, spec in enumerate(specs, 1):
        try:
            side = output_size(size, spec)
        except ValueError as error:
            raise ValueError(f"layer {number} of {len(specs)}: {error}") from None
        layers += _convolution(channels, size, spec)
        if spec.norm:
            layers.append(spec.norm(spec.channels))
        if spec.activation:
            layers.append(spec.activation())
        if spec.dropout:
            layers.append(nn.Dropout(spec.dropout))
        if spec.pool > 1:
            layers.append(nn.MaxPool2d(spec.pool))
            side = pooled_size(side, spec.pool)
        channels, size = spec.channels, side
    return nn.Sequential(*layers), size


def _convolution(channels: int, size: int, spec: ConvSpec) -> list[nn.Module]:
    if spec.up == "transposed":
        if spec.padding != "same":
            padded = nn.ConvTranspose2d(channels, spec.channels, spec.kernel, spec.stride, spec.padding, bias=spec.bias)
            return [padded]
        # The mirror image of a SAME convolution: what it would pad is cut off, the odd pixel right and below.
        before, odd = divmod(spec.kernel - spec.stride, 2)
        conv = nn.ConvTranspose2d(channels, spec.channels, spec.kernel, spec.stride, before, bias=spec.bias)
        return [conv, nn.ZeroPad2d((0, -1, 0, -1))] if odd else [conv]
    layers: list[nn.Module] = []
    stride = spec.stride
    if spec.up == "resize":
        if stride > 1:
            layers.append(nn.Upsample(scale_factor=stride))
        size, stride = size * stride, 1
    if spec.padding == "same":
        before, after = same_padding(size, spec.kernel, stride)
    else:
        before = after = spec.padding
    if before != after:
        layers.append(nn.ZeroPad2d((before, after, before, after)))
        before = 0
    layers.append(nn.Conv2d(channels, spec.channels, spec.kernel, stride, before, bias=spec.bias))
    return layers


def project(
    latent_size: int,
    channels: int,
    size: int,
    norm: Normalisation | None = None,
    activation: Activation | None = None,
    bias: bool = True,
) -> list[nn.Module]:
    """The start of a decoder: a vector ``[N, latent_size]`` becomes ``[N, channels, size, size]``.

    The normalisation sees the vector of all ``channels * size * size`` features (so ``nn.BatchNorm1d``).
    """
    features = channels * size * size
    layers: list[nn.Module] = [nn.Linear(latent_size, features, bias=bias)]
    if norm:
        layers.append(norm(features))
    if activation:
        layers.append(activation())
    return [*layers, nn.Unflatten(1, (channels, size, size))]


def initialise_normal(module: nn.Module, std: float = 0.02) -> None:
    """Weights ~ N(0, std), biases 0; normalisations keep scale 1 and shift 0. Radford et al. (2016), section 4."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(part.weight, 0.0, std)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def initialise_he(module: nn.Module, slope: float = 0.2) -> None:
    """Weights ~ N(0, 2 / ((1 + slope^2) inputs)), biases 0: signals keep their size through LeakyReLU.

    For stacks without normalisation, where N(0, 0.02) would leave hardly any signal at the end. He et al. (2015).
    """
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.kaiming_normal_(part.weight, slope)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def count_parameters(module: nn.Module, running_statistics: bool = False) -> int:
    """Numbers that training changes; with ``running_statistics`` also the means and variances of normalisations.

    The latter is what Keras reports as its total.
    """
    count = sum(parameter.numel() for parameter in module.parameters())
    if running_statistics:
        count += sum(buffer.numel() for buffer in module.buffers() if _is_statistic(buffer))
    return count


def _is_statistic(buffer: Tensor) -> bool:
    return buffer.is_floating_point()  # the other buffer of a normalisation, a counter of batches, is an integer

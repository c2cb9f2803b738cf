"""Convolutional stacks from a readable spec, and the arithmetic of their sizes.

One set of modules gives the agent its eyes (V) and makes images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn


def conv_size(size: int, kernel: int, stride: int, padding: int = 0) -> int:
    """Output side of a convolution: ``floor((size + 2 padding - kernel) / stride) + 1``."""
    return (size + 2 * padding - kernel) // stride + 1


def transposed_conv_size(size: int, kernel: int, stride: int, padding: int = 0) -> int:
    """Output side of a transposed convolution: ``(size - 1) stride - 2 padding + kernel``."""
    return (size - 1) * stride - 2 * padding + kernel


@dataclass(frozen=True)
class ConvSpec:
    """One convolution of a stack."""

    channels: int
    kernel: int
    stride: int = 1
    padding: int = 0


def encoder_stack(channels: int, size: int, specs: Sequence[ConvSpec]) -> tuple[nn.Sequential, int]:
    """Convolutions with ReLU after each.

    Returns:
        The stack, and the side of its output.

    Raises:
        ValueError: a layer's kernel is larger than what reaches it.
    """
    layers: list[nn.Module] = []
    for spec in specs:
        if size + 2 * spec.padding < spec.kernel:
            raise ValueError(
                f"a {spec.kernel}x{spec.kernel} kernel does not fit a side of {size} (padding {spec.padding})"
            )
        layers += [nn.Conv2d(channels, spec.channels, spec.kernel, spec.stride, spec.padding), nn.ReLU()]
        channels, size = spec.channels, conv_size(size, spec.kernel, spec.stride, spec.padding)
    return nn.Sequential(*layers), size


def decoder_stack(channels: int, size: int, specs: Sequence[ConvSpec]) -> tuple[nn.Sequential, int]:
    """Transposed convolutions with ReLU between them and none at the end: the last layer gives logits.

    Returns:
        The stack, and the side of its output.
    """
    layers: list[nn.Module] = []
    for spec in specs:
        layers += [nn.ConvTranspose2d(channels, spec.channels, spec.kernel, spec.stride, spec.padding), nn.ReLU()]
        channels, size = spec.channels, transposed_conv_size(size, spec.kernel, spec.stride, spec.padding)
    return nn.Sequential(*layers[:-1]), size

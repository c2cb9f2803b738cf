"""PyTorch modules from a vector to a picture, as the list of layers that the page's ``network.js`` runs.

Pictures lie as [height, width, channels] there. What has finished learning is folded together: a normalisation into
the convolution before it, a convolution of a single pixel into a linear layer, two linear layers into one. V's 1,024
features and their first transposed convolution, 3.3 million weights, become 105,600 that way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from agents.export_page.tensors import Tensors
from rollouts.errors import UserError
from worldmodels.layers import conv_size, transposed_conv_size

Numbers = NDArray[np.float64]
Kind = Literal["linear", "convolution", "transposed_convolution", "activation", "scale", "resize", "pad"]


@dataclass
class Layer:
    """One step of the page's network."""

    kind: Kind
    options: dict[str, Any]

    def json(self, tensors: Tensors) -> dict[str, Any]:
        """As ``network.js`` reads it: arrays by their numbers."""
        stored = {
            name: tensors.add(value) if isinstance(value, np.ndarray) else value for name, value in self.options.items()
        }
        return {"kind": self.kind, **stored}


@dataclass
class Product(Layer):
    """A step that multiplies matrices."""

    weight: Numbers  #: [inner, outputs], channels last
    bias: Numbers  #: [channels], or [outputs] of a linear layer

    def json(self, tensors: Tensors) -> dict[str, Any]:
        return {**super().json(tensors), "weight": tensors.add(self.weight), "bias": tensors.add(self.bias)}


Shape = tuple[int, int, int]
"""Channels, height, width."""


def layers_of(modules: Sequence[nn.Module], latent_size: int) -> list[Layer]:
    """The layers of modules that run one after the other, the first of them on a vector of ``latent_size``.

    Raises:
        UserError: the page has no such layer; the module is named.
    """
    layers: list[Layer] = []
    shape = (latent_size, 1, 1)
    for module in _leaves(modules):
        layer, shape = _layer(module, shape, layers)
        if layer is not None:
            _append(layers, layer)
    return layers


def _leaves(modules: Sequence[nn.Module]) -> Iterator[nn.Module]:
    for module in modules:
        if isinstance(module, nn.Sequential):
            yield from _leaves(list(module))
        else:
            yield module


def _layer(module: nn.Module, shape: Shape, before: list[Layer]) -> tuple[Layer | None, Shape]:
    """One module as a layer (None if it only changes a layer before it), and the shape of what it gives."""
    channels, height, width = shape
    if isinstance(module, nn.Linear):
        outputs = module.out_features
        options = {"height": 1, "width": 1, "channels": outputs}
        return Product("linear", options, _numbers(module.weight).T, _bias(module, outputs)), (outputs, 1, 1)
    if isinstance(module, nn.Unflatten):
        picture: Shape = tuple(module.unflattened_size)  # type: ignore[assignment]
        _make_picture(next(layer for layer in reversed(before) if isinstance(layer, Product)), picture)
        return None, picture
    if isinstance(module, nn.ConvTranspose2d):
        return _transposed(module, shape)
    if isinstance(module, nn.Conv2d):
        outputs, (kernel, stride, padding) = module.out_channels, _square(module)
        weight = _numbers(module.weight).transpose(2, 3, 1, 0).reshape(-1, outputs)
        options = {"kernel": kernel, "stride": stride, "padding": padding, "channels": outputs}
        high, wide = (conv_size(side, kernel, stride, padding) for side in (height, width))
        return Product("convolution", options, weight, _bias(module, outputs)), (outputs, high, wide)
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        scale, shift = _normalisation(module)
        return Layer("scale", {"scale": scale, "shift": shift}), shape
    if isinstance(module, nn.Upsample):
        factor = int(module.scale_factor)  # type: ignore[arg-type]
        return Layer("resize", {"factor": factor}), (channels, height * factor, width * factor)
    if isinstance(module, nn.ZeroPad2d):
        left, right, top, bottom = module.padding
        options = {"left": left, "right": right, "top": top, "bottom": bottom}
        return Layer("pad", options), (channels, height + top + bottom, width + left + right)
    return Layer("activation", _activation(module)), shape


def _activation(module: nn.Module) -> dict[str, Any]:
    if isinstance(module, nn.LeakyReLU):
        return {"name": "leaky_relu", "slope": module.negative_slope}
    for kind, name in ((nn.ReLU, "relu"), (nn.ELU, "elu"), (nn.Tanh, "tanh"), (nn.Sigmoid, "sigmoid")):
        if isinstance(module, kind):
            return {"name": name}
    raise UserError(
        f"The page cannot run a network with {type(module).__name__} in it. It knows linear layers, convolutions, "
        "batch normalisation, resizing, and the activations ReLU, LeakyReLU, ELU, tanh and sigmoid."
    )


def _transposed(module: nn.ConvTranspose2d, shape: Shape) -> tuple[Layer, Shape]:
    inputs, height, width = shape
    outputs, (kernel, stride, padding) = module.out_channels, _square(module)
    weight, bias = _numbers(module.weight).transpose(0, 2, 3, 1), _bias(module, outputs)
    if (height, width, padding) == (1, 1, 0):  # one pixel, one stamp: a linear layer
        options = {"height": kernel, "width": kernel, "channels": outputs}
        stamp = Product("linear", options, weight.reshape(inputs, -1), np.tile(bias, kernel**2))
        return stamp, (outputs, kernel, kernel)
    options = {"kernel": kernel, "stride": stride, "padding": padding, "channels": outputs}
    high, wide = (transposed_conv_size(side, kernel, stride, padding) for side in (height, width))
    return Product("transposed_convolution", options, weight.reshape(inputs, -1), bias), (outputs, high, wide)


def _append(layers: list[Layer], layer: Layer) -> None:
    """Put a layer after the others, folded into the last one where it can be."""
    last = layers[-1] if layers else None
    if layer.kind == "scale" and isinstance(last, Product):
        scale, shift = layer.options["scale"], layer.options["shift"]
        last.weight = (last.weight.reshape(-1, len(scale)) * scale).reshape(last.weight.shape)
        last.bias = (last.bias.reshape(-1, len(scale)) * scale + shift).reshape(-1)
    elif isinstance(last, Product) and isinstance(layer, Product) and _are_better_as_one(last, layer):
        layer.bias = last.bias @ layer.weight + layer.bias
        layer.weight = last.weight @ layer.weight
        layers[-1] = layer
    else:
        layers.append(layer)


def _are_better_as_one(first: Product, second: Product) -> bool:
    """Whether two layers are linear, and have fewer weights together."""
    together = first.weight.shape[0] * second.weight.shape[1]
    return first.kind == second.kind == "linear" and together <= first.weight.size + second.weight.size


def _make_picture(linear: Product, shape: Shape) -> None:
    """Let a linear layer give a picture: its outputs, which lay as [channels, height, width], channels last."""
    channels, height, width = shape
    order = np.arange(channels * height * width).reshape(shape).transpose(1, 2, 0).reshape(-1)
    linear.weight, linear.bias = linear.weight[:, order], linear.bias[order]
    linear.options = {"height": height, "width": width, "channels": channels}


def _normalisation(module: nn.BatchNorm1d | nn.BatchNorm2d) -> tuple[Numbers, Numbers]:
    """What a normalisation that has finished learning multiplies by, and what it adds."""
    assert module.running_mean is not None
    assert module.running_var is not None
    scale = _numbers(module.weight) / np.sqrt(_numbers(module.running_var) + module.eps)
    return scale, _numbers(module.bias) - _numbers(module.running_mean) * scale


def _square(module: nn.Conv2d | nn.ConvTranspose2d) -> tuple[int, int, int]:
    """Kernel, stride and padding, where they are the same in both directions and nothing else is asked for."""
    settings = (module.kernel_size, module.stride, module.padding)
    plain = module.groups == 1 and set(module.dilation) == {1} and set(module.output_padding) == {0}
    if not plain or any(isinstance(pair, str) or len(set(pair)) > 1 for pair in settings):
        raise UserError(f"The page cannot run {module}: groups, dilation and unequal sides are not known to it.")
    kernel, stride, padding = (int(pair[0]) for pair in settings)
    return kernel, stride, padding


def _bias(module: nn.Linear | nn.Conv2d | nn.ConvTranspose2d, outputs: int) -> Numbers:
    return np.zeros(outputs) if module.bias is None else _numbers(module.bias)


def _numbers(tensor: Tensor) -> Numbers:
    return tensor.detach().cpu().double().numpy()

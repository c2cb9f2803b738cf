"""PixelCNN: convolutions that see only what comes before a pixel: row by row, in it red, then green, then blue.

van den Oord et al. (2016a) for masks of kind A (not the pixel itself) and B (it, too) and the order of the colours;
van den Oord et al. (2016b) for the gated version, whose two stacks together see all that came before: a single stack of
masked squares has a blind spot to the right, which grows with every layer.

Feature ``i`` belongs to colour ``i % colours``: it knows of its own pixel only the colours before that one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Sight = Literal["above", "left", "raster"]


class CausalConv(nn.Module):
    """A convolution that sees part of the past, ``[N, inputs, H, W] -> [N, outputs, H, W]``.

    Args:
        sight: "above": rows above (and, unless ``strict``, the row itself, for inputs that only know rows above it);
            "left": the same row, up to the pixel; "raster": both, as far as a masked square sees them.
        reach: pixels in each direction; 0 for a pointwise convolution ("left" only).
        strict: a mask of kind A: of its own pixel, colours before its own; otherwise kind B: these and its own.
    """

    mask: Tensor

    def __init__(self, inputs: int, outputs: int, sight: Sight, reach: int, strict: bool, colours: int) -> None:
        super().__init__()
        height = {"above": reach + (not strict), "left": 1, "raster": reach + 1}[sight]
        width = reach + 1 if sight == "left" else 2 * reach + 1
        self.conv = nn.Conv2d(inputs, outputs, (height, width))
        self.padding = (reach, 0 if sight == "left" else reach, 0 if sight == "left" else reach, 0)
        mask = torch.ones_like(self.conv.weight)
        if sight != "above":
            before, own = torch.arange(inputs) % colours, torch.arange(outputs)[:, None] % colours
            mask[:, :, -1, reach + 1 :] = 0
            mask[:, :, -1, reach] = (before < own if strict else before <= own).float()
        self.register_buffer("mask", mask, persistent=False)

    def padded(self, x: Tensor) -> Tensor:
        """The input with zeros around it: output (i, j) sees the window that begins there."""
        return F.pad(x, self.padding)

    def window(self, padded: Tensor) -> Tensor:
        """The output for a part of a padded input, without further padding."""
        return F.conv2d(padded, self.conv.weight * self.mask, self.conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.window(self.padded(x))[:, :, : x.shape[2]]


def gate(x: Tensor) -> Tensor:
    """``tanh(a) sigmoid(b)`` of the two halves of the channels. van den Oord et al. (2016b), eq. 2."""
    a, b = x.chunk(2, 1)
    return torch.tanh(a) * torch.sigmoid(b)


class Layer(nn.Module):
    """One layer: gated, with a stack for rows above and one for pixels to the left; or plain, with one for both.

    Args:
        first: it sees the picture itself, so strictly what came before; the others add to their input.
        classes: of labels, which are a bias of every layer; 0 for none.
    """

    def __init__(
        self, inputs: int, width: int, reach: int, colours: int, first: bool, gated: bool, classes: int
    ) -> None:
        super().__init__()
        self.first, self.gated, inner = first, gated, 2 * width if gated else width
        if gated:
            self.above = CausalConv(inputs, inner, "above", reach, first, colours)
            self.link = nn.Conv2d(inner, inner, 1)
        self.beside = CausalConv(inputs, inner, "left" if gated else "raster", reach, first, colours)
        self.out = CausalConv(width, width, "left", 0, False, colours)
        self.label = nn.Linear(classes, 2 * inner, bias=False) if classes else None

    def biases(self, labels: Tensor | None) -> tuple[Tensor | float, Tensor | float]:
        """What one-hot labels ``[N, classes]`` add in the two stacks."""
        if self.label is None:
            return 0.0, 0.0
        above, beside = self.label(labels)[:, :, None, None].chunk(2, 1)
        return above, beside

    def entered(self, h: Tensor) -> Tensor:
        """The input of the convolution beside the pixel, from ``h``."""
        return h if self.first or self.gated else torch.relu(h)

    def across(self, context: Tensor, linked: Tensor | float, bias: Tensor | float, h: Tensor) -> Tensor:
        """From the features of the pixels to the left (and, linked, above) to the layer's output."""
        activated = gate(context + linked + bias) if self.gated else torch.relu(context + bias)
        return self.out(activated) if self.first else h + self.out(activated)

    def forward(
        self, v: Tensor, h: Tensor, labels: Tensor | None, keep: Callable[[CausalConv, Tensor], None]
    ) -> tuple[Tensor, Tensor]:
        """The two stacks ``[N, width, H, W]``; ``keep`` is shown the input of every convolution."""
        above, beside = self.biases(labels)
        linked: Tensor | float = 0.0
        if self.gated:
            keep(self.above, v)
            context = self.above(v)
            v, linked = gate(context + above), self.link(context)
        entered = self.entered(h)
        keep(self.beside, entered)
        return v, self.across(self.beside(entered), linked, beside, h)


def keep_nothing(convolution: CausalConv, x: Tensor) -> None:
    """For a pass that need not be continued."""


class PixelCNN(nn.Module):
    """Pictures to the logits of every value of every pixel, given all that came before it.

    Args:
        channels: colours of the picture.
        levels: values that a pixel may have.
        width: features of a layer; rounded up to a multiple of the colours.
        layers: after the first one.
        reach, first_reach: pixels that a layer, and the first one, sees in each direction: 1 is a 3x3 kernel.
    """

    def __init__(
        self,
        channels: int,
        levels: int,
        width: int,
        layers: int,
        classes: int = 0,
        gated: bool = True,
        reach: int = 1,
        first_reach: int = 3,
    ) -> None:
        super().__init__()
        self.channels, self.levels, self.classes = channels, levels, classes
        width = -(-width // channels) * channels
        first = Layer(channels, width, first_reach, channels, True, gated, classes)
        others = (Layer(width, width, reach, channels, False, gated, classes) for _ in range(layers))
        self.layers = nn.ModuleList([first, *others])
        self.head = nn.Sequential(
            nn.ReLU(),
            CausalConv(width, 2 * width, "left", 0, False, channels),
            nn.ReLU(),
            CausalConv(2 * width, channels * levels, "left", 0, False, channels),
        )

    @property
    def stack(self) -> list[Layer]:
        """The layers."""
        return cast("list[Layer]", list(self.layers))

    @property
    def dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype

    def scaled(self, x: Tensor) -> Tensor:
        """Values ``0 .. levels - 1`` to what the network sees, in [-1, 1]."""
        return x.to(self.dtype) * (2 / (self.levels - 1)) - 1

    def rows(self, labels: Tensor | None, count: int) -> Tensor | None:
        """Class numbers ``[N]`` as one-hot rows, or None for a model without classes.

        Raises:
            ValueError: labels are missing.
        """
        if not self.classes:
            return None
        if labels is None:
            raise ValueError("a conditional network needs labels")
        return F.one_hot(labels, self.classes).to(self.dtype).expand(count, -1)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Logits ``[N, levels, C, H, W]`` of every value of pictures ``x [N, C, H, W]``, seen as by :meth:`scaled`."""
        return self.logits(self.features(x, self.rows(labels, len(x)), keep_nothing))

    def features(self, x: Tensor, rows: Tensor | None, keep: Callable[[CausalConv, Tensor], None]) -> Tensor:
        v = h = x
        for layer in self.stack:
            v, h = layer(v, h, rows, keep)
        return h

    def logits(self, h: Tensor) -> Tensor:
        return self.head(h).unflatten(1, (self.levels, self.channels))


class Progress:
    """Drawing pixel by pixel; what was computed for earlier pixels is kept, so that each step costs one pixel.

    Args:
        values: ``[N, C, H, W]`` whole numbers; rows before ``begun`` are the start, the others are drawn into it.
    """

    def __init__(self, network: PixelCNN, values: Tensor, labels: Tensor | None) -> None:
        self.network, self.values = network, values
        self.rows = network.rows(labels, len(values))
        self.inputs: dict[CausalConv, Tensor] = {}
        network.features(network.scaled(values), self.rows, self._keep)
        self.biases = [layer.biases(self.rows) for layer in network.stack]
        self.linked: list[Tensor | float] = []

    def _keep(self, convolution: CausalConv, x: Tensor) -> None:
        self.inputs[convolution] = convolution.padded(x).contiguous()

    def draw(self, begun: int, choose: Callable[[Tensor], Tensor]) -> None:
        """Fill all rows from ``begun`` on.

        Args:
            choose: logits ``[N, levels]`` of a pixel's colour -> its values ``[N]``.
        """
        _, colours, height, width = self.values.shape
        for i in range(begun, height):
            self._begin_row(i)
            for j in range(width):
                for colour in range(colours):
                    self.values[:, colour, i, j] = choose(self._pixel(i, j)[:, :, colour])
                self._put(self.network.stack[0].beside, i, j, self._pixel_so_far(i, j))
            if self.network.stack[0].gated:
                row = self.network.scaled(self.values[:, :, i : i + 1])
                self._put(self.network.stack[0].above, i, 0, row)

    def _pixel_so_far(self, i: int, j: int) -> Tensor:
        return self.network.scaled(self.values[:, :, i : i + 1, j : j + 1])

    def _put(self, convolution: CausalConv, i: int, j: int, x: Tensor) -> None:
        """Write the input of row ``i``, from column ``j`` on."""
        left, _, top, _ = convolution.padding
        self.inputs[convolution][:, :, i + top : i + top + 1, j + left : j + left + x.shape[3]] = x

    def _begin_row(self, i: int) -> None:
        """The stack of what is above, for a whole row."""
        self.linked, v = [], None
        for layer, (above, _) in zip(self.network.stack, self.biases, strict=True):
            if not layer.gated:
                self.linked.append(0.0)
                continue
            if v is not None:
                self._put(layer.above, i, 0, v)
            context = layer.above.window(self.inputs[layer.above][:, :, i : i + layer.above.conv.kernel_size[0]])
            self.linked.append(layer.link(context))
            v = gate(context + above)

    def _pixel(self, i: int, j: int) -> Tensor:
        """Logits ``[N, levels, C]`` of one pixel, from the colours that it has so far."""
        h = self._pixel_so_far(i, j)
        for layer, linked, (_, bias) in zip(self.network.stack, self.linked, self.biases, strict=True):
            self._put(layer.beside, i, j, layer.entered(h))
            height, width = layer.beside.conv.kernel_size
            context = layer.beside.window(self.inputs[layer.beside][:, :, i : i + height, j : j + width])
            at = linked[:, :, :, j : j + 1] if isinstance(linked, Tensor) else linked
            h = layer.across(context, at, bias, h)
        return self.network.logits(h)[..., 0, 0]

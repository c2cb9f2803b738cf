"""Modules of PyTorch as layers of the page: every kind, folded, computes what the module computes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from agents.export_page.networks import Product, layers_of
from agents.export_page.tensors import Tensors
from rollouts.errors import UserError
from tests.agents.export_page.conftest import Compute
from worldmodels.layers import ConvSpec, conv_stack, project
from worldmodels.vae import ConvVAE

Z = 6


def stack(*specs: ConvSpec) -> nn.Sequential:
    """From Z numbers to a picture of 3 channels and 4x4 pixels, and on."""
    return nn.Sequential(*project(Z, 3, 4, activation=nn.ReLU), *conv_stack(3, 4, specs)[0])


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "linear layers": lambda: nn.Sequential(nn.Linear(Z, 9), nn.ELU(), nn.Linear(9, 5), nn.Tanh()),
    "transposed convolutions": lambda: stack(
        ConvSpec(5, 4, 2, up="transposed", norm=nn.BatchNorm2d, bias=False), ConvSpec(2, 5, 3, 1, up="transposed")
    ),
    "sizes that double": lambda: stack(
        ConvSpec(5, 4, 2, "same", up="transposed"), ConvSpec(3, 5, 2, "same", up="transposed", activation=nn.Sigmoid)
    ),
    "resizing": lambda: stack(
        ConvSpec(4, 3, 2, "same", up="resize", norm=nn.BatchNorm2d),
        ConvSpec(1, 4, 2, "same", up="resize", activation=lambda: nn.LeakyReLU(0.2)),
    ),
    "convolutions": lambda: stack(ConvSpec(4, 3, 1, 1), ConvSpec(2, 3, 2, activation=None)),
    "normalised first": lambda: nn.Sequential(
        *project(Z, 3, 4, norm=nn.BatchNorm1d, bias=False), nn.ReLU(), nn.BatchNorm2d(3), nn.Conv2d(3, 1, 1)
    ),
    "a picture of one pixel": lambda: nn.Sequential(
        *project(Z, 8, 1), nn.ConvTranspose2d(8, 3, 5, 2), nn.BatchNorm2d(3), nn.ReLU()
    ),
}


def with_random_statistics(module: nn.Module) -> nn.Module:
    """As after training: no weight and no running mean is what it began as."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(part.running_mean, -1, 1)
            nn.init.uniform_(part.running_var, 0.5, 2)
            nn.init.uniform_(part.weight, 0.5, 2)
            nn.init.uniform_(part.bias, -1, 1)
    return module.eval()


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_a_network_computes_what_the_module_does(name: str, exported: Path, in_engine: Compute):
    torch.manual_seed(0)
    module, z, tensors = with_random_statistics(NETWORKS[name]()), torch.randn(3, Z), Tensors()
    layers = [layer.json(tensors) for layer in layers_of([module], Z)]
    result = in_engine(
        exported,
        f"(() => {{ const network = new Network(new Arena(bytesOf(MODEL.kernel)), {json.dumps(layers)},"
        f"unpack({json.dumps(tensors.json())}), {Z});"
        f"return [network.output, ...{z.tolist()}.map((z) => [...network.run(z)])]; }})()",
    )
    output, expected = result[0], module(z)
    picture = expected[:, :, None, None] if expected.ndim == 2 else expected
    assert (output["channels"], output["height"], output["width"]) == tuple(picture.shape[1:])
    expected = picture.permute(0, 2, 3, 1).reshape(3, -1)
    np.testing.assert_allclose(result[1:], expected, atol=2e-5, rtol=2e-5)


def test_vs_first_layers_become_one():
    vae = ConvVAE(32)
    layers = layers_of([vae.expand, vae.decoder], 32)
    assert [layer.kind for layer in layers[:3]] == ["linear", "activation", "transposed_convolution"]
    assert isinstance(layers[0], Product)
    assert layers[0].weight.shape == (32, 5 * 5 * 128)


@pytest.mark.parametrize(
    ("module", "named"), [(nn.GELU(), "GELU"), (nn.Conv2d(1, 4, 3, groups=1, dilation=2), "dilation")]
)
def test_what_the_page_cannot_run_is_named(module: nn.Module, named: str):
    with pytest.raises(UserError, match=named):
        layers_of([*project(Z, 1, 8), module], Z)


@pytest.mark.parametrize(("values", "half"), [([0.5, -2.0, 1024.0], True), ([0.1], False), ([1e6], False), ([], True)])
def test_half_precision_is_used_where_nothing_is_lost(
    values: list[float], half: bool, exported: Path, in_engine: Compute
):
    tensors = Tensors()
    tensors.add(np.ones(3))  # six bytes: what follows must lie at a multiple of four all the same
    number = tensors.add(values)
    stored: dict[str, Any] = tensors.json()
    assert stored["tensors"][number]["half"] is half
    assert in_engine(exported, f"[...unpack({json.dumps(stored)})({number})]") == [float(np.float32(v)) for v in values]


def test_every_half_precision_number_is_read(exported: Path, in_engine: Compute):
    bits = np.arange(2**16, dtype=np.uint16)
    values = bits.view(np.float16)
    result = in_engine(exported, "Array.from({ length: 65536 }, (_, bits) => String(fromHalf(bits)))")
    assert np.array_equal(np.array(result, dtype=float), values.astype(float), equal_nan=True)

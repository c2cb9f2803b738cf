"""PixelCNN: what each output may know, that probabilities are probabilities, a known entropy, and exact resume."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from rollouts.errors import UserError
from worldmodels.generative.fit import fit_images
from worldmodels.generative.models.pixelcnn import PixelCNNModel, quantised
from worldmodels.generative.models.registry import preset
from worldmodels.generative.models.trained import load_trained
from worldmodels.generative.networks.pixelcnn import PixelCNN, Progress
from worldmodels.generative.objectives.units import Trainer
from worldmodels.training.randomness import generator_for

CPU = torch.device("cpu")


def small(channels: int = 1, levels: int = 2, gated: bool = True, classes: int = 0, layers: int = 2) -> PixelCNN:
    torch.manual_seed(0)
    return PixelCNN(channels, levels, 6, layers, classes, gated, first_reach=1)


def jacobian(network: PixelCNN, size: int) -> Tensor:
    """Whether logits of (pixel, colour) change with (pixel, colour), in the order row, column, colour."""
    x, count = torch.randn(1, network.channels, size, size, dtype=torch.float64), network.channels * size * size

    def in_order(x: Tensor) -> Tensor:
        logits = network.double()(x)[0].square().sum(0)
        return logits.permute(1, 2, 0).flatten()

    found = torch.autograd.functional.jacobian(in_order, x)[:, 0]
    return found.permute(0, 2, 3, 1).reshape(count, count)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("gated", [False, True])
def test_the_jacobian_is_strictly_lower_triangular(channels, gated):
    found = jacobian(small(channels, 4, gated), 4)
    assert torch.equal(found.triu(), torch.zeros_like(found))
    assert (found.diagonal(-1) != 0).any()
    if channels == 3:  # green knows red, blue knows both, of the same pixel
        assert all(found[first + 1 :: 3, first::3].diagonal().any() for first in (0, 1))


def test_gates_see_all_that_came_before_and_a_single_stack_has_a_blind_spot():
    """With 3x3 kernels, a stack of masked squares never sees two columns to the right in the row above."""
    size, pixel = 6, 3 * 6 + 2
    above_and_right = (3 - 1) * 6 + 4
    plain, gated = (jacobian(small(gated=kind, layers=4), size) for kind in (False, True))
    assert plain[pixel, above_and_right] == 0
    assert gated[pixel, above_and_right] != 0
    assert (gated[pixel, :pixel] != 0).all()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("gated", [False, True])
def test_probabilities_of_all_binary_pictures_sum_to_one(channels, gated):
    network = small(channels, 2, gated, classes=2).double()
    every = torch.tensor(list(itertools.product([0.0, 1.0], repeat=4 * channels)), dtype=torch.float64)
    model = PixelCNNModel(network, 2, 1e-3)
    x = every.reshape(-1, channels, 2, 2)
    with torch.no_grad():
        for label in (0, 1):
            logits = network(network.scaled(x.long()), torch.full((len(x),), label))
            nats = F.cross_entropy(logits, x.long(), reduction="none").flatten(1).sum(1)
            assert float(torch.exp(-nats).sum()) == pytest.approx(1, abs=1e-9)
            torch.testing.assert_close(model.nats(x, torch.full((len(x),), label)), nats.float(), check_dtype=False)


@pytest.mark.parametrize(("channels", "gated"), [(1, False), (3, False), (1, True), (3, True)])
def test_drawing_pixel_by_pixel_follows_the_network(channels, gated):
    """What the sampler says at every pixel is what one pass over the finished picture says there."""
    network, said = small(channels, 4, gated, classes=3).double().eval(), []
    values, labels = torch.randint(4, (5, channels, 6, 5)), torch.tensor([0, 1, 2, 0, 1])
    before, rng = values[:, :, :2].clone(), generator_for(0, 0)

    def choose(logits: Tensor) -> Tensor:
        said.append(logits)
        return torch.multinomial(logits.softmax(1), 1, generator=rng)[:, 0]

    with torch.no_grad():
        Progress(network, values, labels).draw(2, choose)
        whole = network(network.scaled(values), labels)[:, :, :, 2:]
    assert torch.equal(values[:, :, :2], before)
    in_order = whole.permute(3, 4, 2, 0, 1).reshape(-1, 5, 4)
    torch.testing.assert_close(torch.stack(said), in_order)


def test_a_sampler_that_never_drew_again_would_be_seen():
    """Draws have the probabilities of the network: all 16 pictures of 2x2, counted."""
    network = small(1, 2, layers=1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(3)
    model = PixelCNNModel(network, 2, 1e-3)
    samples = model.draw(20_000, generator_for(0, 0)).reshape(-1, 4).long()
    counts = torch.bincount(samples @ torch.tensor([8, 4, 2, 1]), minlength=16) / len(samples)
    every = torch.tensor(list(itertools.product([0.0, 1.0], repeat=4))).reshape(-1, 1, 2, 2)
    with torch.no_grad():
        torch.testing.assert_close(counts, torch.exp(-model.nats(every)), atol=0.012, rtol=0)


def markov_field(count: int, size: int, rng: np.random.Generator) -> tuple[Tensor, float]:
    """Pictures in which P(1) is 0.1, 0.5 or 0.9 for 0, 1 or 2 ones to the left and above; and their entropy in nats.

    The entropy is exact: the sum over pixels of the mean entropy of a coin, over all 2^(size^2) pictures.
    """
    chance = np.array([0.1, 0.5, 0.9])

    def neighbours(x: np.ndarray, i: int, j: int) -> np.ndarray:
        zero = np.zeros(len(x), int)
        return (x[:, i - 1, j] if i else zero) + (x[:, i, j - 1] if j else zero)

    samples = np.zeros((count, size, size), int)
    for i, j in itertools.product(range(size), repeat=2):
        samples[:, i, j] = rng.random(count) < chance[neighbours(samples, i, j)]
    every = np.array(list(itertools.product([0, 1], repeat=size**2))).reshape(-1, size, size)
    log_p = np.zeros(len(every))
    for i, j in itertools.product(range(size), repeat=2):
        p = chance[neighbours(every, i, j)]
        log_p += np.log(np.where(every[:, i, j] == 1, p, 1 - p))
    return torch.from_numpy(samples[:, None]).float(), float(-(np.exp(log_p) * log_p).sum())


def test_the_entropy_of_a_markov_field_is_reached():
    x, entropy = markov_field(30_000, 4, np.random.default_rng(0))
    torch.manual_seed(0)
    model = PixelCNNModel(PixelCNN(1, 2, 12, 1, first_reach=1), 4, 1e-2)
    trainer = Trainer(model.units(), lambda number: (x[100 * number : 100 * number + 100],), 0, lambda s: 1 - s / 200)
    for step in range(200):
        trainer(step)
    with torch.no_grad():
        reached = model.nats(x[20_000:])  # never seen
    error = float(reached.std()) / math.sqrt(len(reached))
    assert -4 * error < float(reached.mean()) - entropy < 0.05
    assert entropy < 16 * math.log(2) - 2  # so a model without neighbours could not do it


def test_levels_are_equally_wide():
    x = torch.arange(256) / 255
    for levels in (2, 16, 256):
        counts = torch.bincount(quantised(x, levels), minlength=levels)
        assert (counts == 256 // levels).all()
    assert torch.equal(quantised(x, 256), torch.arange(256))


def test_interrupted_training_is_bit_equal_and_halves_are_kept(images, tmp_path):
    model = "pixelcnn-conditional"
    config = dataclasses.replace(preset(model, "tiny"), data=images, steps=6, layers=1, log_every=2, decay=False)
    config = dataclasses.replace(config, checkpoint_every=4, levels=16)
    for steps, run in ((6, "whole"), (3, "parts"), (6, "parts")):
        fit_images(model, dataclasses.replace(config, steps=steps), tmp_path / run, CPU)
    whole, parts = (load_trained(tmp_path / run, CPU) for run in ("whole", "parts"))
    for a, b in zip(whole.model.network.parameters(), parts.model.network.parameters(), strict=True):
        assert torch.equal(a, b)
    x = torch.rand(3, 1, 8, 8)
    completed = whole.model.complete(x, 4, generator_for(0, 0), torch.tensor([0, 1, 0]))
    kept = quantised(x[:, :, :4], 16) / 15
    torch.testing.assert_close(completed[:, :, :4], kept.float())
    again = whole.model.complete(x, 4, generator_for(0, 1), torch.tensor([0, 1, 0]))
    assert not torch.equal(completed, again)


def test_mistakes_are_named():
    for change in ({"levels": 1}, {"levels": 257}, {"layers": 0}):
        with pytest.raises(UserError, match=next(iter(change))):
            dataclasses.replace(preset("pixelcnn"), **change).check()

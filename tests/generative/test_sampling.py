"""Walks, attributes and pictures of a trained model."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from rollouts.errors import UserError
from worldmodels.generative import sampling, sheets
from worldmodels.generative.models.autoencoders import VAEModel
from worldmodels.generative.models.base import LatentModel
from worldmodels.generative.models.gan import GeneratorModel
from worldmodels.generative.models.views import reconstructions
from worldmodels.generative.networks.dcgan import dcgan_generator
from worldmodels.generative.networks.modules import VAE, Generator
from worldmodels.generative.objectives.autoencoders import VAEObjective, fixed_gaussian
from worldmodels.generative.objectives.units import Batch
from worldmodels.pictures import with_captions
from worldmodels.training.randomness import generator_for


@pytest.mark.parametrize("between", [sampling.lerp, sampling.slerp])
def test_ends_are_exact(between):
    start, end = torch.randn(2, 5, 8).unbind()
    torch.testing.assert_close(between(start, end, 0.0), start)
    torch.testing.assert_close(between(start, end, 1.0), end)


def test_slerp_keeps_to_the_shell():
    start, end = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 4.0])
    middle = sampling.slerp(start, end, 0.5)
    assert middle.norm().item() == pytest.approx(3)
    torch.testing.assert_close(middle, torch.full((2,), 3 / math.sqrt(2)))
    a, b = torch.randn(2, 100, 16).unbind()
    lengths = torch.stack([a.norm(dim=1), b.norm(dim=1)])
    for share in (0.2, 0.7):
        inside = sampling.slerp(a, b, share).norm(dim=1)
        assert (inside >= lengths.min(0).values - 1e-4).all()
        assert (inside <= lengths.max(0).values + 1e-4).all()


@pytest.mark.parametrize("other", [[-1.0, 0.0], [0.0, 0.0], [1.0, 0.0], [3.0, 0.0]])
def test_slerp_without_an_angle_is_a_straight_line(other):
    """Opposite, zero, equal and parallel vectors."""
    start, end = torch.tensor([1.0, 0.0]), torch.tensor(other)
    torch.testing.assert_close(sampling.slerp(start, end, 0.25), sampling.lerp(start, end, 0.25))


def linear_model() -> VAEModel:
    """A decoder that stretches latents, and an encoder that undoes it, for 1x2x2 images."""
    vae = VAE(nn.Flatten(), 4, 4, nn.Sequential(nn.Linear(4, 4, bias=False), nn.Unflatten(1, (1, 2, 2))))
    matrix = torch.linalg.qr(torch.randn(4, 4))[0]
    vae.decoder[0].weight.data, vae.mean.weight.data = matrix, matrix.T.contiguous()
    nn.init.zeros_(vae.mean.bias)
    return VAEModel(VAEObjective(vae, fixed_gaussian(1.0), torch.optim.SGD(vae.parameters(), 0.1)))


def test_attribute_vector_recovers_a_planted_direction():
    torch.manual_seed(0)
    model = linear_model()
    direction = torch.tensor([0.0, 2.0, 0.0, -1.0])
    has = torch.arange(4000) % 3 == 0
    z = torch.randn(4000, 4) + has[:, None] * direction
    codes = model.encode(model.decode(z))
    torch.testing.assert_close(codes, z, atol=1e-5, rtol=0)
    torch.testing.assert_close(sampling.attribute_vector(codes, has), direction, atol=0.12, rtol=0)
    with pytest.raises(ValueError, match="with the attribute and samples without it"):
        sampling.attribute_vector(codes, torch.ones(4000, dtype=torch.bool))


def test_latent_arithmetic():
    z, v = torch.randn(3, 4), torch.randn(4)
    moved = sampling.apply_attribute(z, v, [-1, 0, 2])
    torch.testing.assert_close(moved[:, 1], z)
    torch.testing.assert_close(moved[:, 2] - 2 * v, z)
    torch.testing.assert_close(moved[:, 0] + v, z)


def test_pictures_have_the_right_tiles():
    torch.manual_seed(0)
    model = GeneratorModel(dcgan_generator(8, 1, 4, 4, classes=2), ())
    rng = generator_for(0, 0)
    assert model.draw(12, rng).shape == (12, 1, 8, 8)
    assert sampling.interpolation(model, 2, 5, rng).shape == (2 * 10 + 2, 5 * 10 + 2, 3)
    assert sampling.latent_walk(model, 1, 3, 7, rng).shape == (3 * 10 + 2, 7 * 10 + 2, 3)
    same = model.draw(4, generator_for(1, 0)), model.draw(4, generator_for(1, 0))
    assert torch.equal(*same)
    with pytest.raises(UserError, match="has no encoder"):
        sampling.require_encoder(model)


def test_reconstructions_and_attributes_as_pictures():
    model = linear_model()
    x = torch.rand(12, 1, 2, 2)
    pairs = reconstructions(model, Batch(x, None, generator_for(0, 0)))
    assert pairs.shape == (4 * 4 + 2, 10 * 4 + 2, 3)
    np.testing.assert_allclose(pairs[2:4, 2:4].astype(int), pairs[6:8, 2:4].astype(int), atol=1)
    rows = sampling.attribute_rows(model, x[:3], torch.ones(4), [0.0, 1.0])
    np.testing.assert_allclose(rows[2:4, 2:4].astype(int), rows[2:4, 6:8].astype(int), atol=1)


def test_neighbours_show_memorisation():
    data = torch.rand(30, 1, 4, 4)
    picture = sampling.neighbour_rows(data[5:8], data)
    assert np.array_equal(picture[2:6], picture[8:12])


def test_scatter_places_points():
    picture = sheets.scatter(torch.tensor([[0.0, 0.0], [1.9, 1.9], [5.0, 5.0]]), side=100)
    dark = np.argwhere(picture[..., 0] < 255).tolist()
    assert len(dark) == 2
    assert [49, 50] in dark
    assert any(row < 5 and column > 95 for row, column in dark)


def test_gif_plays(tmp_path):
    frames = [np.full((4, 4, 3), value, np.uint8) for value in (0, 120, 240)]
    sheets.save_gif(frames, tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as gif:
        assert gif.n_frames == 3


def test_latents_of_given_pictures_are_found_without_an_encoder():
    """Pictures that a generator made are found again, up to what differs little in pixels."""
    torch.manual_seed(0)
    body = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 64), nn.Unflatten(1, (1, 8, 8)), nn.Tanh())
    model = GeneratorModel(Generator(4, body), ())
    z = torch.randn(3, 4, generator=generator_for(0, 5))
    x = model.decode(4**0.5 * z / z.norm(dim=1, keepdim=True)).detach()
    found = sampling.codes_of(model, x)
    assert found.shape == (3, 4)
    spread = (x - x.mean(0)).square().mean()
    assert (model.decode(found) - x).square().mean() < 0.01 * spread
    assert all(parameter.grad is None for parameter in model.network.parameters())


def test_a_path_begins_and_ends_at_the_pictures():
    torch.manual_seed(0)
    model = linear_model()
    x = torch.rand(3, 1, 2, 2)
    picture = sampling.path_between(model, sampling.codes_of(model, x), 5)
    assert picture.shape == (2 * 4 + 2, 5 * 4 + 2, 3)
    for row, (first, last) in enumerate(((0, 1), (1, 2))):
        for column, index in ((0, first), (4, last)):
            tile = picture[2 + 4 * row : 4 + 4 * row, 2 + 4 * column : 4 + 4 * column, 0]
            np.testing.assert_allclose(tile, 255 * x[index, 0].numpy(), atol=1)


def test_truncation_keeps_latents_near_the_middle():
    model = linear_model()  # a rotation, so that lengths stay
    z = sampling.draw(model, 500, generator_for(0, 0), truncation=0.5).flatten(1)
    assert z.norm(dim=1).max() <= 0.5 * 2 + 1e-5
    free = sampling.draw(model, 500, generator_for(0, 0)).flatten(1)
    assert free.norm(dim=1).max() > 2


def test_captions_stand_left_of_their_rows():
    sheet = np.full((20, 30, 3), 9, np.uint8)
    captioned = with_captions(sheet, ["cats", "a long name"], scale=2)
    margin = captioned.shape[1] - 60
    assert captioned.shape[0] == 40
    assert margin > 12
    assert (captioned[:, margin:] == 9).all()
    for half in (captioned[:20, :margin], captioned[20:, :margin]):
        assert half.min() < 100
    assert with_captions(sheet, [], scale=1).shape[1] == 30


# Outliers


class Doubles(LatentModel):
    """Codes are the pictures' two values; it can only copy what lies on the diagonal."""

    latent_size = 2

    def __init__(self, encoder: bool) -> None:
        if encoder:
            self.encode = lambda x, condition: x.flatten(1)
        self.network = torch.nn.Linear(1, 1)

    def decode(self, z, condition=None):
        return z.mean(1, keepdim=True).expand(-1, 2).reshape(-1, 1, 1, 2)


@pytest.mark.parametrize("encoder", [True, False])
def test_what_a_model_cannot_copy_is_an_outlier(encoder):
    x = torch.tensor([[0.2, 0.2], [0.9, 0.1], [0.4, 0.5]]).reshape(3, 1, 1, 2)
    found = sampling.surprise(Doubles(encoder), x)
    torch.testing.assert_close(found.score, torch.tensor([0.0, 0.16, 0.0025]), atol=1e-3, rtol=0)
    torch.testing.assert_close(found.copies[1].flatten(), torch.tensor([0.5, 0.5]), atol=0.02, rtol=0)


def test_exact_likelihoods_are_the_score_where_there_are_such():
    model = Doubles(True)
    model.nats = lambda x, condition: 3 * x.flatten(1).sum(1) + condition
    found = sampling.surprise(model, torch.ones(2, 1, 1, 2), torch.tensor([0, 1]))
    assert found.score.tolist() == [6, 7]
    assert found.copies is None

"""Pictures of latents, of models whose decoder is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rollouts.errors import UserError
from worldmodels.generative.latent_pictures import arithmetic, colour_of, latent_map, manifold, plane_of, read_terms
from worldmodels.generative.models.base import LatentModel
from worldmodels.training.randomness import generator_for


class Plain(LatentModel):
    """Two latents u, v become a picture of 2x2 pixels that are all u / 10 + 1/2, in red, and v / 10 + 1/2, in green."""

    def __init__(self, latent_size: int = 2, classes: int = 0) -> None:
        self.network, self.latent_size, self.classes = nn.Linear(1, 1), latent_size, classes

    def decode(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        blue = torch.zeros(len(z)) if condition is None else condition.float()
        return torch.stack([z[:, 0] / 10 + 0.5, z[:, 1] / 10 + 0.5, blue], 1)[:, :, None, None].expand(-1, -1, 2, 2)


def tiles(sheet: np.ndarray) -> np.ndarray:
    """The first pixel of every picture of a sheet of 2x2 pictures, ``[rows, columns, 3]``."""
    return sheet[2::4, 2::4]


def test_a_manifold_grows_to_the_right_and_upwards_by_equal_shares_of_the_prior():
    found = tiles(manifold(Plain(), 3, 4))
    assert found.shape == (3, 4, 3)
    quantiles = torch.distributions.Normal(0, 1).icdf((torch.arange(4) + 0.5) / 4)
    expected = ((quantiles / 10 + 0.5) * 255).round().int().tolist()
    assert found[0, :, 0].tolist() == pytest.approx(expected, abs=1)
    assert (np.diff(found[:, 0, 1].astype(int)) < 0).all()  # downwards, the second latent falls
    assert tiles(manifold(Plain(classes=2), 2, 2, torch.tensor([1])))[..., 2].min() == 255
    with pytest.raises(UserError, match="this model has 3 latents: train one with --latent-size 2"):
        manifold(Plain(3), 2, 2)


def test_sums_of_latents_are_those_of_their_means():
    z = torch.tensor([[1.0, 0.0], [3.0, 0.0], [0.0, 2.0], [-1.0, -1.0]])
    found = tiles(arithmetic(Plain(), z, [[0, 1], [2], [3]], generator_for(0, 0))).astype(int)
    assert found.shape == (4, 3, 3)

    def colour(u: float, v: float) -> list[int]:
        return [round((u / 10 + 0.5) * 255), round((v / 10 + 0.5) * 255)]

    assert found[0, 2, :2].tolist() == pytest.approx(colour(2, 0), abs=1)  # the mean of the first two
    assert found[1, 1].tolist() == [235, 235, 235]  # that term has one sample only
    assert found[3, 0, :2].tolist() == pytest.approx(colour(2 - 0 - 1, 0 - 2 - 1), abs=1)
    near = np.abs(found[3, 1:, :2] - found[3, 0, :2])
    assert 0 < near.max() <= 255 * 0.25 / 10 + 1


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        (("1", "2"), "needs three --terms, got 2"),
        (("1", "2", "3;4"), "separated by commas, got '3;4'"),
        (("1", "2", "8"), "numbers from 0 to 7, separated by commas, got '8'"),
    ],
)
def test_wrong_terms_are_explained(terms, message):
    with pytest.raises(UserError, match=message):
        read_terms(terms, 8)


def test_the_map_shows_the_two_directions_of_most_variance():
    rng = generator_for(0, 0)
    codes = torch.randn(300, 2, generator=rng).double() * torch.tensor([5.0, 2.0]) @ torch.linalg.qr(
        torch.randn(4, 4, generator=rng).double()
    )[0][:2]
    points, how = plane_of(codes)
    assert "100% of their variance" in how
    torch.testing.assert_close(torch.cdist(points, points), torch.cdist(codes, codes), atol=1e-5, rtol=0)
    assert points[:, 0].var() > points[:, 1].var()
    flat = codes[:, :2]
    assert plane_of(flat)[0] is flat


def test_dots_have_the_colour_of_their_class():
    codes = torch.tensor([[-1.0, -1.0], [1.0, 1.0], [1.0, -1.0]])
    sheet = latent_map(codes, torch.tensor([0, 1, 1]), ["a", "b"])
    height, width = sheet.shape[:2]
    assert width > height - 20 == 480
    assert tuple(sheet[-20 - 12, 12]) == colour_of(0, 2)  # low and left
    assert tuple(sheet[12, 480 - 12]) == tuple(sheet[-20 - 12, 480 - 12]) == colour_of(1, 2)
    assert latent_map(codes, None, []).shape[1] == 480

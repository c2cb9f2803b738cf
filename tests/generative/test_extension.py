"""A new model is one new file and one line in the registry: here a colouriser, which sees a grey picture."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from worldmodels.generative.fit import fit_images
from worldmodels.generative.measures.evaluation import evaluate
from worldmodels.generative.models import registry
from worldmodels.generative.models.base import ImageConfig, ImageModel, Shape, adam
from worldmodels.generative.models.trained import load_trained
from worldmodels.generative.objectives.units import Batch, Loss, Unit

CPU = torch.device("cpu")


# The new file


@dataclasses.dataclass(frozen=True)
class ColourConfig(ImageConfig):
    """Grey pictures to coloured ones, by least squares on each pixel."""

    def build(self, shape: Shape, device: torch.device) -> Colouriser:
        return Colouriser(nn.Conv2d(1, 3, 1).to(device), self.learning_rate)


class Colouriser(ImageModel):
    """One affine map from grey to colour."""

    headline, condition_channels = ("error",), 1

    def __init__(self, network: nn.Module, rate: float) -> None:
        self.network, self.optimiser = network, adam(network, rate)

    def condition_of(self, x: Tensor, rng: torch.Generator) -> Tensor:
        return x.mean(1, keepdim=True)

    def loss(self, batch: Batch) -> Loss:
        error = (self.network(batch.condition) - batch.x).square().mean()
        return Loss(error, {"error": error})

    def units(self) -> list[Unit]:
        return [Unit("colours", self.optimiser, self.loss)]

    def parts(self) -> dict:
        return {"network": self.network, "optimiser": self.optimiser}

    @torch.no_grad()
    def draw(self, count: int, rng: torch.Generator, condition: Tensor | None = None) -> Tensor:
        return self.network(condition[:count]).clamp(0, 1)

    def measures(self, batch: Batch) -> dict:
        return {"error": float((self.draw(len(batch.x), batch.rng, batch.condition) - batch.x).square().mean())}


# What it does


@pytest.fixture
def tinted(tmp_path) -> str:
    """Grey noise in a tint: the red, green and blue of a pixel are its grey times 1.2, 1.0 and 0.8."""
    grey = np.random.default_rng(0).integers(0, 200, (120, 8, 8, 1))
    np.savez(tmp_path / "tinted.npz", images=np.round(grey * [1.2, 1.0, 0.8]).astype(np.uint8))
    return str(tmp_path / "tinted.npz")


def test_a_model_that_needs_a_condition_is_one_file_and_one_line(tinted, tmp_path, monkeypatch):
    monkeypatch.setitem(registry.MODELS, "colourise", ColourConfig(learning_rate=0.1, decay=True))
    config = dataclasses.replace(registry.preset("colourise", "tiny"), data=tinted, steps=400, checkpoint_every=400)
    fit_images("colourise", config, tmp_path / "run", CPU)
    assert (tmp_path / "run" / "images" / "samples.png").exists()
    trained = load_trained(tmp_path / "run", CPU)
    weight = trained.model.network.weight.flatten()
    torch.testing.assert_close(weight, torch.tensor([1.2, 1.0, 0.8]), atol=0.02, rtol=0)  # least squares
    assert evaluate(trained, tmp_path)["measures"]["error"] < 1e-4
    grey = torch.full((2, 1, 4, 4), 0.5)
    samples = trained.model.draw(2, torch.Generator(), grey)
    assert samples.shape == (2, 3, 4, 4)
    assert samples[0, 0].mean() > samples[0, 2].mean() + 0.15

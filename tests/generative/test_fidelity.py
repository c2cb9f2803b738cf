"""The bridge to torch-fidelity, held to a stand-in: neither the package nor the Inception weights are needed here."""

import dataclasses
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rollouts.errors import UserError
from worldmodels.generative.data.samples import Samples
from worldmodels.generative.measures.inception import captions_of_all, evaluate_inception, inception_measures
from worldmodels.generative.models.base import ImageModel, Shape, build
from worldmodels.generative.models.registry import preset
from worldmodels.generative.models.trained import Trained


@pytest.fixture
def arguments(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What torch-fidelity is called with."""
    calls: dict[str, Any] = {}

    def calculate_metrics(**arguments: Any) -> dict[str, float]:
        calls.update(arguments)
        return {
            "frechet_inception_distance": 1.5,
            "inception_score_mean": 2.5,
            "inception_score_std": 0.1,
            "kernel_inception_distance_mean": 0.5,
            "kernel_inception_distance_std": 0.1,
        }

    module = ModuleType("torch_fidelity")
    module.calculate_metrics = calculate_metrics  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch_fidelity", module)
    return calls


def test_images_are_given_as_rgb_bytes_made_first(arguments: dict[str, Any], tmp_path: Path):
    weights = tmp_path / "inception.pth"
    weights.touch()
    fake, real = torch.full((3, 1, 8, 8), 0.5), torch.full((5, 3, 8, 8), 2.0)
    assert inception_measures(real, fake, weights) == {"fid": 1.5, "inception_score": 2.5, "kid": 0.5}
    assert len(arguments["input1"]) == 3
    assert arguments["input1"][0].equal(torch.full((3, 8, 8), 128, dtype=torch.uint8))
    assert arguments["input2"][4].equal(torch.full((3, 8, 8), 255, dtype=torch.uint8))
    assert arguments["kid_subset_size"] == 3
    assert arguments["feature_extractor_weights_path"] == str(weights)


def test_missing_weights_are_told(arguments: dict[str, Any], tmp_path: Path):
    with pytest.raises(UserError, match="no Inception weights"):
        inception_measures(torch.zeros(2, 3, 8, 8), torch.zeros(2, 3, 8, 8), tmp_path / "absent.pth")
    assert not arguments


def test_a_missing_package_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    (tmp_path / "weights.pth").touch()
    with pytest.raises(UserError, match="torch-fidelity"):
        inception_measures(torch.zeros(2, 3, 8, 8), torch.zeros(2, 3, 8, 8), tmp_path / "weights.pth")


def test_fid_is_taken_over_all_pictures_with_labels_by_their_shares(arguments: dict[str, Any], tmp_path: Path):
    """Data are often sorted by class: the first of them are no sample of all."""
    rng = np.random.default_rng(0)
    labels = (np.arange(60) >= 45).astype(np.int64)
    pictures = rng.integers(0, 255, (60, 8, 8, 1), dtype=np.uint8)
    samples = Samples("x", pictures[:50], pictures[50:], labels[:50], labels[50:], ("a", "b"))
    conditions: list[Tensor] = []

    class Recorder(ImageModel):
        classes, network = 2, torch.nn.Linear(1, 1)

        def draw(self, count: int, rng: torch.Generator, condition: Tensor | None = None) -> Tensor:
            assert condition is not None
            conditions.append(condition)
            return torch.zeros(count, 1, 8, 8)

    trained = Trained("x", preset("cgan"), Recorder(), tmp_path, Shape.of(samples), ("a", "b"), (0.9, 0.1))
    trained.__dict__["samples"] = samples
    (tmp_path / "weights.pth").touch()
    found = evaluate_inception(trained, tmp_path / "weights.pth")
    assert len(arguments["input1"]) == len(arguments["input2"]) == 60
    assert found["fid_samples"] == found["fid_real"] == 60
    assert torch.bincount(torch.cat(conditions)).tolist() == [54, 6]
    assert torch.equal(arguments["input2"][59], torch.from_numpy(pictures[59, :, :, 0]).expand(3, -1, -1))
    assert arguments["cuda"] is False
    conditions.clear()
    assert evaluate_inception(trained, tmp_path / "weights.pth", count=20)["fid_samples"] == 20
    assert len(arguments["input1"]) == 20


@pytest.mark.parametrize(
    ("name", "shape"), [("colourise", Shape(32, 3)), ("video", Shape(16, 1, frames=4)), ("ae", Shape(8, 1))]
)
def test_fid_is_refused_of_models_that_draw_no_pictures_by_themselves(name: str, shape: Shape, tmp_path: Path):
    pictures = np.zeros((9, shape.size, shape.size, shape.channels), np.uint8)
    config = dataclasses.replace(preset(name, "tiny"), width=4, **({"frames": 4} if shape.frames else {}))
    model = build(config, shape, torch.device("cpu"))
    trained = Trained(name, preset(name), model, tmp_path, shape, (), ())
    trained.__dict__["samples"] = Samples("x", pictures, pictures)
    with pytest.raises(UserError, match=f"which {name} does not do"):
        evaluate_inception(trained, tmp_path / "weights.pth")


def test_captions_for_fid_are_those_of_all_pictures():
    pictures, tokens = np.zeros((6, 8, 8, 1), np.uint8), np.arange(36).reshape(6, 3, 2)
    samples = Samples("x", pictures[:4], pictures[4:], train_condition=tokens[:4], test_condition=tokens[4:])
    assert captions_of_all(samples, 6)[:, 0].tolist() == [0, 6, 12, 18, 24, 30]
    assert captions_of_all(samples, 3)[:, 0].tolist() == [0, 12, 24]
    assert captions_of_all(samples, 12)[:, 0].tolist() == [0, 0, 6, 6, 12, 12, 18, 18, 24, 24, 30, 30]

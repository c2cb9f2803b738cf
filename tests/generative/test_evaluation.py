"""From options to pictures and measures, on tiny data."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from rollouts.errors import UserError
from worldmodels.generative.data.batches import Batches, spread
from worldmodels.generative.data.datasets import load_samples, to_tensor
from worldmodels.generative.measures.evaluation import evaluate, evaluate_perfect, evaluate_reference
from worldmodels.generative.measures.features import features_for, frozen_classifier
from worldmodels.generative.models.base import Shape, build
from worldmodels.generative.models.registry import MODELS, preset
from worldmodels.generative.models.trained import load_trained
from worldmodels.generative.networks.dcgan import Conditioning

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", MODELS)
def test_every_model_can_be_built_and_stepped(name, images):
    from worldmodels.generative.objectives.units import Trainer

    samples = load_samples(images)
    config = preset(name, "tiny")
    model = build(config, Shape.of(samples), CPU)
    batches = Batches(samples, 16, 0, CPU, model.low)
    terms = Trainer(model.units(), batches, 0)(0)
    assert set(model.headline) <= set(terms)
    assert all(torch.isfinite(value) for value in terms.values())


@pytest.mark.parametrize("architecture", ["dcgan-resize", "resnet", "patchgan"])
@pytest.mark.parametrize("conditioning", ["none", "planes"])
def test_architectures_and_conditioning_combine(architecture, conditioning: Conditioning):
    config = dataclasses.replace(preset("gan", "tiny"), architecture=architecture, conditioning=conditioning)
    size = 32
    model = build(config, Shape(size, 3, 2), CPU)
    made = model.draw(4, torch.Generator().manual_seed(0))
    assert made.shape == (4, 3, size, size)
    assert made.min() >= 0
    assert made.max() <= 1


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("gan", {"steps": 0}, "--steps must be positive"),
        ("gan", {"batch_size": 1}, "--batch-size must be at least 2"),
        ("gan", {"channels": 2}, "--channels must be 1, 3 or 0"),
        ("gan", {"average_decay": 1.0}, r"--average-decay must be in \[0, 1\)"),
        ("vae", {"kl_weight": -1.0}, "--kl-weight cannot be negative"),
    ],
)
def test_bad_options_are_named(name, options, told):
    with pytest.raises(UserError, match=told):
        dataclasses.replace(preset(name), **options).check()


@pytest.mark.parametrize(
    ("options", "points", "told"),
    [
        ({"penalty": "gradient"}, False, "drop one of them"),
        ({"penalty": "gradient", "architecture": "resnet"}, False, "--architecture resnet have no place for --batch"),
        ({"architecture": "foster"}, False, "--architecture foster have no place for --batch"),
        ({}, True, "Perceptrons for points have no place for --batch-norm"),
        ({"batch_norm": False, "architecture": "foster", "width": 64}, False, "leave it at 32"),
    ],
)
def test_options_that_networks_would_ignore_or_cannot_have_together_are_refused(options, points, told):
    with pytest.raises(UserError, match=told):
        dataclasses.replace(preset("gan"), **{"batch_norm": True, **options}).check_networks(points)


@pytest.mark.parametrize("name", MODELS)
def test_no_preset_has_an_option_that_its_networks_ignore(name):
    for points in (False, True):
        preset(name, points=points).check_networks(points)


@pytest.mark.parametrize(
    ("name", "options", "shape", "told"),
    [
        ("cgan", {}, Shape(8, 1, 0), "needs data with labels"),
        ("gan", {"architecture": "foster"}, Shape(32, 1), "28x28 grey"),
        ("gan", {}, Shape(25, 1), "25x25 cannot be halved"),
        ("vae", {}, Shape(0, 2), "points need --likelihood gaussian"),
        ("ae", {"likelihood": "gaussian-learned"}, Shape(8, 1), "variance of 0"),
    ],
)
def test_options_that_do_not_fit_the_data_are_explained(name, options, shape, told):
    with pytest.raises(UserError, match=told):
        build(dataclasses.replace(preset(name), **options), shape, CPU)


def test_a_saved_model_samples_what_it_sampled(runs, images):
    one, two = load_trained(runs / "cgan", CPU), load_trained(runs / "cgan", CPU)
    rng = torch.Generator().manual_seed(3), torch.Generator().manual_seed(3)
    assert torch.equal(one.model.draw(5, rng[0]), two.model.draw(5, rng[1]))
    with pytest.raises(UserError, match="has no 'images' stage yet"):
        load_trained(runs / "nothing", CPU)


def test_evaluation_of_images(runs, images, tmp_path):
    samples = load_samples(images)
    vae, cgan = (evaluate(load_trained(runs / name, CPU), tmp_path)["measures"] for name in ("vae", "cgan"))
    real = evaluate_reference(samples, tmp_path)["measures"]
    assert "classifier, 64 units, standardised" in vae["features"]
    assert real["label_accuracy"] == 1.0  # a bright upper against a bright lower half
    assert "label_accuracy" in cgan
    assert real["frechet"] < vae["frechet"]
    assert vae["elbo"] < 0
    assert vae["elbo"] <= vae["iwae_50"] + 1
    assert len(list(tmp_path.glob("classifier-*.safetensors"))) == 1
    assert torch.equal(
        frozen_classifier(samples, tmp_path).head.weight, frozen_classifier(samples, tmp_path).head.weight
    )


def test_features_are_scaled_over_all_classes_even_of_sorted_data(images, tmp_path):
    samples = load_samples(images)
    order = np.argsort(samples.train_labels)
    by_class = dataclasses.replace(samples, train=samples.train[order], train_labels=samples.train_labels[order])
    features = features_for(by_class, tmp_path)
    known = features.extract(to_tensor(by_class.train))
    assert known.mean(0).abs().max() < 1e-4
    assert known.std(0).max() < 1.01
    noise = features.extract(torch.rand(50, 1, 8, 8))
    assert noise.abs().max() < 100  # units that never fired on the data are not blown up
    assert spread(3, 9).tolist() == [0, 4, 8]
    assert spread(9, 3).tolist() == [0, 1, 2]


def test_without_labels_features_are_principal_components(tmp_path, images):
    samples = dataclasses.replace(load_samples(images), train_labels=None, test_labels=None, class_names=())
    features = features_for(samples, tmp_path)
    assert features.name == "64 principal components of pixels"
    assert features.extract(torch.rand(3, 1, 8, 8)).shape == (3, 64)


def test_reference_of_points(tmp_path):
    samples = load_samples("ring")
    for reference in (evaluate_reference(samples, tmp_path), evaluate_perfect(samples)):
        found = reference["measures"]
        assert (found["modes"], found["of"]) == (8, 8)
        assert found["high_quality"] == pytest.approx(0.98889, abs=0.01)
        assert abs(found["mmd"]) < 1e-3

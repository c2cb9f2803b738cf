"""From options to pictures and measures, on tiny data."""

from __future__ import annotations

import dataclasses
import math
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from rollouts.errors import UserError
from rollouts.runs.files import read_json, write_json
from worldmodels.generative.data.batches import Batches, spread
from worldmodels.generative.data.datasets import load_samples
from worldmodels.generative.data.samples import Samples, to_tensor
from worldmodels.generative.fit import fit_images
from worldmodels.generative.measures import evaluation
from worldmodels.generative.measures.evaluation import (
    evaluate,
    evaluate_perfect,
    evaluate_reference,
    labels_by_share,
)
from worldmodels.generative.measures.features import features_for, frozen_classifier
from worldmodels.generative.models.base import ImageModel, Shape, build
from worldmodels.generative.models.registry import MODELS, preset
from worldmodels.generative.models.trained import Trained, load_trained
from worldmodels.generative.networks.dcgan import Conditioning
from worldmodels.generative.objectives.units import Batch, Trainer

CPU = torch.device("cpu")


#: Models of other data than grey pictures of 8x8 with labels: tests of their own build them.
ELSEWHERE = (
    *("pix2pix", "colourise", "inpaint", "super-resolve", "edges-to-photo", "diverse-colours", "cyclegan"),
    *("text-to-image", "video", "video-conditional"),
)


@pytest.mark.parametrize("name", [name for name in MODELS if name not in ELSEWHERE])
def test_every_model_can_be_built_and_stepped(name, images):

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
    samples = model.draw(4, torch.Generator().manual_seed(0))
    assert samples.shape == (4, 3, size, size)
    assert samples.min() >= 0
    assert samples.max() <= 1


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("gan", {"steps": 0}, "--steps must be positive"),
        ("gan", {"batch_size": 1}, "--batch-size must be at least 2"),
        ("gan", {"channels": 2}, "--channels must be 1, 3 or 0"),
        ("gan", {"average_decay": 1.0}, r"--average-decay must be in \[0, 1\)"),
        ("vae", {"kl_weight": -1.0}, "--kl-weight cannot be negative"),
    ],
)
def test_bad_options_are_named(name, options, message):
    with pytest.raises(UserError, match=message):
        dataclasses.replace(preset(name), **options).check()


@pytest.mark.parametrize(
    ("options", "points", "message"),
    [
        ({"penalty": "gradient"}, False, "drop one of them"),
        ({"penalty": "gradient", "architecture": "resnet"}, False, "--architecture resnet have no place for --batch"),
        ({"architecture": "foster"}, False, "--architecture foster have no place for --batch"),
        ({}, True, "Perceptrons for points have no place for --batch-norm"),
        ({"batch_norm": False, "architecture": "foster", "width": 64}, False, "leave it at 32"),
    ],
)
def test_options_that_networks_would_ignore_or_cannot_have_together_are_refused(options, points, message):
    with pytest.raises(UserError, match=message):
        dataclasses.replace(preset("gan"), **{"batch_norm": True, **options}).check_networks(points)


@pytest.mark.parametrize("name", MODELS)
def test_no_preset_has_an_option_that_its_networks_ignore(name):
    for points in (False, True):
        preset(name, points=points).check_networks(points)


@pytest.mark.parametrize(
    ("name", "options", "shape", "message"),
    [
        ("cgan", {}, Shape(8, 1, 0), "needs data with labels"),
        ("gan", {"architecture": "foster"}, Shape(32, 1), "28x28 grey"),
        ("gan", {}, Shape(25, 1), "25x25 cannot be halved"),
        ("vae", {}, Shape(0, 2), "points need --likelihood gaussian"),
        ("ae", {"likelihood": "gaussian-learned"}, Shape(8, 1), "variance of 0"),
    ],
)
def test_options_that_do_not_fit_the_data_are_explained(name, options, shape, message):
    with pytest.raises(UserError, match=message):
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
    assert real["kernel"] < vae["kernel"]
    assert vae["floor"]["kernel"] == real["kernel"]
    assert "frechet" not in vae  # of 20 held-out images, in 64 dimensions, it would mean nothing
    assert "64 features need 128 held-out images" in vae["frechet_left_out"]
    assert "elbo" not in vae  # a Bernoulli likelihood of grey pixels is none
    assert vae["cross_entropy_elbo"] < 0
    assert vae["cross_entropy_elbo"] <= vae["cross_entropy_iwae_50"] + 1
    assert len(list(tmp_path.glob("classifier-*.safetensors"))) == 1
    assert torch.equal(
        frozen_classifier(samples, tmp_path).head.weight, frozen_classifier(samples, tmp_path).head.weight
    )


def test_features_are_scaled_over_all_classes_even_of_sorted_data(images, cache):
    samples = load_samples(images)
    order = np.argsort(samples.train_labels)
    by_class = dataclasses.replace(samples, train=samples.train[order], train_labels=samples.train_labels[order])
    features = features_for(by_class, cache)
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


def bounds(config: str, x: torch.Tensor, **options) -> set[str]:
    """The names under which a new model reports its bounds of these images."""
    model = build(dataclasses.replace(preset(config, "tiny"), **options), Shape(8, 1, 2), CPU)
    found = model.measures(Batch(x, torch.arange(len(x)) % 2, torch.Generator()))
    return {name for name in found if "elbo" in name or "bits" in name}


def test_bounds_are_called_what_they_are():
    grey = torch.rand(6, 1, 8, 8)
    assert bounds("vae", grey) == {"cross_entropy_elbo"}
    assert bounds("vae", grey.round()) == {"elbo", "bits_per_dimension"}
    assert bounds("vae", grey, likelihood="gaussian") == {"elbo", "bits_per_dimension"}
    assert bounds("cvae", grey, likelihood="gaussian") == {"conditional_elbo", "conditional_bits_per_dimension"}


def test_a_gaussian_of_variance_a_tenth_costs_about_eight_bits_not_less_than_none():
    """Its density at its mean is 1.26 per pixel: minus a third of a bit, of 8."""
    model = build(dataclasses.replace(preset("vae", "tiny"), likelihood="gaussian"), Shape(8, 1), CPU)
    x = torch.full((2, 1, 8, 8), 0.5)
    model.network.decoder = ConstantHalf()
    found = model.measures(Batch(x, None, torch.Generator()))
    assert found["bits_per_dimension"] == pytest.approx(8 + math.log2(math.sqrt(2 * math.pi * 0.1)), abs=0.2)


class ConstantHalf(torch.nn.Module):
    """A decoder of one grey."""

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return torch.full((len(z), 1, 8, 8), 0.5)


# Data that are not as one would wish


@pytest.fixture(scope="module")
def uneven(tmp_path_factory) -> str:
    """600 images of two classes, sorted by class: a tenth have a bright upper half, the others a bright lower one."""
    rng = np.random.default_rng(0)
    labels = (np.arange(600) >= 60).astype(int)
    pixels = rng.integers(0, 60, (600, 8, 8), dtype=np.uint8)
    pixels[labels == 0, :4] += 180
    pixels[labels == 1, 4:] += 180
    path = tmp_path_factory.mktemp("data") / "uneven.npz"
    np.savez(path, images=pixels, labels=labels)
    return str(path)


def test_labels_are_drawn_by_the_datas_shares():
    labels = labels_by_share(1000, [0.5, 0.3, 0.1996, 0.0004])
    assert torch.bincount(labels, minlength=4).tolist() == [500, 300, 200, 0]
    assert len(labels_by_share(7, [1 / 3] * 3)) == 7
    assert not torch.equal(labels, labels.sort().values)


def test_a_perfect_conditional_sampler_of_uneven_data_scores_what_real_data_do(uneven, cache, tmp_path, monkeypatch):
    """One that returns training images of the class it is asked for; asked for both equally often, it would not."""
    samples = load_samples(uneven)

    class Perfect(ImageModel):
        classes, network = 2, torch.nn.Linear(1, 1)

        def draw(self, count, rng, condition=None):
            pools = [np.flatnonzero(samples.train_labels == label) for label in (0, 1)]
            chosen = [pools[int(label)][i % len(pools[int(label)])] for i, label in enumerate(condition)]
            return to_tensor(samples.train[np.array(chosen)])

    shape = Shape.of(samples)
    trained = Trained("perfect", preset("cgan"), Perfect(), tmp_path, shape, ("0", "1"), tuple(samples.label_shares))
    trained.__dict__["samples"] = samples
    monkeypatch.setattr(evaluation, "Run", lambda *_: SimpleNamespace(images=SimpleNamespace(manifest={})))
    found = evaluation.evaluate(trained, cache)["measures"]
    assert found["class_kl"] < 0.01
    assert found["label_accuracy"] == 1
    assert found["kernel"] < found["floor"]["kernel"] + 0.05
    assert found["class_shares"][0] == pytest.approx(0.1, abs=0.02)


def test_held_out_images_are_spread_over_all_classes(uneven):
    samples = load_samples(uneven)
    order = np.argsort(samples.test_labels, kind="stable")
    by_class = dataclasses.replace(samples, test=samples.test[order], test_labels=samples.test_labels[order])
    seen = evaluation._held_out(by_class, 20)
    upper = (seen[:, 0, :4].mean((1, 2)) > seen[:, 0, 4:].mean((1, 2))).sum()
    assert upper == 2


def test_too_few_samples_are_refused(uneven):
    with pytest.raises(UserError, match="from so few nothing can be said"):
        evaluate_reference(load_samples(uneven), Path("nowhere"), count=5)
    clips = np.zeros((400, 2, 8, 8, 1), np.uint8)
    assert evaluation.samples_of(Samples("clips", clips, clips), None) == 200
    assert evaluation.samples_of(Samples("clips", clips, clips[:30]), None) == 30
    with pytest.raises(UserError, match="clips has 5 held-out samples"):
        evaluation.samples_of(Samples("clips", clips, clips[:5]), None)


def test_pictures_in_a_file_are_measured_as_those_in_memory(uneven, cache):
    inside, outside = (evaluate_reference(load_samples(uneven, memory_gb=gb), cache) for gb in (1.0, 1e-6))
    assert inside["measures"] == outside["measures"]
    assert inside["data_hash"] == outside["data_hash"]


def test_measures_of_points_have_a_floor(tmp_path):
    config = dataclasses.replace(preset("gan", "tiny", points=True), data="ring", steps=2, log_every=1)
    fit_images("gan", config, tmp_path, CPU)
    found = evaluate(load_trained(tmp_path, CPU), tmp_path, count=500)["measures"]
    assert found["samples"] == 500
    assert found["floor"]["earth_movers"] < 0.3 < found["earth_movers"]


def test_nearest_images_are_found_part_by_part():
    pictures = np.random.default_rng(0).integers(0, 255, (50, 4, 4, 1), dtype=np.uint8)
    queries = to_tensor(pictures[[41, 3]]) + 0.01
    assert evaluation.nearest_image(queries, pictures, at_once=7).indices.tolist() == [41, 3]


# Without the data


def test_a_model_draws_without_its_data(uneven, tmp_path):
    data = Path(shutil.copy(uneven, tmp_path / "data.npz"))
    config = dataclasses.replace(preset("cgan", "tiny"), data=str(data), steps=2, log_every=1)
    fit_images("cgan", config, tmp_path / "run", CPU)
    data.unlink()
    trained = load_trained(tmp_path / "run", CPU)
    assert trained.class_names == ("0", "1")
    assert trained.label_shares == pytest.approx((0.1, 0.9), abs=0.01)
    assert trained.model.draw(3, torch.Generator(), trained.labels_of(["1", "1", "0"])).shape == (3, 1, 8, 8)
    assert trained.find_samples() is None
    with pytest.raises(UserError, match="There is no class 'cat'; known are 0, 1"):
        trained.labels_of(["cat"])
    with pytest.raises(UserError, match="There is no file or folder"):
        evaluate(trained, tmp_path)


def test_runs_from_before_manifests_told_of_the_data_still_draw(runs, tmp_path):
    run = Path(shutil.copytree(runs / "cgan", tmp_path / "old"))
    manifest = read_json(run / "images" / "manifest.json")
    del manifest["data"]
    manifest["architecture"] = {key: manifest["architecture"][key] for key in ("size", "channels", "classes")}
    write_json(run / "images" / "manifest.json", manifest)
    trained = load_trained(run, CPU)
    assert trained.class_names == ("0", "1")
    assert trained.model.draw(2, torch.Generator()).shape == (2, 1, 8, 8)

"""From options to pictures, measures and the page: everything a script does, on tiny data."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rollouts.errors import UserError
from rollouts.runs.files import read_json
from worldmodels.generative.architectures import Conditioning
from worldmodels.generative.build import Shape, build
from worldmodels.generative.configs import MODELS, check, check_networks, preset
from worldmodels.generative.datasets import load_samples, to_tensor
from worldmodels.generative.evaluation import evaluate, evaluate_perfect, evaluate_reference
from worldmodels.generative.features import features_for, frozen_classifier, spread
from worldmodels.generative.fit_images import fit_images, load_trained
from worldmodels.generative.table import POINTS, combine, document, findings, table

CPU = torch.device("cpu")
sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))


@pytest.fixture(scope="module")
def runs(images, tmp_path_factory) -> Path:
    """A VAE and a conditional GAN, trained for a moment."""
    folder = tmp_path_factory.mktemp("runs")
    for name in ("vae", "cgan"):
        fit_images(
            name, dataclasses.replace(preset(name, "tiny"), data=images, steps=4, log_every=2), folder / name, CPU
        )
    return folder


@pytest.mark.parametrize("name", MODELS)
def test_every_model_can_be_built_and_stepped(name, images):
    from worldmodels.generative.datasets import Batches
    from worldmodels.generative.units import Trainer

    samples = load_samples(images)
    config = preset(name, "tiny")
    model = build(config, Shape.of(samples), CPU)
    batches = Batches(to_tensor(samples.train, model.low), samples.train_labels, 16, 0, CPU)
    terms = Trainer(model.objective.units(), batches, 0)(0)
    assert set(model.headline) <= set(terms)
    assert all(torch.isfinite(value) for value in terms.values())


@pytest.mark.parametrize("architecture", ["dcgan-resize", "resnet", "patchgan"])
@pytest.mark.parametrize("conditioning", ["none", "planes"])
def test_architectures_and_conditioning_combine(architecture, conditioning: Conditioning):
    config = dataclasses.replace(preset("gan", "tiny"), architecture=architecture, conditioning=conditioning)
    size = 32
    model = build(config, Shape(size, 3, 2), CPU)
    made = model.sampler.sample(4, torch.Generator().manual_seed(0))
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
        check(dataclasses.replace(preset(name), **options))


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
        check_networks(dataclasses.replace(preset("gan"), **{"batch_norm": True, **options}), points)


@pytest.mark.parametrize("name", MODELS)
def test_no_preset_has_an_option_that_its_networks_ignore(name):
    for points in (False, True):
        check_networks(preset(name, points=points), points)


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
    assert torch.equal(one.sampler.sample(5, rng[0]), two.sampler.sample(5, rng[1]))
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


def test_the_page(runs, images, tmp_path):
    rows = [evaluate(load_trained(runs / name, CPU), tmp_path) for name in ("vae", "cgan")]
    rows += [evaluate_reference(load_samples(images), tmp_path)]
    rows += [{"model": "wgan", "data": images, "failed": "all samples are alike", "measures": {}}]
    page = document(rows, "python x.py", "images")
    for row in ("| vae | ", "| cgan | ", "| real data | ", "| wgan | failed: all samples are alike"):
        assert row in page
    assert page.count("| vae | ") == 2  # generation, and likelihoods
    assert len({line.count("|") for line in page.splitlines() if line.startswith("| ") and "Fréchet" in line}) == 1
    assert "FID" in page.split("##")[0]
    assert "Fréchet distance, from best to worst: " in page
    assert "Stopped because of collapse: wgan." in page
    assert "(images/halves.npz-real-data.png)" in page


def test_what_the_page_says_of_points_follows_from_the_figures():
    figures = {"of": 8, "earth_movers": 0.1, "high_quality": 0.9}

    def told(minimax: int) -> str:
        modes = {"gan": 8, "gan-minimax": minimax, "real data": 8}
        return findings(
            [{"model": name, "measures": {**figures, "modes": found}} for name, found in modes.items()], True
        )

    assert "All modes are found by gan, gan-minimax; not by any other." in told(8)
    assert "does not fail here" in told(8)
    assert "All modes are found by gan; not by gan-minimax (1 of 8)." in told(1)
    assert "does not fail here" not in told(1)


def test_several_trainings_become_one_row_with_ranges():
    trainings = [
        {
            "model": "gan",
            "data": "ring",
            "training_seconds": 60.0 + k,
            "measures": {"modes": k, "of": 8, "mmd": k / 1000},
        }
        for k in (8, 5, 7)
    ]
    row = combine([*trainings, {"model": "gan", "data": "ring", "failed": "all alike"}])
    assert row["measures"]["modes"] == 7
    assert row["measures"]["ranges"]["mmd"] == [0.005, 0.008]
    assert row["training_seconds"] == 67
    told = table([row], POINTS)
    assert "| gan (1 of 4 collapsed) | 7 (5 to 8) / 8 | – | – | – | 7.00 (5.00 to 8.00) | 1 min 07 s |" in told
    assert combine([trainings[0]])["measures"]["ranges"]["of"] == [8, 8]
    assert "| gan | 8 / 8 |" in table([combine(trainings[:1])], POINTS)
    assert "failed" in combine([{"model": "gan", "data": "ring", "failed": "all alike"}] * 2)


# Scripts


def run_script(name: str, monkeypatch, *arguments: str) -> int:
    module = __import__(name)
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *arguments])
    import cli

    try:
        cli.tell_errors(module.body)
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_train_continue_sample_evaluate(images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train = ("--model", "vae", "--preset", "tiny", "--data", images, "--run", "runs/v", "--steps", "4")
    assert run_script("train_images", monkeypatch, *train) == 0
    assert json.loads(Path("runs/v/images/config.json").read_text())["steps"] == 4
    assert run_script("train_images", monkeypatch, "--run", "runs/v", "--steps", "6") == 0  # its own options
    assert len(Path("runs/v/images/metrics.jsonl").read_text().splitlines()) == 2
    shows = ("grid", "reconstructions", "interpolation", "walk", "neighbours", "attribute")
    for show in shows:
        assert run_script("sample_images", monkeypatch, "--show", show, "--rows", "2", "--columns", "4") == 0
        assert Path(f"runs/v/{show}.png").exists()
    assert run_script("sample_images", monkeypatch, "--show", "walk", "--out", "w.gif") == 0
    assert run_script("evaluate_images", monkeypatch, "--out", "e.json") == 0
    evaluation = json.loads(Path("e.json").read_text())
    assert "elbo" in evaluation["measures"]
    assert evaluation["training_seconds"] == round(read_json(Path("runs/v/images/manifest.json"))["seconds"], 1)


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("train_images", ["--model", "nothing"]),
        ("train_images", ["--preset", "huge"]),
        ("train_images", ["--data", "nowhere"]),
        ("sample_images", []),
        ("evaluate_images", ["--run", "nowhere"]),
        ("evaluate_images", ["--reference", "digits", "--run", "nowhere"]),
        ("evaluate_images", ["--reference", "digits", "--inception-weights", "nowhere"]),
    ],
)
def test_mistakes_end_with_status_2_and_one_sentence(script, arguments, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    assert run_script(script, monkeypatch, *arguments) == 2
    assert "Error: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "model"),
    [((), "cgan-projection"), (("--data", "digits"), "cgan-projection"), (("--data", "photos"), "sngan")],
)
def test_the_default_model_needs_no_labels_the_data_may_lack(arguments, model):
    from images_cli import parse_training

    assert parse_training("", arguments).model == model


def test_table_is_filled_row_by_row(images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ("--data", images, "--models", "vae", "--steps", "4", "--runs", "t", "--out", "docs/images.md")
    assert run_script("images_table", monkeypatch, *arguments, "--budget-minutes", "0") == 0
    assert "| vae |" not in Path("docs/images.md").read_text()
    assert run_script("images_table", monkeypatch, *arguments) == 0
    assert "| vae |" in Path("docs/images.md").read_text()
    assert "| real data |" in Path("docs/images.md").read_text()
    assert sorted(path.name for path in Path("docs/images").iterdir()) == [
        "halves.npz-real-data.png",
        "halves.npz-vae.png",
        "rows.json",
    ]


def test_rows_on_points_are_several_trainings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    steps = ("--point-steps", "4", "--seeds", "2", "--runs", "t", "--out", "docs/images.md")
    assert run_script("images_table", monkeypatch, "--data", "ring", "--models", "gan", *steps) == 0
    page = Path("docs/images.md").read_text()
    assert "4 generator steps of 128 samples for every model, with 2 seeds" in page
    row = json.loads(Path("t/ring-gan.json").read_text())
    assert (row["trainings"], row["collapsed"]) == (2, 0)
    assert Path("t/ring-gan-1/images/weights.safetensors").exists()


def test_a_row_that_was_made_with_other_options_is_made_again(images, tmp_path, monkeypatch):
    import images_table

    def made(name: str, data: str, _: object) -> dict[str, str]:
        rows.append(name)
        return {"model": name, "data": data, "failed": "not trained"}

    def asked(*options: str) -> list[str]:
        rows.clear()
        fixed = ("--data", images, "ring", "--models", "gan", "--runs", "t", "--out", "docs/images.md")
        assert run_script("images_table", monkeypatch, *fixed, *options) == 0
        return rows.copy()

    rows: list[str] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(images_table, "row", made)
    monkeypatch.setattr(images_table, "reference", made)
    assert asked() == ["gan", "real data", "gan", "real data", "perfect sampler"]
    assert asked() == []
    others = (("--steps", "2"), ("--point-steps", "3"), ("--seeds", "2"), ("--precision", "bfloat16"))
    assert [asked(*option) for option in others] == [["gan"], ["gan", "gan"], ["gan"], ["gan", "gan"]]
    for row in Path("t").glob("*.json"):  # rows that were made before options were kept
        row.write_text(json.dumps({k: v for k, v in json.loads(row.read_text()).items() if k != "options"}))
    assert asked("--steps", "5") == []


def test_the_readme_shows_what_was_measured(images, tmp_path, monkeypatch, capsys):
    import publish_images
    import readme

    monkeypatch.chdir(tmp_path)
    page = Path("README.md")
    page.write_text("before\n<!-- images:begin -->\nold\n<!-- images:end -->\nafter\n")
    monkeypatch.setattr(readme, "README", page)
    monkeypatch.setattr(publish_images, "DOCS", tmp_path)
    train = ("--preset", "tiny", "--data", images, "--steps", "4")
    for model in ("vae", "cgan"):
        assert run_script("train_images", monkeypatch, "--model", model, "--run", f"runs/{model}", *train) == 0
    assert run_script("publish_images", monkeypatch, "--run", "runs/vae") == 2
    assert "without labels" in capsys.readouterr().err
    assert "old" in page.read_text()
    assert run_script("publish_images", monkeypatch) == 0
    facts = json.loads(Path("default.json").read_text())
    before, told, after = page.read_text().partition("after 4 steps")
    assert before.startswith("before\n<!-- images:begin -->\n![")
    assert after.endswith("\n<!-- images:end -->\nafter\n")
    assert (
        f"{facts['own']['measures']['label_accuracy']:.1%} of {facts['own']['measures']['samples']:,}" in told + after
    )
    assert f"(real images: {facts['real']['measures']['frechet']:.2f};" in after
    with Image.open("default.png") as shown, Image.open("runs/cgan/images/samples.png") as samples:
        assert shown.width == samples.width // 2

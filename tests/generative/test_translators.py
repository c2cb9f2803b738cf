"""Translators by command and by fit: trained, interrupted, asked for the user's own pictures, misused."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from rollouts.errors import UserError
from tests.faults.helpers import call
from worldmodels.generative.data.making import luma
from worldmodels.generative.fit import fit_images
from worldmodels.generative.measures.evaluation import evaluate
from worldmodels.generative.models.base import ImageConfig, Shape, build
from worldmodels.generative.models.registry import preset
from worldmodels.generative.models.trained import load_trained
from worldmodels.generative.objectives.translation import CycleGAN
from worldmodels.training.checkpoint import load_state, save_tensors
from worldmodels.training.randomness import generator_for

CPU = torch.device("cpu")
PAIRED = ("colourise", "inpaint", "super-resolve", "edges-to-photo")


@pytest.fixture(scope="module")
def arrays(tmp_path_factory) -> tuple[str, str]:
    """Two sets of coloured noise, the second with its colours in another order."""
    folder = tmp_path_factory.mktemp("arrays")
    pixels = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), dtype=np.uint8)
    for name, images in (("a", pixels), ("b", pixels[::-1, :, :, ::-1])):
        np.savez(folder / f"{name}.npz", images=images)
    return str(folder / "a.npz"), str(folder / "b.npz")


def tiny(name: str, arrays: tuple[str, str], **options: object) -> ImageConfig:
    """Options for a moment's training."""
    if name != "diverse-colours":
        options = {"patch": 16, **options}
    if name == "cyclegan":
        options = {"inputs": arrays[1], **options}
    fast = {"width": 2, "batch_size": 3, "log_every": 2, "checkpoint_every": 3, "precision": "float32", "steps": 3}
    return replace(preset(name, "tiny"), data=arrays[0], **{**fast, **options})


def equal(one: object, other: object) -> bool:
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(equal(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(equal, one, other))
    return one == other


def resumed_and_not(name: str, config: ImageConfig, folder: Path) -> list[dict]:
    """Training states of an interrupted run and of one in a piece; what decays would depend on the length."""
    config = replace(config, decay=False)
    for steps in (3, 6):
        fit_images(name, replace(config, steps=steps), folder / "twice", CPU)
    fit_images(name, replace(config, steps=6), folder / "once", CPU)
    states = [load_state(folder / run / "images" / "state.pt", CPU) for run in ("twice", "once")]
    for state in states:
        state.pop("seconds", None)
        state.pop("stage", None)  # whose it is
        state.pop("lines", None)  # of its logs, to which an end adds some
    return states


@pytest.mark.parametrize("name", ["inpaint", "cyclegan", "diverse-colours"])
def test_a_resumed_training_equals_one_in_a_piece_bit_for_bit(name, arrays, tmp_path):
    """With dropout, random holes, averages, optimisers, and buffers that are full from the second step on."""
    options = {"buffer": 5, "dropout": 0.5, "translator": "resnet", "blocks": 1} if name == "cyclegan" else {}
    states = resumed_and_not(name, tiny(name, arrays, **options), tmp_path)
    assert {"average", "generator_optimiser"} <= states[0].keys() or name == "diverse-colours"
    assert {"buffer_of_pictures", "buffer_of_others"} <= states[0].keys() or name != "cyclegan"
    assert equal(*states)


def test_without_its_buffers_a_resumed_cyclegan_would_be_another(arrays, tmp_path, monkeypatch):
    parts = CycleGAN.parts

    def forgetful(self: CycleGAN) -> dict:
        return {name: part for name, part in parts(self).items() if not name.startswith("buffer")}

    monkeypatch.setattr(CycleGAN, "parts", forgetful)
    assert not equal(*resumed_and_not("cyclegan", tiny("cyclegan", arrays, buffer=5), tmp_path))


@pytest.fixture(scope="module")
def runs(arrays, tmp_path_factory) -> Path:
    """One of each, trained for a moment."""
    folder = tmp_path_factory.mktemp("runs")
    for name in (*PAIRED, "cyclegan", "diverse-colours"):
        fit_images(name, tiny(name, arrays), folder / name, CPU)
    return folder


@pytest.mark.parametrize("name", PAIRED)
def test_measures_have_the_trivial_translation_beside_them(name, runs):
    found = evaluate(load_trained(runs / name, CPU), runs)["measures"]
    for measure in ("l1", "psnr", "ssim"):
        assert isinstance(found[measure], float)
        assert isinstance(found[f"baseline_{measure}"], float)
    trained = load_trained(runs / name, CPU)
    x = torch.from_numpy(trained.samples.test).movedim(-1, 1) / 255
    if name == "colourise":
        assert found["baseline"] == "the grey picture"
        assert found["baseline_l1"] == pytest.approx((luma(x) - x).abs().mean().item(), rel=1e-4)
    if name == "edges-to-photo":
        assert found["baseline_l1"] == pytest.approx((x.mean(0) - x).abs().mean().item(), rel=1e-4)
    if name == "inpaint":  # what is known is kept, by the model and by the mean of the rest
        assert found["l1"] < 0.3 * (x - 0.5).abs().mean()


def test_measures_without_pairs_are_of_the_way_back(runs):
    found = evaluate(load_trained(runs / "cyclegan", CPU), runs)["measures"]
    assert found["samples"] == len(load_trained(runs / "cyclegan", CPU).samples.test)  # so few say little
    assert {"cycle_l1", "cycle_l1_of_data", "change_l1", "samples"} == found.keys()
    found = evaluate(load_trained(runs / "diverse-colours", CPU), runs)["measures"]
    assert found["psnr_best_of_5"] >= found["psnr"]
    assert found["diversity_l1"] > 0


def test_a_model_draws_without_pictures_only_with_a_word(runs):
    model = load_trained(runs / "colourise", CPU).model
    with pytest.raises(UserError, match="This model translates pictures: give it some"):
        model.draw(3, generator_for(0, 0))


def test_dropout_is_noise_and_a_function_of_its_generator(runs):
    model = load_trained(runs / "inpaint", CPU).model
    condition = torch.rand(2, 4, 16, 16, generator=generator_for(0, 0)).round()
    once, again, other = (model.draw(2, generator_for(0, seed), condition) for seed in (1, 1, 2))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)
    before = torch.random.get_rng_state()
    model.draw(2, generator_for(0, 1), condition)
    assert torch.equal(torch.random.get_rng_state(), before)


# By command


@pytest.fixture
def photos(tmp_path, monkeypatch) -> Path:
    """Twelve coloured pictures of 20x16, in a folder where commands are called."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for number in range(12):
        pixels = np.random.default_rng(number).integers(0, 256, (16, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{number}.png")
    return tmp_path / "photos"


SMALL = ("--steps", 2, "--width", 2, "--batch-size", 2, "--patch", 16, "--size", 16, "--precision", "float32")


def test_any_folder_of_pictures_is_enough(photos, capsys):
    train = ("train_images", "--model", "colourise", "--data", "photos", "--run", "runs/c", *SMALL)
    assert call(*train) == 0
    assert call("evaluate_images", "--run", "runs/c") == 0
    assert "baseline_psnr" in capsys.readouterr().err
    assert call("sample_images", "--run", "runs/c") == 0  # a grid: greys, colours, the truth
    own = (str(photos / "3.png"), str(photos / "5.png"))
    shutil.move(photos, photos.with_name("elsewhere"))
    own = tuple(path.replace("photos", "elsewhere") for path in own)
    translate = ("sample_images", "--run", "runs/c", "--show", "translation", "--input", *own)
    assert call(*translate, "--out", "sheet.png", "--samples", 3) == 0
    assert Image.open("sheet.png").size == (2 * (2 * 18 + 2), 2 * (4 * 18 + 2))
    assert call(*translate, "--out", "made", "--samples", 2) == 0
    assert sorted(path.name for path in Path("made").iterdir()) == ["3-2.png", "3.png", "5-2.png", "5.png"]
    assert Image.open("made/3.png").size == (16, 16)


def test_two_folders_and_halves_by_command(photos):
    shutil.copytree(photos, "inputs")
    pairs = ("train_images", "--model", "pix2pix", "--data", "photos", *SMALL)
    assert call(*pairs, "--inputs", "inputs", "--run", "runs/folders", "--translator", "resnet", "--blocks", 1) == 0
    assert call(*pairs, "--pairs", "left-right", "--run", "runs/halves", "--norm", "batch", "--loss", "hinge") == 0
    assert call(*pairs, "--pairs", "right-left", "--run", "runs/wgan", "--penalty", "gradient") == 0
    assert call(*pairs, "--pairs", "shrunk", "--run", "runs/plain", "--no-adversarial", "--error", "squared") == 0
    own = ("sample_images", "--run", "runs/folders", "--show", "translation", "--input", "photos/3.png")
    assert call(*own) == 0
    assert Path("runs/folders/translation.png").exists()


def test_cyclegan_translates_there_and_back(photos):
    shutil.copytree(photos, "others")
    train = ("train_images", "--model", "cyclegan", "--data", "photos", "--inputs", "others", "--run", "runs/y", *SMALL)
    assert call(*train) == 0
    for way in ((), ("--back",)):
        own = ("sample_images", "--run", "runs/y", "--show", "translation", "--input", "others/1.png", *way)
        assert call(*own, "--out", f"{len(way)}.png") == 0
    assert Path("0.png").read_bytes() != Path("1.png").read_bytes()
    assert call("sample_images", "--run", "runs/y", "--show", "back") == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("train_images", "--model", "pix2pix", "--data", "photos"), "Pairs are needed: --inputs FOLDER"),
        (("train_images", "--model", "pix2pix", "--inputs", "nowhere"), "There is no folder"),
        (("train_images", "--model", "pix2pix", "--pairs", "left-right"), "There is no folder digits"),
        (("train_images", "--model", "colourise", "--inputs", "photos"), "--inputs does nothing for --pairs grey"),
        (("train_images", "--model", "colourise", "--hole", "0.3"), "--hole is for --pairs masked"),
        (("train_images", "--model", "inpaint", "--shrink", "2"), "--shrink is for --pairs shrunk"),
        (("train_images", "--model", "inpaint", "--hole", "1"), "--hole must be between 0 and 1"),
        (("train_images", "--model", "super-resolve", "--shrink", "1"), "--shrink must be at least 2"),
        (("train_images", "--model", "super-resolve", "--shrink", "5"), "cannot be shrunk 5 times"),
        (("train_images", "--model", "colourise", "--latent-size", "9"), "--latent-size does nothing for a translator"),
        (("train_images", "--model", "colourise", "--blocks", "9"), "--blocks is for --translator resnet"),
        (("train_images", "--model", "colourise", "--data", "ring"), "are points"),
        (("train_images", "--model", "colourise", "--channels", "1"), "these are grey"),
        (("train_images", "--model", "diverse-colours", "--channels", "1"), "these pictures are grey"),
        (("train_images", "--model", "colourise", "--size", "30"), "resize them to a multiple of 4"),
        (("train_images", "--model", "colourise", "--patch", "142", "--size", "16"), "too small for --patch 142"),
        (("train_images", "--model", "colourise", "--no-adversarial", "--error-weight", "0"), "nothing would be"),
        (("train_images", "--model", "colourise", "--no-adversarial", "--spectral-norm"), "are for the critic"),
        (("train_images", "--model", "colourise", "--norm", "batch", "--penalty", "gradient"), "a gradient per sample"),
        (("train_images", "--model", "colourise", "--perceptual-weights", "nowhere"), "nowhere does not exist"),
        (("train_images", "--model", "colourise", "--dropout", "1"), "--dropout must be in [0, 1)"),
        (("train_images", "--model", "cyclegan", "--data", "photos"), "CycleGAN needs two sets: --inputs"),
        (("train_images", "--model", "cyclegan", "--data", "photos", "--inputs", "two-photos", "--size", "16",
          "--channels", "1", "--cycle-weight", "-1"), "--cycle-weight"),
        (("sample_images", "--show", "grid", "--input", "photos/1.png"), "--input does nothing for --show grid"),
        (("sample_images", "--show", "grid", "--samples", "2"), "--samples does nothing for --show grid"),
    ],
)  # fmt: skip
def test_every_mistake_is_one_sentence(arguments, sentence, photos, capsys):
    assert call(*arguments) == 2
    output = capsys.readouterr().err
    assert sentence in output
    assert "Traceback" not in output


def test_mistakes_with_own_pictures(runs, photos, capsys):
    def refusal(run: str, *arguments: str) -> str:
        assert call("sample_images", "--run", str(runs / run), "--show", "translation", *arguments) == 2
        return capsys.readouterr().err

    assert "needs pictures: --input FILE" in refusal("colourise")
    assert "must end in .png" in refusal("colourise", "--input", "photos/1.png", "--out", "x.gif")
    assert "--samples must be at least 1" in refusal("colourise", "--input", "photos/1.png", "--samples", "0")
    assert "is not a readable picture" in refusal("colourise", "--input", "nowhere.png")
    assert "has no transparent part" in refusal("inpaint", "--input", "photos/1.png")
    assert "knows no way back" in refusal("inpaint", "--input", "photos/1.png", "--back")
    assert "having no noise" in refusal("super-resolve", "--input", "photos/1.png", "--samples", "2")
    assert "have one name" in refusal("colourise", "--input", "photos/1.png", "photos/1.png", "--out", "folder")


def test_grey_and_coloured_sets_have_no_identity(arrays):
    config = tiny("cyclegan", arrays)
    with pytest.raises(UserError, match="--identity-weight 0"):
        build(config, Shape(16, 3, other=1), CPU)
    assert build(replace(config, identity_weight=0.0), Shape(16, 3, other=1), CPU).condition_channels == 1


def test_a_perceptual_term_needs_vggs_shapes_and_is_forgotten_afterwards(arrays, tmp_path):
    from tests.generative.test_translation import random_vgg

    weights = tmp_path / "vgg.safetensors"
    save_tensors(random_vgg(), weights)
    config = tiny("super-resolve", arrays, perceptual_weights=str(weights), perceptual_weight=0.01)
    fit_images("super-resolve", config, tmp_path / "run", CPU)
    log = (tmp_path / "run" / "images" / "metrics.jsonl").read_text()
    assert "perceptual" in log
    weights.unlink()
    assert load_trained(tmp_path / "run", CPU).model.condition_channels == 3
    save_tensors({"features.0.weight": torch.zeros(64, 1, 3, 3)}, weights)
    with pytest.raises(UserError, match=r"holds no VGG-16: features\.0\.weight should be of shape \[64, 3, 3, 3\]"):
        config.check()

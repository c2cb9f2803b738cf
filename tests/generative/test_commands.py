"""What the commands on images do, on tiny data, and what the tools of the documentation make of it."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from agents.cli import train_images
from rollouts.runs.files import read_json


def run_command(name: str, monkeypatch, *arguments: str) -> int:
    """The exit status of a command, or of a tool of the documentation (which needs the fixture ``docs``)."""
    tool = name in ("images_table", "publish_images")
    module = importlib.import_module(name if tool else f"agents.cli.{name}")
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    try:
        module.COMMAND()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_train_continue_sample_evaluate(images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train = ("--model", "vae", "--preset", "tiny", "--data", images, "--run", "runs/v", "--steps", "4")
    assert run_command("train_images", monkeypatch, *train) == 0
    assert json.loads(Path("runs/v/images/config.json").read_text())["steps"] == 4
    assert run_command("train_images", monkeypatch, "--run", "runs/v", "--steps", "6") == 0  # its own options
    assert len(Path("runs/v/images/metrics.jsonl").read_text().splitlines()) == 2
    shows = ("grid", "reconstructions", "interpolation", "walk", "neighbours", "attribute")
    for show in shows:
        assert run_command("sample_images", monkeypatch, "--show", show, "--rows", "2", "--columns", "4") == 0
        assert Path(f"runs/v/{show}.png").exists()
    assert run_command("sample_images", monkeypatch, "--show", "walk", "--out", "w.gif") == 0
    assert run_command("sample_images", monkeypatch, "--show", "latents") == 0
    assert Image.open("runs/v/latents.png").width > Image.open("runs/v/latents.png").height  # a legend of classes
    terms = ("--terms", "0,5,9", "1", "2,3")
    assert run_command("sample_images", monkeypatch, "--show", "arithmetic", *terms) == 0
    assert run_command("sample_images", monkeypatch, "--show", "arithmetic", "--terms", "0", "1", "x") == 2
    few = ("--rows", "1", "--columns", "5")
    assert run_command("sample_images", monkeypatch, "--show", "arithmetic", *few, *terms) == 2
    assert run_command("sample_images", monkeypatch, "--show", "manifold") == 2  # it has 64 latents
    assert run_command("evaluate_images", monkeypatch, "--out", "e.json") == 0
    evaluation = json.loads(Path("e.json").read_text())
    assert "cross_entropy_elbo" in evaluation["measures"]
    assert evaluation["training_seconds"] == round(read_json(Path("runs/v/images/manifest.json"))["seconds"], 1)


@pytest.fixture
def animals(tmp_path, monkeypatch) -> Path:
    """A folder with 30 cats, 30 dogs and 4 owls, 16x16; the working directory is above it."""
    rng = np.random.default_rng(0)
    for grey, (name, count) in enumerate((("cats", 30), ("dogs", 30), ("owls", 4))):
        (tmp_path / "animals" / name).mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(0, 80, (16, 16, 3), dtype=np.uint8) + 80 * np.uint8(grey)
            Image.fromarray(pixels).save(tmp_path / "animals" / name / f"{i}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "animals"


def test_named_classes_single_files_and_own_pictures(animals, monkeypatch, capsys):
    train = ("--preset", "tiny", "--data", str(animals), "--steps", "2")
    for model in ("vae", "cgan", "ae", "sngan"):
        assert run_command("train_images", monkeypatch, "--model", model, "--run", f"runs/{model}", *train) == 0

    def sample(model: str, *arguments: str) -> int:
        capsys.readouterr()
        return run_command("sample_images", monkeypatch, "--run", f"runs/{model}", *arguments)

    assert sample("vae", "--show", "attribute", "--rows", "2") == 0  # of the first class, whatever its name
    assert sample("vae", "--show", "attribute", "--attribute", "owls", "--rows", "2") == 0  # none of 4 is held out
    assert sample("vae", "--show", "attribute", "--attribute", "0") == 2
    assert "There is no class '0'" in capsys.readouterr().err
    assert sample("vae", "--label", "owls") == 2
    assert "a model without classes" in capsys.readouterr().err
    assert sample("ae", "--show", "grid") == 2
    assert "--show reconstructions" in capsys.readouterr().err
    for show in ("interpolation", "walk", "neighbours"):  # of noise that nobody has taught it to decode
        assert sample("ae", "--show", show) == 2
    pictures = ("--pictures", str(animals / "cats" / "0.png"), str(animals / "dogs" / "1.png"))
    for model in ("vae", "ae"):
        assert sample(model, "--show", "between", *pictures, "--out", "between.gif") == 0
    assert sample("vae", "--show", "between", "--pictures", "one.png") == 2
    assert sample("vae", "--show", "outliers", "--columns", "3") == 0
    assert "squared error of a value: " in capsys.readouterr().err
    with Image.open("runs/vae/outliers.png") as worst:
        assert worst.size == (2 * (3 * 18 + 2), 2 * (2 * 18 + 2))
    assert sample("ae", "--show", "outliers", *pictures) == 0
    assert "(number 1)" in capsys.readouterr().err
    assert sample("ae", "--show", "reconstructions", *pictures, "--out", "copies.png") == 0
    with Image.open("copies.png") as copies:
        assert copies.width == 2 * (2 * 18 + 2)
    shutil.rmtree(animals)  # from here on, nothing may need the data
    assert sample("cgan", "--out", "grid.png", "--columns", "3") == 0
    with Image.open("grid.png") as grid:
        assert grid.height == 2 * (3 * 18 + 2)  # a row for each class
        assert grid.width > 2 * (3 * 18 + 2)  # and its name before it
    assert sample("cgan", "--label", "owls", "cats", "--truncation", "0.5") == 0
    assert sample("cgan", "--label", "cows") == 2
    assert "known are cats, dogs, owls" in capsys.readouterr().err
    assert sample("cgan", "--show", "files", "--label", "dogs", "--rows", "2", "--columns", "5", "--out", "dogs") == 0
    assert sorted(path.name for path in Path("dogs").iterdir()) == [f"dogs-{i:04}.png" for i in range(10)]
    with Image.open("dogs/dogs-0000.png") as single:
        assert single.size == (16, 16)
    assert sample("cgan", "--show", "walk", "--label", "owls") == 0
    assert sample("cgan", "--show", "walk", "--truncation", "1") == 2
    assert "--truncation does nothing for --show walk; it is for grid, files" in capsys.readouterr().err
    assert sample("sngan", "--show", "interpolation") == 0
    assert sample("sngan", "--show", "neighbours") == 2
    assert "There is no file or folder" in capsys.readouterr().err


def test_a_folder_is_measured_against_itself_at_a_size(animals, monkeypatch):
    reference = ("--reference", str(animals), "--size", "8", "--fit", "pad", "--device", "cpu", "--count", "64")
    for name in ("cats", "dogs"):
        for i in range(100, 170):
            Image.fromarray(np.full((16, 20, 3), i, np.uint8)).save(animals / name / f"{i}.png")
    assert run_command("evaluate_images", monkeypatch, *reference, "--out", "e.json") == 0
    found = json.loads(Path("e.json").read_text())["measures"]
    assert found["samples"] == 20
    assert run_command("evaluate_images", monkeypatch, *reference[:2], "--count", "0") == 2


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
    assert run_command(script, monkeypatch, *arguments) == 2
    assert "Error: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "model"),
    [((), "cgan-projection"), (("--data", "digits"), "cgan-projection"), (("--data", "photos"), "sngan")],
)
def test_the_default_model_needs_no_labels_the_data_may_lack(arguments, model):
    assert train_images.parse(train_images.COMMAND, arguments).model == model


def test_options_for_photos_are_there():
    arguments = ("--preset", "photos", "--data", "photos/", "--fit", "pad", "--skip-broken", "--no-flip")
    parsed = train_images.parse(train_images.COMMAND, arguments)
    assert parsed.model == "gan"
    assert (parsed.config.fit, parsed.config.skip_broken, parsed.config.flip) == ("pad", True, False)
    assert (parsed.config.size, parsed.config.diffaugment) == (64, "all")


@pytest.mark.usefixtures("docs")
def test_table_is_filled_row_by_row(images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ("--data", images, "--models", "vae", "--steps", "4", "--runs", "t", "--out", "docs/images.md")
    assert run_command("images_table", monkeypatch, *arguments, "--budget-minutes", "0") == 0
    assert "| vae |" not in Path("docs/images.md").read_text()
    assert run_command("images_table", monkeypatch, *arguments) == 0
    assert "| vae |" in Path("docs/images.md").read_text()
    assert "| real data |" in Path("docs/images.md").read_text()
    assert sorted(path.name for path in Path("docs/images").iterdir()) == [
        "halves.npz-real-data.png",
        "halves.npz-vae.png",
        "rows.json",
    ]


@pytest.mark.slow
@pytest.mark.usefixtures("docs")
def test_rows_on_points_are_several_trainings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    steps = ("--point-steps", "4", "--seeds", "2", "--runs", "t", "--out", "docs/images.md")
    assert run_command("images_table", monkeypatch, "--data", "ring", "--models", "gan", *steps) == 0
    page = Path("docs/images.md").read_text()
    assert "4 generator steps of 128 samples for every model, with 2 seeds" in page
    row = json.loads(Path("t/ring-gan.json").read_text())
    assert (row["trainings"], row["collapsed"]) == (2, 0)
    assert Path("t/ring-gan-1/images/weights.safetensors").exists()


@pytest.mark.usefixtures("docs")
def test_a_row_that_was_made_with_other_options_is_made_again(images, tmp_path, monkeypatch):
    import images_table

    def fake_row(name: str, data: str, _: object) -> dict[str, str]:
        rows.append(name)
        return {"model": name, "data": data, "failed": "not trained"}

    def rows_of(*options: str) -> list[str]:
        rows.clear()
        fixed = ("--data", images, "ring", "--models", "gan", "--runs", "t", "--out", "docs/images.md")
        assert run_command("images_table", monkeypatch, *fixed, *options) == 0
        return rows.copy()

    rows: list[str] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(images_table, "row", fake_row)
    monkeypatch.setattr(images_table, "reference", fake_row)
    assert rows_of() == ["gan", "real data", "gan", "real data", "perfect sampler"]
    assert rows_of() == []
    others = (("--steps", "2"), ("--point-steps", "3"), ("--seeds", "2"), ("--precision", "bfloat16"))
    assert [rows_of(*option) for option in others] == [["gan"], ["gan", "gan"], ["gan"], ["gan", "gan"]]
    for row in Path("t").glob("*.json"):  # rows that were made before there was an option
        kept = json.loads(row.read_text())
        for options in kept["options"]:
            assert options.pop("noise") == "normal"
        row.write_text(json.dumps(kept))
    assert rows_of(*others[-1]) == []
    for row in Path("t").glob("*.json"):  # rows that were made before options were kept
        row.write_text(json.dumps({k: v for k, v in json.loads(row.read_text()).items() if k != "options"}))
    assert rows_of("--steps", "5") == []


@pytest.mark.usefixtures("docs")
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
        assert run_command("train_images", monkeypatch, "--model", model, "--run", f"runs/{model}", *train) == 0
    assert run_command("publish_images", monkeypatch, "--run", "runs/vae") == 2
    assert "without labels" in capsys.readouterr().err
    assert "old" in page.read_text()
    assert run_command("publish_images", monkeypatch) == 0
    facts = json.loads(Path("default.json").read_text())
    before, sentence, after = page.read_text().partition("A class-conditional GAN after ")
    assert before.startswith("before\n<!-- images:begin -->\n![")
    assert after.endswith("\n<!-- images:end -->\nafter\n")
    own = facts["own"]["measures"]
    assert f"{own['label_accuracy']:.1%} of {own['samples']:,}" in sentence + after
    assert f"(real images: {facts['real']['measures']['kernel']:.2f})" in after
    with Image.open("default.png") as shown, Image.open("runs/cgan/images/samples.png") as samples:
        assert shown.width == samples.width // 2

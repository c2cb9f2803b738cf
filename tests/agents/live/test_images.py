"""Image models on the page."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from agents.live.images import CELLS, COLUMNS, STOPS, ImageBench, image_runs
from agents.live.packets import picture, unpack
from worldmodels.generative.fit import fit_images
from worldmodels.generative.models.registry import preset
from worldmodels.generative.sampling import truncated_normal


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VAE and a conditional GAN, each trained for two steps on folders of plain squares."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    labels = np.arange(48) % 3
    pictures = np.clip(80 * labels[:, None, None] + rng.integers(0, 40, (48, 16, 16)), 0, 255).astype(np.uint8)
    np.savez(folder / "squares.npz", images=pictures, labels=labels)
    for name in ("vae", "cgan-projection"):
        config = preset(name, "tiny")
        config = dataclasses.replace(
            config, data=str(folder / "squares.npz"), size=16, steps=2, batch_size=8, log_every=1, checkpoint_every=2
        )
        fit_images(name, config, folder / name, torch.device("cpu"))
    return folder


def ask(bench: ImageBench, verb: str, **arguments: object) -> tuple[dict, list[np.ndarray]]:
    (packet,) = getattr(bench, verb)(**arguments)
    header, blobs = unpack(packet)
    return header, [picture(blob) for blob in blobs]


def test_finished_runs_of_images_are_found(runs: Path, tiny_run: Path):
    assert set(image_runs(runs)) == {"vae", "cgan-projection"}
    assert image_runs(tiny_run.parent) == {}
    assert image_runs(runs / "nowhere") == {}


def test_a_model_says_what_it_can_do(runs: Path):
    bench = ImageBench(runs)
    vae, _ = ask(bench, "image_run", name="vae")
    assert (vae["labels"], vae["attributes"], vae["paths"], vae["truncates"]) == ([], ["0", "1", "2"], True, True)
    assert vae["shows"] == "Samples"
    gan, _ = ask(bench, "image_run", name="cgan-projection")
    assert (gan["labels"], gan["attributes"]) == (["0", "1", "2"], [])
    assert bench.image_run("../vae") == []


@pytest.mark.parametrize("name", ["vae", "cgan-projection"])
def test_samples_and_the_way_between_two_of_them(name: str, runs: Path):
    bench = ImageBench(runs)
    assert bench.image_grid(0, 2.0, -1) == []
    ask(bench, "image_run", name=name)
    header, (sheet,) = ask(bench, "image_grid", seed=0, truncation=2.0, label=-1)
    side = header["side"]
    assert sheet.shape == (CELLS // COLUMNS * side, COLUMNS * side, 3)
    _, (again,) = ask(bench, "image_grid", seed=0, truncation=2.0, label=-1)
    _, (other,) = ask(bench, "image_grid", seed=1, truncation=2.0, label=-1)
    assert np.array_equal(sheet, again)
    assert not np.array_equal(sheet, other)
    header, (path,) = ask(bench, "image_path", first=0, second=11)
    assert path.shape == (side, STOPS * side, 3)
    assert np.abs(path[:, -side:].astype(int) - other[side : 2 * side, side : 2 * side]).mean() < 6
    assert bench.image_path(0, CELLS) == []


SAMPLES, CHANGED = "Samples", "What was given, and below it what the model makes of it"


@pytest.mark.parametrize(
    ("name", "options", "shows", "columns", "cells"),
    [
        ("ae", {}, "Reconstructions of test images", 10, 60),
        ("mixture-vae", {}, SAMPLES, 10, 60),
        ("infogan", {"categories": 3}, SAMPLES, 10, 60),
        ("lapgan", {"size": 32}, SAMPLES, 10, 60),
        ("pixelcnn-conditional", {"layers": 1, "levels": 2, "size": 8}, SAMPLES, 10, 10),
        ("colourise", {"size": 32, "channels": 3}, CHANGED, 6, 12),
        ("diverse-colours", {"channels": 3}, CHANGED, 6, 12),
        ("cyclegan", {"size": 32, "inputs": "squares.npz"}, CHANGED, 6, 12),
        ("text-to-image", {"data": "captions"}, SAMPLES, 10, 60),
        ("video-conditional", {"data": "clips", "frames": 4, "given": 1, "size": 16}, "Clips, one in every row", 4, 24),
    ],
)
def test_every_kind_of_model_shows_what_it_can(name, options, shows, columns, cells, runs, tmp_path, monkeypatch):
    monkeypatch.chdir(runs)
    if options.get("data") and not Path(options["data"]).exists():
        films(runs / "clips")
        captioned(runs / "captions")
    base = {"data": "squares.npz", "steps": 1, "batch_size": 4, "width": 4, "log_every": 1, "checkpoint_every": 1}
    config = dataclasses.replace(preset(name, "tiny"), **(base | options))
    fit_images(name, config, tmp_path / name, torch.device("cpu"))
    bench = ImageBench(tmp_path)
    model, _ = ask(bench, "image_run", name=name)
    assert model["shows"] == shows
    header, (sheet,) = ask(bench, "image_grid", seed=0, truncation=2.0, label=-1)
    side = header["side"]
    assert (header["columns"], header["cells"]) == (columns, cells)
    assert sheet.shape == (cells // columns * side, columns * side, 3)
    assert len(bench.image_path(0, 1)) == int(model["paths"])
    assert model["paths"] == (name in ("ae", "mixture-vae", "infogan", "text-to-image"))
    assert model["truncates"] == (name in ("infogan", "text-to-image"))
    expected = {"pixelcnn-conditional": ["0", "1", "2"], "video-conditional": ["down", "up"]}
    if model["choice"] == "Caption":
        assert set(model["labels"]) == {"a dark square", "a bright square"}
    else:
        assert model["labels"] == expected.get(name, [])
    if model["labels"]:
        _, (one,) = ask(bench, "image_grid", seed=0, truncation=2.0, label=1)
        assert not np.array_equal(one, sheet)


def test_what_shows_its_data_says_where_they_are_gone(runs: Path, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "squares.npz"
    data.write_bytes((runs / "squares.npz").read_bytes())
    for name in ("ae", "vae"):
        config = dataclasses.replace(preset(name, "tiny"), data="squares.npz", steps=1, batch_size=8)
        fit_images(name, config, tmp_path / name, torch.device("cpu"))
    data.unlink()
    bench = ImageBench(tmp_path)
    refused, _ = ask(bench, "image_run", name="ae")
    assert "no file or folder 'squares.npz'" in refused["refused"]
    assert bench.image_grid(0, 2.0, -1) == []
    vae, _ = ask(bench, "image_run", name="vae")
    assert vae["attributes"] == []
    assert ask(bench, "image_grid", seed=0, truncation=2.0, label=-1)[0]["cells"] == CELLS


def films(folder: Path) -> None:
    """Two classes of clips, as folders of frames of 16x16."""
    for number in range(16):
        place = folder / ("up", "down")[number % 2] / str(number)
        place.mkdir(parents=True)
        for frame in range(4):
            pixels = np.zeros((16, 16, 3), np.uint8)
            pixels[3 * (frame, 3 - frame)[number % 2]] = 200
            Image.fromarray(pixels).save(place / f"{frame}.png")


def captioned(folder: Path) -> None:
    """Dark and bright squares that say so."""
    folder.mkdir()
    for number in range(24):
        Image.new("RGB", (16, 16), (200 * (number % 2) + number,) * 3).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(f"A {('dark', 'bright')[number % 2]} square.")


def test_nothing_of_one_model_meets_another(runs: Path):
    """A click on the old sheet while the new model loads, which has another length of z and other labels."""
    bench = ImageBench(runs)
    for first, second in (("vae", "cgan-projection"), ("cgan-projection", "vae")):
        ask(bench, "image_run", name=first)
        ask(bench, "image_grid", seed=0, truncation=2.0, label=-1)
        ask(bench, "image_run", name=second)
        assert bench.image_path(0, 9) == []
    ask(bench, "image_run", name="cgan-projection")
    assert bench.image_attributes(0, (0.0, 0.0, 0.0)) == []


def test_attributes_change_a_picture_by_their_strengths(runs: Path):
    bench = ImageBench(runs)
    ask(bench, "image_run", name="vae")
    _, (original, plain) = ask(bench, "image_attributes", item=0, strengths=(0.0, 0.0, 0.0))
    _, (_, changed) = ask(bench, "image_attributes", item=0, strengths=(1.5, 0.0, -1.5))
    assert original.shape == plain.shape
    assert bench.bench is not None
    codes = bench.bench.vectors
    assert codes.shape == (3, bench.bench.trained.model.latent_size)
    assert not torch.equal(codes[0], codes[1])
    assert changed.shape == plain.shape
    assert bench.image_attributes(0, (1.0,)) == []


def test_truncated_latents_stay_within_their_limit_and_are_normal_without_one():
    uniform = torch.rand(20_000, generator=torch.Generator().manual_seed(0))
    for limit in (0.5, 1.0, 2.0):
        z = truncated_normal(uniform, limit)
        assert z.abs().max() <= limit
    free = truncated_normal(uniform, 8.0)
    assert float(free.mean()) == pytest.approx(0, abs=0.02)
    assert float(free.std()) == pytest.approx(1, abs=0.02)

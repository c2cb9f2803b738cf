"""Image models on an exported page: pictures from numbers, as PyTorch makes them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.export_page import describe_images, write_page
from agents.export_page.images import drawing_of
from rollouts.errors import UserError
from tests.agents.export_page.conftest import Compute, Served
from tests.agents.export_page.test_browser import PHONE, Page
from tests.faults.helpers import call
from worldmodels.generative.fit import fit_images
from worldmodels.generative.models.registry import preset

SIDE = 16


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Image models, each trained for a step on plain squares of three classes."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    labels = np.arange(24) % 3
    pictures = np.clip(80 * labels[:, None, None] + rng.integers(0, 40, (24, SIDE, SIDE)), 0, 255).astype(np.uint8)
    np.savez(folder / "squares.npz", images=pictures, labels=labels)
    for name in ("vae", "ae", "began", "gan", "cgan-projection", "mixture-vae", "infogan"):
        config = preset(name, "tiny")
        config = dataclasses.replace(
            config, data=str(folder / "squares.npz"), size=SIDE, steps=1, batch_size=8, log_every=1, checkpoint_every=1
        )
        fit_images(name, config, folder / name, torch.device("cpu"))
    return folder


@pytest.mark.parametrize("name", ["vae", "began", "gan", "cgan-projection"])
def test_pictures_are_pytorchs(
    name: str, runs: Path, exported: Path, in_engine: Compute, monkeypatch: pytest.MonkeyPatch
):
    drawing = drawing_of(runs / name)
    with torch.no_grad():  # weights as large as after training, so that pictures are more than grey
        for parameter in drawing.network.parameters():
            parameter.mul_(3).add_(0.03 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)))
    monkeypatch.setattr("agents.export_page.images.drawing_of", lambda run: drawing)
    description = describe_images(runs / name)
    z = torch.randn(2, drawing.latent_size, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([2, 0]) if drawing.classes else None
    ones = [[float(label == index) for index in range(len(drawing.classes))] for label in (2, 0)]
    output = in_engine(
        exported,
        f"(() => {{ const model = {json.dumps(description)}, inputs = model.latents + model.classes.length;"
        "const network = new Network(new Arena(bytesOf(MODEL.kernel)), model.decoder, unpack(model), inputs);"
        f"return {[[*a.tolist(), *b] for a, b in zip(z, ones, strict=True)]}.map((z) => [...network.run(z)]); }})()",
    )
    with torch.no_grad():
        expected = drawing.decode(z, labels).permute(0, 2, 3, 1).reshape(2, -1)
    np.testing.assert_allclose(output, expected, atol=2e-5)
    assert expected.std() > 0.05


def test_what_cannot_be_exported_is_said(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(UserError, match="is an autoencoder"):
        describe_images(runs / "ae")
    with pytest.raises(UserError, match="a prior that it has learned, the page draws"):
        describe_images(runs / "mixture-vae")
    with pytest.raises(UserError, match="takes something else"):  # a part of its noise becomes a code first
        describe_images(runs / "infogan")
    vae = drawing_of(runs / "vae")
    points = vae._replace(decode=lambda z, labels: vae.decode(z, labels).flatten(1))
    odd = vae._replace(decode=lambda z, labels: vae.decode(z, labels) ** 2)
    twice = vae._replace(decode=lambda z, labels: vae.decode(z, labels) + vae.decode(-z, labels))
    for drawing, said in ((points, "makes points"), (odd, "last layer"), (twice, "takes something else")):
        monkeypatch.setattr("agents.export_page.images.drawing_of", lambda run, drawing=drawing: drawing)
        with pytest.raises(UserError, match=said):
            describe_images(tmp_path)


def test_the_command(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert call("export_page", "--images", runs / "vae", "--agent", "pretrained/carracing", "--out", "page") == 2
    assert "not both" in capsys.readouterr().err
    assert call("export_page", "--images", runs / "vae", "--out", "page") == 0
    names = {file.name for file in (tmp_path / "page").iterdir()}
    assert "images.js" in names
    assert not names & {"dream.js", "page.js", "agent.html"}


def opened(browser: Any, run: Path, folder: Path, **options: Any) -> tuple[Page, Served]:
    write_page(describe_images(run), folder)
    served = Served(folder)
    return Page(browser, served.url, **options), served


def test_numbers_make_a_picture_in_the_browser(runs: Path, browser: Any, tmp_path: Path):
    page, served = opened(browser, runs / "cgan-projection", tmp_path / "page")
    page.until("latents.waiting === 0")
    seen = [page.page.locator("#picture").screenshot()]

    def changed() -> None:
        page.another_picture("#picture", seen[-1])
        page.until("latents.waiting === 0")
        seen.append(page.page.locator("#picture").screenshot())

    page.page.click("#another")
    changed()
    page.page.select_option("#label", "2")
    changed()
    page.slide("#numbers input >> nth=0", 4)
    changed()
    address, here = page.js("location.href"), page.js("[...latents.z]")
    assert "label=2&z=" in address
    page.page.click("#starts button:nth-child(2)")
    page.slide("#between", 1)
    changed()
    np.testing.assert_allclose(page.js("[...latents.z]"), page.js("[...state.to]"), atol=1e-6)
    page.slide("#between", 0)
    np.testing.assert_allclose(page.js("[...latents.z]"), here, atol=1e-6)
    same = Page(browser, address)
    same.until("latents.waiting === 0")
    np.testing.assert_allclose(same.js("[...latents.z]"), here, atol=0.006)
    assert same.js("state.label") == 2
    same.close()
    page.close()
    served.close()


def test_the_page_of_an_image_model_has_no_barriers(runs: Path, browser: Any, tmp_path: Path):
    package = pytest.importorskip("axe_playwright_python", reason="LEFT OUT, accessibility: axe-playwright-python")
    page, served = opened(browser, runs / "cgan-projection", tmp_path / "page", **PHONE)
    assert page.js("document.documentElement.scrollWidth") <= 390
    page.js((Path(package.__file__).parent / "axe.min.js").read_text())
    found = page.js("axe.run(document, { resultTypes: ['violations'] })")["violations"]
    assert [(one["id"], [node["html"][:120] for node in one["nodes"]]) for one in found] == []
    page.close()
    served.close()

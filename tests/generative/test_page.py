"""docs/images.md is made of evaluation files."""

from __future__ import annotations

import pytest
import torch

from worldmodels.generative.data.datasets import load_samples
from worldmodels.generative.measures.evaluation import evaluate, evaluate_reference
from worldmodels.generative.models.trained import load_trained

CPU = torch.device("cpu")


@pytest.mark.usefixtures("docs")
def test_the_page(runs, images, cache):
    import images_page

    rows = [evaluate(load_trained(runs / name, CPU), cache) for name in ("vae", "cgan")]
    rows += [evaluate_reference(load_samples(images), cache)]
    rows += [{"model": "wgan", "data": images, "failed": "all samples are alike", "measures": {}}]
    page = images_page.document(rows, "python x.py", "images")
    for row in ("| vae | ", "| cgan | ", "| real data | ", "| wgan | failed: all samples are alike"):
        assert row in page
    assert page.count("| vae | ") == 2  # generation, and likelihoods
    assert len({line.count("|") for line in page.splitlines() if line.startswith("| ") and "kernel" in line}) == 1
    assert "FID" in page.split("##")[0]
    assert "Kernel distance, from best to worst: " in page
    assert "Stopped because of collapse: wgan." in page
    assert "(images/halves.npz-real-data.png)" in page


@pytest.mark.usefixtures("docs")
def test_what_the_page_says_of_points_follows_from_the_figures():
    import images_page

    figures = {"of": 8, "earth_movers": 0.1, "high_quality": 0.9}

    def findings(minimax: int) -> str:
        modes = {"gan": 8, "gan-minimax": minimax, "real data": 8}
        return images_page.findings(
            [{"model": name, "measures": {**figures, "modes": found}} for name, found in modes.items()], True
        )

    assert "All modes are found by gan, gan-minimax; not by any other." in findings(8)
    assert "does not fail here" in findings(8)
    assert "All modes are found by gan; not by gan-minimax (1 of 8)." in findings(1)
    assert "does not fail here" not in findings(1)


@pytest.mark.usefixtures("docs")
def test_several_trainings_become_one_row_with_ranges():
    import images_page

    trainings = [
        {
            "model": "gan",
            "data": "ring",
            "training_seconds": 60.0 + k,
            "measures": {"modes": k, "of": 8, "mmd": k / 1000},
        }
        for k in (8, 5, 7)
    ]
    row = images_page.combine([*trainings, {"model": "gan", "data": "ring", "failed": "all alike"}])
    assert row["measures"]["modes"] == 7
    assert row["measures"]["ranges"]["mmd"] == [0.005, 0.008]
    assert row["training_seconds"] == 67
    table = images_page.table([row], images_page.POINTS)
    assert "| gan (1 of 4 collapsed) | 7 (5 to 8) / 8 | 7.00 (5.00 to 8.00) | 1 min 07 s |" in table
    assert images_page.combine([trainings[0]])["measures"]["ranges"]["of"] == [8, 8]
    assert "| gan | 8 / 8 |" in images_page.table([images_page.combine(trainings[:1])], images_page.POINTS)
    assert "failed" in images_page.combine([{"model": "gan", "data": "ring", "failed": "all alike"}] * 2)


@pytest.mark.usefixtures("docs")
def test_other_peoples_packages_have_a_table_of_their_own():
    import images_page

    row = {"squared_error": 21.5, "seconds": 2.0, "options": {"steps": 600, "latent_size": 16}}
    bounded = {**row, "squared_error": 24.26, "cross_entropy_elbo": -141.26}
    outside = {"held_out": 1000, "rows": {"worldmodels vae": bounded, "sklearn PCA": row}}
    page = images_page.document([], "python x.py", "images", outside=outside)
    assert "600 steps of the same batches" in page
    first, second = (line for line in page.splitlines() if line.startswith(("| worldmodels", "| sklearn")))
    assert first == "| sklearn PCA | 21.5 | – | 2 |"
    assert second == "| worldmodels vae | 24.3 | -141.3 | 2 |"


@pytest.mark.usefixtures("docs")
def test_the_systems_are_the_pages_last_section_however_often_it_is_written(tmp_path):
    import images_page

    page = "# Page\n\nRows.\n"
    folder = tmp_path / "systems"
    assert images_page.with_systems(page, folder) == page
    for name in ("systems", "images"):
        (tmp_path / name).mkdir()
    (tmp_path / "images" / "y.png").touch()  # x is not there
    (folder / "b.md").write_text("two\n")
    (folder / "a.md").write_text("| [a](../images/x.png), [b](../images/y.png) |\n[notebook](../../examples/y.ipynb)\n")
    once = images_page.with_systems(page, folder)
    links = "| [b](images/y.png) |\n[notebook](../examples/y.ipynb)"
    assert once == f"# Page\n\nRows.\n\n## Everything the notes describe\n\n{links}\n\ntwo\n"
    assert images_page.with_systems(once, folder) == once


@pytest.mark.usefixtures("docs")
def test_rows_are_of_models_that_the_data_suit(images):
    import images_table

    on_points = images_table.rows_for("ring", ())
    assert {"gan", "vae", "sigma-vae", "bigan", "f-gan"} <= set(on_points)
    assert not {"ae", "cvae", "lapgan", "pix2pix", "colourise"} & set(on_points)
    on_images = images_table.rows_for(images, ("ae", "acgan", "semi-supervised-vae", "colourise", "text-to-image"))
    assert on_images == ["ae", "acgan", "semi-supervised-vae"]

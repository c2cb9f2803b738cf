"""Reports as files: whole HTML that needs nothing else, every figure from the run, and nothing changed in the run."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from agents.pipeline.run import run_pipeline
from agents.reports.markup import VOID
from agents.reports.page import write_csv, write_report
from rollouts.errors import UserError
from rollouts.runs.files import file_hash, read_json, write_json
from rollouts.runs.layout import Run
from tests.faults.helpers import CPU, MICRO, call

HOSTILE = "<script>alert('x')</script>\" onload=\"alert(1)"


class Parsed(HTMLParser):
    """Elements of a page, which have to be closed as they were opened."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.words)

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.elements)


def report_of(out: Path, *runs: Path | str, seconds: float = 600.0) -> Parsed:
    text = write_report(runs, out, seconds).read_text()
    page = Parsed(text)
    for _, attributes in page.elements:
        for name in ("src", "href", "data-sheet"):
            assert re.match("#|data:", attributes.get(name) or "#")
    assert not re.search(r"https?://|@import|url\(", text)
    assert page.count("script") == 1
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    return page


def scored(run: Path, shift: float = 0.0) -> None:
    """An evaluation of 100 episodes, each with a return of its own."""
    episodes = [{"seed": seed, "return": round(seed * 1.37 + shift, 4), "length": 50} for seed in range(100)]
    weights = file_hash(Run(run).controller.weights)
    write_json(
        Run(run).evaluation,
        {
            "agent": "x",
            "environment": "worldmodels/Toy-v0",
            "is_score": True,
            "controller": weights,
            "episodes": episodes,
        },
    )


@pytest.fixture(scope="module")
def run(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the run with a score. Read it, do not write to it."""
    copy = tmp_path_factory.mktemp("reported") / "toy"
    shutil.copytree(tiny_run, copy)
    scored(copy)
    return copy


@pytest.fixture(scope="module")
def out(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("html") / "toy.html"
    report_of(file, run)
    return file


def state(folder: Path) -> dict[Path, tuple[int, int]]:
    return {file: (file.stat().st_mtime_ns, file.stat().st_size) for file in folder.rglob("*")}


def test_every_figure_of_the_files_is_on_the_page(run: Path, out: Path):
    page = Parsed(out.read_text())
    vae, m = read_json(Run(run).vae.diagnostics), read_json(Run(run).mdnrnn.diagnostics)
    manifest = read_json(Run(run).controller.manifest_file)
    for figure in (
        f"{vae['reconstruction']:,.1f}",
        f"{m['z_nll_per_dim']:.3f} nats",
        f"{manifest['parameters']:,} weights",
        f"{manifest['validation']:,.1f}",
        "67.8 ± 39.7",  # of 0, 1.37, ..., 135.63: the mean 67.815, the spread 1.37 * sqrt(100 * 101 / 12)
        "Toy-v0",
    ):
        assert figure in page.text, figure
    rows = re.findall(r"<tr><td class=\"number\">(\d+)</td><td class=\"number\">([\d.]+)</td></tr>", out.read_text())
    assert [(int(seed), float(value)) for seed, value in rows] == [(s, round(s * 1.37, 2)) for s in range(100)]
    assert "hidden_size" in page.text
    assert manifest["versions"]["torch"] in page.text
    assert page.count("svg") > 20  # every curve over steps, frames and hours
    assert page.count("canvas") == 4
    for head in ("worst", "How reliable M's ends are", "Where the time went", "How the returns are spread"):
        assert head in page.text, head


def test_nothing_in_the_run_is_changed(run: Path, tmp_path: Path):
    before = state(run)
    report_of(tmp_path / "r.html", run, seconds=0)
    write_csv([run], tmp_path / "r.csv")
    assert state(run) == before


def test_what_hostile_files_say_stays_text(run: Path, tmp_path: Path):
    bad = tmp_path / "<img src=x onerror=alert(1)>"
    shutil.copytree(run, bad)
    write_json(Run(bad).note, {"preset": HOSTILE})
    for stage in Run(bad).stages:
        write_json(
            stage.manifest_file, {**read_json(stage.manifest_file), "commands": [HOSTILE], "git_commit": HOSTILE}
        )
        write_json(stage.config_file, {**read_json(stage.config_file), HOSTILE: HOSTILE})
    write_json(Run(bad).vae.diagnostics, {**read_json(Run(bad).vae.diagnostics), HOSTILE: [HOSTILE]})
    write_json(Run(bad).evaluation, {**read_json(Run(bad).evaluation), "environment": HOSTILE})
    lines = Run(bad).vae.metrics.read_text().splitlines()
    Run(bad).vae.metrics.write_text("\n".join(json.dumps({**json.loads(line), HOSTILE: 1.5}) for line in lines) + "\n")
    for runs in ((bad,), (bad, run)):
        page = report_of(tmp_path / "bad.html", *runs, seconds=0)
        assert HOSTILE in page.text
        assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)


def test_damaged_files_become_sentences_and_the_rest_is_shown(run: Path, tmp_path: Path):
    bad = tmp_path / "bad"
    shutil.copytree(run, bad)
    Run(bad).vae.diagnostics.write_text("{")
    Run(bad).mdnrnn.metrics.write_text("nonsense\n" * 3)
    Run(bad).controller.manifest_file.write_text("[]")
    Run(bad).vae.weights.write_bytes(b"x")
    write_json(Run(bad).evaluation, {"episodes": [{"seed": "x"}]})
    page = report_of(tmp_path / "bad.html", bad)
    for file in (
        Run(bad).vae.diagnostics,
        Run(bad).mdnrnn.metrics,
        Run(bad).controller.manifest_file,
        Run(bad).vae.weights,
    ):
        assert str(file) in page.text, file
    assert "C was not learned yet" in page.text
    assert "How far V's pictures are" in page.text


def test_no_module_is_imported_that_a_run_names(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    bad = tmp_path / "bad"
    shutil.copytree(run, bad)
    (tmp_path / "payload_of_report.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    for stage in Run(bad).stages:
        manifest = read_json(stage.manifest_file)
        if "env" in manifest:
            write_json(stage.manifest_file, {**manifest, "env": {**manifest["env"], "id": "payload_of_report:X-v0"}})
    text = report_of(tmp_path / "bad.html", bad).text
    assert "the module payload_of_report would be imported" in text
    assert "An agent for an unknown world" in text


def test_a_run_is_shown_as_far_as_it_goes(run: Path, tmp_path: Path):
    part = tmp_path / "part"
    shutil.copytree(run / "rollouts", part / "rollouts")
    page = report_of(tmp_path / "part.html", part)
    assert "V was not trained yet. worldmodels train-vae --run" in re.sub(r"\s+", " ", page.text)
    assert "no agent yet" in page.text
    shutil.copytree(run / "vae", part / "vae")
    write_json(Run(part).vae.manifest_file, {**read_json(Run(part).vae.manifest_file), "complete": False})
    page = report_of(tmp_path / "part.html", part)
    assert "V of round 0 is not finished yet" in page.text
    assert "How much V writes down" in page.text


def test_a_score_of_other_weights_is_told(run: Path, tmp_path: Path):
    other = tmp_path / "other"
    shutil.copytree(run, other)
    write_json(Run(other).evaluation, {**read_json(Run(other).evaluation), "controller": "0123456789ab"})
    assert "other weights than the run's now" in report_of(tmp_path / "o.html", other, seconds=0).text


def test_time_that_is_used_up_is_told(run: Path, tmp_path: Path):
    page = report_of(tmp_path / "r.html", run, seconds=0)
    assert "Some pictures are left out: 0 s for them were used up" in page.text
    with pytest.raises(UserError, match="at least 0"):
        write_report([run], tmp_path / "r.html", -1)


def test_a_released_agent_has_its_card_and_a_dream(tmp_path: Path):
    page = report_of(tmp_path / "p.html", "pretrained/carracing")
    for words in (
        "889.7 ± 84.4",
        "7.14 million",
        "The agent in its dream",
        "584 weights on [z, h, a]",
        "--preset laptop",
    ):
        assert words in page.text, words
    assert str(Path.home()) not in page.text


def test_an_image_model_has_samples_losses_and_measures(tmp_path: Path):
    from worldmodels.generative.fit import fit_images
    from worldmodels.generative.models.registry import preset

    options = preset("vae", "tiny", points=True)
    run = tmp_path / "ring"
    fit_images(
        "vae",
        type(options)(**{**vars(options), "data": "ring", "steps": 20, "log_every": 5, "batch_size": 32}),
        run,
        CPU,
    )
    write_json(
        Run(run).evaluation, {"measures": {"mmd": 0.123456, "floor": {"mmd": 0.001}, "class_shares": [0.5, 0.5]}}
    )
    page = report_of(tmp_path / "i.html", run)
    for words in ("An image model (vae)", "Samples", "0.1235", "0.001", "distance of the two clouds", "0.5, 0.5"):
        assert words in page.text, words
    assert page.count("svg") >= 3


def test_runs_stand_side_by_side(run: Path, tmp_path: Path):
    other = tmp_path / "other"
    shutil.copytree(run, other)
    scored(other, shift=10.0)
    write_json(Run(other).vae.config_file, {**read_json(Run(other).vae.config_file), "kl_floor": 0.75})
    page = report_of(tmp_path / "both.html", run, other, seconds=0)
    text = re.sub(r"\s+", " ", page.text)
    assert "other − toy" in text
    assert "+10.0 +10.0 to +10.0 100 of 100" in text  # on every seed ten more
    assert "vae.kl_floor 0.1 0.75" in text
    assert "vae.latent_size" not in text.split("Options that differ")[0].split("What differs")[1].split("Curves")[0]
    assert page.count("details") > 10


def test_curves_become_a_table(run: Path, tmp_path: Path):
    with write_csv([run], tmp_path / "c.csv").open() as file:
        rows = list(csv.DictReader(file))
    known = [json.loads(line) for line in Run(run).vae.metrics.read_text().splitlines()]
    found = [row for row in rows if (row["stage"], row["curve"], row["kind"]) == ("vae", "kl", "training")]
    assert [float(row["value"]) for row in found] == [pytest.approx(record["kl"]) for record in known]
    assert [int(row["step"]) for row in found] == [record["step"] for record in known]
    assert {row["run"] for row in rows} == {"toy"}


def test_the_command_takes_several_runs_and_names_its_file(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(run, tmp_path / "runs" / "toy")
    assert call("report", "--seconds", 0) == 0
    assert (tmp_path / "toy-report.html").exists()
    assert call("report", "--run", "runs/toy", "--run", run, "--out", "b.html", "--csv", "b.csv", "--seconds", 0) == 0
    assert "Side by side" in (tmp_path / "b.html").read_text()
    assert (tmp_path / "b.csv").exists()
    assert call("report", "--run", "runs/toy", "--out", "b.pdf") == 2
    assert call("report", "--run", "runs/none") == 2
    assert "b.html" in capsys.readouterr().err
    assert not (tmp_path / "b.pdf").exists()


@pytest.mark.slow
def test_the_pipeline_ends_with_a_report_and_a_tracked_score(tmp_path: Path, capsys: Any):
    run = tmp_path / "run"
    run_pipeline(MICRO, run, 0, CPU)
    assert str(Run(run).page) in capsys.readouterr().err
    page = Parsed(Run(run).page.read_text())
    assert "round 1" in page.text
    from tests.worldmodels.test_tracking import board

    assert "C/score/mean" in board(Run(run).newest("controller").controller.path).Tags()["scalars"]  # type: ignore[union-attr]


@pytest.fixture(params=["dark", "light"])
def opened(request: pytest.FixtureRequest, browser: Any, out: Path) -> Iterator[Any]:
    context = browser.new_context(color_scheme=request.param, viewport={"width": 1100, "height": 800})
    page, complaints = context.new_page(), []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda one: None if one.url.startswith(("file:", "data:")) else complaints.append(one.url))
    page.goto(out.as_uri())
    yield page
    context.close()
    assert complaints == []


def test_the_page_in_a_browser(opened: Any):
    curve = opened.locator("#v .chart >> visible=true").first
    assert "training step" in curve.text_content()
    opened.click("#v [data-over=hours]")
    assert "hours of work" in opened.locator("#v .chart >> visible=true").first.text_content()
    opened.click("#v [data-over=steps]")
    opened.locator("#v .chart svg >> visible=true").first.hover()
    assert "at" in opened.locator(".tip").first.text_content()
    opened.click("#score summary")
    head = opened.locator("#score th button", has_text="Return")
    first = opened.locator("#score tbody td:nth-child(2)").first
    head.click()
    head.click()
    assert first.text_content() == "135.63"
    opened.click(".film .play")
    opened.wait_for_function("+document.querySelector('.film input').value > 0")
    opened.click(".film .play")
    painted = "canvas => canvas.getContext('2d').getImageData(32, 32, 1, 1).data[3]"
    assert opened.locator(".film canvas").first.evaluate(painted) == 255
    before = opened.evaluate("getComputedStyle(document.body).color")
    opened.click("#theme")
    assert opened.evaluate("getComputedStyle(document.body).color") != before


def test_axe_finds_nothing_to_complain_of(opened: Any):
    package = pytest.importorskip("axe_playwright_python", reason="LEFT OUT, accessibility: axe-playwright-python")
    opened.add_script_tag(content=(Path(package.__file__).parent / "axe.min.js").read_text())
    opened.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    found = opened.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
    assert [(one["id"], [node["html"][:160] for node in one["nodes"][:3]]) for one in found] == []


def test_a_phone_needs_no_scrolling_sideways(browser: Any, out: Path):
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.goto(out.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    context.close()

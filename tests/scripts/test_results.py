"""What is kept of experiments, and the page and pictures that are made from it."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from agents.evaluation import evaluate, save_report
from agents.learning.config import ControllerConfig
from agents.records.costs import history, rounds_of
from agents.records.experiments import curve, keep, read
from rollouts.errors import UserError
from rollouts.runs.files import read_json_lines
from rollouts.runs.layout import Run
from rollouts.runs.stage import Stage
from tests.faults.helpers import SCRIPTS, call, interrupted_at


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "docs" / "results"


@pytest.fixture
def report(scripted_run: Path, tmp_path: Path) -> dict[str, Any]:
    """An evaluation of three episodes, at ``score.json``."""
    score = evaluate(scripted_run, episodes=3)
    save_report(score, tmp_path / "score.json")
    return score


def test_the_curve_adds_up_everything_that_was_spent(scripted_run: Path):
    points = curve(rounds_of(scripted_run))
    history = [
        record
        for folder in (scripted_run, scripted_run / "round-1")
        for record in read_json_lines(folder / "controller" / "history.jsonl", "fitness")
    ]
    assert [(p["round"], p["generation"]) for p in points] == [(0, n) for n in range(1, 6)] + [
        (1, n) for n in (1, 2, 3)
    ]
    recorded = [Stage(folder, "rollouts").manifest["steps"] for folder in (scripted_run, scripted_run / "round-1")]
    counted = ("steps", "validation_steps", "initial_validation_steps")
    decisions = [sum(record.get(name, 0) for name in counted) for record in history]
    assert points[0]["environment_steps"] == recorded[0] + decisions[0]
    assert points[-1]["environment_steps"] == sum(recorded) + sum(decisions)
    seconds = [point["seconds"] for point in points]
    assert seconds == sorted(seconds)
    assert seconds[-1] > seconds[0] > 0
    assert [p.get("validation") for p in points] == [
        None if "validation" not in r else round(r["validation"], 2) for r in history
    ]
    best = max(history[0]["fitness"])
    assert points[0]["fitness_max"] == pytest.approx(best, abs=0.01)
    assert {point["imagined_steps"] for point in points} == {0}


def test_what_is_kept_is_small_and_names_no_machine_path(
    scripted_run: Path, report: dict[str, Any], tmp_path: Path, folder: Path
):
    kept = keep(folder, "one", "First", "full", "a machine", scripted_run, tmp_path / "score.json", "Too short.")
    files = {file.name: file.read_text() for file in kept.iterdir()}
    assert set(files) == {"experiment.json", "history.jsonl", "evaluation.json"}
    assert not any(str(tmp_path) in text or str(scripted_run) in text for text in files.values())
    assert sum(map(len, files.values())) < 20_000
    (experiment,) = read(folder)
    assert (experiment.name, experiment.title, experiment.note) == ("one", "First", "Too short.")
    assert experiment.evaluation == report | {"agent": "one"}
    assert experiment.curve == curve(rounds_of(scripted_run))
    assert experiment.total("environment_steps") == experiment.curve[-1]["environment_steps"]


def test_what_was_kept_before_stays_until_its_replacement_is_whole(
    scripted_run: Path, report: dict[str, Any], tmp_path: Path, folder: Path
):
    arguments = (folder, "one", "First", "full", "a machine", scripted_run, tmp_path / "score.json")
    keep(*arguments)
    before = read(folder)
    with interrupted_at("agents.records.experiments.write_json", 2):
        keep(*arguments[:2], "Second", *arguments[3:])
    assert read(folder) == before
    keep(*arguments[:2], "Second", *arguments[3:])
    assert [experiment.title for experiment in read(folder)] == ["Second"]
    assert [path.name for path in folder.iterdir()] == ["one"]


def test_what_an_experiment_began_with_is_counted_in_its_costs(
    scripted_run: Path, report: dict[str, Any], tmp_path: Path, folder: Path
):
    """Two such runs in a row, the second with the first's data and models: twice the cost but for those."""
    for name, after in (("one", None), ("two", "one")):
        keep(folder, name, name, "full", "a machine", scripted_run, tmp_path / "score.json", after=after)
    one, two = read(folder)
    borrowed = [cost for cost in one.costs if cost["round"] == 0 and cost["stage"] != "controller"]
    generations = history(Stage(rounds_of(scripted_run)[-1], "controller"))
    around = two.costs[-1]["seconds"] - sum(record["seconds"] + record["validation_seconds"] for record in generations)
    for what in ("environment_steps", "seconds"):
        expected = 2 * one.total(what) - sum(cost[what] for cost in borrowed)
        assert two.total(what) == pytest.approx(expected)
        if what == "seconds":  # the curve's are those of generations, without what is around the last ones
            expected -= around
        assert two.curve[-1][what] == pytest.approx(expected, abs=0.1)
    assert two.commands[: len(one.commands)] == one.commands
    copies = two.commands[len(one.commands) :][:4]
    assert [command.split()[0] for command in copies] == ["mkdir", "cp", "cp", "worldmodels"]
    assert "runs/one/rollouts runs/one/round-1/vae runs/one/round-1/mdnrnn runs/two/" in copies[1]
    assert copies[2] == "cp runs/one/round-1/rollouts/episodes/*.npz runs/two/rollouts/episodes/"
    assert "train-controller" in copies[3]
    with pytest.raises(UserError, match="keep it first"):
        keep(folder, "three", "", "full", "", scripted_run, tmp_path / "score.json", after="nobody")


def test_a_run_of_c_alone_is_one_more_round_of_what_its_v_and_m_come_from(
    scripted_run: Path, tmp_path: Path, folder: Path
):
    keep(folder, "one", "one", "full", "a machine", scripted_run)
    (one,) = read(folder)
    totals = {}
    for name, more in (("on", ("--start-from", scripted_run)), ("anew", ())):
        run = tmp_path / "runs" / name
        for stage in ("vae", "mdnrnn"):
            shutil.copytree(scripted_run / "round-1" / stage, run / stage)
        few = ("--controller.generations", 2, "--controller.population", 4, "--controller.validation-every", 1)
        assert call("train_controller", "--run", run, "--preset", "tiny", "--workers", 0, *few, *more) == 0
        with pytest.raises(UserError, match="learned C alone"):
            keep(folder, name, name, "full", "a machine", run)
        keep(folder, name, name, "full", "a machine", run, after="one")
        kept = next(experiment for experiment in read(folder) if experiment.name == name)
        assert (kept.costs[-1]["round"], kept.costs[-1]["stage"]) == (2, "controller")
        totals[name] = kept.total("environment_steps")
        own = Run(run).controller.manifest["environment_steps"]
        last = one.costs[-1]["environment_steps"] if name == "anew" else 0
        assert totals[name] == one.total("environment_steps") - last + own
        assert kept.curve[-1]["environment_steps"] == totals[name]
        assert len(kept.curve) == 2 + (len(one.curve) if name == "on" else 0)
        assert kept.commands[:-2] == one.commands
        assert kept.commands[-2] == f"# runs/{name} begins with the V and M of another run"
        assert kept.commands[-1].startswith(f"worldmodels train-controller --run runs/{name} --preset tiny")
        assert not any(str(tmp_path) in file.read_text() for file in (folder / name).iterdir())


def test_the_page_shows_every_experiment_with_its_figures(
    scripted_run: Path, report: dict[str, Any], tmp_path: Path, folder: Path
):
    score = tmp_path / "score.json"
    common = ("--folder", folder, "--machine", "2 cores")
    added = ("--run", scripted_run, "--evaluation", score, "--name", "one", "--title", "First", "--goal", "full")
    assert call("results", "add", *added, *common) == 0
    assert call("results", "add", "--evaluation", score, "--name", "two", "--title", "Second", *common) == 0
    assert call("results", "build", "--folder", folder) == 0
    page = folder.with_suffix(".md").read_text()
    row = next(line for line in page.splitlines() if line.startswith("| First |"))
    assert f"{report['mean']:.1f} ± {report['sd']:.1f}" in row
    assert f"{report['interval_95_low']:.1f} to {report['interval_95_high']:.1f}" in row
    assert "[3](results/one/evaluation.json)" in row
    assert "| Second |" in page
    assert "Goal: at least 800, better 900" in page
    assert "worldmodels collect --run runs/one --preset tiny --workers 0" in page
    assert "](results/full.png)" in page
    assert not (folder / "dreams.png").exists()
    with Image.open(folder / "full.png") as picture:
        assert picture.width > 1000
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 50  # curves, not an empty canvas


def test_other_seeds_of_the_best_stand_beside_it(
    scripted_run: Path, report: dict[str, Any], tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys, "path", [str(SCRIPTS / "docs"), *sys.path])
    summary = importlib.import_module("results_page").summary

    def kept(name: str, mean: float, repeats: str | None = None) -> None:
        (tmp_path / "score.json").write_text(json.dumps(report | {"is_score": True, "mean": mean}))
        keep(folder, name, name, "full", "a machine", scripted_run, tmp_path / "score.json", repeats=repeats)

    kept("seed-0", 800.0)
    kept("seed-1", 850.0, repeats="seed-0")
    kept("seed-2", 700.0, repeats="seed-0")
    kept("other", 825.0)
    row = next(line for line in summary(read(folder)).splitlines() if "evolved in the real world" in line)
    assert f"| 850.0 ± {report['sd']:.1f} (other seeds: 800.0, 700.0) |" in row
    with pytest.raises(UserError, match="keep it first"):
        kept("seed-3", 900.0, repeats="nobody")


@pytest.mark.parametrize(
    ("falls", "ends", "hits"), [("paid", "sampled", True), ("ignored", "paid", True), ("rolled", "sampled", False)]
)
def test_fitness_that_is_hits_is_not_drawn_as_a_return(
    scripted_run: Path, monkeypatch: pytest.MonkeyPatch, falls: str, ends: str, hits: bool
):
    paid = ControllerConfig(world="dream", falls=falls, ends=ends)
    monkeypatch.setattr(Stage, "config", lambda *_: paid)
    points = curve(rounds_of(scripted_run))
    assert {point.get("hits", False) for point in points} == {hits}
    monkeypatch.setattr(sys, "path", [str(SCRIPTS / "docs"), *sys.path])
    drawn = importlib.import_module("results_curves")._in_returns(points)
    assert drawn == ([] if hits else points)


def test_a_dream_is_drawn_beside_reality(folder: Path):
    """Experiments that dreamed get a picture of their own, whatever section they are in."""
    point = {"round": 0, "world": "dream", "fitness_min": 1.0, "fitness_mean": 2.0, "fitness_max": 3.0, "sigma": 0.1}
    spent = {"environment_steps": 1000, "imagined_steps": 10**6}
    points = [point | spent | {"generation": n, "seconds": 100.0 * n} for n in (1, 2, 3)]
    points[2] |= {"validation": 5.0, "validation_sd": 1.0}
    kept = folder / "dreamer"
    kept.mkdir(parents=True)
    cost = {"round": 0, "stage": "controller", "what": "x", "seconds": 300.0, **spent}
    facts = {"title": "Dreamer", "goal": "dream", "note": "", "machine": "m", "commands": ["python x"], "costs": [cost]}
    (kept / "experiment.json").write_text(json.dumps(facts | {"versions": {}, "validation": 5.0}))
    (kept / "history.jsonl").write_text("".join(json.dumps(p) + "\n" for p in points))
    assert call("results", "build", "--folder", folder) == 0
    page = folder.with_suffix(".md").read_text()
    assert "](results/dreams.png)" in page
    assert "| Dreamer | not scored |" in page
    assert "| 1,000 | 1 M | 5 min 00 s |" in page
    assert Image.open(folder / "dreams.png").size[0] > 1000


def test_tables_of_comparisons_are_part_of_the_page(folder: Path, report: dict[str, Any], tmp_path: Path):
    save_report(report, folder / "one" / "evaluation.json")
    facts = {"title": "One", "goal": "reference", "note": "", "machine": "m", "commands": [], "costs": []}
    save_report(facts | {"versions": {}, "validation": None}, folder / "one" / "experiment.json")
    scores = {"mean": 3.0, "sd": 1.0, "interval_95_low": 2.0, "interval_95_high": 4.0, "median": 3.0}
    row = {"title": "[z] alone", "parameters": 99, "population": 8, "rollouts": 2, "environment_steps": 2e6}
    rows = [row | {"real": scores | {"returns": [2.0, 4.0]}}]
    common = {"world_model": str(tmp_path), "environment": "Toy-v0"}
    save_report(common | {"generations": 5, "rows": rows}, tmp_path / "comparison.json")
    game = {
        "temperature": 1.15,
        "generations": 5,
        "selected_generation": 2,
        "validation": 4.4,
        "dream": scores,
        "real": scores,
    }
    chance = scores | {"episodes": [{}, {}]}
    save_report(common | {"rows": [game], "random": chance}, tmp_path / "temperatures.json")
    for name in ("comparison", "temperatures"):
        options = ("--report", tmp_path / f"{name}.json", "--note", f"See {name}.")
        assert call("results", "table", *options, "--folder", folder) == 0
        assert str(tmp_path) not in (folder / f"{name}.json").read_text()
    assert call("results", "build", "--folder", folder) == 0
    page = folder.with_suffix(".md").read_text()
    assert (
        "| [z] alone | 99 | 8 x 2 | 3 ± 1 | 2 to 4 | 3 | 2.0 M |\n\nSee comparison.\n"
        in page.split("## What the controller sees")[1]
    )
    assert "| 1.15 | 3 ± 1 | 4 | 3 ± 1 | 2 to 4 | 3 of 5 |" in page.split("## Take Cover, evolved in the dream only")[1]


def test_what_cannot_be_kept_is_refused(scripted_run: Path, folder: Path, capsys: pytest.CaptureFixture[str]):
    for arguments, message in (
        (("add", "--name", "x", "--title", "x"), "Nothing to keep"),
        (("table", "--report", "score.json"), "is no table of a comparison"),
        (("add", "--name", "../x", "--title", "x", "--run", scripted_run), "letters, digits and hyphens"),
        (("add", "--name", "x", "--title", "x", "--run", folder / "nowhere"), "There is no agent"),
        (("build",), "There are no experiments"),
    ):
        assert call("results", *arguments, "--folder", folder) == 2
        assert message in capsys.readouterr().err
    assert not folder.exists()

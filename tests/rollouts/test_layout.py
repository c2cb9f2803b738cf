"""A run's rounds, stages and files by name, and that nobody else joins their paths."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from rollouts import EpisodeStore, Run
from rollouts.runs.files import write_json
from rollouts.runs.layout import PRETRAINED, episodes_in, runs_in
from rollouts.runs.stage import MADE_BY

ROOT = Path(__file__).parents[2]
OWNERS = ("rollouts/runs/layout.py", "rollouts/runs/stage.py")
FOLDERS = {*MADE_BY, "episodes", "latents", "restarts", "distilled", "human", "comparison", "temperatures"}
FILES = re.compile(
    r"(weights|starts)\.safetensors|(manifest|config|run|evaluation|diagnostics|comparison|temperatures)\.json"
    r"|(metrics|history)\.jsonl|state(\.older)?\.pt|round-.*"
)
BREAKING = "scripts/docs/torture"  #: breaks a run's files as somebody would who does not know this code
JOINING = ("joinpath", "with_name", "glob", "rglob")
#: Where such a name is of something else than a run.
OTHERS = {
    ("worldmodels/generative/data/two_photos.py", "images"): "a folder of scikit-learn",
    ("agents/records/experiments.py", "evaluation.json"): "an experiment that is kept, in docs/results",
    ("agents/records/experiments.py", "history.jsonl"): "an experiment that is kept, in docs/results",
    ("scripts/docs/publish.py", "diagnostics.json"): "a copy in docs/",
    ("scripts/docs/reference.py", "evaluation.json"): "read once, and thrown away",
    ("scripts/docs/publish_images.py", "images"): "docs/images",
}


def joined(code: str) -> Iterator[str]:
    """Names of a run's files and folders that are joined to paths in a piece of code, or searched for."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            pieces = [node.right]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in JOINING:
            pieces = node.args
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Stage":
            yield "Stage"
            continue
        else:
            continue
        texts = [leaf.value for piece in pieces for leaf in ast.walk(piece) if isinstance(leaf, ast.Constant)]
        names = [name for text in texts if isinstance(text, str) for name in text.split("/")]
        yield from (name for name in names if name in FOLDERS or FILES.fullmatch(name))
    if re.search(r"\.parent\.parent\b", code):
        yield "parent.parent"


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ('run / "vae" / "weights.safetensors"', ["weights.safetensors", "vae"]),
        ('run / f"round-{k}"', ["round-"]),
        ('runs.glob("*/images/*.png")', ["images"]),
        ('run.joinpath("mdnrnn", name)', ["mdnrnn"]),
        ('Stage(run, "vae")', ["Stage"]),
        ("file.parent.parent", ["parent.parent"]),
        ('Run(path).vae.weights; "vae"; path / "vae.png"; 1 / 2', []),
    ],
)
def test_the_search_finds_what_is_joined_by_hand(code: str, names: list[str]):
    assert list(joined(code)) == names


def test_nobody_else_joins_the_paths_of_a_run():
    files = [file for room in ("rollouts", "worldmodels", "agents", "scripts") for file in (ROOT / room).rglob("*.py")]
    found = {
        (path, name)
        for file in files
        if (path := file.relative_to(ROOT).as_posix()) not in OWNERS and not path.startswith(BREAKING)
        for name in joined(file.read_text(encoding="utf-8"))
    }
    assert len(files) > 200
    assert found == set(OTHERS)


def test_a_run_knows_its_rounds_and_each_of_them_its_run(tmp_path: Path):
    run = Run(tmp_path / "car")
    for name in ("round-1", "round-10", "round-2", "round-x", "human"):
        (run.path / name).mkdir(parents=True)
    assert [one.number for one in run.rounds] == [0, 1, 2, 10]
    assert [one.path.name for one in run.rounds] == ["car", "round-1", "round-2", "round-10"]
    assert run.round(0) == run
    assert run.round(2).whole == run == run.whole
    assert run.human.number == Run(tmp_path / "round-x").number == 0


def test_the_newest_round_is_the_last_in_which_the_stage_is_finished(tmp_path: Path):
    run = Run(tmp_path)
    assert run.newest("mdnrnn") is None
    for number, complete in ((0, True), (2, True), (10, False)):
        write_json(run.round(number).mdnrnn.manifest_file, {"format": 1, "complete": complete})
    assert run.newest("mdnrnn") == run.round(2)
    assert run.newest("controller") is None


def test_tries_are_listed_in_the_order_of_their_numbers(tmp_path: Path):
    run = Run(tmp_path)
    for number in (10, 9):
        run.restart(number).controller.path.mkdir(parents=True)
    assert run.restarts == [run.restart(9), run.restart(10)]


def test_the_run_of_recorded_episodes_is_found_again(tmp_path: Path):
    run = Run(tmp_path).round(3)
    assert isinstance(run.episodes, EpisodeStore)
    assert Run.of(run.episodes) == run


def test_a_run_is_named_by_its_path_or_is_one_that_came_with_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    assert Run.named("pretrained/carracing") == Run(PRETRAINED / "carracing")
    assert Run.named("pretrained/carracing").controller.complete
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pretrained" / "carracing").mkdir(parents=True)
    assert Run.named("pretrained/carracing") == Run(Path("pretrained/carracing"))


def test_what_may_be_a_run_is_a_folder(tmp_path: Path):
    (tmp_path / "b").mkdir()
    (tmp_path / "a").mkdir()
    (tmp_path / "notes.txt").touch()
    assert runs_in(tmp_path) == [Run(tmp_path / "a"), Run(tmp_path / "b")]
    assert runs_in(tmp_path / "nowhere") == []


def test_episodes_are_found_in_a_run_in_its_stage_and_in_their_own_folder(tmp_path: Path):
    run = Run(tmp_path / "run")
    assert episodes_in(run.path) is None
    run.episodes.write(7, b"")
    for folder in (run.path, run.rollouts.path, run.episodes.path):
        found = episodes_in(folder)
        assert found is not None
        assert 7 in found

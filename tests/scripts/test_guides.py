"""The README, the guide and docs/extending.md: every command in them runs as it stands there, with short budgets.

Some pages have tests of their own, which run their programs too, or need pictures.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from agents.cli.main import COMMANDS
from rollouts import Run
from tests.faults.helpers import call

ROOT = Path(__file__).parents[2]
ELSEWHERE = {
    "data.md": "test_data_guide.py",
    "environments.md": "../rollouts/test_guide.py",
    "images.md": "../generative/test_images_guide.py",
    "reports.md": "test_reports_guide.py",
}
PAGES = [
    page
    for page in (ROOT / "README.md", ROOT / "docs" / "extending.md", *sorted((ROOT / "docs" / "guide").glob("*.md")))
    if page.name not in ELSEWHERE
]
#: What stands in code blocks and is not run here, with what has to be true instead.
NOT_OURS: dict[str, Callable[[str], bool]] = {
    "make": lambda verb: f"\n{verb}:" in (ROOT / "Makefile").read_text(),
    "pip": lambda verb: verb == "install" and (ROOT / "pyproject.toml").exists(),
    "ray": lambda verb: verb == "start",  # a cluster of several machines
}
#: What makes a command short; options that are typed twice count as typed last.
SHORT = {
    "collect": "",
    "pipeline": "",
    "train-vae": "",
    "train-mdnrnn": "",
    "train-controller": "",
    "iterate": "--iterate.controller.rollouts 1",
    "distil": "--rounds 1 --controller.generations 1",
    "compare": "--compare.variants z --controller.generations 1 --controller.rollouts 1",
    "evaluate": "--episodes 1 --env.max-episode-steps 20",
    "watch": "--watch.max-steps 4",
    "train-images": "--steps 2 --batch-size 4 --width 8",
    "evaluate-images": "--count 12",
    "sharpen-vae": "--steps 2 --batch-size 4 --width 4",
    "sample-images": "",
    "export-page": "",
    "play": "",
    "report": "--seconds 1",
    "diagnose": "--gate.controllers 4 --gate.dreams 2 --gate.episodes 2 --gate.temperatures 1 --gate.dropouts 0",
}
LEARNERS = ("sac", "dreamer", "ppo")
LESSONS = "--controller.teacher-generations 1 --controller.lessons 1 --controller.distil.updates 2"
ACTOR_CRITIC = " ".join(["--controller.generations 1", LESSONS, *(f"--controller.{one}.layers 4" for one in LEARNERS)])
MAKES = {"train-vae": "vae", "train-mdnrnn": "mdnrnn", "train-controller": "controller", "distil": "controller"}
RUNS = ("runs/car", "runs/car-sac", "runs/car-ppo", "runs/new", "runs/mine", "runs/quickstart", "downloads/their-car")


def commands_of(page: Path) -> Iterator[list[str]]:
    """Every command of a page's code blocks, and every one in a sentence that has options."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    blocks = re.findall(r"```(?:bash|sh)\n(.*?)```", text, re.DOTALL)
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    for line in [*lines, *re.findall(r"`(worldmodels [^`\n]*--[^`\n]*)`", prose)]:
        if words := shlex.split(line, comments=True):
            yield words


@pytest.fixture(scope="module")
def prepared(scripted_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pages take for granted: trained agents, an image model, pictures. Its files are linked, not copied."""
    folder, rng = tmp_path_factory.mktemp("prepared"), np.random.default_rng(0)
    for name in RUNS:
        shutil.copytree(scripted_run, folder / name, copy_function=os.link)
    pictures = {name: rng.integers(0, 256, (24, 12, 12, 3), np.uint8) for name in ("owls", "foxes")}
    for kind, images in pictures.items():
        (folder / "animals" / kind).mkdir(parents=True)
        for number, image in enumerate(images):
            Image.fromarray(image).save(folder / "animals" / kind / f"{number}.png")
    shutil.copytree(folder / "animals" / "owls", folder / "photos")
    for name in ("me.jpg", "you.jpg"):
        Image.fromarray(pictures["owls"][0]).save(folder / name)
    labels = np.arange(200) % 10
    np.savez(folder / "digits.npz", images=rng.integers(0, 256, (200, 28, 28, 1), np.uint8), labels=labels)
    return folder


@pytest.fixture
def place(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page's own copy of it, where its commands are typed."""
    shutil.copytree(prepared, tmp_path / "place", copy_function=os.link)
    monkeypatch.chdir(tmp_path / "place")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setattr("agents.cli.play.serve", lambda shared, config, ready: ready("http://localhost:8000/"))
    monkeypatch.setattr("webbrowser.open", lambda url: None)
    return tmp_path / "place"


def run(words: list[str], place: Path) -> None:
    """Run one command in small."""
    if words[0] == "torchrun":  # in this process alone: tests/worldmodels/test_distributed.py has two of them
        script, *options = words[words.index("--") + 1 :]
        words = ["worldmodels", Path(script).stem.replace("_", "-"), *options]
    assert words[0] == "worldmodels"
    name, *typed = words[1:]
    if "--help-all" in typed:
        assert call(name.replace("-", "_"), *typed) == 0
        return
    values = dict(pairwise(typed))
    if name in MAKES:  # of other options than the stage that is there, on which a later round rests
        new_run = Run(Path(values["--run"]))
        before = (new_run.teacher.path, new_run.distilled.path) if MAKES[name] == "controller" else ()
        for folder in (new_run.stage(MAKES[name]).path, new_run.round(1).path, *before):
            shutil.rmtree(folder, ignore_errors=True)
    learns = {"--controller.learner", "--controller.teacher"} & set(typed)
    short = shlex.split(ACTOR_CRITIC if learns else SHORT[name])
    if name == "train-images" and "--data" not in typed:
        short += ["--data", "digits.npz"]
    if name == "export-page" and "--images" in typed:
        small = ("--model", "vae", "--preset", "tiny", "--data", "digits.npz", "--steps", 2)
        assert call("train_images", "--run", values["--images"], *small) == 0
    typed = ["tiny" if word == "quick" else word for word in typed]
    assert call(name.replace("-", "_"), *typed, *short, "--workers", 0) == 0, shlex.join(words)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_runs(page: Path, place: Path):
    for words in commands_of(page):
        if (instead := NOT_OURS.get(words[0])) is not None:
            assert instead(words[1]), shlex.join(words)
        else:
            run(words, place)


def test_all_commands_are_found_and_can_be_made_short():
    typed = [words for page in PAGES for words in commands_of(page)]
    assert len(typed) > 40
    known = {words[1] for words in typed if words[0] == "worldmodels"}
    assert known <= set(COMMANDS)
    assert known <= set(SHORT)
    assert {words[0] for words in typed} <= {"worldmodels", "torchrun", *NOT_OURS}
    assert all((Path(__file__).parent / test).exists() for test in ELSEWHERE.values())

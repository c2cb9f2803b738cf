"""The Dockerfile runs the README's two commands; where there is no Docker, it is read."""

from __future__ import annotations

import fnmatch
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "Dockerfile"


def instructions() -> list[tuple[str, str]]:
    """``(INSTRUCTION, the rest of its lines)``, in order."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(encoding="utf-8"), flags=re.MULTILINE).replace("\\\n", "")
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in text.splitlines() if line)]


def stages() -> dict[str, list[tuple[str, str]]]:
    """Instructions by the name of their stage."""
    found: dict[str, list[tuple[str, str]]] = {}
    for word, rest in instructions():
        if word == "FROM":
            found[rest.split(" AS ")[1]] = []
        list(found.values())[-1].append((word, rest))
    return found


def commands(lines: list[tuple[str, str]]) -> list[list[str]]:
    """What its RUN and CMD lines call make for."""
    called = [rest.split(" && ")[-1].split() for word, rest in lines if word == "RUN"]
    called += [json.loads(rest) for word, rest in lines if word == "CMD"]
    return [words for words in called if words[0] == "make"]


def test_it_starts_from_a_python_that_is_promised():
    version = tuple(map(int, re.findall(r"FROM python:(\d+)\.(\d+)-slim", DOCKERFILE.read_text())[0]))
    least = re.findall(r'requires-python = ">=(\d+)\.(\d+)"', (ROOT / "pyproject.toml").read_text())[0]
    assert version >= tuple(map(int, least))


def test_its_images_run_the_two_commands_of_the_readme():
    shown = re.findall(r"^(make \w+) +#", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    run = [" ".join(commands(lines)[-1]) for name, lines in stages().items() if name != "base"]
    assert sorted(run) == sorted(shown)
    assert list(stages())[-1] == "quickstart"  # what is built without --target


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("words", [words for lines in stages().values() for words in commands(lines)], ids=" ".join)
def test_everything_that_it_calls_make_for_can_be_made(words: list[str]):
    dry = subprocess.run([*words, "--dry-run", "--always-make"], cwd=ROOT, capture_output=True, text=True)
    assert dry.returncode == 0, dry.stderr
    assert ".venv/bin/python" in dry.stdout


def test_what_setting_up_needs_is_not_left_out_of_the_image():
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    needed = ("pyproject.toml", "hatch_build.py", "README.md", "Makefile", "worldmodels_command.py", "LICENSE")
    folders = ("rollouts", "worldmodels", "agents", "scripts", "tests", "docs", "examples")
    for name in (*needed, *folders):
        assert (ROOT / name).exists()
        assert not any(fnmatch.fnmatch(name, pattern) for pattern in ignored), name
    for name in (".git", ".venv", "runs"):
        assert name in ignored


def test_no_build_of_the_image_is_root_when_it_runs():
    lines = stages()["base"]
    assert ("USER", "1000") in lines
    assert not any(word == "USER" for name, lines in stages().items() if name != "base" for word, _ in lines)

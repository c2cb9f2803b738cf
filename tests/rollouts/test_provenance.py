"""What stands in manifests: what was typed, and a commit that is this package's own."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from rollouts import UserError
from rollouts.collect import CollectConfig
from rollouts.runs import provenance
from rollouts.runs.stage import Stage


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    result = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return result.stdout.strip()


def installed_in(root: Path) -> ModuleType:
    """The module as if the package lay in ``root``."""
    file = root / "rollouts" / "runs" / "provenance.py"
    file.parent.mkdir(parents=True)
    file.write_text(Path(provenance.__file__).read_text())
    spec = importlib.util.spec_from_file_location("provenance_elsewhere", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_commit_is_that_of_the_packages_own_checkout(tmp_path: Path):
    git(tmp_path, "init", "-q")
    module = installed_in(tmp_path)
    assert module.git_commit() is None  # nothing is committed yet
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "One")
    assert module.git_commit() == git(tmp_path, "rev-parse", "HEAD")


@pytest.mark.parametrize("place", [".venv/lib/python3.12/site-packages", "."])
def test_somebody_elses_commit_is_not_recorded(place: str, tmp_path: Path):
    """An environment inside another repository, ignored or not, or a repository that only happens to lie around it."""
    git(tmp_path, "init", "-q")
    (tmp_path / "theirs.py").touch()
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "Theirs")
    assert installed_in(tmp_path / place).git_commit() is None
    if place != ".":
        git(tmp_path, "add", "-A", "-f")
        git(tmp_path, "commit", "-qm", "An environment, by mistake")
        module = installed_in(tmp_path / "other" / place)
        assert module.git_commit() is None


def test_without_git_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.git_commit() is None


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch):
    """Says what is typed from here on."""
    monkeypatch.setattr(provenance, "_typed", None)
    return lambda line: provenance.note_command(*line.split())


def commands(stage: Stage) -> list[str]:
    return json.loads((stage.path / "manifest.json").read_text())["commands"]


def test_what_was_typed_stands_in_the_manifest(typed, tmp_path: Path):
    stage = Stage(tmp_path, "rollouts").open(CollectConfig(2), growable=("episodes",))
    assert commands(stage) == []  # a library's user types nothing
    typed("worldmodels collect --run a")
    stage = Stage(tmp_path, "rollouts").open(CollectConfig(2), growable=("episodes",))
    (stage.path / "episode").write_text("data")
    assert commands(stage) == ["worldmodels collect --run a"]
    provenance.note_command("worldmodels", "collect", "--run", "a b")
    stage = Stage(tmp_path, "rollouts").open(CollectConfig(2), growable=("episodes",))
    assert commands(stage) == ["worldmodels collect --run a"]  # nothing was done by it yet
    stage.finish()
    assert commands(stage) == ["worldmodels collect --run a", "worldmodels collect --run 'a b'"]
    typed("worldmodels collect --collect.episodes 3")
    stage = Stage(tmp_path, "rollouts").open(CollectConfig(3), growable=("episodes",))
    assert commands(stage)[-1] == "worldmodels collect --collect.episodes 3"
    assert not stage.complete


def test_a_refused_command_is_not_noted(typed, tmp_path: Path):
    typed("worldmodels collect")
    stage = Stage(tmp_path, "rollouts").open(CollectConfig(2))
    (stage.path / "episode").write_text("data")
    typed("worldmodels collect --collect.episodes 1")
    with pytest.raises(UserError, match="made with other options"):
        Stage(tmp_path, "rollouts").open(CollectConfig(1))
    assert commands(stage) == ["worldmodels collect"]

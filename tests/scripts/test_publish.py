"""What is published of a run: all of it or nothing, and only what belongs together."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from agents.evaluation import evaluate, save_report
from rollouts import EnvConfig, UserError
from rollouts.runs.files import read_json, write_json
from tests.faults.helpers import SCRIPTS


@pytest.fixture
def publish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The script as a module, whose docs are elsewhere."""
    monkeypatch.setattr(sys, "path", [str(SCRIPTS / "docs"), *sys.path])
    import publish

    monkeypatch.setattr(publish, "ROOT", tmp_path)
    return publish


def test_nothing_is_overwritten_where_something_is_missing_or_of_other_weights(publish, tiny_run: Path, tmp_path: Path):
    run, docs = shutil.copytree(tiny_run, tmp_path / "run"), tmp_path / "docs" / "x"
    save_report({"by": "another run"}, docs / "evaluation.json")
    arguments = SimpleNamespace(agent=run, name="x", workers=0, seed=0)
    with pytest.raises(UserError, match="was not evaluated yet"):
        publish.body(arguments)
    save_report(evaluate(run, 2), run / "evaluation.json")
    (run / "mdnrnn" / "dream.png").unlink()
    with pytest.raises(UserError, match=r"is not there: .*dream\.png"):
        publish.body(arguments)
    write_json(run / "evaluation.json", read_json(run / "evaluation.json") | {"controller": "of others"})
    with pytest.raises(UserError, match="the score of other weights"):
        publish.body(arguments)
    assert [file.name for file in docs.iterdir()] == ["evaluation.json"]
    assert read_json(docs / "evaluation.json") == {"by": "another run"}


def test_the_random_policy_is_measured_again_in_another_world_or_over_other_episodes(publish, tmp_path: Path):
    path, toy = tmp_path / "random.json", EnvConfig("toy")

    def measured(env: EnvConfig, episodes: int) -> bool:
        before = path.stat().st_mtime_ns if path.exists() else 0
        report = publish.random_report(path, evaluate("random", episodes, env=env), env, 0)
        assert (report["env"]["action_repeat"], len(report["episodes"])) == (env.action_repeat, episodes)
        return path.stat().st_mtime_ns != before

    repeated = EnvConfig("toy", action_repeat=2)
    assert [measured(toy, 2), measured(toy, 2), measured(toy, 3), measured(repeated, 3)] == [True, False, True, True]

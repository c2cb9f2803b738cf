"""``worldmodels runs`` and ``worldmodels info``: what there is, at a glance."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from agents.cli.info import facts
from agents.cli.runs import table
from rollouts import UserError
from rollouts.runs.files import write_json


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def test_runs_are_listed_with_stages_score_and_age(tiny_run: Path, tmp_path: Path):
    with pytest.raises(UserError, match="There is no run under"):
        table(tmp_path)
    scored = Path(shutil.copytree(tiny_run, tmp_path / "scored"))
    write_json(scored / "run.json", {"preset": "tiny"})
    write_json(scored / "evaluation.json", {"mean": 31.25, "sd": 2.0, "episodes": [{}, {}]})
    begun = tmp_path / "begun"
    shutil.copytree(tiny_run / "rollouts", begun / "rollouts")
    heading, *lines = table(tmp_path).splitlines()
    rows = {line.split()[0]: line for line in lines}
    assert cells(heading) == ["run", "preset", "finished", "rounds", "score", "validation", "last change"]
    assert "episodes V M C" in rows["scored"]
    assert "31.2 ± 2.0 (2)" in rows["scored"]
    assert cells(rows["begun"])[:2] == ["begun", "episodes"]


def test_a_damaged_run_does_not_hide_the_others(tiny_run: Path, tmp_path: Path):
    shutil.copytree(tiny_run, tmp_path / "whole")
    (tmp_path / "broken" / "vae").mkdir(parents=True)
    (tmp_path / "broken" / "vae" / "manifest.json").write_text("{")
    shown = table(tmp_path)
    assert "episodes V M C" in shown
    assert "is damaged" in next(line for line in shown.splitlines() if line.startswith("broken"))


def test_info_has_what_a_report_of_a_problem_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    found = facts("cpu")
    assert found["device"].startswith("cpu (")
    assert "torch 2" in found["packages"]
    assert found["runs"] == f"{tmp_path / 'runs'}: 0"
    assert found["precision"].startswith("auto ")
    assert "free of" in found["disk"]

"""The guide to reports: its commands are run as they stand there, with a fake in the place of the tracker."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from rollouts.runs.layout import Run
from tests.faults.helpers import call
from tests.worldmodels.test_tracking import FakeWandB, stand_in
from worldmodels import tracking

pytestmark = pytest.mark.slow  # a whole pipeline, as the guide has it

GUIDE = (Path(__file__).parents[2] / "docs" / "guide" / "reports.md").read_text()


def test_every_command_of_the_guide_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tracking, "_chosen", ())
    stand_in(monkeypatch, "wandb", FakeWandB())
    lines = [line for block in re.findall(r"```bash\n(.*?)```", GUIDE, re.DOTALL) for line in block.splitlines()]
    commands = [line.partition("#")[0] for line in lines if line.startswith("worldmodels ")]
    assert len(commands) == 5
    for line in commands:
        name, *arguments = shlex.split(line.removeprefix("worldmodels "))
        assert call(name.replace("-", "_"), *arguments, "--workers", 0) == 0, line
    for file in ("toy.html", "pretrained.html", "both.html"):
        assert (tmp_path / file).read_text().startswith("<!doctype html>")
    assert "training" in (tmp_path / "curves.csv").read_text()
    assert Run(tmp_path / "runs" / "toy").page.exists()

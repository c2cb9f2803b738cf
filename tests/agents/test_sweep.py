"""The table of temperatures: what is in it, and that nothing in it is made twice."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from agents.controller import ControllerSpec
from agents.learning.config import ControllerConfig
from agents.studies import temperatures as module
from agents.studies.temperatures import SweepConfig, sweep
from rollouts import UserError
from rollouts.runs.files import read_json
from tests.faults.helpers import differences, interrupted_at

CPU = torch.device("cpu")
CONTROLLER = ControllerConfig(
    spec=ControllerSpec("zh"),
    generations=2,
    population=4,
    rollouts=2,
    sigma=0.3,
    max_steps=12,
    starts="episode",
    dropout=0.1,
    gate=0,
    validation_every=1,
    validation_episodes=2,
)
ASKED = SweepConfig(temperatures=(1.15, 0.5), episodes=3)


@pytest.fixture(autouse=True)
def few_games(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SCORE_EPISODES", 3)


@pytest.mark.slow
def test_a_sweep_that_is_broken_off_ends_as_if_it_had_not_been_and_may_grow(tiny_run: Path, tmp_path: Path):
    whole, parts = (shutil.copytree(tiny_run, tmp_path / name) for name in ("whole", "parts"))
    report = sweep(ASKED, CONTROLLER, whole, 0, CPU)
    assert [row["temperature"] for row in report["rows"]] == [0.5, 1.15]
    for row in report["rows"]:
        assert row["real"]["mean"] == pytest.approx(np.mean(row["real"]["returns"]), abs=1e-3)
        assert row["real"]["interval_95_low"] <= row["real"]["mean"] <= row["real"]["interval_95_high"]
        assert len(row["dream"]["returns"]) == len(row["real"]["returns"]) == len(report["random"]["episodes"]) == 3
    for place, times in (
        ("agents.learning.learn.append_json_line", 2),
        ("agents.studies.trials.summarise", 2),
        ("os.fsync", 9),
    ):
        with interrupted_at(place, times):
            sweep(ASKED, CONTROLLER, parts, 0, CPU)
    sweep(ASKED, CONTROLLER, parts, 0, CPU)
    assert differences(whole, parts) == ["temperatures/temperatures.json"]  # it names its run
    again = read_json(parts / "temperatures" / "temperatures.json")["rows"]
    for rows in (report["rows"], again):
        assert all(row.pop("seconds") > 0 for row in rows)
    assert again == report["rows"]

    times = {file: file.stat().st_mtime_ns for file in whole.rglob("score.json")}
    more = sweep(replace(ASKED, temperatures=(0.5, 1.0, 1.15)), CONTROLLER, whole, 0, CPU)
    assert [row["temperature"] for row in more["rows"]] == [0.5, 1.0, 1.15]
    assert sweep(ASKED, CONTROLLER, whole, 0, CPU) == more  # what a shorter list leaves out stays in the table
    assert {file: file.stat().st_mtime_ns for file in times} == times
    table = (whole / "temperatures" / "temperatures.md").read_text()
    assert [line.split(" | ")[0] for line in table.splitlines()[4:]] == [
        "| 0.50",
        "| 1.00",
        "| 1.15",
        "| random policy",
    ]


def test_a_table_of_too_few_games_is_refused(tiny_run: Path):
    with pytest.raises(UserError, match="must be at least 3"):
        sweep(replace(ASKED, episodes=2), CONTROLLER, tiny_run, 0, CPU)


def test_without_a_world_model_the_missing_script_is_named(tmp_path: Path):
    with pytest.raises(UserError, match=r"train-mdnrnn"):
        sweep(ASKED, CONTROLLER, tmp_path, 0, CPU)

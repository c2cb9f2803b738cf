"""The comparison of controllers: what differs, what is in the table, and that nothing is made twice."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from agents import comparison as module
from agents.comparison import VARIANTS, CompareConfig, compare, untrained
from agents.controller_config import ControllerConfig
from agents.evaluators import ControllerSpec
from rollouts import UserError
from rollouts.stage import Stage
from tests.faults.helpers import differences, interrupted_at
from worldmodels import WorldModel

CPU = torch.device("cpu")
CONTROLLER = ControllerConfig(
    spec=ControllerSpec("z", latent="mean"),
    generations=1,
    population=8,
    rollouts=2,
    sigma=0.3,
    max_steps=6,
    validation_every=1,
    validation_episodes=2,
)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SCORE_EPISODES", 2)


def test_every_variant_differs_in_one_thing_and_gets_as_many_episodes():
    ours = VARIANTS["zh"][1](CONTROLLER)
    assert ours == replace(CONTROLLER, spec=ControllerSpec("zh", latent="mean"))
    for name, (_, change) in VARIANTS.items():
        theirs = change(CONTROLLER)
        assert theirs.population * theirs.rollouts == ours.population * ours.rollouts, name
        assert (theirs == ours) == (name in ("zh", "untrained"))
        assert theirs.spec.latent == "mean"
    assert (VARIANTS["more-rollouts"][1](CONTROLLER).rollouts, VARIANTS["more-candidates"][1](CONTROLLER).rollouts) == (
        4,
        1,
    )


def test_an_untrained_m_has_the_same_v_and_other_weights(tiny_run: Path, tmp_path: Path):
    trained, blank = WorldModel.load(tiny_run), WorldModel.load(untrained(tiny_run, tmp_path, 0))
    torch.testing.assert_close(blank.vae.state_dict(), trained.vae.state_dict(), rtol=0, atol=0)
    weights, before = blank.mdnrnn.lstm.weight_hh_l0, trained.mdnrnn.lstm.weight_hh_l0
    assert weights.shape == before.shape
    assert (weights - before).abs().mean() > 0.01


def test_a_comparison_that_is_broken_off_ends_as_if_it_had_not_been(tiny_run: Path, tmp_path: Path):
    whole, parts = (shutil.copytree(tiny_run, tmp_path / name) for name in ("whole", "parts"))
    asked = CompareConfig(variants=("z", "untrained", "pgpe"), episodes=2)
    report = compare(asked, CONTROLLER, whole, 0, CPU)
    assert [row["variant"] for row in report["rows"]] == ["z", "untrained", "pgpe"]
    assert [row["parameters"] for row in report["rows"]] == [5, 21, 21]
    for row in report["rows"]:
        assert row["real"]["mean"] == pytest.approx(np.mean(row["real"]["returns"]), abs=1e-3)
        assert (
            row["environment_steps"]
            == Stage(whole / "comparison" / row["variant"], "controller").manifest["environment_steps"]
        )
    for place, times in (("agents.evolution.append_json_line", 2), ("agents.trials.summarise", 2)):
        with interrupted_at(place, times):
            compare(asked, CONTROLLER, parts, 0, CPU)
    compare(asked, CONTROLLER, parts, 0, CPU)
    assert set(differences(whole, parts)) <= {
        "comparison/comparison.json",  # it names its run and times
        *(f"comparison/{row['variant']}/score.json" for row in report["rows"]),
    }
    table = (whole / "comparison" / "comparison.md").read_text().splitlines()
    assert [line.split(" | ")[0] for line in table[4:]] == [f"| {VARIANTS[name][0]}" for name in asked.variants]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"episodes": 1}, "at least 2"),
        ({"variants": ("z", "moon")}, "no variant moon"),
        ({"variants": ("z", "more-candidates")}, "more-candidates halves a number"),
    ],
)
def test_what_cannot_be_compared_is_refused(change: dict[str, object], message: str, tiny_run: Path):
    with pytest.raises(UserError, match=message):
        compare(replace(CompareConfig(), **change), replace(CONTROLLER, rollouts=3), tiny_run, 0, CPU)
    assert not (tiny_run / "comparison").exists()

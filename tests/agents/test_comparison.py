"""The comparison of controllers: what differs, what is in the table, and that nothing is made twice."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from agents.controller import ControllerSpec
from agents.learning.config import ControllerConfig
from agents.studies import comparison as module
from agents.studies.comparison import VARIANTS, CompareConfig, compare, untrained, variants
from rollouts import UserError
from rollouts.runs.stage import Stage
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


@pytest.mark.slow
def test_a_comparison_that_is_broken_off_ends_as_if_it_had_not_been(tiny_run: Path, tmp_path: Path):
    whole, parts = (shutil.copytree(tiny_run, tmp_path / name) for name in ("whole", "parts"))
    config = CompareConfig(variants=("z", "untrained", "pgpe"), episodes=2)
    report = compare(config, CONTROLLER, whole, 0, CPU)
    assert [row["variant"] for row in report["rows"]] == ["z", "untrained", "pgpe"]
    assert [row["parameters"] for row in report["rows"]] == [5, 21, 21]
    for row in report["rows"]:
        assert row["real"]["mean"] == pytest.approx(np.mean(row["real"]["returns"]), abs=1e-3)
        assert (
            row["environment_steps"]
            == Stage(whole / "comparison" / row["variant"], "controller").manifest["environment_steps"]
        )
    for place, times in (("agents.learning.learn.append_json_line", 2), ("agents.studies.trials.summarise", 2)):
        with interrupted_at(place, times):
            compare(config, CONTROLLER, parts, 0, CPU)
    compare(config, CONTROLLER, parts, 0, CPU)
    assert set(differences(whole, parts)) <= {
        "comparison/comparison.json",  # it names its run and times
        *(f"comparison/{row['variant']}/score.json" for row in report["rows"]),
    }
    table = (whole / "comparison" / "comparison.md").read_text().splitlines()
    assert [line.split(" | ")[0] for line in table[4:]] == [f"| {VARIANTS[name][0]}" for name in config.variants]


def test_every_variant_starts_alike_whatever_the_runs_own_controller_was():
    own = replace(CONTROLLER, world="dream", strategy="pgpe", principal=3, ranked=True)
    assert variants(tuple(VARIANTS), own) == variants(tuple(VARIANTS), CONTROLLER)
    assert {theirs.world for theirs in variants(tuple(VARIANTS), own).values()} == {"real"}


def test_of_all_variants_those_that_cannot_be_had_are_left_out(capsys: pytest.CaptureFixture[str]):
    changed = variants(tuple(VARIANTS), replace(CONTROLLER, rollouts=3))
    assert set(VARIANTS) - set(changed) == {"more-candidates"}
    assert "more-candidates is left out: It halves a number" in capsys.readouterr().err


def test_a_shorter_list_keeps_the_rows_of_a_longer_one(tiny_run: Path, tmp_path: Path):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    both = compare(CompareConfig(("z", "zh"), 2), CONTROLLER, run, 0, CPU)
    assert [row["variant"] for row in both["rows"]] == ["zh", "z"]
    assert compare(CompareConfig(("z",), 2), CONTROLLER, run, 0, CPU) == both
    longer = compare(CompareConfig(("z",), 2), replace(CONTROLLER, generations=2), run, 0, CPU)
    assert [row["variant"] for row in longer["rows"]] == ["z"]  # the other row is of fewer generations


@pytest.mark.parametrize(
    ("change", "controller", "message"),
    [
        ({"episodes": 1}, CONTROLLER, "at least 2"),
        ({"variants": ("z", "moon")}, CONTROLLER, "no variant moon"),
        ({"variants": ()}, CONTROLLER, "no variant chosen"),
        ({"variants": ("z", "more-candidates")}, replace(CONTROLLER, rollouts=3), "more-candidates .* halves a number"),
        ({"variants": ("z", "more-candidates")}, replace(CONTROLLER, rollouts=1), "more-candidates .* halves a number"),
        ({"variants": ("z", "more-rollouts")}, replace(CONTROLLER, population=6), "more-rollouts .* at least 4, got 3"),
        ({"variants": ("z", "pgpe")}, replace(CONTROLLER, population=7), "pgpe .* must be even, got 7"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    change: dict[str, object], controller: ControllerConfig, message: str, tiny_run: Path
):
    with pytest.raises(UserError, match=message):
        compare(replace(CompareConfig(), **change), controller, tiny_run, 0, CPU)
    assert not (tiny_run / "comparison").exists()

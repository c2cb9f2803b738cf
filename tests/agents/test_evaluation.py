"""The protocol for reported scores."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from agents import Agent, evaluate
from agents.evaluation import save_report, summarise, table
from rollouts import EnvConfig, UserError
from rollouts.runs.files import read_json
from rollouts.seeds import COLLECTION, EVOLUTION, RANGE, VALIDATION


def test_the_summary_by_hand():
    facts = summarise([1.0, 2.0, 3.0, 6.0])
    assert facts["mean"] == 3.0
    assert facts["sd"] == pytest.approx((14 / 3) ** 0.5)  # (4 + 1 + 0 + 9) / (n - 1)
    assert facts["standard_error"] == pytest.approx((14 / 3) ** 0.5 / 2)
    assert (facts["min"], facts["median"], facts["max"]) == (1.0, 2.5, 6.0)
    assert facts["interval_95_low"] < 3.0 < facts["interval_95_high"]
    assert summarise([4.0]) == dict.fromkeys(facts, 4.0) | {"sd": 0.0, "standard_error": 0.0}


@pytest.mark.parametrize("count", [1, 3, 4, 10, 100, 101])
def test_the_interquartile_mean_is_the_trimmed_mean(count):
    values = np.random.default_rng(count).normal(size=count)
    assert summarise(values)["interquartile_mean"] == pytest.approx(stats.trim_mean(values, 0.25))


def test_the_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    facts = [summarise(rng.normal(900, 20, 60)) for _ in range(120)]
    covered = np.mean([f["interval_95_low"] <= 900 <= f["interval_95_high"] for f in facts])
    assert 0.87 <= covered <= 0.99
    widths = [f["interval_95_high"] - f["interval_95_low"] for f in facts]
    assert np.mean(widths) == pytest.approx(2 * 1.96 * 20 / 60**0.5, rel=0.05)


@pytest.mark.parametrize("seed", [-1, RANGE, RANGE - 2, VALIDATION, COLLECTION + 5, EVOLUTION])
def test_seeds_on_which_agents_are_chosen_are_refused(seed, tiny_run):
    with pytest.raises(UserError, match="Scores are measured on test seeds"):
        evaluate(tiny_run, episodes=3, seed=seed)


def test_every_episode_is_in_the_report_and_is_what_the_agent_really_does(tiny_run, tmp_path, play_alone):
    report = evaluate(tiny_run, episodes=4, seed=10)
    agent = Agent.load(tiny_run)
    for seed, output in zip(range(10, 14), report["episodes"], strict=True):
        total, length = play_alone(agent, seed)
        assert output == {"seed": seed, "return": pytest.approx(total, abs=0.01), "length": length}
    assert report["mean"] == pytest.approx(np.mean([e["return"] for e in report["episodes"]]), abs=1e-3)
    assert report["environment"] == "worldmodels/Toy-v0"
    assert {"versions", "git_commit", "controller", "validation"} <= set(report)
    save_report(report, tmp_path / "score.json")
    assert read_json(tmp_path / "score.json")["episodes"] == report["episodes"]


def test_fewer_than_100_episodes_are_not_called_a_score():
    few, enough = (evaluate("random", count, env=EnvConfig("toy")) for count in (99, 100))
    assert not few["is_score"]
    assert enough["is_score"]
    assert "not a score" in table(few)
    assert "not a score" not in table(enough)
    assert [e["seed"] for e in enough["episodes"]] == list(range(100))


def test_scores_are_measured_on_the_environment_as_its_authors_ship_it():
    report = evaluate("random", 1, env=EnvConfig("carracing-fast", max_episode_steps=3))
    assert report["environment"] == "CarRacing-v3"
    assert report["episodes"][0]["length"] == 3


@pytest.mark.parametrize(
    ("agent", "options", "message"),
    [
        ("runs/nobody", {}, r"There is no agent at runs/nobody"),
        ("random", {}, "needs an environment"),
        ("random", {"episodes": 0}, "At least one episode"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(agent, options, message):
    with pytest.raises(UserError, match=message):
        evaluate(agent, **options)

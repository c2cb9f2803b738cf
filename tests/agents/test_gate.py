"""The gate before a dream: ranks in the dream against ranks in reality."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from agents.controller import ControllerSpec
from agents.fitness import PoolEvaluator
from agents.lanes import Outcome
from agents.learning.config import ControllerConfig
from agents.learning.evolution import fitness_of
from agents.learning.gate import GateConfig, Setting, before_evolution, dreamed_in, perturbed, spearman
from agents.learning.learn import evolve
from agents.learning.learner import Task, World
from agents.learning.strategies import make_strategy
from agents.studies.trust import advice, diagnose, markdown
from rollouts import EnvConfig, UserError
from rollouts.envs.toy import DRIFT, GAIN, ToyEnv
from rollouts.runs.files import read_json
from rollouts.runs.layout import Run
from tests.faults.helpers import call

Array = NDArray[np.float64]
CPU = torch.device("cpu")
CONFIG = ControllerConfig(world="dream", population=8, rollouts=4, sigma=1.0, max_steps=50, gate=12)


def action(weights: Array, x: Array | float, wind: Array | float) -> Array:
    return np.tanh(weights[..., 0] * x + weights[..., 1] * wind + weights[..., 2])


def real(controllers: Array, seeds: Sequence[int]) -> Outcome:
    """Toy itself, driven by its state."""
    env, returns = ToyEnv(), []
    for weights in controllers:
        for seed in seeds:
            env.reset(seed=seed)
            total, over, steps = 0.0, False, 0
            while not over and steps < 50:
                _, reward, over, _, _ = env.step(np.array([action(weights, env.x, env.wind)]))
                total, steps = total + reward, steps + 1
            returns.append(total)
    return Outcome(np.array(returns), np.ones(len(returns), np.int64))


def perfect(controllers: Array, seeds: Sequence[int]) -> Outcome:
    """The same by its equations, for all lanes at once."""
    rng = np.random.default_rng(seeds[0])
    start, winds = rng.uniform(-0.3, 0.3, len(seeds)), rng.choice((-1.0, 1.0), len(seeds))
    x, alive = np.tile(start, (len(controllers), 1)), np.ones((len(controllers), len(seeds)), bool)
    total = np.zeros_like(x)
    for _ in range(50):
        x = x + GAIN * action(controllers[:, None], x, winds) + DRIFT * winds
        total += alive * (1 - np.abs(x))
        alive &= np.abs(x) <= 1
    return Outcome(total.reshape(-1), np.ones(total.size, np.int64))


def scrambled(controllers: Array, seeds: Sequence[int]) -> Outcome:
    """Dreams of other controllers."""
    return perfect(np.random.default_rng(1).permutation(controllers), seeds)


def note(tmp_path: Path, make_model: Callable[..., object], dream: Callable[..., Outcome]) -> dict[str, object]:
    stage = Run(tmp_path).controller.open(CONFIG)
    task = Task(make_model(), ControllerSpec(), None, np.zeros(3), False, 0, stage.path)  # type: ignore[arg-type]
    before_evolution(CONFIG, stage, World(dream, None, 50), real, task)  # type: ignore[arg-type]
    return dict(stage.manifest["gate"])


def test_a_perfect_dream_passes_and_a_scrambled_one_is_warned_of(
    tmp_path: Path, make_model: Callable[..., object], capsys: pytest.CaptureFixture[str]
):
    good = note(tmp_path / "good", make_model, perfect)
    assert good["correlation"] > 0.9
    assert (good["temperature"], good["horizon"], len(good["dreamed"])) == (1.0, 50, 12)
    assert "Warning" not in capsys.readouterr().err
    bad = note(tmp_path / "bad", make_model, scrambled)
    assert abs(bad["correlation"]) < 0.6
    assert bad["real"] == good["real"]
    assert "Warning: below 0.7" in capsys.readouterr().err


def test_rank_correlation_is_spearmans():
    spearmanr = pytest.importorskip("scipy.stats").spearmanr

    rng = np.random.default_rng(0)
    for count in (4, 24):
        a = rng.normal(size=count)
        b = np.round(a + rng.normal(size=count))  # some of them equal
        assert spearman(a, b) == pytest.approx(spearmanr(a, b).statistic)
    first, second = [1, 2, 3, 4, 5], [2, 1, 4, 3, 5]  # 1 - 6 sum d^2 / (n (n^2 - 1))
    assert spearman(first, second) == pytest.approx(1 - 6 * 4 / (5 * 24))
    assert spearman(first, [7, 7, 7, 7, 7]) == 0


def test_spread_takes_off_what_members_do_not_agree_on():
    returns = np.array([[1.0, 2.0, 3.0, 4.0], [2.5, 2.5, 2.5, 2.5]])
    seeds = [10, 11, 12, 13]  # members 0, 1, 0, 1: means 2 and 3, whose deviation is the root of one half
    expected = np.array([2.5 - 2 * np.sqrt(0.5), 2.5])
    np.testing.assert_allclose(fitness_of(returns, seeds, 2, 2.0), expected)
    np.testing.assert_allclose(fitness_of(returns, seeds, 2), [2.5, 2.5])
    uneven = fitness_of(np.array([[1.0, 2.0, 3.0]]), [0, 1, 2], 2, 1.0)  # both members count alike: 2 and 2
    np.testing.assert_allclose(uneven, [2.0])
    for members, lucks in ((1, seeds), (8, seeds)):
        with pytest.raises(UserError, match="needs an M of several members"):
            fitness_of(returns, lucks, members, 1.0)
    for change in ({"spread": -1.0}, {"spread": 1.0, "racing": 0.5}, {"spread": 1.0, "world": "real"}, {"gate": 2}):
        with pytest.raises(UserError, match=r"controller\.(spread|gate)"):
            dataclasses.replace(CONFIG, **change).check()


def test_controllers_lie_nearer_and_farther_along_the_first_steps(make_model: Callable[..., object], tmp_path: Path):
    start = np.array([1.0, -2.0, 3.0])
    task = Task(make_model(), ControllerSpec(), None, start, True, 0, tmp_path)  # type: ignore[arg-type]
    away = perturbed(dataclasses.replace(CONFIG, strategy="pgpe"), task, 9) - start  # an odd number, of pairs
    steps = make_strategy("pgpe", start, CONFIG.sigma, 10, 0).ask()[:9] - start
    np.testing.assert_allclose(away, np.array([0.5, 0.5, 1, 1, 2, 2, 4, 4, 0.5])[:, None] * steps)
    assert not list(tmp_path.iterdir())


def test_dreams_of_a_setting_are_those_of_a_dream_that_was_made_so(make_model: Callable[..., object]):
    model = make_model(ends=60.0)
    config = dataclasses.replace(CONFIG, temperature=0.5, dropout=0.2, max_steps=20)
    count = config.controller.build(model).parameter_count
    controllers = np.random.default_rng(0).normal(size=(6, count))
    with PoolEvaluator(CONFIG.dream(model), 0) as other:
        found = dreamed_in(other.pool.run, Setting(0.5, 0.2, 20), controllers, 5)
    with PoolEvaluator(config.dream(model), 0) as own:
        seeds = range(1_500_000_000, 1_500_000_005)
        np.testing.assert_allclose(found.reshape(-1), own(controllers, seeds, 20).returns, rtol=1e-5)


def test_evolution_notes_the_gate_once(tiny_run: Path, tmp_path: Path):
    for stage in ("vae", "mdnrnn"):
        shutil.copytree(tiny_run / stage, tmp_path / stage)
    config = dataclasses.replace(
        CONFIG, population=4, rollouts=2, generations=1, max_steps=10, validation_episodes=2, gate=4
    )
    evolve(config, tmp_path, EnvConfig("toy"), 0, CPU)
    before = Run(tmp_path).controller.manifest["gate"]
    assert len(before["dreamed"]) == len(before["real"]) == 4
    Run(tmp_path).controller.note(gate=before | {"marked": True})
    evolve(dataclasses.replace(config, generations=2), tmp_path, EnvConfig("toy"), 0, CPU)
    assert Run(tmp_path).controller.manifest["gate"]["marked"]


def test_the_command_shows_every_setting_and_advises_the_best(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "gate.json"
    few = ("--gate.controllers", "5", "--gate.dreams", "4", "--gate.episodes", "2", "--gate.horizons", "5", "10")
    options = ("--run", tiny_run, *few, "--gate.temperatures", "1.5", "--gate.dropouts", "0.3", "--workers", "0")
    assert call("diagnose", *options, "--out", out) == 0
    report = read_json(out)
    settings = [(row["temperature"], row["dropout"], row["horizon"]) for row in report["settings"]]
    assert sorted(settings) == sorted((t, d, h) for t in (1.0, 1.5) for d in (0.0, 0.3) for h in (5, 10, 50))
    correlations = [row["correlation"] for row in report["settings"]]
    assert correlations == sorted(correlations, reverse=True)
    for row in report["settings"]:
        assert row["correlation"] == pytest.approx(spearman(row["dreamed"], report["real"]), abs=1e-3)
    assert advice(report) in (text := capsys.readouterr().out)
    assert "| 1 | 0 | 50 |" in text
    low = report | {"trusted": False}
    assert advice(low).startswith("Warning: no setting reaches 0.7")
    assert markdown(report).count("(its own)") == 1


def test_a_world_model_without_an_agent_is_looked_at_around_zero(tiny_run: Path, tmp_path: Path):
    for stage in ("vae", "mdnrnn"):
        shutil.copytree(tiny_run / stage, tmp_path / stage)
    report = diagnose(tmp_path, GateConfig(4, 2, 2, (1.0,), (0.0,), (5,)), 0, CPU)
    assert report["asked"]["horizon"] == 1000  # the preset laptop's, in a world that decides in every step
    with pytest.raises(UserError, match=r"--gate\.controllers must be at least 4"):
        diagnose(tmp_path, GateConfig(3), 0, CPU)

"""The yardsticks of the results page: that they know what they claim to know."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from agents.records.experiments import read
from rollouts.envs.config import EnvConfig
from rollouts.seeds import VALIDATION
from tests.faults.helpers import SCRIPTS


@pytest.fixture(autouse=True)
def documents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(SCRIPTS / "docs"), *sys.path])


def test_the_undrawn_car_is_the_stock_one_without_pictures():
    from reference_car import Undrawn

    env, stock = Undrawn(EnvConfig("carracing", action_repeat=2)), gym.make("CarRacing-v3")
    env.reset(3)
    stock.reset(seed=3)
    for action in np.random.default_rng(0).uniform((-1, 0, 0), 1, (5, 3)).astype(np.float32):
        reward, over = env.step(action)
        assert reward == sum(float(stock.step(action)[1]) for _ in range(2))
        assert not over
    stock.close()


def test_the_law_brakes_in_time_for_a_bend_and_comes_further_than_a_car_that_stands():
    from reference_car import TILE, Driver, Law, Undrawn, drive, drive_at_random

    env = Undrawn(EnvConfig("carracing", max_episode_steps=160, action_repeat=4))
    env.reset(VALIDATION)
    driver = Driver(Law(grip=50.0, braking=20.0, bend=1.0, sight=4.0, top=90.0), env)
    driver.curvature, driver.tile = np.array([0.0, 0.0, 0.0, 0.05] + [0.0] * 20), 0
    assert driver._target() == pytest.approx(math.sqrt(50 / 0.05 + 2 * 20 * 3 * TILE))  # v^2 = u^2 + 2 a s
    driver.curvature[3] = 1e-6
    assert driver._target() == 90.0
    law = Law(grip=60.0, top=80.0, steering=1.2)
    assert drive(law, env, VALIDATION)[0] > 60 > drive(None, env, VALIDATION)[0]
    assert drive_at_random(env, VALIDATION) == drive_at_random(env, VALIDATION) != drive_at_random(env, VALIDATION + 1)


def test_the_car_learns_its_law_on_validation_seeds():
    from reference_car import Law, fit

    law, course = fit(Law(), EnvConfig("carracing", max_episode_steps=8, action_repeat=4), 1, 1)
    assert len(course) == 1
    assert isinstance(law, Law)
    assert law != Law()


def test_the_planner_walks_as_the_engine_does_and_steps_aside():
    from reference_doom import HIGH, LOW, Planner, Scene, Sweeper, walk

    # y in Take Cover's first tics of a step away from the wall, and the speed at which friction holds thrust.
    np.testing.assert_allclose(walk(16.0, 0.0, np.ones((1, 5), int))[0], [16.8, 18.2, 20.2, 22.9, 26.0], atol=0.1)
    assert np.diff(walk(16.0, 0.0, np.ones((1, 90), int)))[0, -1] == pytest.approx(0.75 / (1 - 0.90625), rel=1e-2)
    assert walk(20.0, -7.0, -np.ones((1, 3), int))[0].tolist() == [LOW] * 3
    ahead = np.array([[-216.0, 400.0, -10.0, 0.0]])
    assert Planner()(Scene(-416.0, 400.0, 0.0, np.zeros((0, 4)))) == 0
    ways = {Planner()(Scene(-416.0, y, 0.0, ahead)) for y in (380.0, 420.0)}
    assert ways <= {-1, 1}
    assert Planner(sight=100.0)(Scene(-416.0, 400.0, 0.0, ahead)) == 0
    sweeper = Sweeper(60.0)
    tried = [sweeper(Scene(-416.0, y, 0.0, np.zeros((0, 4)))) for y in (400.0, HIGH - 59, 400.0, LOW + 59, 400.0)]
    assert tried == [1, -1, -1, 1, 1]


def test_a_row_is_kept_with_every_return(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import reference

    short = EnvConfig("carracing", max_episode_steps=8, action_repeat=4)
    monkeypatch.setattr(reference, "CAR", short)
    law = reference.Row("A law", short, reference.ROWS["car-law"].open, "Diagnosis.")
    monkeypatch.setitem(reference.ROWS, "car-law", law)
    reference.score("car-law", 2, 5, tmp_path)
    (kept,) = read(tmp_path)
    assert (kept.name, kept.title, kept.goal, kept.note) == ("reference-car-law", "A law", "reference", "Diagnosis.")
    assert [episode["seed"] for episode in kept.evaluation["episodes"]] == [5, 6]
    assert not kept.evaluation["is_score"]


def test_take_cover_is_played_by_its_objects():
    pytest.importorskip("vizdoom")
    from reference_doom import Still, open_game, survive

    env = open_game()
    total, tics = survive(Still(), env, VALIDATION)
    env.close()
    assert total == tics == 103

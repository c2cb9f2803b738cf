"""People at the wheel: which keys do what, how smoothly, and when the agent goes on."""

import numpy as np
import pytest

from agents.viewing.human import FULL_TURN, Driver, action_names, bindings
from rollouts.envs.actions import ActionSpec
from rollouts.envs.config import EnvConfig
from rollouts.envs.presets import resolve

CAR, CAR_SPEC = EnvConfig("carracing"), resolve("carracing").action
DISCRETE = ActionSpec("discrete", (0.0,) * 3, (1.0,) * 3, (1.0,) * 3, (0.0,) * 3, (0, 1, 2))
AGENTS = np.array([0.3, 0.9, 0.1], np.float32)


def held(*keys: str) -> Driver:
    driver = Driver(CAR, CAR_SPEC)
    driver.held = frozenset(keys)
    return driver


def test_with_no_key_the_agent_drives():
    driver = held()
    assert not driver.drives
    assert np.array_equal(driver.act(AGENTS, 0.1), AGENTS)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (("left",), (-1, 0, 0)),
        (("right",), (1, 0, 0)),
        (("up",), (0, 1, 0)),
        (("down",), (0, 0, 1)),
        (("right", "up"), (1, 1, 0)),
        (("left", "right", "up"), (0, 1, 0)),
    ],
)
def test_keys_held_long_enough_reach_their_limits(keys: tuple[str, ...], expected: tuple[float, ...]):
    driver = held(*keys)
    for _ in range(20):
        action = driver.act(AGENTS, 0.1)
    assert driver.drives
    assert action.tolist() == list(expected)


def test_the_wheel_turns_at_one_speed_from_where_the_agent_left_it():
    driver = held()
    driver.act(AGENTS, 0.02)
    driver.held = frozenset(("left",))
    turned = [float(driver.act(AGENTS, 0.02)[0]) for _ in range(3)]
    assert turned == pytest.approx([0.3 - 0.02 / FULL_TURN * n for n in (1, 2, 3)], abs=1e-6)


def test_letting_go_gives_the_wheel_back_unless_it_is_kept():
    driver = held("left")
    driver.act(AGENTS, 10.0)
    driver.held = frozenset()
    assert np.array_equal(driver.act(AGENTS, 0.1), AGENTS)
    driver.keeps_wheel = True
    assert driver.drives
    assert driver.act(AGENTS, 10.0).tolist() == [0, 0, 0]


def test_other_keys_are_nobody_driving():
    assert not held("1", "9").drives


def test_a_choice_is_made_with_digits():
    driver = Driver(EnvConfig("Some-v0"), DISCRETE)
    assert bindings(EnvConfig("Some-v0"), DISCRETE) == ((None, "1"), (None, "2"), (None, "3"))
    driver.held = frozenset(("3",))
    assert driver.act(np.array([1, 0, 0], np.float32), 0.1).tolist() == [0, 0, 1]
    driver.held, driver.keeps_wheel = frozenset(), True
    assert driver.act(np.array([0, 1, 0], np.float32), 0.1).tolist() == [1, 0, 0]


def test_actions_that_cannot_be_zero_rest_at_their_lowest():
    spec = ActionSpec("box", (0.5,), (2.0,), (0.75,), (1.25,))
    assert Driver(EnvConfig("Some-v0"), spec).rest().tolist() == [0.5]


def test_names_fit_the_action_vector_or_are_numbered():
    assert action_names(CAR, CAR_SPEC) == ("steer", "gas", "brake")
    assert action_names(CAR, DISCRETE) == ("action 1", "action 2", "action 3")
    two = ActionSpec("box", (-1.0,) * 2, (1.0,) * 2, (1.0,) * 2, (0.0,) * 2)
    assert bindings(EnvConfig("Some-v0"), two) == (("left", "right"), ("down", "up"))

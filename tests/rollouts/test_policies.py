"""Exploration policies: functions of the episode's seed, inside the action space."""

from __future__ import annotations

from itertools import groupby, pairwise

import numpy as np
import pytest

from rollouts.envs.actions import ActionSpec
from rollouts.envs.presets import PRESETS
from rollouts.policies import POLICIES

FRAME = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
PUSH = ActionSpec("box", (-1.0,), (1.0,), (1.0,), (0.0,))
DISCRETE = ActionSpec("discrete", (0.0,) * 4, (1.0,) * 4, (1.0,) * 4, (0.0,) * 4, (0, 1, 2, 3))
CAR = PRESETS["carracing"].action


def actions(name: str, seed: int, spec: ActionSpec, steps: int = 200) -> np.ndarray:
    policy = POLICIES[name](seed, spec)
    return np.stack([np.array(policy(FRAME)) for _ in range(steps)])


@pytest.mark.parametrize("spec", [PUSH, CAR, DISCRETE], ids=["push", "car", "discrete"])
@pytest.mark.parametrize("name", POLICIES)
def test_actions_are_a_function_of_the_seed_and_lie_in_the_space(name, spec):
    done = actions(name, 1, spec)
    assert done.dtype == np.float32
    assert np.array_equal(done, actions(name, 1, spec))
    assert any(not np.array_equal(done, actions(name, seed, spec)) for seed in range(2, 9))
    assert (done >= spec.low).all()
    assert (done <= spec.high).all()
    if spec.kind == "discrete":
        assert set(done.ravel()) == {0.0, 1.0}
        assert (done.sum(1) == 1).all()


def test_random_actions_cover_the_space_evenly():
    done = actions("random", 0, CAR, 20_000)
    low, high = np.array(CAR.low), np.array(CAR.high)
    np.testing.assert_allclose(done.mean(0), (low + high) / 2, atol=0.02)
    np.testing.assert_allclose(done.std(0), (high - low) / 12**0.5, atol=0.02)


def test_held_actions_last_1_to_10_steps():
    lengths = [len(list(run)) for _, run in groupby(actions("held", 0, PUSH, 5000)[:, 0])][:-1]
    assert set(lengths) == set(range(1, 11))


def test_brownian_actions_begin_at_rest_and_drift_by_a_fiftieth_of_the_half_range_squared():
    firsts = np.stack([actions("brownian", seed, PUSH, 1)[0] for seed in range(4000)])
    assert firsts.mean() == pytest.approx(0.0, abs=0.01)
    assert firsts.var() == pytest.approx(1 / 50, rel=0.1)
    gas = np.stack([actions("brownian", seed, CAR, 1)[0, 1] for seed in range(4000)])
    assert gas.mean() == pytest.approx(0.5, abs=0.01)  # where the zero controller drives
    assert gas.var() == pytest.approx(1 / 50 / 4, rel=0.1)


def test_a_linear_policy_looks_at_the_frame():
    policies = [POLICIES["linear"](seed, CAR) for seed in range(20)]
    assert any(not np.array_equal(policy(FRAME), policy(255 - FRAME)) for policy in policies)


@pytest.mark.parametrize("seed", range(6))
def test_sweeps_go_from_limit_to_limit_in_even_pieces_with_rests_between(seed):
    pieces = [(value, len(list(run))) for value, run in groupby(actions("sweep", seed, PUSH, 20_000)[:, 0])][1:-1]
    sweeps = [(value, length) for value, length in pieces if abs(value) == 1]
    rests = [length for value, length in pieces if abs(value) < 1]
    assert all(one[0] == -other[0] for one, other in pairwise(sweeps))
    lengths = np.array([length for _, length in sweeps])
    assert lengths.max() <= 2 * lengths.min() + 1  # a third more or less than the episode's own
    assert 6 <= lengths.min() <= lengths.max() <= 214
    assert set(rests) <= set(range(1, 21))
    assert 0.1 < len(rests) / len(sweeps) < 0.4


def test_every_second_roaming_episode_sweeps():
    assert np.array_equal(actions("roaming", 3, PUSH), actions("sweep", 3, PUSH))
    assert np.array_equal(actions("roaming", 4, PUSH), actions("held", 4, PUSH))

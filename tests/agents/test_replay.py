"""What SAC learns from: returns over steps, and a ring that files bring back."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from agents.learning.experience import Trace
from agents.learning.replay import Replay, idleness
from rollouts import UserError
from worldmodels.training.randomness import generator_for


def trace(length: int, first: float, terminal: bool) -> Trace:
    """Features and actions count up from ``first``; rewards are 1, 2, 3, ..."""
    features = first + torch.arange(length + 1.0)[:, None]
    return Trace(features.half(), features[:-1].clone(), torch.arange(1.0, length + 1), terminal)


def naive_returns(traces: list[Trace], steps: int, gamma: float) -> dict[float, tuple[float, float, float]]:
    """By the feature of a step: (return over the next steps, discount of what follows, its feature)."""
    known = {}
    for one in traces:
        length = len(one.rewards)
        for t in range(length):
            last = min(t + steps, length)
            total = sum(gamma ** (k - t) * float(one.rewards[k]) for k in range(t, last))
            discount = 0.0 if one.terminal and last == length else gamma ** (last - t)
            known[float(one.features[t])] = (total, discount, float(one.features[last]))
    return known


@pytest.mark.parametrize("steps", [1, 3])
def test_returns_over_steps_stop_at_ends_and_only_true_ends_are_worth_nothing(steps: int, tmp_path: Path):
    replay, traces = Replay(tmp_path, 1, 1, 40), [trace(5, 0, True), trace(2, 100, False), trace(1, 200, True)]
    replay.add(traces)
    assert len(replay) == 8
    known, batch = naive_returns(traces, steps, 0.9), replay.sample(500, steps, 0.9, generator_for(0, 0))
    assert set(batch.features[:, 0].tolist()) == set(known)
    for row in range(500):
        expected = known[float(batch.features[row, 0])]
        got = (float(batch.rewards[row]), float(batch.discounts[row]), float(batch.following[row, 0]))
        assert got == pytest.approx(expected, rel=1e-6)
        assert batch.actions[row] == batch.features[row]


def test_a_pause_costs_at_its_second_step_and_less_on_until_it_has_lasted_for_eight():
    def costs(*rewards: float) -> list[float]:
        return idleness(torch.tensor(rewards)).tolist()

    assert costs(0, 3, 0, -1, 0, 2, 0, 2) == pytest.approx([0, 0, 0, 1, 0.2, 0, 0, 0])
    assert costs(-0.5, -0.5, 4) == [0, 1, 0]  # an episode that begins with a pause
    assert costs(*[0.0] * 12, 1) == pytest.approx([0, 1, *[0.2] * 6, *[0] * 5])
    assert costs(4, 0, 0, 0) == costs(0, 0, 0, 0) == [0, 0, 0, 0]  # nothing more is to be earned
    assert costs() == []


def test_what_idle_steps_cost_is_taken_off_what_is_drawn(tmp_path: Path):
    rewards = [[0.0, 3.0, 0.0, -1.0, 0.0, 2.0], [-0.5, -0.5], [4.0]]
    known = {0: 0, 1: 3, 2: 0, 3: -1 - 10, 4: 0 - 2, 5: 2, 10: -0.5, 11: -0.5, 20: 4}
    traces = [
        Trace(
            10.0 * number + torch.arange(len(row) + 1.0)[:, None].half(),
            torch.zeros(len(row), 1),
            torch.tensor(row),
            True,
        )
        for number, row in enumerate(rewards)
    ]
    replay = Replay(tmp_path, 1, 1, 40)
    replay.add(traces)
    batch = replay.sample(200, 1, 0.9, generator_for(0, 0), idle=10.0)
    assert {int(step): float(reward) for step, reward in zip(batch.features[:, 0], batch.rewards, strict=True)} == known
    two = replay.sample(200, 2, 0.5, generator_for(0, 0), idle=10.0)
    sums = {int(step): float(reward) for step, reward in zip(two.features[:, 0], two.rewards, strict=True)}
    assert sums[2] == 0 + 0.5 * -11
    assert sums[3] == -11 + 0.5 * -2
    assert replay.sample(200, 1, 0.9, generator_for(0, 0)).rewards.min() == -1


def test_the_ring_forgets_the_oldest_and_is_the_same_when_it_is_read_again(tmp_path: Path):
    replay = Replay(tmp_path, 1, 1, 20)
    for iteration in range(12):
        longer = trace(3 + iteration % 4, 1000.0 + 16 * iteration, iteration % 2 == 0)
        replay.add([longer, trace(2, 8.0 * iteration, True)])
        state = replay.state
        again = Replay(tmp_path, 1, 1, 20)
        assert again.restore(state)
        for name in ("features", "actions", "rewards", "left", "terminal", "_usable"):
            used = slice(None) if name == "_usable" else replay.left.new_tensor(range(20)).long()
            torch.testing.assert_close(getattr(again, name)[used], getattr(replay, name)[used], rtol=0, atol=0)
    assert len(list(tmp_path.glob("*.safetensors"))) <= 5  # what no state can ask for is deleted
    longer_state = {"rows": [*state["rows"], 3], "hashes": [*state["hashes"], None]}
    assert not again.restore(longer_state)  # an iteration that has no file
    assert again.restore(state["rows"])  # as older versions kept it
    newest, before = sorted(tmp_path.glob("*.safetensors"))[-1:-3:-1]
    shutil.copyfile(before, newest)
    with pytest.raises(UserError, match=f"{newest} is damaged, or of another run"):
        again.restore(state)
    with pytest.raises(UserError, match="has 27 moments, the replay keeps 20; raise the learner's capacity"):
        replay.add([trace(26, 0, True)])

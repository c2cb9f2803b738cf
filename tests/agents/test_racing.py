"""Racing: who goes on, who is ahead, what it costs."""

from __future__ import annotations

import numpy as np

from agents.lanes import Outcome
from agents.learning.racing import episodes_of, places, race

RETURNS = np.array([[5.0, 0.0, 9.0], [4.0, 2.0, 0.0], [1.0, 99.0, 99.0], [3.0, 9.0, 1.0], [0.0, 99.0, 99.0]])


def scripted(candidates: np.ndarray, seeds: list[int]) -> Outcome:
    """The only weight of a candidate is its row, a seed is its column; an episode lasts seed + 1 steps."""
    returns = RETURNS[candidates[:, 0].astype(int)][:, seeds].reshape(-1)
    return Outcome(returns, np.full(len(returns), seeds[0] + 1))


def test_the_better_share_of_every_heat_plays_on():
    played = race(scripted, np.arange(5.0)[:, None], [0, 1, 2], 0.6)
    out = np.nan
    expected = [[5, 0, out], [4, 2, 0], [1, out, out], [3, 9, 1], [0, out, out]]
    np.testing.assert_array_equal(played.returns, expected)  # of 5 three go on; of those, with means 2.5, 3 and 6, two
    assert episodes_of(5, 3, 0.6) == np.isfinite(played.returns).sum() == 5 + 3 + 2
    assert episodes_of(5, 3, None) == 15
    assert played.steps == 5 * 1 + 3 * 2 + 2 * 3
    np.testing.assert_array_equal(places(played.returns), [0.0, 0.25, -0.25, 0.5, -0.5])


def test_equals_share_their_place_and_the_earlier_one_goes_on():
    returns = race(lambda c, _: Outcome(np.ones(len(c)), np.ones(len(c), int)), np.zeros((4, 1)), [7, 8], 0.5).returns
    assert np.isfinite(returns).sum(1).tolist() == [2, 2, 1, 1]
    np.testing.assert_allclose(places(returns), [1 / 3, 1 / 3, -1 / 3, -1 / 3])


def test_without_a_share_all_play_everything():
    played = race(lambda c, seeds: Outcome(np.arange(6.0), np.full(6, 2)), np.zeros((3, 1)), [7, 8], None)
    assert (played.returns.tolist(), played.steps) == ([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]], 12)


def test_one_candidate_is_always_left():
    returns = race(scripted, np.arange(2.0)[:, None], [0, 1, 2], 0.1).returns
    assert np.isfinite(returns).sum(1).tolist() == [3, 1]

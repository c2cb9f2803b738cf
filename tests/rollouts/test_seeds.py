"""No seed is ever used for two purposes."""

from __future__ import annotations

from itertools import pairwise

from rollouts.seeds import (
    COLLECTION,
    EVOLUTION,
    HUMAN,
    RANGE,
    TEST,
    VALIDATION,
    collection_seed,
    evolution_seed,
    held_out,
)


def test_the_ranges_for_testing_validation_collection_and_evolution_are_disjoint():
    ranges = [range(first, first + RANGE) for first in (TEST, VALIDATION, COLLECTION, EVOLUTION)]
    assert all(one.stop <= two.start for one, two in pairwise(ranges))
    assert ranges[-1].stop <= HUMAN < 2**32  # what environments and Box2D accept
    collected = [collection_seed(round_index, episode) for round_index in (0, 1, 99) for episode in (0, 9_999_999)]
    assert all(seed in ranges[2] for seed in collected)
    assert len(set(collected)) == len(collected)
    evolved = [evolution_seed(seed, g, r) for seed in (0, 1, 10**9) for g in (0, 10**6) for r in (0, 1000)]
    assert all(seed in ranges[3] for seed in evolved)


def test_rollouts_of_neighbouring_generations_do_not_share_seeds():
    seeds = [evolution_seed(0, generation, rollout) for generation in range(200) for rollout in range(64)]
    assert len(set(seeds)) == len(seeds)


def test_one_episode_in_ten_is_held_out():
    assert sum(held_out(collection_seed(0, episode)) for episode in range(1000)) == 100

"""CMA-ES: it maximises, and its course is a function of what it is told."""

from __future__ import annotations

import numpy as np
import pytest

from agents.strategies import CMAES

PEAK = np.array([1.0, -2.0, 0.5, 3.0, 0.0])


def fitness(candidates: np.ndarray) -> np.ndarray:
    return 10 - ((candidates - PEAK) ** 2).sum(1)


def climb(generations: int, seed: int = 0, **options: str) -> tuple[CMAES, np.ndarray]:
    strategy, asked = CMAES(np.zeros(5), 0.5, 12, seed, **options), []
    for _ in range(generations):
        asked.append(strategy.ask())
        strategy.tell(fitness(asked[-1]))
    return strategy, np.stack(asked)


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_it_finds_the_maximum(covariance):
    strategy, asked = climb(120, covariance=covariance)
    assert asked.shape == (120, 12, 5)
    np.testing.assert_allclose(strategy.mean, PEAK, atol=0.01)
    assert strategy.sigma < 0.1


def test_the_best_is_the_candidate_of_highest_fitness_ever():
    strategy, asked = climb(10)
    scores = fitness(asked.reshape(-1, 5))
    assert strategy.best_fitness == scores.max()
    np.testing.assert_array_equal(strategy.best, asked.reshape(-1, 5)[scores.argmax()])


def test_the_first_generation_has_the_initial_mean_and_step_size():
    candidates = CMAES(PEAK, 0.1, 4000, seed=0).ask()
    np.testing.assert_allclose(candidates.mean(0), PEAK, atol=0.01)
    np.testing.assert_allclose(candidates.std(0), 0.1, rtol=0.1)


def test_its_course_is_a_function_of_the_seed_and_leaves_numpys_random_numbers_alone():
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    np.testing.assert_array_equal(climb(5)[1], climb(5)[1])
    assert not np.array_equal(climb(1)[1], climb(1, seed=1)[1])
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_told_the_same_again_it_stands_where_it_stood():
    strategy, asked = climb(8)
    again = CMAES(np.zeros(5), 0.5, 12, seed=0)
    for candidates in asked:
        again.ask()
        again.tell(fitness(candidates))  # history.jsonl holds the fitness alone
    np.testing.assert_array_equal(again.mean, strategy.mean)
    np.testing.assert_array_equal(again.ask(), strategy.ask())

"""Strategies: they maximise, and their course is a function of what they are told."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from agents.learning.base import Strategy, centred_ranks
from agents.learning.evolution import Evolution, EvolutionConfig
from agents.learning.pgpe import ClipUp, pgpe_gradients
from agents.learning.strategies import make_strategy
from worldmodels.training.checkpoint import load_state, save_state

PEAK = np.array([1.0, -2.0, 0.5, 3.0, 0.0])
NAMES = ["cma", "sep-cma", "pgpe"]


def fitness(candidates: np.ndarray) -> np.ndarray:
    return 10 - ((candidates - PEAK) ** 2).sum(1)


def climb(name: str, generations: int, seed: int = 0) -> tuple[Strategy, np.ndarray]:
    strategy, candidates = make_strategy(name, np.zeros(5), 0.5, 12, seed), []
    for _ in range(generations):
        candidates.append(strategy.ask())
        strategy.tell(fitness(candidates[-1]))
    return strategy, np.stack(candidates)


@pytest.mark.parametrize("name", ["cma", "sep-cma"])
def test_cma_finds_the_maximum(name):
    strategy, candidates = climb(name, 120)
    assert candidates.shape == (120, 12, 5)
    np.testing.assert_allclose(strategy.mean, PEAK, atol=0.01)
    assert strategy.sigma < 0.1


def test_pgpe_finds_the_maximum_as_closely_as_its_steps_allow():
    strategy, candidates = climb("pgpe", 400)
    assert candidates.shape == (400, 12, 5)
    np.testing.assert_allclose(strategy.mean, PEAK, atol=0.15)
    assert strategy.sigma < 0.1


@pytest.mark.parametrize("name", NAMES)
def test_the_best_is_the_candidate_of_highest_fitness_ever(name):
    strategy, candidates = climb(name, 10)
    scores = fitness(candidates.reshape(-1, 5))
    assert strategy.best_fitness == scores.max()
    np.testing.assert_array_equal(strategy.best, candidates.reshape(-1, 5)[scores.argmax()])


@pytest.mark.parametrize("name", NAMES)
def test_the_first_generation_has_the_initial_mean_and_step_size(name):
    strategy = make_strategy(name, PEAK, 0.1, 4000, seed=0)
    candidates = strategy.ask()
    np.testing.assert_allclose(candidates.mean(0), PEAK, atol=0.01)
    np.testing.assert_allclose(candidates.std(0), 0.1, rtol=0.1)
    assert strategy.sigma == pytest.approx(0.1)


@pytest.mark.parametrize("name", NAMES)
def test_its_course_is_a_function_of_the_seed_and_leaves_numpys_random_numbers_alone(name):
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    np.testing.assert_array_equal(climb(name, 5)[1], climb(name, 5)[1])
    assert not np.array_equal(climb(name, 1)[1], climb(name, 1, seed=1)[1])
    np.testing.assert_array_equal(np.random.get_state()[1], before)


@pytest.mark.parametrize("name", NAMES)
def test_told_the_same_again_it_stands_where_it_stood(name):
    strategy, generations = climb(name, 8)
    again = make_strategy(name, np.zeros(5), 0.5, 12, seed=0)
    for candidates in generations:
        again.ask()
        again.tell(fitness(candidates))  # history.jsonl holds the fitness alone
    np.testing.assert_array_equal(again.mean, strategy.mean)
    np.testing.assert_array_equal(again.best, strategy.best)
    assert again.sigma == strategy.sigma
    np.testing.assert_array_equal(again.ask(), strategy.ask())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("generations", [1, 2, 3, 10])
def test_brought_back_by_its_state_it_goes_on_bit_by_bit(name, generations, tmp_path):
    """Early states matter: a covariance near the identity has directions that any lost bit would turn."""
    course = Evolution(EvolutionConfig(), make_strategy(name, np.zeros(13), 0.3, 4, seed=0), 0)
    again = Evolution(EvolutionConfig(), make_strategy(name, np.zeros(13), 0.3, 4, seed=0), 0)
    for _ in range(generations):
        course.strategy.tell(-((course.strategy.ask() - 1) ** 2).sum(1))
    save_state(course.state, tmp_path / "state.pt")
    assert again.restore(load_state(tmp_path / "state.pt", torch.device("cpu")))
    for _ in range(8):
        candidates = course.strategy.ask()
        np.testing.assert_array_equal(again.strategy.ask(), candidates)
        for strategy in (course.strategy, again.strategy):
            strategy.tell(-((candidates - 1) ** 2).sum(1))
    np.testing.assert_array_equal(again.results["best"], course.results["best"])


def test_a_state_of_another_version_of_pycma_is_left_alone():
    course, fresh = climb("cma", 3)[0], make_strategy("cma", np.zeros(5), 0.5, 12, seed=0)
    assert not fresh.restore({**course.state, "cma": "4.0.0"})
    np.testing.assert_array_equal(fresh.ask(), climb("cma", 1)[1][0])


def test_pgpe_estimates_the_gradient_of_a_linear_function_without_bias():
    """For f(x) = g x + c: E[towards] = std^2 g, and nothing says that std should change."""
    rng, slope, std = np.random.default_rng(0), np.array([3.0, -1.0, 0.5]), np.array([0.1, 0.2, 0.4])
    estimates = []
    for _ in range(4000):
        noise = std * rng.standard_normal((8, 3))
        towards, wider = pgpe_gradients(noise, noise @ slope + 7, 7 - noise @ slope, std)
        np.testing.assert_allclose(wider, 0, atol=1e-12)
        estimates.append(towards)
    error = np.std(estimates, axis=0) / len(estimates) ** 0.5
    assert (np.abs(np.mean(estimates, axis=0) - std**2 * slope) < 4 * error).all()


def test_pgpe_widens_in_a_valley_and_narrows_on_a_peak():
    """For f(x) = a x^2 at x = 0: E[wider] = 2 a std^3 (1 - 1/K), the baseline being the K pairs' own mean."""
    rng, std, pairs = np.random.default_rng(0), np.array([0.3]), 16
    for a in (1.0, -2.0):
        estimates = []
        for _ in range(4000):
            noise = std * rng.standard_normal((pairs, 1))
            value = a * noise[:, 0] ** 2
            towards, wider = pgpe_gradients(noise, value, value, std)
            assert towards == 0
            estimates.append(wider[0])
        error = np.std(estimates) / len(estimates) ** 0.5
        assert abs(np.mean(estimates) - 2 * a * std[0] ** 3 * (1 - 1 / pairs)) < 4 * error


def test_centred_ranks_are_spread_evenly_and_ties_share_theirs():
    np.testing.assert_allclose(centred_ranks(np.array([10.0, -5.0, 1e9])), [0.0, -0.5, 0.5])
    np.testing.assert_allclose(centred_ranks(np.array([1.0, 0.0, 1.0, 2.0, 1.0])), [0.0, -0.5, 0.0, 0.5, 0.0])
    np.testing.assert_array_equal(centred_ranks(np.zeros(6)), np.zeros(6))


def test_clipup_gathers_speed_up_to_its_limit_and_never_above():
    climber, slope = ClipUp(4, max_speed=0.2), np.array([0.0, 300.0, 0.0, -400.0])
    speeds = [np.linalg.norm(climber.step(slope)) for _ in range(30)]
    np.testing.assert_allclose(speeds[:2], [0.1, 0.19])  # half the limit; 0.9 of it and half the limit again
    np.testing.assert_allclose(speeds[2:], 0.2, rtol=1e-12)
    np.testing.assert_allclose(climber.velocity, [0, 0.12, 0, -0.16])


def test_clipup_knows_the_direction_of_a_gradient_only_and_coasts_without_one():
    one, other = ClipUp(3, 0.5), ClipUp(3, 0.5)
    for gradient in np.random.default_rng(0).standard_normal((20, 3)):
        np.testing.assert_allclose(one.step(gradient), other.step(1e6 * gradient))
    np.testing.assert_array_equal(one.velocity * 0.9, one.step(np.zeros(3)))


def test_pgpe_converges_on_a_noisy_quadratic_of_a_controllers_size():
    """867 weights, 32 candidates, a standard deviation of the noise as large as that between candidates."""
    rng, peak = np.random.default_rng(1), 0.3 * np.random.default_rng(5).standard_normal(867)

    def height(candidates: np.ndarray) -> np.ndarray:
        return -((candidates - peak) ** 2).sum(1)

    strategy, speeds = make_strategy("pgpe", np.zeros(867), 0.1, 32, seed=0), []
    assert height(strategy.ask()).std() == pytest.approx(1.8, rel=0.2)
    for _ in range(200):
        mean, candidates = strategy.mean, strategy.ask()
        strategy.tell(height(candidates) + 1.8 * rng.standard_normal(32))
        speeds.append(np.linalg.norm(strategy.mean - mean))
    assert np.sum((strategy.mean - peak) ** 2) < 0.4 * np.sum(peak**2)
    assert max(speeds) == pytest.approx(0.1 * 867**0.5 / 15)

"""Evolution along principal directions: whitened coordinates on one side, the controller's own weights on the other."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from agents.controller import ControllerSpec, LinearController
from agents.learning.strategies import make_strategy
from agents.learning.subspace import Subspace, centred_weights, principal_weights, whitening
from rollouts.envs.actions import ActionSpec
from rollouts.errors import UserError
from worldmodels import WorldModel

TWO = ActionSpec("box", (-1.0,) * 2, (1.0,) * 2, (1.0,) * 2, (0.0,) * 2)
RNG = np.random.default_rng(0)
#: Features of rank 3 in 7 dimensions, far from zero.
SEEN = RNG.standard_normal((500, 3)) @ (RNG.standard_normal((3, 7)) * [[5.0], [1.0], [0.2]]) + 4.0


def raw(controller: LinearController, weights: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Outputs before the squashing function, by a plain matrix product."""
    matrix = weights.reshape(controller.shapes[0])
    return seen @ matrix[:, :7].T + (matrix[:, 7] if controller.bias else 0.0)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("count", [1, 3])
def test_coordinates_move_one_action_each_equally_much_and_no_two_together(bias: bool, count: int):
    controller = LinearController(7, TWO, bias=bias)
    directions = whitening(SEEN, [7], count, bias, controller)
    per_action = count + bias
    assert directions.shape == (controller.parameter_count, 2 * per_action)
    moved = np.stack([raw(controller, column, SEEN) for column in directions.T], -1)  # [N, actions, Q]
    np.testing.assert_allclose(moved[:, 0, per_action:], 0, atol=1e-9)
    np.testing.assert_allclose(moved[:, 1, :per_action], 0, atol=1e-9)
    own = moved[:, 0, :per_action]
    loudness = ((SEEN**2).sum(1).mean() + bias) / per_action
    np.testing.assert_allclose(own.T @ own / len(SEEN), loudness * np.eye(per_action), atol=1e-9)


def test_a_random_step_moves_actions_as_much_as_one_along_every_weight():
    controller = LinearController(7, TWO)
    steps = RNG.standard_normal((1000, controller.parameter_count))
    along = RNG.standard_normal((1000, 8)) @ whitening(SEEN, [7], 3, True, controller).T
    every, fewer = (np.mean([raw(controller, w, SEEN) ** 2 for w in weights]) for weights in (steps, along))
    assert fewer == pytest.approx(every, rel=0.1)


def test_the_directions_are_the_loudest():
    controller = LinearController(7, TWO)
    _, vectors = np.linalg.eigh(np.cov(SEEN.T))
    for k in range(3):
        block = whitening(SEEN, [7], 3, True, controller)[:7, k]
        assert abs(block @ vectors[:, -1 - k]) == pytest.approx(np.linalg.norm(block))


def test_parts_count_equally_however_large_their_numbers_are():
    controller = LinearController(7, TWO)
    loud = SEEN * np.repeat([1.0, 1000.0], [3, 4])
    plain, louder = (whitening(seen, [3, 4], 2, True, controller) for seen in (SEEN, loud))
    moved = [
        np.stack([raw(controller, column, seen)[:, 0] for column in directions.T[:3]], -1)
        for seen, directions in ((SEEN, plain), (loud, louder))
    ]
    moved = [part / part.std(0).max() for part in moved]
    np.testing.assert_allclose(np.abs(moved[0][:, :2]), np.abs(moved[1][:, :2]), atol=1e-6)


@pytest.mark.parametrize("count", [0, 4, 8])
def test_as_many_directions_as_there_are(count: int):
    with pytest.raises(UserError, match="has 3 principal directions"):
        whitening(SEEN, [7], count, True, LinearController(7, TWO))


def test_a_strategy_in_a_subspace_never_leaves_it_and_finds_the_best_of_it():
    origin, basis = RNG.standard_normal(9), np.linalg.qr(RNG.standard_normal((9, 3)))[0]
    peak = origin + basis @ np.array([1.0, -0.5, 0.3]) + 2.0 * np.linalg.svd(basis.T)[2][-1]  # off by a normal
    strategy = Subspace(make_strategy("cma", np.zeros(3), 0.3, 10, seed=0), origin, basis)
    np.testing.assert_array_equal(strategy.mean, origin)
    for _ in range(80):
        candidates = strategy.ask()
        away = (candidates - origin) - (candidates - origin) @ basis @ basis.T
        np.testing.assert_allclose(away, 0, atol=1e-9)
        strategy.tell(-((candidates - peak) ** 2).sum(1))
    np.testing.assert_allclose(strategy.mean, origin + basis @ [1.0, -0.5, 0.3], atol=1e-2)
    assert strategy.best_fitness == pytest.approx(-((strategy.best - peak) ** 2).sum()) == pytest.approx(-4, abs=1e-3)
    assert strategy.sigma < 0.3


def test_the_recorded_moments_of_the_world_model_are_what_is_whitened(make_model):
    model: WorldModel = make_model()
    spec = ControllerSpec("zh")
    starts = model.starts.only("recorded")
    seen = torch.cat([starts.mean, starts.state["h"]], 1).double().numpy()
    np.testing.assert_array_equal(
        principal_weights(model, spec, 2), whitening(seen, [4, 8], 2, True, spec.build(model))
    )


def test_a_previous_action_has_directions_of_its_own_that_move_outputs_as_much_as_others():
    controller = LinearController(9, TWO)  # seven features, and an action of two components
    directions = whitening(SEEN, [7], 3, True, controller)
    assert directions.shape == (controller.parameter_count, 2 * (3 + 2 + 1))
    acted = 0.5 * RNG.standard_normal((500, 2))
    acted = 0.5 * np.linalg.qr(acted - acted.mean(0))[0] * np.sqrt(500)  # deviation 0.5, uncorrelated
    seen = np.concatenate([SEEN, acted], 1)
    moved = seen @ directions.reshape(2, 10, 12)[0, :9, :6] + directions.reshape(2, 10, 12)[0, 9, :6]
    np.testing.assert_allclose(directions.reshape(2, 10, 12)[0, :7, 3:5], 0)  # they look at the action alone
    np.testing.assert_allclose((moved**2).mean(0), (seen**2).sum(1).mean() / 6 + 1 / 6)


def test_a_previous_action_is_seen_beside_principal_directions_and_stays_where_features_are_centred(make_model):
    model: WorldModel = make_model()
    spec, plain = ControllerSpec("zha"), ControllerSpec("zh")
    size, actions = model.latent_size + 8, model.action_spec.size
    found = principal_weights(model, spec, 2).reshape(-1, size + actions + 1, 3 + actions)
    alone = principal_weights(model, plain, 2).reshape(-1, size + 1, 3)
    np.testing.assert_allclose(found[0, :size, :2] / found[0, 0, 0], alone[0, :size, :2] / alone[0, 0, 0])
    centred = centred_weights(model, spec).reshape(found.shape[0], size + actions + 1, -1)[0, :, : size + actions]
    np.testing.assert_array_equal(centred[-1, size:], np.zeros(actions))
    np.testing.assert_array_equal(centred[size:-1, size:], np.eye(actions))


def test_centred_weights_act_on_what_is_seen_less_its_mean(make_model):
    model: WorldModel = make_model()
    spec = ControllerSpec("zh")
    controller, starts = spec.build(model), model.starts.only("recorded")
    seen = torch.cat([starts.mean, starts.state["h"]], 1).double()
    weights = torch.randn(controller.parameter_count).double()
    found = torch.from_numpy(centred_weights(model, spec)) @ weights
    torch.testing.assert_close(controller.act(found, seen), controller.act(weights, seen - seen.mean(0)))


@pytest.mark.parametrize(("power", "loudnesses"), [(1.0, [1, 1, 1]), (0.5, [4, 2, 1]), (0.0, [16, 4, 1])])
def test_half_whitened_directions_are_as_loud_as_the_root_of_what_they_were(power: float, loudnesses: list[int]):
    rng = np.random.default_rng(0)
    centred = rng.normal(size=(50, 3))
    white, _ = np.linalg.qr(centred - centred.mean(0))
    seen = white * [16, 4, 1]  # deviations 16 : 4 : 1 along the axes
    controller = LinearController(3, TWO)
    found = whitening(seen, [3], 3, True, controller, power)[:4, :3]  # the first action's, without the bias
    loudness = (seen @ found[:3]).std(0)
    np.testing.assert_allclose(loudness / loudness[-1], loudnesses)
    full = (seen @ whitening(seen, [3], 3, True, controller)[:3, :3]).std(0)
    assert (loudness**2).sum() == pytest.approx((full**2).sum())  # a step size means the same


def test_what_cannot_be_whitened_is_refused(make_model):
    model: WorldModel = make_model()
    model.starts = None
    with pytest.raises(UserError, match="without starting points"):
        principal_weights(model, ControllerSpec(), 2)

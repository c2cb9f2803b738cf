"""C against a naive loop over candidates, and what its outputs mean."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from agents import LinearController
from agents.controller import squash
from agents.standardiser import Standardiser
from rollouts import UserError
from rollouts.envs.actions import ActionSpec, Pedal
from rollouts.envs.presets import PRESETS

CAR = PRESETS["carracing"].action
PUSH = ActionSpec("box", (-1.0,), (1.0,), (1.0,), (0.0,))
DISCRETE = ActionSpec("discrete", (0.0,) * 3, (1.0,) * 3, (1.0,) * 3, (0.0,) * 3, (0, 1, 2))


@pytest.mark.parametrize(
    ("inputs", "spec", "hidden", "bias", "parameters"),
    [
        (32 + 256, CAR, 0, True, 867),
        (32, CAR, 0, True, 99),
        (32, CAR, 40, True, 1443),
        (64 + 512 + 512, PUSH, 0, False, 1088),
    ],
    ids=["full", "V only", "V and a hidden layer", "Take Cover"],
)
def test_parameters_are_as_many_as_in_the_paper(inputs, spec, hidden, bias, parameters):
    assert LinearController(inputs, spec, hidden, bias).parameter_count == parameters


def naive_action(parameters: np.ndarray, features: np.ndarray, hidden: int, bias: bool) -> np.ndarray:
    """One candidate, one lane, weights row by row, every row with its bias last."""
    values, start = features, 0
    for rows in [hidden, 3] if hidden else [3]:
        row = len(values) + bias
        weights = parameters[start : start + rows * row].reshape(rows, row)
        start += rows * row
        values = np.tanh(weights @ (np.append(values, 1.0) if bias else values))
    return np.array([values[0], np.clip((values[1] + 1) / 2, 0, 1), np.clip(values[2], 0, 1)])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("hidden", [0, 6])
def test_a_population_at_once_acts_as_each_candidate_alone(hidden, bias):
    controller, rng = LinearController(5, CAR, hidden, bias), np.random.default_rng(0)
    population, features = rng.normal(size=(7, controller.parameter_count)), rng.normal(size=(7, 5))
    expected = np.stack([naive_action(p, f, hidden, bias) for p, f in zip(population, features, strict=True)])
    lanes = torch.tensor(features)
    np.testing.assert_allclose(controller.act(torch.tensor(population), lanes), expected, atol=1e-12)
    one_for_all = np.stack([naive_action(population[0], f, hidden, bias) for f in features])
    np.testing.assert_allclose(controller.act(torch.tensor(population[0]), lanes), one_for_all, atol=1e-12)


def test_the_zero_controller_of_the_car_drives_straight_on_half_gas():
    controller = LinearController(8, CAR)
    assert controller.act(torch.zeros(27), torch.randn(2, 8)).tolist() == [[0.0, 0.5, 0.0]] * 2


def test_raw_outputs_are_squashed_into_the_action_space():
    raw = torch.tensor([[1.0, -1.0, -1.0], [-50.0, 50.0, 50.0]])
    expected = [[math.tanh(1), 0.5 + 0.5 * math.tanh(-1), 0.0], [-1.0, 1.0, 1.0]]
    torch.testing.assert_close(squash(raw, CAR), torch.tensor(expected))


def test_a_pedal_is_gas_above_the_slack_and_brake_below_it():
    spec = replace(CAR, pedals=(Pedal(positive=1, negative=2, offset=0.5, slack=0.2, creep=0.1),))
    assert (spec.size, spec.outputs, LinearController(32 + 256, spec).parameter_count) == (3, 2, 578)
    p = torch.tensor([0.7, 0.1, 0.0, -0.19, -0.21, -0.6, -1.0])
    raw = torch.stack([torch.full((7,), 0.4), torch.atanh(p.double()).float() - 0.5], 1)
    steer, gas, brake = squash(raw, spec).unbind(1)
    torch.testing.assert_close(steer, torch.full((7,), math.tanh(0.4)))
    torch.testing.assert_close(gas, torch.tensor([0.7, 0.1, 0.1, 0.1, 0.0, 0.0, 0.0]))
    torch.testing.assert_close(brake, torch.tensor([0.0, 0.0, 0.0, 0.0, 0.01, 0.4, 0.8]))


def test_a_pedal_spans_the_ranges_of_its_components_wherever_they_stand():
    two = ActionSpec("box", (10.0, -1.0, -2.0), (20.0, 1.0, 4.0), (5.0, 1.0, 3.0), (15.0, 0.0, 1.0))
    spec = replace(two, pedals=(Pedal(positive=2, negative=0),))
    assert spec.driven == [1, 2]
    raw = torch.tensor([[0.3, 50.0], [0.3, math.atanh(0.5)], [0.3, math.atanh(-0.5)], [0.3, -50.0]])
    expected = [[10.0, math.tanh(0.3), 4.0], [10.0, math.tanh(0.3), 1.0], [15.0, math.tanh(0.3), -2.0]]
    torch.testing.assert_close(squash(raw, spec), torch.tensor([*expected, [20.0, math.tanh(0.3), -2.0]]))


def test_discrete_actions_are_the_largest_output_as_one_hot():
    raw = torch.tensor([[0.1, 3.0, -1.0], [-3.0, -2.0, -1.0]])
    assert squash(raw, DISCRETE).tolist() == [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]


@pytest.mark.parametrize("bias", [True, False])
def test_a_grown_controller_acts_as_before_whatever_it_remembers(bias):
    small, large = LinearController(4, CAR, bias=bias), LinearController(4 + 16, CAR, bias=bias)
    parameters, z = torch.randn(small.parameter_count), torch.randn(50, 4)
    grown = large.grow(parameters, inputs_before=4)
    assert grown.shape == (large.parameter_count,)
    memory = 10 * torch.randn(50, 16)
    torch.testing.assert_close(large.act(grown, torch.cat([z, memory], 1)), small.act(parameters, z))


def test_standardised_features_have_mean_zero_and_deviation_one_and_are_clipped():
    scale = Standardiser(torch.tensor([1.0, -2.0]), torch.tensor([0.5, 4.0]))
    torch.testing.assert_close(scale(torch.tensor([[2.0, -2.0], [1e6, -1e6]])), torch.tensor([[2.0, 0.0], [8.0, -8.0]]))
    controller, weights = LinearController(2, PUSH, standardiser=scale), torch.tensor([0.1, 0.2, 0.3])
    assert controller.act(weights, torch.tensor([[2.0, 0.0]])).item() == pytest.approx(math.tanh(0.2 + 0.1 + 0.3))


def test_recorded_moments_are_what_features_are_standardised_by(make_model):
    model = make_model()
    starts = model.starts.only("recorded")
    scale = Standardiser.of(model, "zha")
    samples = starts.mean + torch.exp(starts.logvar / 2) * torch.randn(20_000, *starts.mean.shape)
    torch.testing.assert_close(scale.mean[:4], starts.mean.mean(0))
    torch.testing.assert_close(scale.sd[:4], samples.flatten(0, 1).std(0), rtol=0.02, atol=0)
    memory = scale(torch.cat([starts.mean, starts.state["h"], torch.ones(len(starts.state["h"]), 1)], 1))[:, 4:]
    torch.testing.assert_close(memory[:, :8].mean(0), torch.zeros(8), rtol=0, atol=1e-5)
    torch.testing.assert_close(memory[:, :8].var(0, correction=0), torch.ones(8))
    assert memory[:, 8].tolist() == [1.0] * len(starts.state["h"])  # the previous action stays as it is
    model.starts = None
    with pytest.raises(UserError, match="without starting points"):
        Standardiser.of(model, "zh")


def test_what_cannot_be_is_refused():
    with pytest.raises(UserError, match="cannot have -1 units"):
        LinearController(4, CAR, hidden=-1)
    with pytest.raises(UserError, match="without a hidden layer"):
        LinearController(8, CAR, hidden=3).grow(torch.zeros(15), 4)

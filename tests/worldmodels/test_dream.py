"""Lanes of imagination: equal luck for equal seeds, independent of each other, and honest about how they end."""

from __future__ import annotations

import pytest
import torch

from rollouts import UserError
from worldmodels.dream import Dream, feature_size, join_features


def trajectory(dream: Dream, actions: torch.Tensor) -> list[tuple[torch.Tensor, ...]]:
    """``(z, reward, terminated, truncated)`` for actions ``[T, N, 1]``."""
    return [(dream.z, *dream.step(action)) for action in actions]


def test_two_candidates_with_equal_actions_get_equal_trajectories(make_model):
    dream = Dream(make_model())
    dream.reset([1, 2, 3], copies=2)
    for z, reward, *_ in trajectory(dream, torch.randn(70, 3, 1).repeat(1, 2, 1)):
        torch.testing.assert_close(z[:3], z[3:])
        torch.testing.assert_close(reward[:3], reward[3:])
    assert len(dream.z.unique(dim=0)) == 3


def test_a_seed_has_its_luck_whatever_the_company(make_model):
    dream, actions = Dream(make_model()), torch.randn(70, 3, 1)
    dream.reset([1, 2, 3])
    together = trajectory(dream, actions)
    dream.reset([2])
    for (z, *_), (whole, *_) in zip(trajectory(dream, actions[:, 1:2]), together, strict=True):
        torch.testing.assert_close(z, whole[1:2])


@pytest.mark.parametrize("mask", [True, False])
def test_lanes_that_are_kept_go_on_as_if_nothing_had_happened(make_model, mask):
    dream, actions = Dream(make_model()), torch.randn(70, 6, 1)
    dream.reset([1, 2, 3], copies=2)
    together = trajectory(dream, actions)
    survivors = torch.tensor([1, 3, 4])
    dream.reset([1, 2, 3], copies=2)
    trajectory(dream, actions[:20])
    dream.keep(torch.isin(torch.arange(6), survivors) if mask else survivors)
    for (z, reward, *_), (whole, whole_reward, *_) in zip(
        trajectory(dream, actions[20:, survivors]), together[20:], strict=True
    ):
        torch.testing.assert_close(z, whole[survivors])
        torch.testing.assert_close(reward, whole_reward[survivors])


@pytest.mark.parametrize(("starts", "warm"), [("episode", {False}), ("recorded", {True}), ("any", {False, True})])
def test_only_dreams_that_begin_an_episode_begin_without_memory(make_model, starts, warm):
    dream = Dream(make_model(), starts=starts)
    dream.reset(range(40))
    assert set(dream.state["h"].any(1).tolist()) == warm
    assert torch.equal(dream.state["h"].any(1), dream.state["c"].any(1))


@torch.inference_mode()
def test_a_predicted_end_terminates_and_the_horizon_truncates_and_never_both(make_model):
    dream = Dream(make_model(ends=60), horizon=12)
    dream.reset(range(64))
    ends, truncations = 0, 0
    for step in range(12):
        actions = torch.zeros(len(dream.z), 1)
        state = dream.model.remember(dream.z, actions, dream.state)
        predicted = dream.model.mdnrnn.predict(state).termination > 0
        _, terminated, truncated = dream.step(actions)
        assert torch.equal(terminated, predicted)
        assert torch.equal(truncated, ~predicted if step == 11 else torch.zeros_like(predicted))
        ends, truncations = ends + int(terminated.sum()), truncations + int(truncated.sum())
        dream.keep(~(terminated | truncated))
    assert ends > 10
    assert truncations > 3
    assert len(dream.z) == 0


def test_temperature_spreads_the_dream(make_model):
    spreads = []
    for temperature in (0.0, 0.25, 1.0, 2.0):
        dream = Dream(make_model(), temperature)
        dream.reset(range(200))
        dream.z, dream.state = torch.zeros(200, 4), dream.model.initial_state(200)
        dream.step(torch.zeros(200, 1))
        spreads.append(dream.z.std(0).mean().item())
    assert spreads[0] == 0
    assert spreads == sorted(spreads)
    assert spreads[3] > 1.2 * spreads[2] > 1.4 * spreads[1]


def test_features_are_z_then_c_then_h(make_model):
    model = make_model()
    z, state = torch.zeros(1, 4), {"h": torch.ones(1, 8), "c": torch.full((1, 8), 2.0)}
    assert join_features(z, state, "zch").tolist() == [[0.0] * 4 + [2.0] * 8 + [1.0] * 8]
    assert join_features(z, state, "zh").tolist() == [[0.0] * 4 + [1.0] * 8]
    action = torch.full((1, 1), 3.0)
    assert join_features(z, state, "zha", action).tolist() == [[0.0] * 4 + [1.0] * 8 + [3.0]]
    for features, size in (("z", 4), ("zh", 12), ("zch", 20), ("za", 5), ("zha", 13)):
        assert join_features(z, state, features, action).shape[1] == feature_size(model, features) == size


def test_a_dream_shows_the_previous_action_and_none_at_its_start(make_model):
    dream = Dream(make_model(), features="za")
    dream.reset([1, 2, 3])
    assert dream.features()[:, 4:].tolist() == [[0.0]] * 3
    dream.step(torch.tensor([[0.5], [-0.25], [1.0]]))
    dream.keep(torch.tensor([False, True, True]))
    assert dream.features()[:, 4:].tolist() == [[-0.25], [1.0]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -0.1}, "temperature cannot be negative"),
        ({"horizon": 0}, "at least one step, got 0"),
        ({"starts": "middle"}, "'episode', 'recorded' or 'any'"),
        ({"features": "hz"}, r"alone or followed by outputs of M \(h, c\), and a for the previous action, not 'hz'"),
        ({"features": "zah"}, "not 'zah'"),
    ],
)
def test_a_dream_that_makes_no_sense_is_refused(make_model, options, message):
    with pytest.raises(UserError, match=message):
        Dream(make_model(), **options)


def test_a_model_without_starts_cannot_dream(make_model):
    model = make_model()
    model.starts = None
    with pytest.raises(UserError, match="without starting points"):
        Dream(model)


def test_gradients_pass_through_a_dream_to_actions_and_stop_at_the_models_weights(make_model):
    dream = Dream(make_model(), horizon=5)
    dream.reset([1, 2, 3])
    actions = torch.zeros(3, 1, requires_grad=True)
    for _ in range(3):
        reward, _, _ = dream.step(actions)
    assert torch.autograd.grad(reward.sum() + dream.z.sum(), actions)[0].abs().min() > 0
    parts = (dream.model.vae, dream.model.mdnrnn)
    assert not any(weight.requires_grad for part in parts for weight in part.parameters())
    dream.reset([1, 2, 3])
    dream.step(torch.zeros(3, 1))
    assert not dream.z.requires_grad  # nothing is kept for a gradient that nobody asked for

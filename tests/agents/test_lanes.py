"""Many episodes side by side give what each would have given alone, real and dreamed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from agents import Agent, LinearController
from agents.controller import ControllerSpec
from agents.fitness import evaluate_lanes
from agents.lanes import RealLanes, rollout
from rollouts import EnvConfig, UserError, make_env
from worldmodels.dream import Dream, feature_size

CPU = torch.device("cpu")
TOY = EnvConfig("toy")


def candidates(count: int, parameters: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, parameters))


@pytest.mark.parametrize(
    ("features", "latent"),
    [("z", "sample"), ("zh", "sample"), ("zch", "sample"), ("zh", "mean"), ("zha", "mean"), ("za", "sample")],
)
def test_real_lanes_equal_agents_that_play_alone(features, latent, make_model, play_alone, tmp_path):
    model = make_model()
    spec = ControllerSpec(features, latent=latent)
    controller = spec.build(model)
    population, seeds = candidates(2, controller.parameter_count), [5, 6, 7]
    outcome = evaluate_lanes(RealLanes(model, TOY, features, latent), controller, population, seeds, 50, None, CPU)
    alone = [
        play_alone(Agent(tmp_path, model, spec, controller, torch.tensor(one, dtype=torch.float32), TOY), seed)
        for one in population
        for seed in seeds
    ]
    np.testing.assert_allclose(outcome.returns, [total for total, _ in alone], rtol=1e-3)
    assert outcome.lengths.tolist() == [length for _, length in alone]
    assert len(set(outcome.lengths)) > 2  # lanes ended, and were taken out, at different times


@pytest.mark.parametrize("latent", ["sample", "mean"])
def test_a_lane_alone_sees_what_an_agent_alone_sees_to_the_last_bit(latent, make_model, tmp_path):
    model = make_model()
    spec = ControllerSpec("zch", latent=latent)
    agent = Agent(tmp_path, model, spec, spec.build(model), torch.randn(21), TOY)
    lanes, acting, env = RealLanes(model, TOY, "zch", latent), agent.begin(5), make_env(TOY)
    lanes.reset([5])
    frame, _ = env.reset(seed=5)
    for _ in range(6):
        action = acting.act(frame)
        assert torch.equal(lanes.features(), acting.senses.features)
        acting.remember(action)
        frame, *_ = env.step(action)
        lanes.step(torch.from_numpy(action)[None])


def test_copies_of_a_seed_have_the_same_luck_and_seeds_differ(make_model):
    lanes = RealLanes(make_model(), TOY)
    lanes.reset([1, 2], copies=3)
    for _ in range(4):
        features = lanes.features()
        torch.testing.assert_close(features[0::2], features[:1].expand(3, -1))
        assert not torch.allclose(features[0], features[1])
        lanes.step(torch.full((6, 1), 0.1))
    first = lanes.features()
    lanes.reset([1, 2], copies=3)  # environments are used again, their past is forgotten
    for _ in range(4):
        lanes.step(torch.full((6, 1), 0.1))
    torch.testing.assert_close(lanes.features(), first)


@pytest.mark.parametrize("world", ["real", "dream"])
def test_results_do_not_depend_on_the_lanes_beside(world, make_model):
    model = make_model(ends=60)
    lanes = RealLanes(model, TOY) if world == "real" else Dream(model, horizon=30)
    controller, seeds = LinearController(feature_size(model, "zh"), model.action_spec), [3, 4, 5]
    population = candidates(4, controller.parameter_count)
    together = evaluate_lanes(lanes, controller, population, seeds, 50, None, CPU)
    apart = [
        evaluate_lanes(lanes, controller, one[None], [seed], 50, None, CPU) for one in population for seed in seeds
    ]
    np.testing.assert_allclose(together.returns, [float(o.returns[0]) for o in apart], rtol=1e-4, atol=1e-4)
    assert together.lengths.tolist() == [int(o.lengths[0]) for o in apart]
    assert len(set(together.lengths)) > 2


class ScriptedLanes:
    """Lane i receives ``rewards[i]`` in turn and ends with the last of them."""

    def __init__(self, *rewards: list[float]) -> None:
        self.rewards, self.time = [list(row) for row in rewards], 0

    def features(self) -> torch.Tensor:
        return torch.zeros(len(self.rewards), 1)

    def step(self, actions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        reward = torch.tensor([row[self.time] for row in self.rewards])
        self.time += 1
        over = torch.tensor([len(row) == self.time for row in self.rewards])
        return reward, over, torch.zeros_like(over)

    def keep(self, lanes: torch.Tensor) -> None:
        self.rewards = [self.rewards[i] for i in torch.arange(len(self.rewards))[lanes]]


def play_script(*rewards: list[float], max_steps: int = 99, patience: int | None = None):
    outcome = rollout(ScriptedLanes(*rewards), lambda features, _: features, len(rewards), max_steps, patience)
    return outcome.returns.tolist(), outcome.lengths.tolist()


def test_returns_and_lengths_are_counted_lane_by_lane():
    assert play_script([1.0, 2.0], [5.0], [1.0, 1.0, -4.0]) == ([3.0, 5.0, -2.0], [2, 1, 3])


def test_no_lane_outlasts_the_limit():
    assert play_script([1.0] * 9, [1.0] * 3, max_steps=5) == ([5.0, 3.0], [5, 3])


def test_patience_stops_a_lane_after_so_many_steps_in_a_row_without_a_positive_reward():
    hopeless, lively, late = [0.0, -1.0, 0.0, 9.0], [0.0, 0.0, 1.0, -1.0, 0.0, 1.0], [-1.0, -1.0, 5.0]
    assert play_script(hopeless, lively, late, patience=3) == ([-1.0, 1.0, 3.0], [3, 6, 3])
    assert play_script(hopeless, patience=None) == ([8.0], [4])


def test_an_environment_that_looks_otherwise_than_the_models_is_refused(make_model):
    with pytest.raises(UserError, match=r"fitted to frames of toy .* but toy has preprocessing"):
        RealLanes(make_model(), EnvConfig("toy", crop=(0, 48, 0, 64)))

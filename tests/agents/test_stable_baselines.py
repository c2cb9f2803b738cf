"""Agents that Stable-Baselines3 trained act the same when wrapped, are saved without pickles, watched and scored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from torch import nn

from agents import Agent, evaluate
from agents.agent import find_agent
from agents.networks import NetworkController, NetworkSpec, flatten
from agents.real_env import RealEnv
from agents.stable_baselines import wrap
from agents.viewing.moments import RealWorld
from rollouts import EnvConfig, UserError
from rollouts.envs.actions import ActionSpec
from rollouts.runs.stage import Stage
from worldmodels import DreamEnv

sb3 = pytest.importorskip("stable_baselines3")


def small() -> dict[str, Any]:
    """Options of a policy that is quick to make; the library changes what it is handed."""
    return {"policy_kwargs": {"net_arch": [8, 8]}, "seed": 0, "device": "cpu"}


#: Their actors differ in layers, activation, and in what becomes of the output.
KINDS: dict[str, Callable[[gym.Env[Any, Any]], Any]] = {
    "PPO": lambda env: sb3.PPO("MlpPolicy", env, n_steps=32, batch_size=32, **small()),
    "A2C": lambda env: sb3.A2C("MlpPolicy", env, **small()),
    "SAC": lambda env: sb3.SAC("MlpPolicy", env, learning_starts=4, buffer_size=100, batch_size=4, **small()),
    "TD3": lambda env: sb3.TD3("MlpPolicy", env, learning_starts=4, buffer_size=100, batch_size=4, **small()),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrapped_agent_acts_as_the_model_that_was_trained(kind: str, tiny_run: Path):
    model = KINDS[kind](DreamEnv(tiny_run, horizon=20))
    model.learn(32)
    agent, features = wrap(model, tiny_run), 3 * torch.randn(50, 20)
    expected, _ = model.predict(features.numpy(), deterministic=True)
    np.testing.assert_allclose(agent.controller.act(agent.parameters, features), expected, atol=1e-5)
    assert np.abs(expected).max() > 0.01
    assert agent.spec.features == "zh"


def test_it_is_saved_loaded_watched_and_scored_like_any_other(tiny_run: Path, tmp_path: Path):
    model = KINDS["PPO"](DreamEnv(tiny_run, horizon=20))
    wrapped = wrap(model, tiny_run)
    run = wrapped.save(tmp_path / "ppo")
    agent = Agent.load(find_agent(run))
    torch.testing.assert_close(agent.parameters, wrapped.parameters, rtol=0, atol=0)
    assert (agent.spec, agent.env) == (wrapped.spec, EnvConfig("toy"))
    world = RealWorld(agent)
    world.reset(3)
    assert world.step().step == 0
    report = evaluate(run, episodes=2)
    assert report["parameters"] == len(agent.parameters) == 20 * 8 + 8 + 8 * 8 + 8 + 8 + 1
    assert report["episodes"] == evaluate(wrapped, episodes=2)["episodes"]  # not those of the run's own agent
    assert report["episodes"] != evaluate(tiny_run, episodes=2)["episodes"]
    assert report["controller"] != evaluate(wrapped, episodes=1)["controller"]  # of a file, and of the numbers alone
    with pytest.raises(UserError, match=r"There is something at .*ppo already"):
        wrapped.save(run)
    assert Stage(run, "controller").complete


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"activation_fn": nn.ELU}, {}, "ReLU or Tanh, are expected .* got ELU"),
        ({}, {"features": "z"}, r"takes 20 numbers; .* 4 \('z'\), 20 \('zh'\), 36 \('zch'\)"),
    ],
)
def test_what_cannot_be_wrapped_is_refused(
    changes: dict[str, Any], options: dict[str, Any], message: str, tiny_run: Path
):
    model = sb3.PPO("MlpPolicy", DreamEnv(tiny_run), n_steps=8, batch_size=8, device="cpu", policy_kwargs=changes)
    with pytest.raises(UserError, match=message):
        wrap(model, tiny_run, **options)


def test_other_kinds_of_models_are_refused(tiny_run: Path):
    from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

    normalised = VecNormalize(DummyVecEnv([lambda: DreamEnv(tiny_run)]))
    with pytest.raises(UserError, match="VecNormalize"):
        wrap(sb3.PPO("MlpPolicy", normalised, n_steps=8, batch_size=8, device="cpu"), tiny_run)
    with pytest.raises(UserError, match="DQN with DQNPolicy cannot be wrapped"):
        wrap(sb3.DQN("MlpPolicy", gym.make("CartPole-v1"), device="cpu", buffer_size=10), tiny_run)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_a_network_is_its_layers_for_one_lane_or_many(activation: str):
    kind = {"relu": nn.ReLU, "tanh": nn.Tanh}[activation]
    box = ActionSpec("box", (-1.0, 0.0), (2.0, 1.0), (1.0, 1.0), (0.0, 0.0))
    nets = [nn.Sequential(nn.Linear(5, 7), kind(), nn.Linear(7, 6), kind(), nn.Linear(6, 2)) for _ in range(3)]
    weights = [flatten([(net[i].weight, net[i].bias) for i in (0, 2, 4)]) for net in nets]
    features = 4 * torch.randn(3, 5)
    with torch.no_grad():
        raw = torch.cat([net(row[None]) for net, row in zip(nets, features, strict=True)])
    for output, expected in (
        ("clip", raw.clamp(torch.tensor([-1.0, 0.0]), torch.tensor([2.0, 1.0]))),
        ("scale", torch.stack([0.5 + 1.5 * raw[:, 0].tanh(), 0.5 + 0.5 * raw[:, 1].tanh()], 1)),
        ("squash", torch.stack([raw[:, 0].tanh(), raw[:, 1].tanh().clamp(min=0)], 1)),
    ):
        controller = NetworkController(5, box, NetworkSpec("z", layers=(7, 6), activation=activation, output=output))
        assert controller.parameter_count == 6 * 7 + 8 * 6 + 7 * 2
        torch.testing.assert_close(controller.act(torch.stack(weights), features), expected)
        alone = torch.cat([controller.act(w, row[None]) for w, row in zip(weights, features, strict=True)])
        torch.testing.assert_close(alone, expected)
    choices = ActionSpec("discrete", (0.0,) * 2, (1.0,) * 2, (1.0,) * 2, (0.0,) * 2, (0, 1))
    chosen = NetworkController(5, choices, NetworkSpec("z", layers=(7, 6), activation=activation, output="clip"))
    assert chosen.act(torch.stack(weights), features).argmax(1).tolist() == raw.argmax(1).tolist()


def test_the_real_world_is_an_environment_of_features(tiny_run: Path, make_model: Callable[..., Any]):
    check_env(RealEnv(tiny_run), skip_render_check=True)
    env, agent = RealEnv(tiny_run), Agent.load(tiny_run)
    observation, _ = env.reset(seed=3)
    total, over = 0.0, False
    while not over:
        action = agent.controller.act(agent.parameters, torch.from_numpy(observation)[None])[0].numpy()
        observation, reward, terminated, truncated, _ = env.step(action)
        total, over = total + reward, terminated or truncated
    assert total > 0
    env.close()
    choices = ActionSpec("discrete", (0.0,) * 2, (1.0,) * 2, (1.0,) * 2, (0.0,) * 2, (0, 1))
    assert RealEnv(make_model(action_spec=choices)).action_space.n == 2

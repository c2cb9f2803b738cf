"""Dreams for Stable-Baselines3: its own contract of vectorised environments, and learning in it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rollouts import UserError

pytest.importorskip("stable_baselines3")

from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecMonitor

from worldmodels.dream_env import DreamVectorEnv
from worldmodels.sb3_env import DreamVecEnv


def test_lanes_that_are_over_begin_anew_and_say_how_they_ended(make_model):
    envs = DreamVecEnv(8, make_model(ends=60), horizon=15, starts="episode")
    observations = envs.reset()
    assert observations.shape == (8, 12)
    rng, ends, horizons = np.random.default_rng(0), 0, 0
    for _ in range(100):
        observations, rewards, over, infos = envs.step(rng.uniform(-1, 1, (8, 1)).astype(np.float32))
        assert (observations.dtype, rewards.dtype, over.dtype) == (np.float32, np.float32, np.bool_)
        for lane, info in enumerate(infos):
            assert ("terminal_observation" in info) == over[lane]
            if over[lane]:
                assert not observations[lane, 4:].any()  # an episode begins without memory
                assert info["terminal_observation"][4:].any()
                horizons, ends = horizons + info["TimeLimit.truncated"], ends + (not info["TimeLimit.truncated"])
    assert ends > 10
    assert horizons > 5


def test_seeds_are_those_of_the_lanes_and_count_once(make_model):
    envs, plain = DreamVecEnv(3, make_model()), DreamVectorEnv(3, make_model())
    envs.seed(5)
    np.testing.assert_array_equal(envs.reset(), plain.reset(seed=[5, 6, 7])[0])
    again = envs.reset()
    assert not np.allclose(again, plain.reset(seed=[5, 6, 7])[0])


def test_attributes_are_those_of_all_lanes(make_model):
    envs = DreamVecEnv(3, make_model(), render_mode="rgb_array")
    envs.reset()
    assert envs.get_attr("render_mode", [0, 2]) == ["rgb_array"] * 2
    assert envs.render().shape == (128, 128, 3)  # tiled by SB3
    envs.set_attr("note", 1)
    assert envs.get_attr("note") == [1] * 3
    with pytest.raises(UserError, match="are one environment"):
        envs.set_attr("note", 2, indices=[0])
    with pytest.raises(UserError, match="'reset' cannot be called"):
        envs.env_method("reset")


def test_ppo_learns_in_it(make_model):
    envs = VecMonitor(DreamVecEnv(8, make_model(), horizon=10))
    agent = PPO("MlpPolicy", envs, n_steps=16, batch_size=64, n_epochs=2, seed=0, device="cpu")
    before = [parameter.clone() for parameter in agent.policy.parameters()]
    agent.learn(256)
    assert any(not torch.equal(a, b) for a, b in zip(before, agent.policy.parameters(), strict=True))
    assert {episode["l"] for episode in agent.ep_info_buffer} == {10}

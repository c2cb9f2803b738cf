"""The dream as a citizen of Gymnasium, single and vectorised."""

from __future__ import annotations

import warnings

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers.vector import RecordEpisodeStatistics

from rollouts import UserError
from rollouts.envs.actions import ActionSpec
from worldmodels import DreamEnv, DreamVectorEnv

DISCRETE = ActionSpec("discrete", (0.0,) * 3, (1.0,) * 3, (1.0,) * 3, (0.0,) * 3, (0, 1, 2))


def play(envs: DreamVectorEnv, actions: np.ndarray, seed: int = 0) -> list[np.ndarray]:
    """Observations ``[T+1, N, F]``, and rewards, terminated, truncated ``[T, N]``."""
    observations, rows = [envs.reset(seed=seed)[0]], []
    for action in actions:
        observation, *row, _ = envs.step(action)
        observations.append(observation)
        rows.append(row)
    return [np.stack(observations), *(np.stack(column) for column in zip(*rows, strict=True))]


def random_actions(steps: int, lanes: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (steps, lanes, 1)).astype(np.float32)


@pytest.fixture
def envs(make_model):
    """Lanes that end by themselves after some ten steps, or else at their horizon; starts have no memory."""
    return DreamVectorEnv(8, make_model(ends=60), horizon=15, starts="episode")


def check_without_warnings(env: gym.Env) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", ".*A Box observation space .* value is -?infinity")  # latents have no bounds
        warnings.filterwarnings("ignore", ".*Not able to test alternative render modes")
        check_env(env)


def test_gymnasiums_own_checker_is_content(tiny_run, make_model):
    check_without_warnings(gym.make("worldmodels/Dream-v0", run=tiny_run, render_mode="rgb_array").unwrapped)
    check_without_warnings(DreamEnv(make_model(ends=60, action_spec=DISCRETE), horizon=20))


def test_it_is_made_by_its_id_from_a_run(tiny_run):
    env = gym.make("worldmodels/Dream-v0", run=tiny_run, temperature=1.15, horizon=5, render_mode="rgb_array")
    observation, _ = env.reset(seed=0)
    assert observation.shape == (4 + 16,)
    assert env.render().shape == (64, 64, 3)
    ends = [env.step(env.action_space.sample())[2:4] for _ in range(5)]
    assert any(map(any, ends))
    with pytest.raises(UserError, match="needs a world model"):
        gym.make("worldmodels/Dream-v0")


def test_the_vector_version_is_made_by_the_same_id(tiny_run):
    envs = gym.make_vec("worldmodels/Dream-v0", num_envs=3, run=tiny_run, features="z")
    assert isinstance(envs.unwrapped, DreamVectorEnv)
    observations, _ = envs.reset(seed=0)
    assert observations in envs.observation_space
    assert envs.observation_space.shape == (3, 4)
    assert envs.action_space.shape == (3, 1)
    assert envs.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP


def test_types_and_shapes_are_those_of_a_vector_environment(envs):
    envs.reset(seed=0)
    observations, rewards, terminated, truncated, info = envs.step(envs.action_space.sample())
    assert observations in envs.observation_space
    assert (rewards.dtype, terminated.dtype, truncated.dtype) == (np.float64, np.bool_, np.bool_)
    assert rewards.shape == terminated.shape == truncated.shape == (8,)
    assert info == {}


def test_a_lane_that_ended_shows_its_last_observation_and_is_reset_by_the_next_step(envs):
    observations, rewards, terminated, truncated = play(envs, random_actions(200, 8))
    over, memory = terminated | truncated, observations[:, :, 4:].any(2)
    assert terminated.sum() > 20
    assert truncated.sum() > 20
    assert not (terminated & truncated).any()
    assert memory[1:][over].all()  # the terminal observation, not that of a reset
    just_reset = np.zeros_like(over)
    just_reset[1:] = over[:-1]
    assert not memory[1:][just_reset].any()  # episodes begin without memory
    assert memory[1:][~just_reset].all()
    assert not rewards[just_reset].any()
    assert rewards[~just_reset].all()
    assert not over[just_reset].any()
    assert len(np.unique(observations[1:][just_reset], axis=0)) == just_reset.sum()


def test_truncation_comes_at_the_horizon_counted_from_each_lanes_own_reset(envs):
    *_, terminated, truncated = play(envs, random_actions(200, 8))
    for lane in range(8):
        age = 0
        for end, cut in zip(terminated[:, lane], truncated[:, lane], strict=True):
            age += 1
            assert cut == (age == 15 and not end)
            if end or cut:
                age = -1  # the step of the reset does not count


def test_the_step_that_resets_a_lane_ignores_its_action(envs):
    actions = random_actions(100, 8)
    one = play(envs, actions)
    just_reset = np.zeros((100, 8), bool)
    just_reset[1:] = (one[2] | one[3])[:-1]
    actions[just_reset] = 1.0
    for before, after in zip(one, play(envs, actions), strict=True):
        np.testing.assert_array_equal(after, before)


def test_lanes_are_independent(envs):
    actions, others = random_actions(100, 8), random_actions(100, 8, seed=1)
    others[:, 3] = actions[:, 3]
    for one, two in zip(play(envs, actions), play(envs, others), strict=True):
        np.testing.assert_allclose(one[:, 3], two[:, 3], atol=1e-5)
        assert one.dtype == bool or not np.allclose(one[:, 2], two[:, 2])


def test_the_seed_decides_everything_and_without_one_the_luck_goes_on(envs):
    actions = random_actions(40, 8)
    one, again, other = play(envs, actions, 1), play(envs, actions, 1), play(envs, actions, 2)
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert not np.allclose(one[0][0], other[0][0])
    envs.reset(seed=1)
    second = envs.reset()[0]
    assert not np.allclose(second, one[0][0])
    envs.reset(seed=1)
    assert np.array_equal(envs.reset()[0], second)


def test_a_seed_for_every_lane_seeds_every_lane(envs):
    one, _ = envs.reset(seed=list(range(8)))
    two, _ = envs.reset(seed=[0, 1, 2, 3, 4, 5, 6, 99])
    assert np.array_equal(one[:7], two[:7])
    assert not np.allclose(one[7], two[7])


def test_a_single_dream_is_a_function_of_its_seed_too(make_model):
    env, steps = DreamEnv(make_model()), random_actions(10, 1)[:, 0]

    def dreamed(seed: int) -> np.ndarray:
        return np.stack([env.reset(seed=seed)[0], *(env.step(action)[0] for action in steps)])

    assert np.array_equal(dreamed(1), dreamed(1))
    assert not np.allclose(dreamed(1), dreamed(2))


def test_observations_belong_to_the_caller(make_model):
    envs = DreamVectorEnv(2, make_model(), features="z")
    actions = random_actions(2, 2)
    expected = play(envs, actions)[0][2]
    observation, _ = envs.reset(seed=0)
    observation[:] = 99.0
    observation = envs.step(actions[0])[0]
    observation[:] = 99.0
    np.testing.assert_array_equal(envs.step(actions[1])[0], expected)


def test_actions_beyond_the_space_are_clipped_into_it(make_model):
    env = DreamEnv(make_model())
    env.reset(seed=0)
    far = env.step(np.array([9.0], np.float32))[0]
    env.reset(seed=0)
    np.testing.assert_array_equal(env.step(np.array([1.0], np.float32))[0], far)


def test_discrete_actions_reach_m_as_one_hot_vectors(make_model):
    model = make_model(action_spec=DISCRETE)
    env = DreamEnv(model, starts="episode")
    assert env.action_space == gym.spaces.Discrete(3)
    z = torch.tensor(env.reset(seed=0)[0][:4])[None]
    h = env.step(np.int64(2))[0][4:]
    expected = model.remember(z, torch.tensor([[0.0, 0.0, 1.0]]), model.initial_state(1))
    np.testing.assert_allclose(h, expected["h"][0], atol=1e-6)


def test_rendering_gives_one_frame_per_lane_and_none_unasked(make_model, envs):
    lanes = DreamVectorEnv(3, make_model(), render_mode="rgb_array")
    lanes.reset(seed=0)
    frames = lanes.render()
    assert isinstance(frames, tuple)
    assert [frame.shape for frame in frames] == [(64, 64, 3)] * 3
    envs.reset(seed=0)
    assert envs.render() is None


def modes(make_model, *names: str) -> list[DreamVectorEnv]:
    """The same dreams, which differ in what becomes of lanes that are over."""
    model = make_model(ends=60)
    return [DreamVectorEnv(8, model, horizon=15, starts="episode", autoreset_mode=name) for name in names]


def test_modes_are_those_of_gymnasium(make_model):
    for mode in AutoresetMode:
        for named in (mode, mode.value):
            envs = DreamVectorEnv(2, make_model(), autoreset_mode=named)
            assert envs.autoreset_mode is envs.metadata["autoreset_mode"] is mode
    assert DreamVectorEnv.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    envs = gym.make_vec("worldmodels/Dream-v0", 2, run=make_model(), autoreset_mode="SameStep")
    assert envs.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP


def test_the_same_step_resets_a_lane_and_keeps_its_last_observation(make_model):
    envs, actions = modes(make_model, "SameStep")[0], random_actions(200, 8)
    envs.reset(seed=0)
    ends = 0
    for action in actions:
        observation, reward, terminated, truncated, info = envs.step(action)
        over = terminated | truncated
        assert reward.all()  # every step is one of an episode
        assert not observation[over, 4:].any()  # episodes begin without memory
        assert observation[~over, 4:].any(1).all()
        assert ("final_obs" in info) == bool(over.any())
        if over.any():
            assert np.array_equal(info["_final_obs"], over)
            assert np.array_equal(info["_final_info"], over)
            assert all((last is not None) == ended for last, ended in zip(info["final_obs"], over, strict=True))
            assert np.stack(info["final_obs"][over])[:, 4:].any(1).all()
        ends += int(over.sum())
    assert ends > 50


def test_all_modes_dream_the_same_first_episode(make_model):
    runs = []
    for envs in modes(make_model, "NextStep", "SameStep", "Disabled"):
        seen, over = [envs.reset(seed=0)[0]], np.zeros(8, bool)
        while not over.any():
            observation, _, terminated, truncated, info = envs.step(random_actions(1, 8)[0])
            over = terminated | truncated
            for lane in np.flatnonzero(info.get("_final_obs", [])):
                observation[lane] = info["final_obs"][lane]
            seen.append(observation)
        runs.append(np.stack(seen))
    for other in runs[1:]:
        np.testing.assert_array_equal(other, runs[0])


def test_without_autoreset_lanes_wait_for_a_mask(make_model):
    envs = modes(make_model, "Disabled")[0]
    envs.reset(seed=0)
    over = np.zeros(8, bool)
    while not over.any():
        before, _, terminated, truncated, _ = envs.step(random_actions(1, 8)[0])
        over = terminated | truncated
    lane = int(np.flatnonzero(over)[0])
    with pytest.raises(UserError, match=rf"over \({lane}.*reset_mask"):
        envs.step(random_actions(1, 8)[0])
    for mask in (over[:3], over.astype(int), over.tolist()):
        with pytest.raises(UserError, match="array of 8 booleans"):
            envs.reset(options={"reset_mask": mask})
    with pytest.raises(UserError, match="a seed is for all lanes"):
        envs.reset(seed=1, options={"reset_mask": over})
    after, _ = envs.reset(options={"reset_mask": over})
    np.testing.assert_array_equal(after[~over], before[~over])
    assert not after[over, 4:].any()
    envs.step(random_actions(1, 8)[0])


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_gymnasiums_own_statistics_count_episodes_in_every_mode(make_model, mode):
    envs, lengths = RecordEpisodeStatistics(modes(make_model, mode)[0]), []
    envs.reset(seed=0)
    for action in random_actions(100, 8):
        *_, info = envs.step(action)
        if "episode" in info:
            lengths += info["episode"]["l"][info["_episode"]].tolist()
    assert len(lengths) > 20
    assert max(lengths) == 15
    assert min(lengths) >= 1


def test_episode_statistics_can_be_recorded_around_it(envs):
    recorder = RecordEpisodeStatistics(envs)
    _, rewards, terminated, truncated = play(envs, random_actions(60, 8))
    first_end = int(np.argmax(terminated[:, 0] | truncated[:, 0]))
    recorder.reset(seed=0)
    for action in random_actions(60, 8)[: first_end + 1]:
        *_, info = recorder.step(action)
    assert info["episode"]["l"][0] == first_end + 1
    assert info["episode"]["r"][0] == pytest.approx(rewards[: first_end + 1, 0].sum(), rel=1e-4)


def test_stable_baselines_can_learn_in_it(tiny_run):
    ppo = pytest.importorskip("stable_baselines3").PPO
    env = gym.make("worldmodels/Dream-v0", run=tiny_run, horizon=20)
    agent = ppo("MlpPolicy", env, n_steps=64, batch_size=32, n_epochs=2, seed=0, device="cpu")
    before = [parameter.clone() for parameter in agent.policy.parameters()]
    agent.learn(256)
    assert agent.num_timesteps == 256
    assert any(not torch.equal(a, b) for a, b in zip(before, agent.policy.parameters(), strict=True))
    action, _ = agent.predict(env.reset(seed=0)[0])
    assert action in env.action_space

"""Recording: the time convention, on an environment whose answers are known."""

from __future__ import annotations

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest

from rollouts import EnvConfig, EpisodeStore, UserError, make_env
from rollouts.collect import CollectConfig, collect, record_episode
from rollouts.envs.presets import resolve
from rollouts.envs.toy import ToyEnv
from rollouts.episodes import falls
from rollouts.policies import POLICIES
from rollouts.runs.stage import Stage


def test_an_episode_of_t_steps_holds_t_plus_1_observations_and_t_of_the_rest(toy_episodes):
    for episode in toy_episodes:
        steps = len(episode)
        assert episode.observations.shape == (steps + 1, 64, 64, 3)
        assert episode.actions.shape == (steps, 1)
        assert len(episode.rewards) == len(episode.terminated) == len(episode.truncated) == steps


def test_observations_follow_the_actions_between_them(toy_episodes, read_toy):
    for episode in toy_episodes:
        x, wind = read_toy(episode.observations[0])
        for frame, action in zip(episode.observations[1:-1], episode.actions[:-1, 0], strict=True):
            x += 0.15 * action + 0.06 * wind
            assert read_toy(frame)[0] == pytest.approx(x, abs=0.02)


def test_a_fall_terminates_at_the_last_step_and_nowhere_else(toy_episodes):
    fallen = [episode for episode in toy_episodes if len(episode) < 50]
    assert len(fallen) > 5
    for episode in fallen:
        assert episode.terminated.tolist() == [False] * (len(episode) - 1) + [True]
        assert not episode.truncated.any()
        assert episode.rewards[-1] < 0  # |x| > 1


@pytest.mark.parametrize(("limit", "steps"), [(7, 7), (500, 50)])
def test_the_recorders_limit_and_the_environments_own_truncate_and_do_not_terminate(limit, steps):
    def stay(seed, spec):
        env = ToyEnv()
        env.reset(seed=seed)

        def act(frame):
            action = np.clip([-0.4 * env.wind - 6 * env.x], -1, 1)
            env.step(action)
            return action

        return act

    episode = record_episode(make_env("toy"), stay, "stay", seed=3, max_steps=limit)
    assert len(episode) == steps
    assert episode.truncated.tolist() == [False] * (steps - 1) + [True]
    assert not episode.terminated.any()


def test_an_end_at_the_limit_is_an_end(toy_episodes):
    full = next(episode for episode in toy_episodes if episode.terminated[-1])
    again = record_episode(make_env("toy"), POLICIES["held"], "held", full.seed, max_steps=len(full))
    assert again.terminated[-1]
    assert not again.truncated[-1]


def test_an_episode_is_a_function_of_its_seed():
    env, other = make_env("toy"), make_env("toy")
    record_episode(other, POLICIES["held"], "held", 9, 50)  # another past
    one, two = (record_episode(e, POLICIES["held"], "held", 4, 50) for e in (env, other))
    assert np.array_equal(one.observations, two.observations)
    assert np.array_equal(one.actions, two.actions)
    three = record_episode(env, POLICIES["held"], "held", 5, 50)
    assert not np.array_equal(one.observations[0], three.observations[0])


def test_the_same_command_adds_only_the_missing_episodes(tmp_path):
    env = EnvConfig("toy")
    store = collect(CollectConfig(3), env, tmp_path, workers=0)
    before = {file: file.stat().st_mtime_ns for file in store.files}
    store.files[1].unlink()
    again = collect(CollectConfig(5), env, tmp_path, workers=0)
    assert len(again) == 5
    assert sum(file in before and file.stat().st_mtime_ns == before[file] for file in again.files) == 2
    manifest = Stage(tmp_path, "rollouts").manifest
    assert manifest["complete"]
    assert manifest["episodes"] == 5
    assert manifest["steps"] == sum(len(episode) for episode in EpisodeStore(store.path))


def test_the_estimate_of_a_world_without_a_limit_is_that_of_the_recorder(tmp_path, monkeypatch, capsys):
    preset = replace(resolve(EnvConfig("toy")), max_episode_steps=None)
    monkeypatch.setattr("rollouts.collect.resolve", lambda env: preset)
    collect(CollectConfig(1, max_steps=1500), EnvConfig("toy"), tmp_path, workers=0)
    assert "1 episodes of at most 1500 steps" in capsys.readouterr().err


def test_options_that_make_no_sense_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(UserError, match="at least 1, got 0"):
        collect(CollectConfig(0), EnvConfig("toy"), tmp_path / "run", workers=0)
    with pytest.raises(UserError, match="NoSuchEnv"):
        collect(CollectConfig(1), EnvConfig("NoSuchEnv-v0"), tmp_path / "run", workers=0)
    assert not (tmp_path / "run").exists()


class Tired(ToyEnv):
    """The toy, with strength that every step costs a point of."""

    def reset(self, **options):
        frame, info = super().reset(**options)
        self.strength = 9.0
        return frame, {**info, "strength": np.array([self.strength])}

    def step(self, action):
        frame, reward, terminated, truncated, info = super().step(action)
        self.strength -= 1
        return frame, reward, terminated, truncated, {**info, "strength": self.strength, "mood": "grim"}


def test_a_watched_variable_is_recorded_before_and_after_every_step(tmp_path):
    gym.register("Tired-v0", Tired, max_episode_steps=5)
    try:
        env = make_env(EnvConfig("Tired-v0", watch="strength"))
        episode = record_episode(env, POLICIES["held"], "held", 3, 5)
        assert episode.watched.tolist() == [9.0, 8.0, 7.0, 6.0, 5.0, 4.0]
        assert falls(episode.watched).tolist() == [1.0] * 5
        store = EpisodeStore(tmp_path)
        assert np.array_equal(store.load(store.append(episode)).watched, episode.watched)
        assert record_episode(make_env("Tired-v0"), POLICIES["held"], "held", 3, 5).watched is None
        with pytest.raises(UserError, match=r"--env\.watch health: .* reports no such number, only strength"):
            record_episode(make_env(EnvConfig("Tired-v0", watch="health")), POLICIES["held"], "held", 3, 5)
        with pytest.raises(UserError, match="mood"):
            record_episode(make_env(EnvConfig("Tired-v0", watch="mood")), POLICIES["held"], "held", 3, 5)
    finally:
        del gym.registry["Tired-v0"]

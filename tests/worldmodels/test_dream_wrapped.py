"""Gymnasium's wrappers around the dream, and TorchRL's."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from types import ModuleType

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode
from gymnasium.wrappers import RecordEpisodeStatistics, RecordVideo

import worldmodels  # noqa: F401  (makes worldmodels/Dream-v0 known)
from worldmodels import DreamVectorEnv

HORIZON = 6


def dream(run: Path, **options: object) -> gym.Env:
    return gym.make("worldmodels/Dream-v0", run=run, horizon=HORIZON, **options)


def test_statistics_of_single_dreams_add_up(tiny_run: Path):
    env = RecordEpisodeStatistics(dream(tiny_run))
    env.reset(seed=3)
    rewards, over = [], False
    while not over:
        _, reward, terminated, truncated, info = env.step(env.action_space.sample())
        rewards.append(reward)
        over = terminated or truncated
    assert info["episode"]["l"] == len(rewards) <= HORIZON
    assert info["episode"]["r"] == pytest.approx(sum(rewards), abs=1e-4)


def test_a_dream_can_be_filmed(tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """MoviePy, which RecordVideo writes with, is a stand-in: it allows no current Pillow beside it."""
    films: list[tuple[list[np.ndarray], str]] = []

    class ImageSequenceClip:
        def __init__(self, frames: list[np.ndarray], fps: float) -> None:
            self.frames = frames

        def write_videofile(self, path: str, **options: object) -> None:
            films.append((self.frames, path))

    modules = {name: ModuleType(name) for name in ("moviepy", "moviepy.video.io.ImageSequenceClip")}
    modules["moviepy.video.io.ImageSequenceClip"].ImageSequenceClip = ImageSequenceClip
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    env = RecordVideo(dream(tiny_run, render_mode="rgb_array"), str(tmp_path), disable_logger=True)
    env.reset(seed=0)
    steps, over = 0, False
    while not over:
        *_, terminated, truncated, _ = env.step(env.action_space.sample())
        steps, over = steps + 1, terminated or truncated
    env.close()
    [(frames, path)] = films
    assert path.startswith(str(tmp_path))
    assert len(frames) == steps + 1
    assert {(frame.shape, frame.dtype) for frame in frames} == {((64, 64, 3), np.dtype(np.uint8))}


@pytest.mark.slow
def test_dreams_in_processes_are_those_in_one(tiny_run: Path):
    """Two processes of one dream each: every lane is what a single dream with its seed is."""
    envs = AsyncVectorEnv([partial(dream, tiny_run)] * 2, context="spawn")
    try:
        observations, _ = envs.reset(seed=[5, 6])
        actions = np.zeros(envs.action_space.shape, np.float32)
        following = envs.step(actions)[0]
    finally:
        envs.close()
    for lane, seed in enumerate((5, 6)):
        env = dream(tiny_run)
        assert np.array_equal(env.reset(seed=seed)[0], observations[lane])
        assert np.array_equal(env.step(actions[lane])[0], following[lane])


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.DISABLED])
def test_torchrl_takes_lanes_and_counts_their_episodes(tiny_run: Path, mode: AutoresetMode):
    envs = pytest.importorskip("torchrl.envs")
    env = envs.GymWrapper(DreamVectorEnv(3, tiny_run, horizon=4, autoreset_mode=mode))
    batch = env.rollout(9, break_when_any_done=False)
    assert batch.batch_size == (3, 9)
    done = batch["next", "done"].squeeze(-1)
    assert done[:, 3].all()  # the horizon, unless M ended it before
    plain = DreamVectorEnv(3, tiny_run, horizon=4, autoreset_mode=mode)
    assert plain.reset(seed=0)[0].shape == batch["observation"][:, 0].shape

"""What several tests share: a tiny trained run, random world models, recorded episodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from agents import Agent
from agents.controller import ControllerSpec
from agents.learning.config import ControllerConfig
from agents.learning.learn import evolve
from rollouts import EnvConfig, Episode, EpisodeStore, make_env
from rollouts.collect import CollectConfig, collect, record_episode
from rollouts.envs.actions import ActionSpec
from rollouts.envs.presets import resolve
from rollouts.policies import POLICIES
from worldmodels import MDNRNN, ConvVAE, WorldModel
from worldmodels.configs import MDNRNNConfig, VAEConfig
from worldmodels.fit_mdn_rnn import fit_mdn_rnn
from worldmodels.fit_vae import fit_vae
from worldmodels.starts import DreamStarts

TOY_ACTION = ActionSpec("box", (-1.0,), (1.0,), (1.0,), (0.0,))

torch.set_num_threads(1)  # small tensors on few cores: threads only wait for each other


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run on ``toy``, every stage trained for a moment. Read it, do not write to it."""
    run, device, env = tmp_path_factory.mktemp("runs") / "tiny", torch.device("cpu"), EnvConfig("toy")
    store = collect(CollectConfig(episodes=12, max_steps=50), env, run, workers=0)
    vae = VAEConfig(
        latent_size=4, steps=24, batch_size=16, learning_rate=1e-3, kl_floor=0.1, log_every=8, checkpoint_every=24
    )
    mdnrnn = MDNRNNConfig(
        hidden_size=16,
        mixtures=3,
        steps=60,
        batch_size=16,
        sequence_length=24,
        learning_rate=5e-3,
        starts=32,
        log_every=20,
        checkpoint_every=60,
    )
    controller = ControllerConfig(
        spec=ControllerSpec("zh"),
        generations=2,
        population=4,
        rollouts=2,
        sigma=0.3,
        max_steps=50,
        validation_every=2,
        validation_episodes=2,
    )
    fit_vae(vae, run, [store], device)
    fit_mdn_rnn(mdnrnn, run, [store], device)
    evolve(controller, run, env, 0, device)
    return run


@pytest.fixture(scope="session")
def toy_episodes() -> list[Episode]:
    """Twelve recorded episodes of ``toy``, of different lengths."""
    env = make_env("toy")
    return [record_episode(env, POLICIES["held"], "held", seed, 50) for seed in range(12)]


@pytest.fixture
def toy_store(tmp_path: Path, toy_episodes: Sequence[Episode]) -> EpisodeStore:
    """The same episodes on disk, in a folder of the test's own."""
    store = EpisodeStore(tmp_path / "episodes")
    for episode in toy_episodes:
        store.append(episode)
    return store


@lru_cache
def _vae(latent_size: int) -> ConvVAE:
    torch.manual_seed(latent_size)
    return ConvVAE(latent_size).eval()


@pytest.fixture(scope="session")
def make_model() -> Callable[..., WorldModel]:
    """Makes world models of ``toy`` with random weights, which need no training.

    Half of their starts are warm. ``ends`` scales the termination head: 0 means that no end is ever predicted, 60
    that lanes end after some ten steps, each at its own moment.
    """

    def make(
        latent_size: int = 4,
        hidden_size: int = 8,
        mixtures: int = 3,
        ends: float = 0.0,
        action_spec: ActionSpec = TOY_ACTION,
        **heads: bool,
    ) -> WorldModel:
        torch.manual_seed(0)
        mdnrnn = MDNRNN(latent_size, action_spec.size, hidden_size, mixtures, **heads)
        if mdnrnn.termination_head is not None:
            with torch.no_grad():
                mdnrnn.termination_head.weight *= ends
                mdnrnn.termination_head.bias.fill_(-6.0)
        warm = torch.arange(16) % 2 == 0
        h, c = torch.randn(2, 16, hidden_size).clamp(-0.9, 0.9) * warm[:, None]
        starts = DreamStarts(torch.randn(16, latent_size), torch.full((16, latent_size), -2.0), {"h": h, "c": c}, warm)
        return WorldModel(
            _vae(latent_size),
            mdnrnn,
            EnvConfig("toy"),
            action_spec,
            resolve("toy").observation_hash,
            starts,
        ).frozen()

    return make


@pytest.fixture(scope="session")
def read_toy() -> Callable[[NDArray[np.uint8]], tuple[float, float]]:
    """Reads ``(x, wind)`` off a frame of ``toy``: the block's centre of mass, and the colour of the sky."""

    def read(frame: NDArray[np.uint8]) -> tuple[float, float]:
        sky = frame[0, 0].astype(float)
        cover = ((frame[38] - sky) / (255 - sky)).mean(axis=1)
        centre = float((cover * (np.arange(64) + 0.5)).sum() / cover.sum())
        return (centre - 32) / 26, 1.0 if sky[0] > sky[2] else -1.0

    return read


@pytest.fixture(scope="session")
def play_alone() -> Callable[[Agent, int], tuple[float, int]]:
    """Plays one episode with one agent in one environment, step by step: ``(return, length)``."""

    def play(agent: Agent, seed: int) -> tuple[float, int]:
        env, acting, total, length, over = make_env(agent.env), agent.begin(seed), 0.0, 0, False
        frame, _ = env.reset(seed=seed)
        while not over:
            action = acting.act(frame)
            acting.remember(action)
            frame, reward, terminated, truncated, _ = env.step(action)
            total, length, over = total + reward, length + 1, terminated or truncated
        return total, length

    return play

"""The nine ways in which ports of Take Cover have been broken without a word, one test each.

They run without ViZDoom, on a stand-in with the same frames, actions, points and ends; ``tests/rollouts/test_doom.py``
has what needs the real one. The same mistakes for any environment are in ``test_known_mistakes.py``.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch

import agents.lanes
from agents import LinearController
from agents.fitness import evaluate_lanes
from agents.lanes import RealLanes
from agents.pipeline.presets import PRESETS
from rollouts import Episode, EpisodeStore
from rollouts.collect import record_episode
from rollouts.envs.config import EnvConfig
from rollouts.envs.image_env import ImageEnv
from rollouts.envs.presets import resolve
from rollouts.policies import POLICIES
from worldmodels import MDNRNN, WorldModel
from worldmodels.data.frames import read_frames
from worldmodels.data.latents import LatentEpisode, LatentWindows, encode_episode, encoder
from worldmodels.data.stream import LatentStream
from worldmodels.dream import Dream
from worldmodels.fit_mdn_rnn import mdn_rnn_loss
from worldmodels.mixture import mixture_nll
from worldmodels.starts import DreamStarts

CPU = torch.device("cpu")
PRESET = PRESETS["takecover"]
#: As docs/takecover.md says it: death alone, as the paper has it.
PAPERS_WAY = replace(PRESET.controller, falls="ignored", ends="sampled", starts="episode", max_steps=2100)
LATENTS, UNITS = 64, 512


class StandIn(gym.Env):
    """Looks and ends as ``VizdoomTakeCover-v1``. The screen's grey is the episode's number, a bright row the tic."""

    observation_space = gym.spaces.Dict({"screen": gym.spaces.Box(0, 255, (240, 320, 3), np.uint8)})
    action_space = gym.spaces.Discrete(3)

    def __init__(self) -> None:
        self.episode, self.tic, self.done = 0, 0, []

    def screen(self) -> np.ndarray:
        frame = np.full((240, 320, 3), 10 * self.episode, np.uint8)
        frame[72 + 2 * self.tic : 74 + 2 * self.tic] = 255
        return frame

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode, self.tic, self.life = self.episode + 1, 0, int(self.np_random.integers(8, 30))
        return {"screen": self.screen()}, {"HEALTH": 100.0}

    def step(self, action):
        self.done.append(int(action))
        self.tic += 1
        dead = self.tic >= self.life
        screen = np.zeros((240, 320, 3), np.uint8) if dead else self.screen()
        return {"screen": screen}, 1.0, dead, False, {"HEALTH": -68.0 if dead else 100.0}


@pytest.fixture
def doom() -> ImageEnv:
    return ImageEnv(StandIn(), resolve("takecover"))


def recorded(env: ImageEnv, seeds: range = range(4)) -> list[Episode]:
    return [record_episode(env, POLICIES["held"], "held", seed, 2100) for seed in seeds]


@pytest.fixture
def make_doom(make_model):
    """World models of Take Cover with random weights; half of their starts are warm."""

    def make(ends: float = 0.0, **heads: bool) -> WorldModel:
        heads = {"reward_head": False, "start_flag": True, **heads}
        model = make_model(LATENTS, UNITS, 5, ends, resolve("takecover").action, **heads)
        model.env, model.observation_hash = EnvConfig("takecover"), resolve("takecover").observation_hash
        return model

    return make


def test_1_ends_belong_to_the_actions_that_brought_them_and_the_fatal_one_is_kept(doom, make_doom, tmp_path):
    store, vae = EpisodeStore(tmp_path), make_doom().vae
    for seed in range(3):
        (episode,) = recorded(doom, range(seed, seed + 1))
        steps = len(episode)
        assert [doom.action_spec.to_env(action) for action in episode.actions] == doom.unwrapped.done[-steps:]
        assert steps == doom.unwrapped.life
        assert episode.terminated.tolist() == [False] * (steps - 1) + [True]
        assert episode.rewards.tolist() == [1.0] * steps
        # The black picture after it is kept too, but neither V nor M is to learn from it.
        assert episode.blank_end
        store.append(episode)
        assert read_frames([(store, store.file(episode.seed))]).any(axis=(1, 2, 3)).all()
        data = LatentWindows([encode_episode(encoder(vae, CPU), episode, Path("x"))], CPU)
        windows = data.window(torch.tensor([0]), torch.tensor([0]), steps + 3, 0, torch.Generator())
        assert windows.terminated[0, :steps].tolist() == episode.terminated.tolist()
        assert windows.counts[0].tolist() == [1.0] * steps + [0.0] * 3
        assert windows.pictured[0].tolist() == [1.0] * (steps - 1) + [0.0] * 4


def dying(rng: np.random.Generator, episodes: int) -> list[LatentEpisode]:
    """Latents of noise, in which one dimension says that the next step is the last; the last picture is black."""
    parts = []
    for _ in range(episodes):
        steps = int(rng.integers(20, 60))
        mean = rng.normal(size=(steps + 1, LATENTS))
        mean[:, 7] = np.where(np.arange(steps + 1) == steps - 1, 4.0, 0.0)
        mean[-1] = 1000.0
        parts.append(
            LatentEpisode(
                mean.astype(np.float16),
                np.full(mean.shape, -4.0, np.float16),
                rng.uniform(-1, 1, (steps, 1)).astype(np.float32),
                np.ones(steps, np.float32),
                np.arange(steps) == steps - 1,
                Path("x"),
                blank_end=True,
            )
        )
    return parts


def test_2_deaths_are_weighted_and_heard_through_64_latents(make_doom):
    config, rng = PRESET.mdnrnn, np.random.default_rng(0)
    assert config.death_weight == 10
    torch.manual_seed(0)
    mdnrnn = MDNRNN(LATENTS, 1, 32, 5, reward_head=False)
    optimiser = torch.optim.Adam(mdnrnn.parameters(), lr=0.01)
    data = LatentWindows(dying(rng, 60), CPU)
    stream = LatentStream(data, 32, mdnrnn.initial_state(16), seed=0)
    for step in range(80):
        windows, state = stream.windows(torch.Generator().manual_seed(step))
        prediction, after = mdnrnn(windows.z[:, :-1], windows.actions, state)
        stream.advance(after)
        optimiser.zero_grad()
        terms = mdn_rnn_loss(prediction, windows, config, 1.0)
        terms["loss"].backward()
        optimiser.step()
    assert terms["z_nll_per_dim"] < 3  # a black picture's z of 1000 would be heard
    held_out = LatentWindows(dying(rng, 40), CPU)
    foreseen, alarms, others = 0.0, 0.0, 0.0
    for number in range(40):
        windows = held_out.window(torch.tensor([number]), torch.tensor([0]), 60, 0, torch.Generator())
        alarm = (mdnrnn(windows.z[:, :-1], windows.actions)[0].termination > 0) & windows.counts.bool()
        foreseen += float((alarm * windows.terminated).sum())
        alarms += float((alarm * (1 - windows.terminated)).sum())
        others += float((windows.counts * (1 - windows.terminated)).sum())
    assert foreseen / 40 >= 0.9
    assert alarms / others < 0.01


def test_3_m_is_trained_on_samples_of_z_also_when_its_memory_is_carried():
    deviation, steps = 0.95, 400
    mean = np.full((steps + 1, LATENTS), 2.0, np.float16)
    logvar = np.full(mean.shape, 2 * math.log(deviation), np.float16)
    flat = np.zeros(steps, np.float32)
    episode = LatentEpisode(mean, logvar, flat[:, None], flat, flat > 0, Path("x"))
    memory = {name: torch.zeros(2, 4) for name in ("h", "c")}
    stream = LatentStream(LatentWindows([episode], CPU), steps, memory, seed=0)
    first, second = (stream.windows(torch.Generator().manual_seed(step))[0].z for step in range(2))
    assert first.mean().item() == pytest.approx(2.0, abs=0.02)
    assert first.std().item() == pytest.approx(deviation, abs=0.01)
    assert (first - second).std().item() == pytest.approx(deviation * math.sqrt(2), abs=0.02)


def test_4_each_of_64_latents_has_a_mixture_of_its_own_and_the_parameters_are_the_papers(make_doom):
    mdnrnn = make_doom().mdnrnn
    assert mdnrnn.trainable_parameters == 1_678_785
    mixture = mdnrnn.heads(torch.randn(3, UNITS)).mixture
    assert mixture.logits.shape == (3, LATENTS, 5)
    assert len(mixture.logits[0].unique(dim=0)) == LATENTS
    assert len(mixture_nll(mixture, torch.zeros(3, LATENTS))[0].unique()) == LATENTS


def test_5_temperature_reaches_the_choice_of_the_component_and_its_width(make_doom):
    model, lanes = make_doom(), 500
    head, parts = model.mdnrnn.mixture_head, (3, 5, LATENTS)
    z, action, state = torch.zeros(lanes, LATENTS), torch.zeros(lanes, 1), model.initial_state(lanes)
    with torch.no_grad():
        head.weight.zero_()
        head.bias.zero_()
        logits, means, _ = head.bias.view(parts)  # views: what is written goes to the head
        logits[2:] = -100.0
        logits[1] = 2.0
        means[0], means[1] = -50.0, 50.0
        for tau in (0.5, 1.15, 2.0):
            after, *_ = model.step(z, action, state, tau)
            likelier = after[after > 0]
            assert len(likelier) / after.numel() == pytest.approx(1 / (1 + math.exp(-2 / tau)), abs=0.01)
            assert likelier.std().item() == pytest.approx(math.sqrt(tau), rel=0.02)


def test_6_dreams_begin_at_episode_starts_with_nothing_remembered_and_c_sees_z_c_and_h(make_doom):
    config = PAPERS_WAY
    assert (config.world, config.starts, config.spec.features, config.spec.bias) == ("dream", "episode", "zch", False)
    model = make_doom()
    dream = Dream(model, config.temperature, config.max_steps, config.starts, config.spec.features)
    assert not dream.starts.warm.any()
    dream.reset(range(8))
    controller = config.spec.build(model)
    assert controller.parameter_count == dream.features().shape[1] == 1088
    assert not controller.act(torch.ones(1088), torch.zeros(1, 1088)).any()  # no bias
    assert torch.equal(dream.features()[:, :LATENTS], dream.z)
    assert not dream.features()[:, LATENTS:].any()
    dream.step(torch.zeros(8, 1))
    h, c = dream.state["h"], dream.state["c"]
    assert torch.equal(dream.features(), torch.cat([dream.z, c, h], 1))
    assert h.any()


def test_7_the_score_is_tics_survived_and_never_more_than_there_are(make_doom, doom, monkeypatch):
    assert PRESET.mdnrnn.reward_head is False
    assert PAPERS_WAY.max_steps == resolve("takecover").max_episode_steps == 2100
    model = make_doom(ends=20.0)
    dream = Dream(model, horizon=30, starts="episode", features="zch")
    nobody = np.zeros((2, 1088))
    outcome = evaluate_lanes(
        dream, LinearController(1088, model.action_spec, bias=False), nobody, range(8), 2100, None, CPU
    )
    assert np.array_equal(outcome.returns, outcome.lengths)
    assert outcome.lengths.max() <= 30
    monkeypatch.setattr(agents.lanes, "make_env", lambda config: ImageEnv(StandIn(), resolve(config)))
    lanes = RealLanes(model, EnvConfig("takecover"), "zch")
    real = evaluate_lanes(
        lanes, LinearController(1088, model.action_spec, bias=False), nobody[:1], range(3), 2100, None, CPU
    )
    lives = [env.unwrapped.life for env in sorted(lanes._spare + lanes._envs, key=lambda env: env.unwrapped.life)]
    assert sorted(real.returns) == sorted(real.lengths) == lives


def test_8_the_first_tic_is_the_controllers_own(make_doom, monkeypatch):
    model, worlds = make_doom(), []

    def make(config: EnvConfig) -> ImageEnv:
        worlds.append(StandIn())
        return ImageEnv(worlds[-1], resolve(config))

    monkeypatch.setattr(agents.lanes, "make_env", make)
    lanes = RealLanes(model, EnvConfig("takecover"), "z", latent="mean")
    lanes.reset([5])
    controller = LinearController(LATENTS, model.action_spec, bias=False)
    weights = 100 * lanes.features()[0].double().numpy()[None]  # its answer to the first frame: far to the right
    outcome = evaluate_lanes(lanes, controller, weights, [5], 2100, None, CPU)
    assert len(worlds[0].done) == outcome.lengths[0] == worlds[0].life
    assert worlds[0].done[0] == 1  # MOVE_RIGHT


def test_9_no_row_of_a_recording_belongs_to_another_episode(doom):
    for number, episode in enumerate(recorded(doom), start=1):
        greys = {int(np.median(frame)) for frame in episode.pictures}
        assert greys == {10 * number}
        tics = [int(frame[:, 0, 0].argmax()) for frame in episode.pictures]
        assert tics == list(range(len(episode)))  # row t: the crop begins at row 72 and halves


def test_a_dream_with_dropout_is_another_m_in_every_episode_and_the_same_within_it(make_doom):
    """Against C that lives off one M's flaws: masks are drawn per episode, alike for all candidates."""
    dream = Dream(make_doom(), starts="episode", features="zch", dropout=0.3)
    dream.reset([3, 4], copies=2)
    first = dream.masks.clone()
    assert torch.equal(first[:2], first[2:])
    assert not torch.equal(first[0], first[1])
    assert (first == 0).float().mean().item() == pytest.approx(0.3, abs=0.05)
    assert first.mean().item() == pytest.approx(1.0, abs=0.08)
    dream.step(torch.zeros(4, 1))
    assert torch.equal(dream.masks, first)
    dream.restart(torch.tensor([False, True, False, False])[: len(dream.generators)])
    assert not torch.equal(dream.masks[1], first[1])
    dream.keep(torch.tensor([1, 3]))
    assert torch.equal(dream.masks[1], first[3])
    dream.reset([3, 4])
    assert torch.equal(dream.masks, first[:2])


def test_starts_of_a_run_hold_both_kinds(make_doom):
    latents = dying(np.random.default_rng(0), 3)
    starts = DreamStarts.gather(make_doom().mdnrnn, latents, 20, seed=0)
    memory = starts.state["h"].abs().sum(1) + starts.state["c"].abs().sum(1)
    assert torch.equal(memory > 0, starts.warm)

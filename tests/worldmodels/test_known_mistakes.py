"""The mistakes that silently ruined other reproductions of World Models, one test each.

Collected from the published post-mortems (shifted rewards, drowned deaths, M trained on means, shared mixtures,
half-applied temperature, forgetful dreams, survival by reward, forced steps, reset rows, truncated sequences).
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from agents import LinearController
from agents.fitness import evaluate_lanes
from agents.lanes import RealLanes
from rollouts.envs.toy import ToyEnv
from worldmodels import MDNRNN, DreamEnv
from worldmodels.configs import MDNRNNConfig
from worldmodels.data.latents import LatentEpisode, LatentWindows, encode_episode, encoder
from worldmodels.dream import Dream
from worldmodels.fit_mdn_rnn import mdn_rnn_loss
from worldmodels.mixture import Mixture, Prediction, mixture_nll, sample_mixture
from worldmodels.starts import DreamStarts

CPU = torch.device("cpu")


def episode_of_latents(mean: np.ndarray, logvar: float, actions: np.ndarray, rewards: np.ndarray) -> LatentEpisode:
    return LatentEpisode(
        mean.astype(np.float16),
        np.full(mean.shape, logvar, np.float16),
        actions.astype(np.float32),
        rewards.astype(np.float32),
        np.arange(len(actions)) == len(actions) - 1,
        Path("x"),
    )


def test_rewards_and_ends_are_not_shifted_and_the_fatal_action_is_not_dropped(toy_episodes, read_toy, make_model):
    for number, episode in enumerate(toy_episodes):
        x, wind = read_toy(episode.observations[0])
        after = x + np.cumsum(0.15 * episode.actions[:, 0] + 0.06 * wind)
        np.testing.assert_allclose(episode.rewards, 1 - np.abs(after), atol=0.02)
        assert episode.terminated.tolist() == (np.abs(after) > 1).tolist(), number
    latents = [encode_episode(encoder(make_model().vae, CPU), episode, Path("x")) for episode in toy_episodes[:3]]
    data = LatentWindows(latents, CPU)
    for number, episode in enumerate(toy_episodes[:3]):
        steps, nought = len(episode), torch.tensor([0])
        windows = data.window(torch.tensor([number]), nought, steps, 0, torch.Generator())
        assert windows.z.shape[1] == steps + 1
        assert np.array_equal(windows.actions[0], episode.actions)
        assert np.array_equal(windows.rewards[0], episode.rewards)
        assert np.array_equal(windows.terminated[0], episode.terminated)
        assert windows.counts.all()


def test_m_learns_the_reward_of_the_action_it_is_given_and_not_of_its_neighbour():
    actions = np.random.default_rng(0).uniform(-1, 1, (2000, 1))
    data = LatentWindows([episode_of_latents(np.zeros((2001, 1)), -4.0, actions, actions[:, 0])], CPU)
    torch.manual_seed(0)
    mdnrnn = MDNRNN(1, 1, 16, 1, termination_head=False)
    optimiser = torch.optim.Adam(mdnrnn.parameters(), lr=0.02)
    for step in range(80):
        windows = data.sample(16, 10, 0, torch.Generator().manual_seed(step))
        prediction, _ = mdnrnn(windows.z[:, :-1], windows.actions)
        optimiser.zero_grad()
        mdn_rnn_loss(prediction, windows, MDNRNNConfig(), 1.0)["loss"].backward()
        optimiser.step()
    windows = data.window(torch.tensor([0]), torch.tensor([0]), 2000, 0, torch.Generator())
    predicted = mdnrnn(windows.z[:, :-1], windows.actions)[0].reward[0].detach()
    correlation = [np.corrcoef(predicted[5:1990], windows.rewards[0, 5 + k : 1990 + k])[0, 1] for k in (-1, 0, 1)]
    assert correlation[1] > 0.95
    assert abs(correlation[0]) < 0.2
    assert abs(correlation[2]) < 0.2


def gradient_on_a_death(death_weight: float, latent_size: int) -> float:
    """How strongly one fatal step among ten pulls at its termination logit."""
    logits = torch.zeros(1, 10, requires_grad=True)
    terminated = torch.zeros(1, 10)
    terminated[0, 9] = 1
    zeros = torch.zeros(1, 10, latent_size, 5)
    prediction = Prediction(Mixture(zeros, zeros, zeros), None, logits)
    windows = data_windows(latent_size, terminated)
    mdn_rnn_loss(prediction, windows, MDNRNNConfig(death_weight=death_weight), 1.0)["loss"].backward()
    return logits.grad[0, 9].item()


def data_windows(latent_size: int, terminated: torch.Tensor):
    data = LatentWindows([episode_of_latents(np.zeros((11, latent_size)), -4.0, np.zeros((10, 1)), np.zeros(10))], CPU)
    windows = data.window(torch.tensor([0]), torch.tensor([0]), 10, 0, torch.Generator())
    return replace(windows, terminated=terminated)


def test_deaths_weigh_ten_times_and_do_not_drown_in_a_sum_over_latents():
    assert MDNRNNConfig().death_weight == 10
    once = gradient_on_a_death(1.0, latent_size=2)
    assert once == pytest.approx(-0.5 / 10)  # sigmoid(0) - 1, one of ten steps
    assert gradient_on_a_death(10.0, latent_size=2) == pytest.approx(10 * once)
    # The latents' term is a mean over dimensions: 64 of them count as much as two.
    zeros = [torch.zeros(1, 10, size, 5) for size in (2, 64)]
    terms = [
        mdn_rnn_loss(Prediction(Mixture(z, z, z), None, None), replace(w, z=torch.ones_like(w.z)), MDNRNNConfig(), 1.0)
        for z, w in zip(zeros, (data_windows(size, torch.zeros(1, 10)) for size in (2, 64)), strict=True)
    ]
    assert terms[0]["loss"].item() == pytest.approx(terms[1]["loss"].item(), rel=1e-5)


def test_m_is_trained_on_samples_of_z_and_not_on_its_means():
    logvar = 2 * math.log(0.95)  # the posterior's standard deviation in the post-mortem
    episode = episode_of_latents(np.full((2001, 8), 3.0), logvar, np.zeros((2000, 1)), np.zeros(2000))
    data, generator = LatentWindows([episode], CPU), torch.Generator().manual_seed(0)
    first, second = (data.window(torch.tensor([0]), torch.tensor([0]), 2000, 0, generator).z for _ in range(2))
    for z in (first, second):
        assert z.mean().item() == pytest.approx(3.0, abs=0.05)
        assert z.std().item() == pytest.approx(0.95, abs=0.02)
    assert (first - second).std().item() == pytest.approx(0.95 * math.sqrt(2), abs=0.03)  # fresh in every batch


def test_every_latent_dimension_has_a_mixture_of_its_own():
    # Both dimensions are -5 or +5 with equal odds. Apart, (-5, +5) is as likely as any; one shared choice of
    # component, always the same sign, would make it all but impossible.
    mean = torch.tensor([[-5.0, 5.0], [-5.0, 5.0]])
    mixture = Mixture(torch.zeros(2, 2), mean, torch.zeros(2, 2))
    nll = mixture_nll(mixture, torch.tensor([-5.0, 5.0])).sum().item()
    assert nll == pytest.approx(2 * (math.log(2) + 0.5 * math.log(2 * math.pi)), abs=1e-5)
    lanes = Mixture(*(part.expand(4000, 2, 2) for part in mixture))
    drawn = sample_mixture(lanes, 1.0, torch.rand(4000, 2), torch.zeros(4000, 2)).sign()
    assert drawn.prod(1).mean().item() == pytest.approx(0.0, abs=0.08)
    logits = MDNRNN(32, 3, 16, 5).heads(torch.randn(1, 16)).mixture.logits
    assert len(logits[0].unique(dim=0)) == 32


def test_temperature_changes_which_component_is_drawn_and_not_only_its_width():
    mixture = Mixture(*(torch.tensor(row).expand(50_000, 1, 2) for row in ([0.0, 2.0], [-9.0, 9.0], [-9.0, -9.0])))
    shares = {
        tau: (sample_mixture(mixture, tau, torch.rand(50_000, 1), torch.randn(50_000, 1)) < 0).float().mean().item()
        for tau in (0.5, 1.0, 2.0)
    }
    assert shares == pytest.approx({tau: 1 / (1 + math.exp(2 / tau)) for tau in shares}, abs=0.01)


def test_a_dream_that_starts_in_the_middle_of_an_episode_remembers_what_came_before(make_model):
    model, rng = make_model(), np.random.default_rng(0)
    latents = [episode_of_latents(rng.normal(size=(81, 4)), -4.0, rng.normal(size=(80, 1)), np.zeros(80))]
    model.starts = DreamStarts.gather(model.mdnrnn, latents, 40, seed=0)
    dream = Dream(model, starts="recorded")
    dream.reset(range(30))
    assert dream.state["h"].abs().sum(1).min() > 0
    assert dream.state["c"].abs().sum(1).min() > 0


def test_survival_is_counted_in_steps_and_never_exceeds_the_horizon(make_model):
    """A learned reward once promised 2104 points in a world that ends after 2100 steps."""
    survival = make_model(ends=60, reward_head=False)
    lanes = Dream(survival, horizon=15)
    controller = LinearController(12, survival.action_spec)
    outcome = evaluate_lanes(lanes, controller, np.zeros((4, 13)), range(8), 1000, None, CPU)
    assert np.array_equal(outcome.returns, outcome.lengths)
    assert outcome.lengths.max() == 15
    assert outcome.lengths.min() < 15
    greedy = make_model()  # a reward head that promises 1.01 and a world without ends
    with torch.no_grad():
        greedy.mdnrnn.reward_head.weight.zero_()
        greedy.mdnrnn.reward_head.bias.fill_(1.01)
    env, steps, over = DreamEnv(greedy, horizon=15), 0, False
    env.reset(seed=0)
    while not over:
        *_, terminated, over, _ = env.step(np.zeros(1, np.float32))
        steps += 1
        assert not terminated
    assert steps == 15


def test_every_step_in_the_real_world_is_the_controllers_own_from_the_first_on(make_model, monkeypatch):
    pushes, step = [], ToyEnv.step

    def watched(env, action):
        pushes.append(float(action[0]))
        return step(env, action)

    monkeypatch.setattr(ToyEnv, "step", watched)
    model = make_model()
    lanes, controller = RealLanes(model, model.env), LinearController(12, model.action_spec)
    parameters = np.zeros((1, 13))
    parameters[0, -1] = math.atanh(0.5)  # only the bias: push by a half, always
    outcome = evaluate_lanes(lanes, controller, parameters, [0], 50, None, CPU)
    assert pushes == pytest.approx([0.5] * int(outcome.lengths[0]))


def test_recordings_hold_no_rows_of_a_reset(toy_episodes, read_toy):
    """Vector environments slip the first frame of the next episode in as if an action had led there."""
    for episode in toy_episodes:
        assert not (episode.terminated | episode.truncated)[:-1].any()
        places = [read_toy(frame) for frame in episode.observations]
        assert len({wind for _, wind in places}) == 1
        moves = np.diff([x for x, _ in places])[:-1]  # the last block is partly beyond the picture
        assert np.abs(moves).max() < 0.15 + 0.06 + 0.02


def test_long_episodes_are_not_cut_to_the_length_of_the_shortest():
    def episode(steps: int) -> LatentEpisode:
        frames = np.arange(steps + 1)[:, None]
        return episode_of_latents(frames, -np.inf, np.zeros((steps, 1)), np.zeros(steps))

    data = LatentWindows([episode(5), episode(200), episode(7)], CPU)
    assert data.steps == 5 + 200 + 7
    windows = data.sample(400, 50, 0, torch.Generator().manual_seed(0))
    reached = windows.z[:, 1:, 0][windows.counts.bool()]
    assert set(range(1, 201)) == set(reached.int().tolist())
    assert windows.terminated[windows.counts.bool()].sum() > 10

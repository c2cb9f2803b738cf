"""What is still to come where a dream ends, and where dreams begin that shall learn the way back."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from agents.agent import Agent
from rollouts import EpisodeStore, UserError
from rollouts.runs.files import read_json
from rollouts.runs.layout import Run
from worldmodels import WorldModel
from worldmodels.configs import MDNRNNConfig
from worldmodels.data.latents import LatentEpisode
from worldmodels.dream import Dream
from worldmodels.fit_mdn_rnn import fit_mdn_rnn
from worldmodels.starts import BAD_STEPS, DreamStarts, bad_moments
from worldmodels.value import Value, discounted, known_moments


def episode(rewards: list[float], terminated: bool = False) -> LatentEpisode:
    """Its latents count the steps."""
    steps = len(rewards)
    mean = np.repeat(np.arange(steps + 1, dtype=np.float16)[:, None], 4, 1) / 100
    ends = np.arange(steps) == steps - 1
    return LatentEpisode(
        mean,
        np.full_like(mean, -20),
        np.zeros((steps, 1), np.float32),
        np.array(rewards, np.float32),
        ends & terminated,
        Path("nowhere"),
    )


def test_returns_are_discounted_and_cut_where_the_rest_was_not_recorded():
    rewards = np.array([1.0, 0.0, 2.0], np.float32)
    np.testing.assert_allclose(discounted(rewards, 0.5), [1 + 0.25 * 2, 0.5 * 2, 2])
    assert known_moments(100, terminated=False, discount=0.9) == 80
    assert known_moments(100, terminated=True, discount=0.9) == 100
    assert known_moments(5, terminated=False, discount=0.9) == 0


def test_a_linear_value_is_found_again():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2000, 6, generator=generator) * torch.tensor([1.0, 3.0, 0.1, 1.0, 1.0, 1.0]) + 2
    truth = torch.tensor([1.0, -2.0, 5.0, 0.0, 0.5, 0.0])
    returns = features @ truth + 7
    value = Value.fit(features, returns)
    inside = ((features - features.mean(0)) / features.std(0)).abs().max(1).values < 5
    found = value(features[:, :2], features[:, 2:])
    assert (found - returns)[inside].abs().max() < 0.05
    oracle = np.linalg.lstsq(np.c_[features.numpy(), np.ones(2000)], returns.numpy(), rcond=None)[0]
    np.testing.assert_allclose((value.weights / value.sd).numpy(), oracle[:-1], atol=0.02)


@torch.inference_mode()
def test_it_is_added_at_the_horizon_alone_and_not_after_an_end(make_model):
    model = make_model(ends=60.0)
    with pytest.raises(UserError, match=r"without a value; fit it again with --mdnrnn\.value"):
        Dream(model, value=True)
    model.value = Value(torch.ones(12), torch.zeros(12), torch.ones(12), torch.tensor(100.0))
    plain, valued = Dream(model, horizon=6), Dream(model, horizon=6, value=True)
    seeds, at_horizon = range(64), 0
    for dream in (plain, valued):
        dream.reset(seeds)
    for step in range(1, 7):
        (reward, over, _), (more, _, cut) = (dream.step(torch.zeros(64, 1)) for dream in (plain, valued))
        worth = 100.0 + torch.cat([valued.z, valued.state["h"]], 1).clamp(-5, 5).sum(1)
        torch.testing.assert_close(more, torch.where(cut, reward + worth, reward))
        at_horizon += int(cut.sum())
        assert not cut.any() or step == 6
    assert 0 < at_horizon < 64
    assert not (over & cut).any()


def test_it_is_fitted_with_m_and_kept_beside_it(tiny_run: Path, tmp_path: Path):
    shutil.copytree(tiny_run / "vae", tmp_path / "vae")
    store = EpisodeStore(Run(tiny_run).episodes.path)
    before = Run(tiny_run).mdnrnn.config(MDNRNNConfig)
    fit_mdn_rnn(replace(before, value=0.8, bad_starts=0.5, steps=4), tmp_path, [store], torch.device("cpu"))
    model = WorldModel.load(tmp_path)
    assert model.value is not None
    # A block on the shelf earns about 1 - |x| in each of some five steps, more where it lies in the middle.
    seen = model.starts.only("episode")
    assert 0.5 < float(model.value(seen.mean, seen.state["h"]).mean()) < 5.0
    assert read_json(Run(tmp_path).mdnrnn.diagnostics)["value_r2"] < 1
    shutil.copytree(tiny_run / "controller", tmp_path / "controller")
    Run(tmp_path).controller.note(
        inputs={**Run(tmp_path).controller.manifest["inputs"], "mdnrnn": Run(tmp_path).mdnrnn.manifest["weights"]}
    )
    again = WorldModel.load(Agent.load(tmp_path).save(tmp_path / "saved"))
    torch.testing.assert_close(again.value.weights, model.value.weights, rtol=0, atol=0)
    for wrong in ({"value": 1.0}, {"bad_starts": 1.5}):
        with pytest.raises(UserError, match=r"--mdnrnn\.(value|bad-starts)"):
            replace(before, **wrong).check()


@torch.no_grad()
def test_dreams_may_begin_where_hardly_anything_was_earned(make_model):
    model = make_model()
    good, lost = [1.0] * 200, [1.0] * 60 + [-1.0] * 80 + [1.0] * 60
    episodes = [episode(good), episode(lost), episode(good)]
    worst = bad_moments(episodes)
    assert {number for number, _ in worst} == {1}
    assert all(sum(lost[step - BAD_STEPS : step]) <= -4 for _, step in worst)
    starts = DreamStarts.gather(model.mdnrnn, episodes, 80, 0, bad=1.0).only("recorded")
    steps = (starts.mean[:, 0] * 100).round().int().tolist()
    assert len(steps) == 40
    assert {(1, step) for step in steps} <= set(worst)
    plain = DreamStarts.gather(model.mdnrnn, episodes, 80, 0)
    torch.testing.assert_close(plain.mean, DreamStarts.gather(model.mdnrnn, episodes, 80, 0, bad=0.0).mean)
    assert bad_moments([episode(good)]) == []  # where all moments are alike, as in a game that pays for survival

"""Falls of a watched variable: foreseen with their true probability, drawn as the world draws them, or paid for."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from rollouts import UserError
from rollouts.episodes import falls
from worldmodels.configs import MDNRNNConfig
from worldmodels.data.latents import LatentEpisode, LatentWindows
from worldmodels.diagnostics import reliability
from worldmodels.dream import Dream
from worldmodels.fit_mdn_rnn import HEADS, mdn_rnn_loss
from worldmodels.mdn_rnn import MDNRNN
from worldmodels.mixture import Mixture, Prediction, together
from worldmodels.starts import DreamStarts
from worldmodels.training.checkpoint import load_weights, save_tensors

CPU = torch.device("cpu")
DIE = torch.arange(1, 9) * 21.0  # Take Cover's


def logit(p: float) -> float:
    return math.log(p / (1 - p))


@pytest.fixture
def hit_now_and_then(make_model):
    """A model whose falls have the same probability in all states, of a variable that begins at 100."""

    def make(p: float, **heads: bool):
        model = make_model(fall_head=True, **heads)
        with torch.no_grad():
            model.mdnrnn.fall_head.weight.zero_()
            model.mdnrnn.fall_head.bias.fill_(logit(p))
        level = torch.full((len(model.starts),), 100.0)
        model.starts = replace(model.starts, level=level, falls=DIE.repeat(2))
        return model

    return make


def hits_survived(health: int) -> float:
    """The expected number of hits until an eight-sided die times 21 has used up what there is, from the sum over the
    first hit."""
    return 1 + sum(hits_survived(health - 21 * eyes) for eyes in range(1, 9) if health > 21 * eyes) / 8


@torch.inference_mode()
def test_a_dream_that_rolls_the_die_lasts_as_long_as_the_die_says(hit_now_and_then):
    dream, lanes = Dream(hit_now_and_then(0.2), horizon=400, falls="rolled"), 3000
    dream.reset(range(lanes))
    lasted, steps = torch.zeros(lanes), 0
    running = torch.arange(lanes)
    while len(running):
        _, over, _ = dream.step(torch.zeros(len(running), 1))
        steps += 1
        lasted[running[over]] = steps
        running = running[~over]
        dream.keep(~over)
    assert lasted.mean().item() == pytest.approx(hits_survived(100) / 0.2, rel=0.05)


@torch.inference_mode()
def test_where_falls_are_paid_for_nothing_else_ends_or_pays(hit_now_and_then, make_model):
    dream = Dream(hit_now_and_then(0.3), horizon=5, falls="paid")
    dream.model.mdnrnn.termination_head.bias.data.fill_(9.0)
    dream.reset(range(4))
    for step in range(5):
        reward, terminated, truncated = dream.step(torch.zeros(4, 1))
        assert reward.tolist() == pytest.approx([-0.3] * 4)
        assert not terminated.any()
        assert truncated.all() == (step == 4)
    with pytest.raises(UserError, match="no fall head"):
        Dream(make_model(), falls="paid")
    with pytest.raises(UserError, match=r"--env\.watch"):
        Dream(make_model(fall_head=True), falls="rolled")


@torch.inference_mode()
def test_lanes_of_one_seed_are_hit_together_and_stay_so_when_others_leave(hit_now_and_then):
    dream = Dream(hit_now_and_then(0.2), falls="rolled")
    dream.reset(range(50), copies=2)
    for _ in range(5):
        dream.step(torch.zeros(100, 1))
    assert torch.equal(dream.level[:50], dream.level[50:])
    assert len(dream.level.unique()) > 4
    before = dream.level.clone()
    dream.keep(torch.arange(0, 100, 2))
    assert torch.equal(dream.level, before[::2])
    dream.restart(torch.ones(50, dtype=torch.bool))
    assert (dream.level == 100).all()


def test_the_weight_of_deaths_is_taken_off_what_the_head_of_least_loss_says(make_model):
    model, p, weight = make_model(), 0.03, 10.0
    model.death_weight = weight
    said = torch.zeros((), requires_grad=True)
    ends = (torch.arange(100) < 100 * p).float()
    optimiser = torch.optim.LBFGS([said], max_iter=50)

    def loss():
        optimiser.zero_grad()
        nats = F.binary_cross_entropy_with_logits(said.expand(100), ends, pos_weight=torch.tensor(weight))
        nats.backward()
        return nats

    optimiser.step(loss)
    assert torch.sigmoid(said).item() > 0.2  # the cut-off's view of three in a hundred
    empty = Mixture(*[torch.zeros(1, 1, 1)] * 3)
    assert model.end_probability(Prediction(empty, None, said.detach()[None])).item() == pytest.approx(p, rel=1e-3)


@torch.inference_mode()
def test_sampled_ends_come_with_their_probability_and_a_cut_off_is_certain(make_model):
    model = make_model()
    model.death_weight = 10.0
    model.mdnrnn.termination_head.weight.zero_()
    model.mdnrnn.termination_head.bias.fill_(logit(0.6))
    for ends, expected in (("sampled", 0.6 / (0.6 + 10 * 0.4)), ("cutoff", 1.0)):
        dream = Dream(model, ends=ends)
        dream.reset(range(3000))
        _, over, _ = dream.step(torch.zeros(3000, 1))
        assert over.float().mean().item() == pytest.approx(expected, abs=0.02)


@torch.inference_mode()
def test_where_ends_are_paid_for_a_step_costs_its_probability_and_nothing_ends(make_model):
    model = make_model()
    model.death_weight = 10.0
    model.mdnrnn.termination_head.weight.zero_()
    model.mdnrnn.termination_head.bias.fill_(logit(0.6))
    dream = Dream(model, horizon=3, ends="paid")
    dream.reset(range(4))
    for step in range(3):
        reward, terminated, truncated = dream.step(torch.zeros(4, 1))
        assert reward.tolist() == pytest.approx([-0.6 / (0.6 + 10 * 0.4)] * 4)
        assert not terminated.any()
        assert truncated.all() == (step == 2)
    with pytest.raises(UserError, match="no termination head"):
        Dream(make_model(termination_head=False), ends="paid")


def hurt(steps: int, at: dict[int, float]) -> LatentEpisode:
    """Health of 100 that falls in the steps ``at`` by so much."""
    watched = 100 - np.cumsum([0.0, *(at.get(t, 0.0) for t in range(steps))])
    latents = np.random.default_rng(steps).normal(size=(2, steps + 1, 4)).astype(np.float16)
    flat = np.zeros(steps, np.float32)
    return LatentEpisode(*latents, flat[:, None], flat, flat > 0, Path("x"), watched=watched.astype(np.float32))


def test_starts_keep_where_the_variable_stood_and_all_sizes_of_falls(tmp_path):
    episodes = [hurt(60, {10: 21.0, 40: 42.0}), hurt(30, {29: 168.0})]
    starts = DreamStarts.gather(MDNRNN(4, 1, 8, 2), episodes, 60, 0)
    assert set(starts.level.tolist()) <= {100.0, 79.0, 37.0}
    assert (starts.only("episode").level == 100).all()
    assert {size: (starts.falls == size).sum().item() for size in (21, 42, 168)} == {21: 20, 42: 20, 168: 20}
    save_tensors(starts.tensors(), tmp_path / "starts.safetensors")
    again = DreamStarts.load(tmp_path / "starts.safetensors", CPU)
    assert torch.equal(again.level, starts.level)
    assert torch.equal(again.falls, starts.falls)
    assert again.state.keys() == {"h", "c"}
    silent = [replace(episode, watched=None) for episode in episodes]
    assert DreamStarts.gather(MDNRNN(4, 1, 8, 2), silent, 20, 0).level is None


def test_the_loss_has_the_cross_entropy_of_falls_as_a_naive_loop_has_it():
    episodes = [hurt(6, {1: 21.0, 4: 84.0}), hurt(4, {})]
    data = LatentWindows(episodes, CPU)
    windows = data.window(torch.tensor([0, 1]), torch.tensor([0, 0]), 6, 0, torch.Generator())
    assert windows.falls[0].tolist() == [0, 21, 0, 0, 84, 0]
    logits = torch.randn(2, 6)
    mixture = Mixture(*[torch.zeros(2, 6, 4, 2)] * 3)
    with_it, without = (
        mdn_rnn_loss(Prediction(mixture, None, None, fall), windows, MDNRNNConfig(fall_weight=3.0), 1.0)
        for fall in (logits, None)
    )
    nats = 0.0
    for row, episode in enumerate(episodes):
        for step, size in enumerate(falls(episode.watched)):
            p = 1 / (1 + math.exp(-float(logits[row, step])))
            nats -= math.log(p if size > 0 else 1 - p) / 10
    assert with_it["fall_nats"].item() == pytest.approx(nats, rel=1e-5)
    assert (with_it["loss"] - without["loss"]).item() == pytest.approx(3 * nats, rel=1e-5)


def test_members_average_their_probabilities_of_a_fall():
    mixture = Mixture(*torch.zeros(3, 2, 4, 2))
    said = together([Prediction(mixture, None, None, torch.full((2,), logit(p))) for p in (0.1, 0.5)])
    assert torch.sigmoid(said.fall).tolist() == pytest.approx([0.3, 0.3])


def test_the_head_of_falls_says_the_same_step_by_step_for_few_lanes_and_many():
    mdnrnn = MDNRNN(4, 1, 8, 3, reward_head=False, fall_head=True)
    output = torch.randn(100, 8)
    few = torch.cat([mdnrnn.heads(rows).fall for rows in output.split(10)])
    torch.testing.assert_close(mdnrnn.heads(output).fall, few)
    torch.testing.assert_close(few, mdnrnn.fall_head(output)[:, 0])


def test_reliability_by_hand():
    chances = np.array([0.0005, 0.0005, 0.05, 0.05, 0.5, 0.5], np.float32)
    found = reliability(chances, np.array([False, False, False, True, True, True]))
    assert found["expected"] == pytest.approx(1.101)
    assert found["happened"] == 3
    assert [(row["steps"], row["happened"]) for row in found["curve"]] == [(2, 0.0), (2, 0.5), (2, 1.0)]
    assert [row["foreseen"] for row in found["curve"]] == pytest.approx([0.0005, 0.05, 0.5])
    assert found["constant_nats"] == pytest.approx(math.log(2))


def test_an_m_without_a_fall_head_can_be_gone_on_with_by_one_that_has_it(tmp_path):
    before, after = MDNRNN(4, 1, 8, 2), MDNRNN(4, 1, 8, 2, fall_head=True)
    save_tensors(before.state_dict(), tmp_path / "weights.safetensors")
    own = after.fall_head.weight.clone()
    load_weights(after, tmp_path / "weights.safetensors", may_lack=HEADS)
    assert torch.equal(after.lstm.weight_hh_l0, before.lstm.weight_hh_l0)
    assert torch.equal(after.fall_head.weight, own)
    with pytest.raises(UserError, match="does not fit"):
        load_weights(after, tmp_path / "weights.safetensors")
    with pytest.raises(UserError, match="does not fit"):  # that lacks more than a head
        load_weights(MDNRNN(4, 1, 16, 2), tmp_path / "weights.safetensors", may_lack=HEADS)

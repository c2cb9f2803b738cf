"""Fitting: schedules, figures of merit, and refusals."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rollouts import EpisodeStore, UserError
from rollouts.runs.stage import Stage
from worldmodels import MDNRNN
from worldmodels.configs import MDNRNNConfig, VAEConfig
from worldmodels.data.frames import split
from worldmodels.data.latents import LatentEpisode, Windows
from worldmodels.data.lineage import common_observation_hash, data_hash
from worldmodels.diagnostics import WARM_UP, WINDOW, _run_free, r_squared, window_sums
from worldmodels.fit_mdn_rnn import fit_mdn_rnn, mdn_rnn_loss, measures
from worldmodels.fit_vae import fit_vae
from worldmodels.mixture import Mixture, Prediction
from worldmodels.training.optimiser import learning_rate
from worldmodels.training.precision import has_bfloat16
from worldmodels.training.randomness import generator_for

CPU = torch.device("cpu")


def test_the_learning_rate_is_constant_or_half_a_cosine_down_to_a_twentieth():
    assert [learning_rate(0.1, False, step, 10) for step in (0, 5, 10)] == [0.1] * 3
    assert learning_rate(0.1, True, 0, 10) == pytest.approx(0.1)
    assert learning_rate(0.1, True, 5, 10) == pytest.approx((0.1 + 0.005) / 2)
    assert learning_rate(0.1, True, 10, 10) == pytest.approx(0.005)


def test_r_squared_by_hand():
    assert r_squared([1, 2, 3], [1, 2, 3]) == 1.0
    assert r_squared([2, 2, 2], [1, 2, 3]) == 0.0
    assert r_squared([3, 2, 1], [1, 2, 3]) == -3.0
    assert r_squared([1, 2], [5, 5]) is None
    assert r_squared([], []) is None


def test_sums_over_windows_leave_out_a_rest_unless_it_is_all_there_is():
    assert window_sums(np.ones(2 * WINDOW + 7, np.float32)) == [WINDOW, WINDOW]
    assert window_sums(np.ones(7, np.float32)) == [7.0]


def test_a_free_running_prediction_is_held_against_the_rewards_as_they_came(make_model):
    rng, steps = np.random.default_rng(0), WARM_UP + WINDOW + 30
    latents = rng.normal(size=(2, steps + 1, 4)).astype(np.float16)
    rewards = rng.normal(size=steps).astype(np.float32)
    nothing = np.zeros(steps, bool)
    episode = LatentEpisode(*latents, rng.normal(size=(steps, 1)).astype(np.float32), rewards, nothing, Path("x"))
    with torch.inference_mode():
        free = _run_free(make_model(), [episode])
    assert free["actual"] == [float(rewards[WARM_UP : WARM_UP + WINDOW].sum())]


def test_nested_reports_get_paths_as_names_and_counts_are_left_out():
    report = {"a": 1.0, "b": {"c": 2.5, "count": 7, "d": {"e": 3.0}}, "none": None, "text": "x", "yes": True}
    assert measures(report) == {"a": 1.0, "b/c": 2.5, "b/d/e": 3.0}


def test_random_numbers_differ_between_seeds_and_steps_and_are_repeatable():
    draws = {
        (seed, step): torch.rand(1, generator=generator_for(seed, step)).item()
        for seed in range(20)
        for step in range(20)
    }
    assert len(set(draws.values())) == 400
    assert torch.rand(1, generator=generator_for(3, 4)).item() == draws[3, 4]


def windows_of(steps: int, lanes: int = 2) -> Windows:
    return Windows(
        torch.randn(lanes, steps + 1, 4),
        torch.randn(lanes, steps, 1),
        torch.randn(lanes, steps),
        (torch.rand(lanes, steps) < 0.2).float(),
        torch.ones(lanes, steps),
        torch.ones(lanes, steps),
    )


def test_the_loss_is_the_weighted_sum_of_its_terms():
    mdnrnn, windows = MDNRNN(4, 1, 8, 3), windows_of(6)
    prediction, _ = mdnrnn(windows.z[:, :-1], windows.actions)
    config = MDNRNNConfig(reward_weight=3.0, termination_weight=5.0)
    terms = mdn_rnn_loss(prediction, windows, config, reward_scale=2.0)
    total = terms["z_nll_per_dim"] + 3 * terms["reward_error"] + 5 * terms["termination_nats"]
    torch.testing.assert_close(terms["loss"], total)
    error = (prediction.reward - windows.rewards) / 2
    torch.testing.assert_close(terms["reward_error"], error.square().mean() / 2)


@pytest.mark.parametrize("pessimism", [1.0, 3.0])
def test_a_pessimistic_head_learns_the_expectile(pessimism):
    """Rewards 0 and 1 come equally often: p (m - 0) = (1 - m) at the best constant m = 1 / (1 + p)."""
    windows = replace(windows_of(2), rewards=torch.tensor([[0.0, 1.0]] * 2))
    constant = torch.tensor(1 / (1 + pessimism), requires_grad=True)
    nothing = torch.zeros(2, 2, 4, 3)
    prediction = Prediction(Mixture(nothing, nothing, nothing), constant.expand(2, 2), None)
    mdn_rnn_loss(prediction, windows, MDNRNNConfig(reward_pessimism=pessimism), 1.0)["reward_error"].backward()
    assert constant.grad is not None
    assert constant.grad.item() == pytest.approx(0.0, abs=1e-6)


def test_steps_that_do_not_count_have_no_part_in_the_loss():
    mdnrnn, windows = MDNRNN(4, 1, 8, 3), windows_of(6)
    counts = torch.ones(2, 6)
    counts[1, 3:] = 0
    garbage = windows.rewards.clone()
    garbage[1, 3:] = 1e6
    z = windows.z.clone()
    z[1, 4:] = 1e6
    losses = []
    for changed in (windows, replace(windows, z=z, rewards=garbage)):
        prediction, _ = mdnrnn(changed.z[:, :-1], changed.actions)
        terms = mdn_rnn_loss(prediction, replace(changed, counts=counts), MDNRNNConfig(), 1.0)
        losses.append(torch.stack(list(terms.values())))
    torch.testing.assert_close(*losses)


def test_a_fitted_run_explains_itself(tiny_run):
    for stage in ("vae", "mdnrnn"):
        lines = [json.loads(line) for line in (tiny_run / stage / "metrics.jsonl").read_text().splitlines()]
        assert [line["step"] for line in lines] == sorted({line["step"] for line in lines})
        assert lines[-1]["loss"] < lines[0]["loss"]
    facts = json.loads((tiny_run / "mdnrnn" / "diagnostics.json").read_text())
    assert {"z_nll_per_dim", "mixture_entropy", "open_loop", "window_return", "termination"} <= set(facts)


@pytest.mark.skipif(not has_bfloat16(CPU), reason="this processor has no bfloat16 arithmetic")
def test_m_fitted_in_bfloat16_is_about_as_good(tiny_run, tmp_path):
    reports = []
    store, fitted = EpisodeStore(tiny_run / "rollouts" / "episodes"), Stage(tiny_run, "mdnrnn").config(MDNRNNConfig)
    for precision in ("float32", "bfloat16"):
        run = tmp_path / precision
        shutil.copytree(tiny_run / "vae", run / "vae")
        fit_mdn_rnn(replace(fitted, precision=precision), run, [store], CPU)
        reports.append(json.loads((run / "mdnrnn" / "diagnostics.json").read_text()))
    exact, half = (report["z_nll_per_dim"] for report in reports)
    assert exact != half
    assert half == pytest.approx(exact, abs=0.05)


def test_m_is_in_training_mode_while_it_is_fitted(tiny_run, tmp_path, monkeypatch):
    """On CUDA its LSTM has no gradients otherwise."""
    modes, forward = [], MDNRNN.forward

    def watched(self, *arguments):
        modes.append(self.training or not torch.is_grad_enabled())
        return forward(self, *arguments)

    monkeypatch.setattr(MDNRNN, "forward", watched)
    shutil.copytree(tiny_run / "vae", tmp_path / "vae")
    config = replace(Stage(tiny_run, "mdnrnn").config(MDNRNNConfig), steps=2)
    fit_mdn_rnn(config, tmp_path, [EpisodeStore(tiny_run / "rollouts" / "episodes")], CPU)
    assert len(modes) > 2
    assert all(modes)


@pytest.mark.parametrize(
    ("change", "option"),
    [({"steps": 0}, "--vae.steps"), ({"kl_floor": -1.0}, "--vae.kl-floor"), ({"batch_size": -1}, "--vae.batch-size")],
)
def test_v_refuses_values_that_cannot_work(change, option, tmp_path):
    with pytest.raises(UserError, match=option):
        fit_vae(VAEConfig(**change), tmp_path, [], CPU)


@pytest.mark.parametrize(
    ("change", "option"),
    [
        ({"mixtures": 0}, "--mdnrnn.mixtures"),
        ({"burn_in": 999}, "--mdnrnn.burn-in"),
        ({"start_flag": True}, "--mdnrnn.start-flag needs --mdnrnn.carry-state"),
    ],
)
def test_m_refuses_values_that_cannot_work(change, option, tmp_path):
    with pytest.raises(UserError, match=option):
        fit_mdn_rnn(MDNRNNConfig(**change), tmp_path, [], CPU)


def test_a_store_that_was_never_begun_is_refused_in_one_sentence(tmp_path):
    with pytest.raises(UserError, match="no episodes in"):
        common_observation_hash([EpisodeStore(tmp_path / "human" / "rollouts" / "episodes")])


def test_what_identifies_the_data_does_not_depend_on_what_this_process_has_read(toy_store):
    toy_store.files[3].write_bytes(b"damaged")
    before = data_hash([toy_store]), split([toy_store])
    list(toy_store)
    assert (data_hash([toy_store]), split([toy_store])) == before


def test_m_needs_a_v(tmp_path):
    with pytest.raises(UserError, match=r"has no 'vae' stage yet.*train-vae"):
        fit_mdn_rnn(MDNRNNConfig(), tmp_path, [EpisodeStore(tmp_path)], CPU)

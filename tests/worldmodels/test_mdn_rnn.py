"""M against torch's own distributions and its own LSTM."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Categorical, MixtureSameFamily, Normal

from worldmodels import MDNRNN
from worldmodels.dynamics import State
from worldmodels.mixture import Mixture, Prediction, mixture_entropy, mixture_nll, sample_mixture


def random_mixture(*shape: int) -> Mixture:
    return Mixture(torch.randn(shape), torch.randn(shape), 0.5 * torch.randn(shape))


def test_the_likelihood_is_that_of_torch_distributions_dimension_by_dimension():
    mixture, target = random_mixture(7, 6, 5), torch.randn(7, 6)
    expected = MixtureSameFamily(Categorical(logits=mixture.logits), Normal(mixture.mean, mixture.log_std.exp()))
    torch.testing.assert_close(mixture_nll(mixture, target), -expected.log_prob(target))


def test_the_entropy_is_that_of_the_weights():
    logits = torch.randn(20, 5)
    torch.testing.assert_close(mixture_entropy(logits), Categorical(logits=logits).entropy())
    assert mixture_entropy(torch.zeros(4)).item() == pytest.approx(math.log(4))
    assert mixture_entropy(torch.tensor([100.0, 0.0])).item() == pytest.approx(0.0)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.5])
def test_temperature_divides_the_logits_and_multiplies_the_variance(temperature):
    count, logits = 200_000, torch.tensor([0.3, -0.5, 1.2])
    means, stds = torch.tensor([-100.0, 0.0, 100.0]), torch.tensor([0.5, 1.0, 2.0])
    mixture = Mixture(*(values.expand(count, 1, 3) for values in (logits, means, stds.log())))
    generator = torch.Generator().manual_seed(0)
    uniform, normal = (draw((count, 1), generator=generator) for draw in (torch.rand, torch.randn))
    drawn = sample_mixture(mixture, temperature, uniform, normal)
    component = (drawn[..., None] - means).abs().argmin(-1)
    weights = torch.tensor([math.exp(logit / temperature) for logit in logits])
    for k in range(3):
        own = drawn[component == k]
        assert len(own) / count == pytest.approx((weights[k] / weights.sum()).item(), abs=0.005)
        assert own.mean().item() == pytest.approx(means[k].item(), abs=0.05)
        assert own.std().item() == pytest.approx(stds[k].item() * math.sqrt(temperature), rel=0.02)


def test_temperature_0_is_the_mean_of_the_likeliest_component():
    mixture = Mixture(torch.tensor([[0.0, 2.0, 1.0]]), torch.tensor([[5.0, 6.0, 7.0]]), torch.ones(1, 3))
    assert sample_mixture(mixture, 0.0, torch.rand(1), torch.randn(1)).tolist() == [6.0]


@pytest.mark.parametrize("temperature", [1e-3, 1.0])
@pytest.mark.parametrize("uniform", [0.0, 1.0 - 2**-24])
def test_a_component_of_weight_0_is_never_drawn(uniform, temperature):
    mixture = Mixture(torch.tensor([-800.0, 300.0, -800.0]), torch.tensor([1.0, 2.0, 3.0]), torch.full((3,), -20.0))
    assert sample_mixture(mixture, temperature, torch.tensor(uniform), torch.tensor(0.0)).item() == 2.0


@pytest.mark.parametrize(
    ("sizes", "parameters"),
    [
        ((32, 3, 256, 5), 422_368),  # the paper's, for CarRacing
        # Take Cover: the paper's 1,678,785 without the restart flag (4 x 512 inputs) and its head (513).
        ((64, 1, 512, 5), 1_678_785 - 4 * 512 - 513),
    ],
)
def test_parameters_are_as_many_as_in_the_paper(sizes, parameters):
    latents, actions, hidden, mixtures = sizes
    lstm, head = 4 * hidden * (latents + actions + hidden + 1), (hidden + 1) * 3 * latents * mixtures
    assert lstm + head == parameters
    assert MDNRNN(*sizes, reward_head=False, termination_head=False).trainable_parameters == parameters
    assert MDNRNN(*sizes).trainable_parameters == parameters + 2 * (hidden + 1)


def test_the_forget_gate_starts_open_and_the_second_bias_stays_zero():
    mdnrnn = MDNRNN(4, 2, 8, 3)
    assert mdnrnn.lstm.bias_ih_l0.tolist() == [0.0] * 8 + [1.0] * 8 + [0.0] * 16  # i, f, g, o
    assert not mdnrnn.lstm.bias_hh_l0.any()
    assert not mdnrnn.lstm.bias_hh_l0.requires_grad


@torch.no_grad()
def test_one_step_is_that_of_torchs_lstm_and_leaves_its_arguments_alone():
    mdnrnn = MDNRNN(4, 2, 8, 3)
    mdnrnn.lstm.bias_ih_l0.normal_()
    z, action, state = torch.randn(5, 4), torch.randn(5, 2), {"h": torch.randn(5, 8), "c": torch.randn(5, 8)}
    before = [tensor.clone() for tensor in (z, action, *state.values())]
    inputs = torch.cat([z, action], 1)[:, None]
    _, (h, c) = mdnrnn.lstm(inputs, (state["h"][None], state["c"][None]))
    torch.testing.assert_close(mdnrnn.advance(z, action, state), {"h": h[0], "c": c[0]})
    torch.testing.assert_close([z, action, *state.values()], before, rtol=0, atol=0)


@torch.no_grad()
def test_a_sequence_at_once_equals_step_by_step():
    mdnrnn = MDNRNN(4, 2, 8, 3)
    z, actions = torch.randn(5, 7, 4), torch.randn(5, 7, 2)
    at_once, last = mdnrnn(z, actions)
    assert at_once.mixture.mean.shape == (5, 7, 4, 3)
    state = mdnrnn.initial_state(5)
    for t in range(7):
        state = mdnrnn.advance(z[:, t], actions[:, t], state)
        step = mdnrnn.predict(state)
        torch.testing.assert_close(step.mixture, Mixture(*(part[:, t] for part in at_once.mixture)))
        torch.testing.assert_close(step.reward, at_once.reward[:, t])
        torch.testing.assert_close(step.termination, at_once.termination[:, t])
    torch.testing.assert_close(state, last)


def test_without_heads_nothing_is_said_of_rewards_and_ends():
    prediction, _ = MDNRNN(4, 2, 8, 3, reward_head=False, termination_head=False)(
        torch.zeros(1, 1, 4), torch.zeros(1, 1, 2)
    )
    assert prediction.reward is None
    assert prediction.termination is None


@torch.no_grad()
def test_with_weights_in_bfloat16_it_predicts_nearly_the_same_and_remembers_in_float32():
    torch.manual_seed(0)
    mdnrnn = MDNRNN(8, 2, 64, 3, start_flag=True)
    z, actions = torch.randn(20, 30, 8), torch.randn(20, 30, 2)

    def last() -> tuple[Prediction, State]:
        state = mdnrnn.initial_state(20)
        for t in range(30):
            state = mdnrnn.advance(z[:, t], actions[:, t], state)
        return mdnrnn.predict(state), state

    (exact, state), (half, half_state) = last(), (mdnrnn.bfloat16() and last())
    pairs = [*zip(exact.mixture, half.mixture, strict=True), *((state[name], half_state[name]) for name in state)]
    for one, other in [*pairs, (exact.reward, half.reward), (exact.termination, half.termination)]:
        assert one.dtype == other.dtype == torch.float32
        assert 0 < (one - other).abs().max() < 0.05 * one.std()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_under_autocast_small_gradients_do_not_vanish_in_the_lstm_on_cuda():
    mdnrnn, (z, action) = MDNRNN(8, 2, 64, 3).cuda(), torch.randn(2, 4, 30, 8, device="cuda")
    gradients = []
    for enabled in (False, True):
        mdnrnn.zero_grad()
        with torch.autocast("cuda", torch.bfloat16, enabled=enabled):
            prediction, state = mdnrnn(z, action[..., :2])
        assert state["h"].dtype == state["c"].dtype == torch.float32
        (1e-8 * prediction.mixture.mean.square().mean()).backward()
        gradients.append(mdnrnn.lstm.weight_hh_l0.grad.clone())
    assert (gradients[0] - gradients[1]).norm() < 0.05 * gradients[0].norm()

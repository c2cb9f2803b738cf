"""Adversarial losses against closed forms (values, gradients, optima, identities)."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from worldmodels.generative.objectives import losses
from worldmodels.generative.objectives.losses import HINGE, LEAST_SQUARES, MINIMAX, NON_SATURATING, WASSERSTEIN

GAMES = {
    "minimax": MINIMAX,
    "non-saturating": NON_SATURATING,
    "least-squares": LEAST_SQUARES,
    "wasserstein": WASSERSTEIN,
    "hinge": HINGE,
}
every_game = pytest.mark.parametrize("game", GAMES.values(), ids=GAMES)


@pytest.mark.parametrize(
    ("name", "critic", "generator"),
    [
        ("minimax", 1.6265233750, -1.3132616875),
        ("non-saturating", 1.6265233750, 0.3132616875),
        ("hinge", 2.0, -1.0),
        ("wasserstein", 0.0, -1.0),
        ("least-squares", 0.5, 0.0),
    ],
)
def test_values_at_one(name, critic, generator):
    one = torch.ones(4, 1, dtype=torch.float64)
    assert GAMES[name].critic(one, one).total.item() == pytest.approx(critic, abs=1e-9)
    assert GAMES[name].generator(one).item() == pytest.approx(generator, abs=1e-9)


def test_an_undecided_discriminator_loses_two_log_two():
    zero = torch.zeros(3, dtype=torch.float64)
    assert losses.logistic_critic(zero, zero).total.item() == pytest.approx(2 * math.log(2), abs=1e-12)


def slope(loss, logit: float) -> float:
    a = torch.tensor([logit], dtype=torch.float64, requires_grad=True)
    loss(a).backward()
    return float(a.grad)


def test_generator_gradients_are_the_argument_for_the_non_saturating_loss():
    assert slope(losses.minimax_generator, -10) == pytest.approx(-4.5398e-5, rel=1e-4)
    assert slope(losses.non_saturating_generator, -10) == pytest.approx(-0.9999546, rel=1e-6)
    assert slope(losses.minimax_generator, 0) == slope(losses.non_saturating_generator, 0) == -0.5
    for a in (-3.0, 0.7, 5.0):
        s = 1 / (1 + math.exp(-a))
        assert slope(losses.minimax_generator, a) == pytest.approx(-s)
        assert slope(losses.non_saturating_generator, a) == pytest.approx(s - 1)


@every_game
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("value", [-100.0, 100.0])
def test_finite_at_large_logits_in_any_precision(game, dtype, value):
    real = torch.full((2, 1), value, dtype=dtype, requires_grad=True)
    fake = torch.full((2, 1), value, dtype=dtype, requires_grad=True)
    total = game.critic(real, fake).total + game.generator(fake)
    total.backward()
    assert total.dtype == torch.float32
    assert all(torch.isfinite(t).all() for t in (total, real.grad, fake.grad))


def test_no_gradient_is_lost_below_minus_eighteen():
    """``log(sigmoid(a) + 1e-8)`` is flat there."""
    a = torch.tensor([-30.0], requires_grad=True)
    losses.non_saturating_generator(a).backward()
    assert float(a.grad) == pytest.approx(-1)


@every_game
def test_finite_under_autocast(game):
    layer = torch.nn.Linear(3, 1)
    with torch.autocast("cpu", torch.bfloat16):
        logits = layer(torch.randn(4, 3) * 300)
        assert logits.dtype == torch.bfloat16
        loss = game.critic(logits, logits).total + game.generator(logits)
    loss.backward()
    assert torch.isfinite(layer.weight.grad).all()


@pytest.mark.parametrize("game", [MINIMAX, WASSERSTEIN])
def test_zero_sum_games_are_zero_sum(game):
    real, fake = torch.randn(7, 1), torch.randn(7, 1)
    assert game.generator(fake).item() == pytest.approx(-game.critic(real, fake).fake.item(), abs=1e-7)


@every_game
def test_batches_are_averaged(game):
    torch.manual_seed(0)
    a, b, c, d = torch.randn(4, 6, 1, dtype=torch.float64).unbind()
    whole = game.critic(torch.cat([a, b]), torch.cat([c, d]))
    parts = game.critic(a, c), game.critic(b, d)
    torch.testing.assert_close(whole.total, (parts[0].total + parts[1].total) / 2)
    torch.testing.assert_close(whole.total, whole.real + whole.fake)
    torch.testing.assert_close(game.critic(a.flip(0), c.roll(2, 0)).total, game.critic(a, c).total)
    torch.testing.assert_close(game.generator(torch.cat([c, d])), (game.generator(c) + game.generator(d)) / 2)


@every_game
def test_shapes(game):
    for shape in ((), (1,), (1, 3, 3)):
        loss = game.critic(torch.randn(5, *shape), torch.randn(2, *shape))
        assert loss.total.shape == loss.real.shape == loss.fake.shape == ()
    with pytest.raises(ValueError, match="differ in shape"):
        game.critic(torch.zeros(4), torch.zeros(4, 1))


def normal_quantiles(n: int = 20001) -> Tensor:
    """A stratified sample of N(0, 1), exact up to the width of its strata."""
    return torch.special.ndtri((torch.arange(n, dtype=torch.float64) + 0.5) / n)


@pytest.mark.parametrize(("t", "js"), [(0.5, 0.0303113), (1.0, 0.1114215), (2.0, 0.3368308), (3.0, 0.5267773)])
def test_optimal_discriminator_of_two_gaussians(t, js):
    """p = N(0, 1), q = N(t, 1): logit D* = t^2 / 2 - t x, and D's loss there is 2 log 2 - 2 JS."""
    real = normal_quantiles()
    fake = real + t
    weights = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights], max_iter=100, tolerance_change=1e-12, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        total = losses.logistic_critic(weights[0] * real + weights[1], weights[0] * fake + weights[1]).total
        total.backward()
        return total

    final = optimiser.step(loss) * 0 + loss()
    assert weights[0].item() == pytest.approx(-t, abs=2e-3)
    assert weights[1].item() == pytest.approx(t * t / 2, abs=4e-3)
    assert final.item() == pytest.approx(2 * math.log(2) - 2 * js, abs=1e-4)


def test_least_squares_optimum_at_equal_distributions():
    """D = 1/2 everywhere, D loss 1/4, G loss 1/8."""
    x = torch.randn(50, dtype=torch.float64)
    d = torch.zeros(50, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(losses.least_squares_critic(d + 0.5, d + 0.5).total, d)
    assert not gradient.abs().max() > 1e-12
    half = torch.full_like(x, 0.5)
    assert losses.least_squares_critic(half, half).total.item() == 0.25
    assert losses.least_squares_generator(half).item() == 0.125


def test_least_squares_generator_at_the_optimal_discriminator():
    """D* = p / (p + q) on a discrete space makes E_p (D-1)^2 + E_q (D-1)^2 equal to sum q^2 / (p + q)."""
    p, q = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64), torch.tensor([0.1, 0.3, 0.6], dtype=torch.float64)
    best = p / (p + q)

    def critic(d: Tensor) -> Tensor:  # expectations over the discrete space, from one-sample losses
        return torch.stack(
            [
                p[i] * losses.least_squares_critic(d[i : i + 1], d[i : i + 1]).real
                + q[i] * losses.least_squares_critic(d[i : i + 1], d[i : i + 1]).fake
                for i in range(3)
            ]
        ).sum()

    d = best.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(d), d)
    torch.testing.assert_close(gradient, torch.zeros(3, dtype=torch.float64))
    both = sum((p[i] + q[i]) * losses.least_squares_generator(best[i : i + 1]) for i in range(3))
    assert 2 * both.item() == pytest.approx((q.square() / (p + q)).sum().item())
    # which is Pearson's chi squared between the generator and the middle m of both
    m = (p + q) / 2
    assert 4 * both.item() - 1 == pytest.approx(((q - m).square() / m).sum().item())


def test_began_controller():
    k = losses.began_next_k(torch.tensor(0.0), torch.ones(4), torch.full((4,), 0.5), gamma=0.75, gain=0.001)
    assert k.item() == pytest.approx(0.00025)
    assert losses.began_convergence(torch.ones(4), torch.full((4,), 0.5), 0.75).item() == pytest.approx(1.25)
    low = losses.began_next_k(torch.tensor(0.0), torch.ones(1), torch.full((1,), 9.0), 0.75, 1.0)
    high = losses.began_next_k(torch.tensor(0.9), torch.ones(1), torch.zeros(1), 0.75, 1.0)
    assert (low.item(), high.item()) == (0, 1)
    still = losses.began_next_k(torch.tensor(0.3), torch.full((2,), 2.0), torch.full((2,), 1.5), 0.75, 0.1)
    assert still.item() == pytest.approx(0.3)  # the fixed point: L(G) = gamma L(x)


def test_began_k_settles_where_the_errors_have_their_ratio():
    """The more k weighs, the worse the critic reconstructs fakes. If L(x) = 1, L(G) = (1 + k) / 2: k* = 2 gamma - 1."""
    for start in (0.0, 1.0):
        k = torch.tensor(start, dtype=torch.float64)
        for _ in range(300):
            k = losses.began_next_k(k, torch.ones(2), (1 + k.expand(2)) / 2, gamma=0.75, gain=0.1)
        assert k.item() == pytest.approx(0.5, abs=1e-5)


def test_began_losses():
    x = torch.rand(3, 1, 4, 4)
    torch.testing.assert_close(losses.autoencoder_error(x, torch.zeros_like(x)), x.mean((1, 2, 3)))
    loss = losses.began_critic(torch.tensor([1.0, 3.0]), torch.tensor([4.0]), torch.tensor(0.5))
    assert [value.item() for value in loss] == [0.0, 2.0, -2.0]

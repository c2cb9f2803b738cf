"""Likelihoods, bounds, sparsity, and the linear VAE whose optimum is known for every trade-off."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from worldmodels.generative.networks.modules import VAE, Autoencoder, one_hot
from worldmodels.generative.objectives import elbo as e
from worldmodels.vae import kl_to_standard_normal, reparameterise


def test_bernoulli_likelihood_is_a_distribution():
    logits = torch.randn(1, 3, dtype=torch.float64)
    outcomes = torch.tensor([[(i >> b) & 1 for b in range(3)] for i in range(8)], dtype=torch.float64)
    nll = e.bernoulli_nll(logits.expand(8, 3), outcomes)
    assert nll.shape == (8,)
    assert torch.exp(-nll).sum().item() == pytest.approx(1)


def test_nothing_in_a_step_waits_for_the_device():
    """On the device "meta" there are no values to wait for, and asking for one is an error."""
    x, labels = torch.zeros(2, 3, device="meta"), torch.zeros(2, dtype=torch.long, device="meta")
    assert e.bernoulli_nll(x, x).shape == (2,)
    assert one_hot(labels, 3).shape == (2, 3)


@pytest.mark.parametrize("logvar", [0.0, -2.0, 1.3])
def test_gaussian_likelihood_with_its_constant(logvar):
    mean, x = torch.randn(2, 5, 1, 2, 2, dtype=torch.float64).unbind()
    normal = torch.distributions.Normal(mean, math.exp(0.5 * logvar))
    torch.testing.assert_close(e.gaussian_nll(mean, x, logvar), -normal.log_prob(x).flatten(1).sum(1))
    torch.testing.assert_close(e.gaussian_log_prob(x, mean, logvar), normal.log_prob(x).sum(-1))


def test_sums_not_means():
    """Four times the pixels, four times the nats; a batch twice as long, the same."""
    x = torch.rand(3, 1, 4, 4)
    tiled = x.repeat(1, 1, 2, 2)
    torch.testing.assert_close(e.gaussian_nll(tiled * 0, tiled, 0.0), 4 * e.gaussian_nll(x * 0, x, 0.0))
    kl = torch.rand(3, 5)
    one, two = e.elbo(torch.ones(3), kl), e.elbo(torch.ones(6), kl.repeat(2, 1))
    torch.testing.assert_close(one.loss, two.loss)
    assert one.rate.item() == pytest.approx(kl.sum(1).mean().item())


def test_trade_off_and_free_bits():
    kl = torch.tensor([[0.1, 2.0], [0.3, 4.0]])
    plain = e.elbo(torch.tensor([5.0, 7.0]), kl, kl_weight=2.0)
    assert plain.loss.item() == pytest.approx(6 + 2 * 3.2)
    assert (plain.distortion.item(), plain.rate.item()) == pytest.approx((6, 3.2))
    free = e.elbo(torch.tensor([5.0, 7.0]), kl.requires_grad_(), free_nats=0.5)
    assert free.loss.item() == pytest.approx(6 + 0.5 + 3)
    (gradient,) = torch.autograd.grad(free.loss, kl)
    assert torch.equal(gradient, torch.tensor([[0, 0.5], [0, 0.5]]))


def test_bits_per_dimension():
    assert e.bits_per_dimension(torch.tensor(784 * math.log(2)), 784, levels=1).item() == pytest.approx(1)


def test_bits_of_8_bit_pixels_are_those_of_their_256_probabilities():
    """A uniform density costs 8 bits; a Gaussian one, as many as its probabilities of the 256 cells."""
    assert e.bits_per_dimension(torch.tensor(0.0), 3).item() == pytest.approx(8)
    cells = (torch.arange(256, dtype=torch.float64) + 0.5) / 256
    normal = torch.distributions.Normal(0.5, 0.1)
    probability = normal.cdf(cells + 0.5 / 256) - normal.cdf(cells - 0.5 / 256)
    exact = -(probability * probability.log2()).sum()
    nats = -(probability * normal.log_prob(cells)).sum()
    assert e.bits_per_dimension(nats, 1).item() == pytest.approx(exact.item(), abs=1e-4)
    assert exact > 6  # and not minus 1.3


def test_reparameterised_gradients():
    """d/dmean E z^2 = 2 mean, d/dsigma E z^2 = 2 sigma."""
    mean = torch.tensor([[0.7]], dtype=torch.float64, requires_grad=True)
    logvar = torch.tensor([[-0.4]], dtype=torch.float64, requires_grad=True)
    noise = torch.special.ndtri((torch.arange(4000, dtype=torch.float64) + 0.5) / 4000)[:, None]
    reparameterise(mean, logvar, noise).square().mean().backward()
    assert mean.grad.item() == pytest.approx(1.4, rel=1e-3)
    sigma = math.exp(-0.2)
    assert logvar.grad.item() == pytest.approx(2 * sigma * sigma / 2, rel=2e-3)


# The linear VAE


def exact_data(eigenvalues: list[float], count: int = 60) -> Tensor:
    """Points of zero mean whose covariance has exactly these eigenvalues, along rotated axes."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count, len(eigenvalues), generator=generator, dtype=torch.float64)
    x = torch.linalg.qr(x - x.mean(0))[0] * math.sqrt(count)
    rotation = torch.linalg.qr(torch.randn(len(eigenvalues), len(eigenvalues), generator=generator).double())[0]
    return x * torch.tensor(eigenvalues, dtype=torch.float64).sqrt() @ rotation.T


def linear_vae(x: Tensor, latents: int, variance: float | None, kl_weight: float) -> tuple[VAE, Tensor, e.ELBO]:
    """Fit by LBFGS on exact expectations: noise ±sqrt(D) e_j has the mean and the covariance of N(0, I)."""
    torch.manual_seed(1)
    size = x.shape[1]
    vae = VAE(nn.Identity(), size, latents, nn.Linear(latents, size), learned_variance=variance is None).double()
    noise = torch.cat([torch.eye(latents), -torch.eye(latents)]).double() * math.sqrt(latents)
    tiled, noise = x.repeat_interleave(len(noise), 0), noise.repeat(len(x), 1)

    def terms() -> e.ELBO:
        mean, logvar = vae.encode(tiled)
        output = vae.decode(reparameterise(mean, logvar, noise))
        nll = e.gaussian_nll(output, tiled, vae.output_logvar if variance is None else math.log(variance))
        return e.elbo(nll, kl_to_standard_normal(mean, logvar), kl_weight)

    optimiser = torch.optim.LBFGS(
        vae.parameters(), max_iter=600, tolerance_grad=1e-9, tolerance_change=1e-13, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = terms().loss
        loss.backward()
        return loss

    optimiser.step(closure)
    return vae, vae.encode(x)[0], terms()


EIGENVALUES = [4.0, 2.0, 1.0, 0.5, 0.1]


@pytest.mark.parametrize(("kl_weight", "active"), [(0.2, 4), (1.0, 4), (2.4, 3), (5.0, 2), (10.0, 1), (20.0, 0)])
def test_linear_vae_traces_the_rate_distortion_curve(kl_weight, active):
    """Reverse water-filling at t = kl_weight s^2: unit i is active iff l_i > t, rate sum log(l_i / t) / 2,
    distortion sum min(l_i, t). With s^2 = 0.25 and weight 0.2, t = 0.05 would activate all five, but there are four
    latents."""
    variance, latents = 0.25, 4
    x = exact_data(EIGENVALUES)
    vae, _, fit = linear_vae(x, latents, variance, kl_weight)
    t = kl_weight * variance
    carried = [value for value in EIGENVALUES[:latents] if value > t]
    rate = sum(0.5 * math.log(value / t) for value in carried)
    lost = sum(min(value, t) if value in carried else value for value in EIGENVALUES)
    distortion = lost / (2 * variance) + 2.5 * math.log(2 * math.pi * variance)
    assert fit.rate.item() == pytest.approx(rate, abs=2e-3)
    assert fit.distortion.item() == pytest.approx(distortion, abs=5e-3)
    report = e.collapse_report(*(value.detach() for value in vae.encode(x)))
    assert report.active_by_kl == report.active_by_variance == active == len(carried)
    assert report.collapsed == (active == 0)
    weights = vae.decoder.weight.detach()
    expected = [max(value - t, 0) for value in EIGENVALUES[:latents]]
    found = torch.linalg.svdvals(weights).square().tolist()
    assert found == pytest.approx(expected, abs=5e-3)


def test_pixel_means_would_be_caught():
    """The common mistake, a mean over pixels, is a trade-off of 5 instead of 1 here: it loses two units."""
    x = exact_data(EIGENVALUES)
    _, _, right = linear_vae(x, 4, 0.25, 1.0)
    _, _, mistaken = linear_vae(x, 4, 0.25, 1.0 * x.shape[1])
    assert mistaken.rate < right.rate - 1


def test_linear_vae_bound_equals_probabilistic_pca():
    """At weight 1 with a learned variance: variance = mean of the discarded eigenvalues, bound = log-likelihood."""
    x = exact_data(EIGENVALUES)
    vae, _, fit = linear_vae(x, 2, None, 1.0)
    ml = (1.0 + 0.5 + 0.1) / 3
    assert vae.output_logvar.exp().item() == pytest.approx(ml, rel=1e-4)
    model = torch.tensor([4.0, 2.0, ml, ml, ml])
    ratio = torch.tensor(EIGENVALUES) / model
    log_likelihood = -0.5 * (5 * math.log(2 * math.pi) + model.log().sum() + ratio.sum())
    assert -fit.loss.item() == pytest.approx(log_likelihood.item(), abs=1e-4)


def test_iwae_is_exact_with_the_true_posterior_and_rises_with_k_otherwise():
    """x = z + sqrt(0.5) noise: p(x) = N(0, 1.5), posterior N(x / 1.5, 1 / 3)."""
    torch.manual_seed(0)
    x = torch.randn(500, 1, dtype=torch.float64) * math.sqrt(1.5)
    truth = e.gaussian_log_prob(x, 0.0, math.log(1.5))

    def bound(k: int, scale: float) -> Tensor:
        mean, logvar = scale * x / 1.5, torch.full_like(x, math.log(1 / 3 / scale))
        z = reparameterise(mean, logvar, torch.randn(k, 500, 1, dtype=torch.float64))
        nll = torch.stack([e.gaussian_nll(sample, x, math.log(0.5)) for sample in z])
        return e.iwae_bound(e.importance_log_weights(nll, z, mean, logvar))

    for k in (1, 7):
        torch.testing.assert_close(bound(k, 1.0), truth)
    bounds = [bound(k, 0.5).mean().item() for k in (1, 4, 16, 2000)]
    assert bounds == sorted(bounds)
    assert bounds[-1] == pytest.approx(truth.mean().item(), abs=0.02)
    weights = torch.randn(4, 3)
    torch.testing.assert_close(e.iwae_bound(weights[:1]), weights[0])


def test_iwae_gradient_favours_the_more_likely_sample():
    weights = torch.tensor([[0.0], [3.0]], requires_grad=True)
    e.iwae_bound(weights).sum().backward()
    assert weights.grad.sum().item() == pytest.approx(1)
    assert weights.grad[1] > weights.grad[0]


# Autoencoders


def test_sparsity_is_zero_exactly_at_its_target():
    assert e.sparsity_kl(torch.full((4, 3), 0.05), 0.05).item() == pytest.approx(0, abs=1e-9)
    value = 0.05 * math.log(0.05 / 0.5) + 0.95 * math.log(0.95 / 0.5)
    assert e.sparsity_kl(torch.full((4, 3), 0.5), 0.05).item() == pytest.approx(3 * value)
    assert torch.isfinite(e.sparsity_kl(torch.zeros(4, 3), 0.05))


def fit_linear_autoencoder(x: Tensor, latents: int, corrupt) -> Autoencoder:
    torch.manual_seed(0)
    size = x.shape[1]
    ae = Autoencoder(nn.Identity(), size, latents, nn.Linear(latents, size)).double()
    optimiser = torch.optim.LBFGS(ae.parameters(), max_iter=500, tolerance_change=1e-14, line_search_fn="strong_wolfe")
    inputs, targets = corrupt(x)

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = (ae(inputs) - targets).square().sum(1).mean()
        loss.backward()
        return loss

    optimiser.step(closure)
    return ae


def test_linear_autoencoder_is_pca():
    x = exact_data(EIGENVALUES)
    ae = fit_linear_autoencoder(x, 2, lambda x: (x, x))
    error = (ae(x) - x).square().sum(1).mean().item()
    assert error == pytest.approx(1.0 + 0.5 + 0.1, abs=1e-4)
    principal = torch.linalg.svd(x, full_matrices=False)[2][:2].T
    learned = torch.linalg.qr(ae.decoder.weight.detach())[0]
    torch.testing.assert_close(torch.linalg.svdvals(learned.T @ principal), torch.ones(2).double(), atol=1e-4, rtol=0)


def test_linear_denoising_autoencoder_is_the_wiener_filter():
    """Its optimum multiplies axis i by l_i / (l_i + s^2)."""
    eigenvalues, s2 = [3.0, 1.0, 0.25], 0.5
    x = exact_data(eigenvalues)
    noise = torch.cat([torch.eye(3), -torch.eye(3)]).double() * math.sqrt(3 * s2)
    clean = x.repeat_interleave(6, 0)
    ae = fit_linear_autoencoder(x, 3, lambda x: (clean + noise.repeat(len(x), 1), clean))
    axes = torch.linalg.svd(x, full_matrices=False)[2]
    with torch.no_grad():
        gains = ((ae(axes) - ae(torch.zeros_like(axes))) * axes).sum(1)
    assert gains.tolist() == pytest.approx([value / (value + s2) for value in eigenvalues], abs=1e-3)

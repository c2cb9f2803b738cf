"""Kernel densities against integrals, scikit-learn, and the distributions that they estimate."""

from __future__ import annotations

import math

import pytest
import torch

from worldmodels.generative.measures import metrics as m
from worldmodels.generative.measures.kde import (
    KERNELS,
    KernelDensity,
    cross_validated,
    parzen_log_likelihood,
    silverman,
)
from worldmodels.training.randomness import generator_for

every_kernel = pytest.mark.parametrize("kernel", KERNELS)


def normal(count: int, dimensions: int = 1, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, dimensions, generator=generator_for(seed, 0), dtype=torch.float64)


@every_kernel
def test_a_kernel_is_a_density_and_its_quantiles_are_those_of_it(kernel):
    u = torch.linspace(-9, 9, 180_001, dtype=torch.float64)
    density = KERNELS[kernel].log_density(u).exp()
    below = torch.cumulative_trapezoid(density, u)
    assert below[-1].item() == pytest.approx(1, abs=1e-4)
    for share in (0.1, 0.5, 0.85):
        place = KERNELS[kernel].quantile(torch.tensor(share, dtype=torch.float64)).item()
        assert below[int(torch.searchsorted(u, place)) - 1].item() == pytest.approx(share, abs=2e-4)


@every_kernel
def test_against_scikit_learn(kernel):
    neighbours = pytest.importorskip("sklearn.neighbors")
    samples, x = normal(40), torch.linspace(-2.5, 2.5, 31, dtype=torch.float64)[:, None]
    name = {"triangular": "linear"}.get(kernel, kernel)
    theirs = neighbours.KernelDensity(kernel=name, bandwidth=0.4).fit(samples.numpy()).score_samples(x.numpy())
    ours = KernelDensity(samples, 0.4, kernel).log_density(x)
    there = torch.isfinite(ours)
    assert there.sum() > 20
    torch.testing.assert_close(ours[there], torch.from_numpy(theirs)[there])


@every_kernel
def test_two_dimensions_integrate_to_one(kernel):
    density = KernelDensity(normal(5, 2), 0.6, kernel)
    axis = torch.linspace(-6, 6, 241, dtype=torch.float64)
    places = torch.cartesian_prod(axis, axis)
    assert density.log_density(places).exp().sum().item() * 0.05**2 == pytest.approx(1, abs=5e-3)


@every_kernel
def test_draws_have_the_moments_of_the_estimate(kernel):
    """Its variance is that of the samples and that of the kernel times h^2."""
    samples = normal(50)
    u = torch.linspace(-9, 9, 20_001, dtype=torch.float64)
    own = torch.trapezoid(KERNELS[kernel].log_density(u).exp() * u.square(), u).item()
    drawn = KernelDensity(samples, 0.8, kernel).draw(40_000, generator_for(0, 1))
    assert drawn.mean().item() == pytest.approx(samples.mean().item(), abs=0.03)
    assert drawn.var().item() == pytest.approx(samples.var(correction=0).item() + 0.64 * own, rel=0.03)


def test_leaving_one_out_is_leaving_it_out():
    samples = normal(6, 2)
    found = KernelDensity(samples, 0.7).leave_one_out()
    for i in range(6):
        others = torch.cat([samples[:i], samples[i + 1 :]])
        torch.testing.assert_close(found[i], KernelDensity(others, 0.7).log_density(samples[i : i + 1])[0])


def test_cross_validation_chooses_a_bandwidth_for_the_data_at_hand():
    """For one Gaussian, about Silverman's rule; for two narrow ones far apart, a much smaller one than the rule."""
    one = normal(400)
    assert cross_validated(one).bandwidth == pytest.approx(silverman(one), rel=0.6)
    two = torch.cat([0.1 * one[:200] - 3, 0.1 * one[200:] + 3])
    best = cross_validated(two)
    assert best.bandwidth < 0.2 * silverman(two)
    held_out = torch.cat([0.1 * normal(50, seed=1) - 3, 0.1 * normal(50, seed=2) + 3])
    for other in (0.002, silverman(two)):
        assert best.log_density(held_out).mean() > KernelDensity(two, other).log_density(held_out).mean()
    assert cross_validated(one, candidates=(0.01, 0.3, 5.0)).bandwidth == 0.3


def test_the_parzen_estimate_of_old_tables_is_the_gaussian_one():
    samples, queries = normal(30, 3), normal(20, 3, seed=1) + 0.5
    expected = KernelDensity(samples, 0.9).log_density(queries).mean().item()
    assert parzen_log_likelihood(queries, samples, 0.9) == pytest.approx(expected)


def test_total_variation():
    assert m.total_variation_discrete(torch.tensor([0.5, 0.5, 0.0]), torch.tensor([0.25, 0.25, 0.5])) == 0.5
    x = torch.linspace(-12, 15, 200_001, dtype=torch.float64)
    for shift in (0.0, 0.7, -3.0):
        densities = [torch.exp(-0.5 * (x - s).square()) / math.sqrt(2 * math.pi) for s in (0.0, shift)]
        apart = 0.5 * torch.trapezoid((densities[0] - densities[1]).abs(), x).item()
        assert m.total_variation_normal_shift(shift) == pytest.approx(apart, abs=1e-7)
    js, tv = m.js_normal_shift(1.0), m.total_variation_normal_shift(1.0)
    assert js <= math.log(2) * tv  # Lin (1991), theorem 3

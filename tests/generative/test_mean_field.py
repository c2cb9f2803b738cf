"""Coordinate ascent against closed forms, and against gradient ascent on the same bound."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

from worldmodels.generative.measures.mean_field import coordinate_ascent

MEAN = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
COVARIANCE = torch.tensor([[2.0, 0.9, 0.3], [0.9, 1.0, -0.2], [0.3, -0.2, 0.7]], dtype=torch.float64)


def test_the_bound_rises_to_minus_the_divergence_that_is_left():
    found = coordinate_ascent(MEAN, COVARIANCE, torch.zeros(3, dtype=torch.float64), 200)
    assert (found.bounds.diff() > -1e-12).all()
    torch.testing.assert_close(found.mean, MEAN)
    q = MultivariateNormal(found.mean, torch.diag(found.variance))
    divergence = kl_divergence(q, MultivariateNormal(MEAN, COVARIANCE))
    assert found.bounds[-1].item() == pytest.approx(-divergence.item(), abs=1e-12)
    first = coordinate_ascent(MEAN, COVARIANCE, torch.zeros(3, dtype=torch.float64), 1)
    q = MultivariateNormal(first.mean, torch.diag(first.variance))
    divergence = kl_divergence(q, MultivariateNormal(MEAN, COVARIANCE))
    assert first.bounds[0].item() == pytest.approx(-divergence.item(), abs=1e-12)
    assert (found.variance < COVARIANCE.diagonal()).all()


def test_gradient_ascent_arrives_at_the_same_factors():
    found = coordinate_ascent(MEAN, COVARIANCE, torch.zeros(3, dtype=torch.float64), 200)
    target = MultivariateNormal(MEAN, COVARIANCE)
    values = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.Adam([values], lr=0.05)
    for _ in range(600):
        q = MultivariateNormal(values[0], torch.diag((2 * values[1]).exp()))
        (values.grad,) = torch.autograd.grad(kl_divergence(q, target), [values])
        optimiser.step()
    torch.testing.assert_close(values[0].detach(), found.mean, atol=1e-3, rtol=0)
    torch.testing.assert_close((2 * values[1]).exp().detach(), found.variance, atol=1e-3, rtol=0)


def test_two_factors_come_closer_by_their_squared_correlation_in_every_sweep():
    covariance = torch.tensor([[1.0, 0.8], [0.8, 1.0]], dtype=torch.float64)
    zero, start = torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    one, two = (coordinate_ascent(zero, covariance, start, sweeps).mean for sweeps in (1, 2))
    torch.testing.assert_close(two, 0.64 * one)
    torch.testing.assert_close(one, torch.tensor([0.8, 0.64], dtype=torch.float64))


def test_independent_values_are_found_at_once():
    covariance = torch.diag(torch.tensor([0.5, 2.0], dtype=torch.float64))
    mean = torch.tensor([3.0, -1.0], dtype=torch.float64)
    found = coordinate_ascent(mean, covariance, torch.zeros(2, dtype=torch.float64), 1)
    q, p = Normal(found.mean, found.variance.sqrt()), Normal(mean, covariance.diagonal().sqrt())
    assert kl_divergence(Independent(q, 1), Independent(p, 1)).item() == pytest.approx(0, abs=1e-12)
    assert found.bounds[0].item() == pytest.approx(0, abs=1e-12)

"""Divergences and estimators against closed forms and independent implementations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from rollouts.errors import UserError
from worldmodels.generative.data.synthetic import GRID, RING, line, mixture
from worldmodels.generative.measures import metrics as m
from worldmodels.generative.measures.kde import parzen_log_likelihood


def test_kl_between_gaussians():
    assert m.kl_normal(1, 2) == pytest.approx(1.3068528, abs=1e-7)
    assert m.kl_normal(0, 0.5) == pytest.approx(0.3181472, abs=1e-7)
    assert m.kl_normal(1, math.exp(0.5)) == pytest.approx(0.8591409, abs=1e-7)
    assert m.kl_normal(3, 2, 3, 2) == 0


@pytest.mark.parametrize(
    ("t", "kl", "js"), [(0.5, 0.125, 0.0303113), (1, 0.5, 0.1114215), (2, 2, 0.3368308), (8, 32, 0.6930536)]
)
def test_js_saturates_while_the_earth_movers_distance_grows(t, kl, js):
    assert m.kl_normal(t, 1) == pytest.approx(kl)
    assert m.js_normal_shift(t) == pytest.approx(js, abs=1e-6)
    x = torch.special.ndtri((torch.arange(500).double() + 0.5) / 500)
    assert m.earth_movers_1d(x, x + t) == pytest.approx(t)


def test_discrete_divergences():
    p, q = torch.tensor([0.5, 0.5, 0.0]), torch.tensor([0.25, 0.25, 0.5])
    assert m.kl_discrete(p, q) == pytest.approx(math.log(2))
    assert m.kl_discrete(q, p) == math.inf
    assert m.js_discrete(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])) == pytest.approx(math.log(2))
    assert m.js_discrete(p, p) == 0


@pytest.mark.parametrize("theta", [0.0, 0.3, -2.0])
def test_parallel_lines(theta):
    rng = np.random.default_rng(0)
    here = line(0, 60, rng)
    there = here + np.array([theta, 0], np.float32)
    assert m.earth_movers(torch.tensor(here), torch.tensor(there)) == pytest.approx(abs(theta), abs=1e-6)


def test_earth_movers_1d_against_scipy():
    stats = pytest.importorskip("scipy.stats")
    x, y = torch.randn(37).double(), torch.randn(64).double() * 2 + 1
    assert m.earth_movers_1d(x, y) == pytest.approx(stats.wasserstein_distance(x.numpy(), y.numpy()))
    assert m.earth_movers_1d(3 * x, 3 * y) == pytest.approx(3 * m.earth_movers_1d(x, y))


@pytest.mark.parametrize("n", [1, 2, 7, 40])
def test_assignment_against_scipy(n):
    optimize = pytest.importorskip("scipy.optimize")
    cost = np.random.default_rng(n).random((n, n))
    found = m.cheapest_assignment(cost)
    rows, columns = optimize.linear_sum_assignment(cost)
    assert sorted(found) == list(range(n))
    assert cost[np.arange(n), found].sum() == pytest.approx(cost[rows, columns].sum())


def test_earth_movers_agrees_with_one_dimension_and_is_a_distance():
    x, y = torch.randn(30, 1), torch.randn(30, 1)
    assert m.earth_movers(x, y) == pytest.approx(m.earth_movers_1d(x, y), rel=1e-5)
    a = torch.randn(20, 3)
    assert m.earth_movers(a, a[torch.randperm(20)]) == pytest.approx(0, abs=1e-6)
    assert m.earth_movers(a, a + torch.tensor([3.0, 4.0, 0.0])) == pytest.approx(5, rel=1e-6)
    with pytest.raises(ValueError, match="equal sizes"):
        m.earth_movers(a, a[:3])


@pytest.mark.parametrize(
    ("d", "s", "shift", "expected"),
    [(1, 1.0, 1.0, 0.1772676), (2, 1.0, 1.0, 0.1023455), (2, 1.0, 2.0, 0.3243886), (10, 10**0.5, 1.0, 0.0328018)],
)
def test_mmd_of_shifted_gaussians(d, s, shift, expected):
    torch.manual_seed(0)
    x, y = torch.randn(2000, d), torch.randn(2000, d)
    y[:, 0] += shift
    assert m.mmd(x, y, s) == pytest.approx(expected, abs=0.015)


def test_unbiased_mmd_is_zero_on_average_and_goes_negative():
    torch.manual_seed(0)
    values = [m.mmd(torch.randn(20, 2), torch.randn(20, 2), 1.0) for _ in range(300)]
    assert min(values) < 0
    assert abs(np.mean(values)) < 3 * np.std(values) / 300**0.5
    x, y = torch.randn(9, 2).double(), torch.randn(9, 2).double()
    k = lambda a, b: torch.exp(-torch.cdist(a, b).square() / 2)  # noqa: E731
    biased = (k(x, x).mean() + k(y, y).mean() - 2 * k(x, y).mean()).item()
    terms = sum((k(z, z).sum() - 9).item() / (9 * 8) - k(z, z).mean().item() for z in (x, y))
    assert m.mmd(x, y, 1.0) == pytest.approx(biased + terms)


def test_kernel_distance_by_hand():
    """Features 1 and 2 against 1 and 3 in one dimension, kernel (xy + 1)^3."""
    x, y = torch.tensor([[1.0], [2.0]]), torch.tensor([[1.0], [3.0]])
    assert m.kernel_distance(x, y) == pytest.approx(27 + 64 - 2 * (8 + 64 + 27 + 343) / 4)


def test_parzen():
    x = torch.zeros(1, 3)
    assert parzen_log_likelihood(x, x, 0.2) == pytest.approx(-3 * math.log(0.2 * math.sqrt(2 * math.pi)))
    samples = torch.special.ndtri((torch.arange(4000).double() + 0.5) / 4000)[:, None]
    assert parzen_log_likelihood(samples, samples, 0.2) == pytest.approx(-1.4193181, abs=2e-3)
    assert math.isfinite(parzen_log_likelihood(torch.zeros(2, 784), torch.ones(3, 784), 0.2))


def test_parzen_against_scikit_learn():
    neighbours = pytest.importorskip("sklearn.neighbors")
    samples, queries = torch.randn(50, 3).double(), torch.randn(600, 3).double()
    kde = neighbours.KernelDensity(bandwidth=0.4).fit(samples.numpy())
    expected = kde.score_samples(queries.numpy()).mean()
    assert parzen_log_likelihood(queries, samples, 0.4) == pytest.approx(expected)


def test_frechet_distance_of_known_covariances():
    torch.manual_seed(0)
    x = torch.randn(300, 3).double()
    x = torch.linalg.qr(x - x.mean(0))[0] * 299**0.5  # covariance exactly the identity
    assert m.frechet_distance(x, x) == pytest.approx(0, abs=1e-9)
    assert m.frechet_distance(x, x + torch.tensor([3.0, 4.0, 0.0])) == pytest.approx(25)
    scales = torch.tensor([2.0, 3.0, 0.5]).double()
    assert m.frechet_distance(x, x * scales) == pytest.approx(float((1 - scales).square().sum()))


def test_frechet_distance_worked_out_by_hand():
    """Means 4 and 8 apart; variances 25/99 and 1225/99 along x and none along y (compare_gan's example)."""
    real, fake = torch.ones(100, 2), 9 * torch.ones(100, 2)
    real[:50, 0] = 2
    fake[50:, 0] = 2
    expected = 16 + 64 + (25 + 1225 - 2 * (25 * 1225) ** 0.5) / 99
    assert expected == pytest.approx(89.0909, abs=1e-4)
    assert m.frechet_distance(real, fake) == pytest.approx(expected)


def test_frechet_distance_against_scipy():
    linalg = pytest.importorskip("scipy.linalg")
    torch.manual_seed(0)
    x, y = torch.randn(50, 5).double() @ torch.randn(5, 5).double(), torch.randn(60, 5).double() + 1
    s1, s2 = torch.cov(x.T).numpy(), torch.cov(y.T).numpy()
    gap = (x.mean(0) - y.mean(0)).square().sum().item()
    expected = gap + np.trace(s1 + s2 - 2 * linalg.sqrtm(s1 @ s2).real)
    assert m.frechet_distance(x, y) == pytest.approx(expected)


def test_frechet_distance_with_fewer_samples_than_features():
    value = m.frechet_distance(torch.randn(10, 40), torch.randn(12, 40))
    assert math.isfinite(value)
    assert value > 0
    assert m.frechet_distance(torch.randn(9, 1), torch.randn(9, 1)) >= 0


def test_precision_and_recall_tell_collapse_from_noise():
    torch.manual_seed(0)
    modes = torch.tensor([[0.0, 0.0], [10.0, 0.0]])
    real = torch.cat([centre + torch.randn(200, 2) for centre in modes])
    whole = torch.cat([centre + torch.randn(200, 2) for centre in modes])
    good = m.precision_recall(real, whole)
    collapsed = m.precision_recall(real, modes[0] + torch.randn(400, 2))
    noisy = m.precision_recall(real, torch.randn(400, 2) * 15)
    assert min(good) > 0.9
    assert collapsed.precision > 0.9
    assert collapsed.recall < 0.6
    assert noisy.precision < 0.3
    with pytest.raises(UserError, match="more than 3 samples on either side, got 3 real and 400 generated"):
        m.precision_recall(real[:3], whole)


def test_classifier_score_and_histogram():
    assert m.classifier_score(torch.full((20, 10), 0.1)) == pytest.approx(1)
    assert m.classifier_score(torch.eye(10).repeat(3, 1)) == pytest.approx(10)
    uniform = torch.full((4,), 0.25)
    assert m.class_histogram(torch.eye(4), uniform).kl == pytest.approx(0)
    one = m.class_histogram(torch.eye(4)[:1].repeat(9, 1), uniform)
    assert one.shares == [1, 0, 0, 0]
    assert one.kl == pytest.approx(math.log(4))
    uneven = torch.tensor([0.5, 0.25, 0.25, 0.0])
    assert m.class_histogram(torch.eye(4)[[0, 0, 1, 2]], uneven).kl == pytest.approx(0, abs=1e-5)
    assert math.isfinite(m.class_histogram(torch.eye(4), uneven).kl)


@pytest.mark.parametrize(("count", "biased"), [(300, 7.3), (1000, 2.2)])
def test_the_bias_of_a_frechet_distance_is_extrapolated_away(count, biased):
    """Two draws of one 64-dimensional Gaussian: 0, but for the bias of few samples."""
    rng = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, count, 64, generator=rng).unbind()
    assert m.frechet_distance(x, y) == pytest.approx(biased, rel=0.1)
    assert abs(m.extrapolated_frechet(x, y)) < 0.1 * biased
    shifted = m.extrapolated_frechet(x, y + 0.5)  # 64 times 0.5^2
    assert shifted == pytest.approx(16, abs=1.5)


def test_a_perfect_sampler_has_98_889_percent():
    assert pytest.approx(0.98889, abs=1e-5) == m.PERFECT_HIGH_QUALITY
    for modes in (RING, GRID):
        points, _ = mixture(modes, 50_000, np.random.default_rng(0))
        count = m.count_modes(torch.from_numpy(points), modes)
        assert count.modes == count.of == len(modes.centres)
        assert count.high_quality == pytest.approx(m.PERFECT_HIGH_QUALITY, abs=0.002)
        assert count.kl_to_uniform < 1e-3


def test_mode_counting_of_collapsed_samplers():
    one = torch.from_numpy(RING.centres[:1]).repeat(50, 1)
    assert m.count_modes(one, RING)[:3] == (1, 8, 1.0)
    assert m.count_modes(one, RING).kl_to_uniform == pytest.approx(2.0794, abs=1e-4)
    seven = torch.from_numpy(RING.centres[:7])
    assert m.count_modes(seven, RING).kl_to_uniform == pytest.approx(0.1335, abs=1e-4)
    grid24 = torch.from_numpy(GRID.centres[:24])
    assert m.count_modes(grid24, GRID).kl_to_uniform == pytest.approx(0.0408, abs=1e-4)
    none = m.count_modes(torch.zeros(5, 2), RING)
    assert (none.modes, none.high_quality) == (0, 0.0)


def test_nearest():
    data = torch.randn(700, 1, 2, 2)
    order = torch.randperm(700)[:300]
    found = m.nearest(data[order] + 1e-4, data)
    assert torch.equal(found.indices, order)
    assert found.distance.max() < 0.01


def test_triples_of_classes():
    every = torch.cartesian_prod(*[torch.arange(3)] * 3)
    assert m.count_triples(every, 3) == (27, 27, pytest.approx(0))
    assert m.count_triples(every[:1].expand(9, 3), 3) == (1, 27, pytest.approx(math.log(27)))
    told_apart = torch.tensor([[0, 0, 1], [0, 1, 0], [1, 0, 0]])
    assert m.count_triples(told_apart, 2) == (3, 8, pytest.approx(math.log(8 / 3)))


def test_what_chance_leaves_of_the_kl_of_a_perfect_sampler():
    triples = torch.randint(10, (26_000, 3), generator=torch.Generator().manual_seed(0))
    count = m.count_triples(triples, 10)
    assert count.modes == 1000
    assert count.kl_to_uniform == pytest.approx(999 / 52_000, rel=0.15)

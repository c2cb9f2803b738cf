"""How far apart two sets of samples are: divergences in closed form, and estimators of them.

Everything takes float tensors ``[N, D]`` (points, flattened pixels, or features of a named extractor), computes in
float64 and returns Python floats. A Fréchet distance is called FID only where the features are Inception's.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rollouts.errors import UserError
from worldmodels.generative.data.synthetic import Modes

PERFECT_HIGH_QUALITY = 1 - math.exp(-4.5)
"""Share of a round 2-D Gaussian within 3 standard deviations of its centre: 98.889 %, what a perfect sampler scores."""


# Divergences


def kl_discrete(p: Tensor, q: Tensor) -> float:
    """``sum p log(p / q)`` in nats of two probability vectors; infinite where q is 0 and p is not."""
    p, q = p.double(), q.double()
    there = p > 0
    return float((p[there] * (p[there] / q[there]).log()).sum())


def js_discrete(p: Tensor, q: Tensor) -> float:
    """Jensen-Shannon divergence in nats, at most log 2."""
    middle = (p.double() + q.double()) / 2
    return 0.5 * (kl_discrete(p, middle) + kl_discrete(q, middle))


def total_variation_discrete(p: Tensor, q: Tensor) -> float:
    """``1/2 sum |p - q|``: the largest difference between the probabilities that both give to one event, at most 1."""
    return float(0.5 * (p.double() - q.double()).abs().sum())


def total_variation_normal_shift(shift: float) -> float:
    """Total variation of N(0, 1) and N(shift, 1): ``2 Phi(|shift| / 2) - 1``."""
    return math.erf(abs(shift) / (2 * math.sqrt(2)))


def kl_normal(mean: float, sd: float, other_mean: float = 0.0, other_sd: float = 1.0) -> float:
    """``KL(N(mean, sd^2) || N(other_mean, other_sd^2))`` in nats."""
    ratio = (sd / other_sd) ** 2
    return 0.5 * (ratio + ((mean - other_mean) / other_sd) ** 2 - 1 - math.log(ratio))


def js_normal_shift(shift: float, cells: int = 200_001) -> float:
    """``JS(N(0, 1), N(shift, 1))`` by quadrature; tends to log 2 while the earth mover's distance is ``|shift|``."""
    x = torch.linspace(min(0.0, shift) - 10, max(0.0, shift) + 10, cells, dtype=torch.float64)
    densities = [torch.exp(-0.5 * (x - m).square()) / math.sqrt(2 * math.pi) for m in (0.0, shift)]
    return js_discrete(*(density / density.sum() for density in densities))


# Earth mover's distance


def earth_movers_1d(x: Tensor, y: Tensor) -> float:
    """W1 of two samples on a line, of any sizes: the area between their distribution functions."""
    x, y = x.double().flatten().sort().values, y.double().flatten().sort().values
    both = torch.cat([x, y]).sort().values
    share_x = torch.searchsorted(x, both[:-1], right=True) / len(x)
    share_y = torch.searchsorted(y, both[:-1], right=True) / len(y)
    return float(((share_x - share_y).abs() * both.diff()).sum())


def earth_movers(x: Tensor, y: Tensor) -> float:
    """W1 of two equally large samples ``[N, D]``, exactly: the cheapest assignment. Seconds for N = 500.

    Raises:
        ValueError: the samples differ in size.
    """
    if len(x) != len(y):
        raise ValueError(f"samples of {len(x)} and {len(y)} points: equal sizes are needed")
    cost = torch.cdist(x.double(), y.double()).cpu().numpy()
    return float(cost[np.arange(len(x)), cheapest_assignment(cost)].mean())


def cheapest_assignment(cost: np.ndarray) -> np.ndarray:
    """For a square cost matrix, the column of every row that makes the total smallest.

    Shortest augmenting paths with potentials, O(N^3). Jonker & Volgenant (1987).
    """
    n = len(cost)
    row_potential, column_potential = np.zeros(n + 1), np.zeros(n + 1)
    row_of = np.full(n + 1, n)  # row assigned to a column; n means none, and column n is a virtual start
    for row in range(n):
        row_of[n], column = row, n
        shortest, previous, done = np.full(n + 1, np.inf), np.full(n + 1, n), np.zeros(n + 1, bool)
        while row_of[column] != n or column == n:
            done[column] = True
            here = row_of[column]
            reduced = cost[here] - row_potential[here] - column_potential[:n]
            better = ~done[:n] & (reduced < shortest[:n])
            shortest[:n][better] = reduced[better]
            previous[:n][better] = column
            reachable = np.where(done[:n], np.inf, shortest[:n])
            following = int(reachable.argmin())
            step = reachable[following]
            row_potential[row_of[done]] += step
            column_potential[done] -= step
            shortest[~done] -= step
            column = following
        while column != n:
            row_of[column] = row_of[previous[column]]
            column = int(previous[column])
    assigned = np.empty(n, np.int64)
    assigned[row_of[:n]] = np.arange(n)
    return assigned


# Kernels


def _rbf(x: Tensor, y: Tensor, bandwidth: float) -> Tensor:
    return torch.exp(-torch.cdist(x, y).square() / (2 * bandwidth**2))


def _unbiased_mmd(xx: Tensor, yy: Tensor, xy: Tensor) -> float:
    n, m = len(xx), len(yy)
    within = (xx.sum() - xx.trace()) / (n * (n - 1)) + (yy.sum() - yy.trace()) / (m * (m - 1))
    return float(within - 2 * xy.mean())


def mmd(x: Tensor, y: Tensor, bandwidth: float) -> float:
    """Unbiased MMD² with a Gaussian kernel of this bandwidth: mean 0, and so negative half the time, when equal.

    Gretton et al. (2012), eq. 3.
    """
    x, y = x.double(), y.double()
    return _unbiased_mmd(_rbf(x, x, bandwidth), _rbf(y, y, bandwidth), _rbf(x, y, bandwidth))


def kernel_distance(x: Tensor, y: Tensor) -> float:
    """Unbiased MMD² with the kernel ``(x.y / D + 1)^3``. Bińkowski et al. (2018), who call it KID on Inception's."""
    x, y = x.double(), y.double()

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / a.shape[1] + 1) ** 3

    return _unbiased_mmd(kernel(x, x), kernel(y, y), kernel(x, y))


# Features


def frechet_distance(x: Tensor, y: Tensor) -> float:
    """``||m1 - m2||^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))`` of Gaussians fitted to features (covariances with N - 1).

    The trace of the root is taken from the eigenvalues of ``S1^(1/2) S2 S1^(1/2)``, which are real, also when there
    are fewer samples than features; rounding below zero is cut off. Biased upwards for small N: compare equal N only.
    """
    x, y = x.double(), y.double()
    difference = (x.mean(0) - y.mean(0)).square().sum()
    s1, s2 = (torch.atleast_2d(torch.cov(z.T)) for z in (x, y))
    values, vectors = torch.linalg.eigh(s1)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    product = torch.linalg.eigvalsh(root @ s2 @ root).clamp(min=0).sqrt().sum()
    return max(float(difference + s1.trace() + s2.trace() - 2 * product), 0.0)


def extrapolated_frechet(x: Tensor, y: Tensor, subsets: int = 5, repeats: int = 8) -> float:
    """The Fréchet distance that infinitely many samples would have: the bias goes with 1 / N, so a line through the
    values of random subsets (from half of the samples up) meets 1 / N = 0 there. Chong & Forsyth (2020).

    Around 0 for equal distributions, and so a little below it half the time.
    """
    rng, count = np.random.default_rng(0), min(len(x), len(y))
    sizes = np.linspace(count / 2, count, subsets).astype(int)

    def some(z: Tensor, n: int) -> Tensor:
        return z[torch.from_numpy(rng.permutation(len(z))[:n])]

    values = [np.mean([frechet_distance(some(x, n), some(y, n)) for _ in range(repeats)]) for n in sizes]
    return float(np.polyfit(1 / sizes, values, 1)[1])


class PrecisionRecall(NamedTuple):
    """Share of generated samples within the data, and of the data within the generated samples."""

    precision: float
    recall: float


def precision_recall(real: Tensor, generated: Tensor, neighbours: int = 3) -> PrecisionRecall:
    """Within a set means closer to one of its members than that one's k-th neighbour. Kynkäänniemi et al. (2019).

    Raises:
        UserError: a set is too small to have so many neighbours.
    """
    if min(len(real), len(generated)) <= neighbours:
        raise UserError(
            f"Precision and recall need more than {neighbours} samples on either side, got {len(real)} real and "
            f"{len(generated)} generated ones; use more data."
        )

    def share(points: Tensor, support: Tensor) -> float:
        # The nearest "neighbour" of a member is itself.
        radii = torch.cdist(support, support).topk(neighbours + 1, largest=False).values[:, -1]
        return float((torch.cdist(points, support) <= radii).any(1).double().mean())

    real, generated = real.double(), generated.double()
    return PrecisionRecall(share(generated, real), share(real, generated))


def classifier_score(probabilities: Tensor) -> float:
    """``exp E KL(p(y|x) || p(y))`` of class probabilities ``[N, K]``: the inception score, for another classifier.

    1 when all predictions are alike, K when they are certain and balanced.
    """
    p = probabilities.double()
    marginal = p.mean(0, keepdim=True)
    terms = torch.where(p > 0, p * (p / marginal).log(), torch.zeros_like(p))
    return math.exp(float(terms.sum(1).mean()))


class ClassHistogram(NamedTuple):
    """What a frozen classifier says a generator makes."""

    shares: list[float]
    kl: float  #: nats, to the data's shares; log K when these are equal and everything falls into one class


def class_histogram(probabilities: Tensor, expected: Tensor) -> ClassHistogram:
    """Shares of the most probable classes of ``[N, K]``, and their divergence from those of the data, ``[K]``.

    A class that the data do not have counts as one in a million.
    """
    shares = torch.bincount(probabilities.argmax(1), minlength=probabilities.shape[1]).double() / len(probabilities)
    expected = expected.double().clamp(min=1e-6)
    return ClassHistogram(shares.tolist(), kl_discrete(shares, expected / expected.sum()))


# Modes


class ModeCount(NamedTuple):
    """How well samples cover a mixture of known components."""

    modes: int  #: components with at least one high-quality sample
    of: int
    high_quality: float  #: share of samples within 3 sd of a centre; a perfect sampler has 0.98889
    kl_to_uniform: float  #: nats, of the high-quality samples over the components; log K if there are none


def count_modes(points: Tensor, modes: Modes) -> ModeCount:
    """A sample is of high quality within 3 standard deviations of its nearest centre."""
    centres = torch.from_numpy(modes.centres).to(points.device)
    distance, nearest = torch.cdist(points.double(), centres).min(1)
    good = distance <= 3 * modes.sd
    counts = torch.bincount(nearest[good], minlength=len(centres)).double()
    uniform = torch.full_like(counts, 1 / len(centres))
    kl = kl_discrete(counts / counts.sum(), uniform) if good.any() else math.log(len(centres))
    return ModeCount(int((counts > 0).sum()), len(centres), float(good.double().mean()), kl)


class TripleCount(NamedTuple):
    """How well triples of classes are covered."""

    modes: int  #: triples seen at least once
    of: int
    kl_to_uniform: float  #: nats; N perfect samples have about (of - 1) / 2N by chance


def count_triples(triples: Tensor, classes: int) -> TripleCount:
    """Class numbers ``[N, 3]`` as one of ``classes^3`` modes each. Metz et al. (2017), section 3.3."""
    of = classes**3
    counts = torch.bincount((triples * torch.tensor([classes**2, classes, 1])).sum(1), minlength=of).double()
    uniform = torch.full_like(counts, 1 / of)
    return TripleCount(int((counts > 0).sum()), of, kl_discrete(counts / counts.sum(), uniform))


# Memorisation


class Neighbours(NamedTuple):
    """The closest member of a data set to each query."""

    indices: Tensor
    distance: Tensor


def nearest(queries: Tensor, data: Tensor) -> Neighbours:
    """Nearest rows of ``data`` by Euclidean distance; inputs of any shape ``[N, ...]`` are flattened."""
    parts = [torch.cdist(chunk, data.flatten(1)).min(1) for chunk in queries.flatten(1).split(256)]
    return Neighbours(torch.cat([part.indices for part in parts]), torch.cat([part.values for part in parts]))

"""Kernel density estimation: a bump around every sample. ``p(x) = 1 / (n h^D) sum_i K((x - x_i) / h)``.

Kernels are products of one-dimensional ones. Fine for points; in the many dimensions of pictures no bandwidth fits.
Theis et al. (2016) warn that this estimate can rank a k-means sampler above the data themselves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

KernelName = Literal["gaussian", "epanechnikov", "tophat", "triangular"]
CHUNK = 200  #: points whose distances to all samples are taken at once


class Kernel(NamedTuple):
    """A symmetric density on a line."""

    log_density: Callable[[Tensor], Tensor]
    quantile: Callable[[Tensor], Tensor]  #: of numbers in (0, 1): what turns uniform numbers into draws


def _log(density: Tensor) -> Tensor:
    """Minus infinity where there is none."""
    return torch.where(density > 0, density, 0).log()


KERNELS: dict[KernelName, Kernel] = {
    "gaussian": Kernel(lambda u: -0.5 * u.square() - 0.5 * math.log(2 * math.pi), torch.special.ndtri),
    # The distribution function (2 + 3u - u^3) / 4 has this inverse.
    "epanechnikov": Kernel(
        lambda u: _log(0.75 * (1 - u.square())),
        lambda share: 2 * torch.sin(torch.asin(2 * share - 1) / 3),
    ),
    "tophat": Kernel(lambda u: _log(0.5 * (u.abs() <= 1).to(u.dtype)), lambda share: 2 * share - 1),
    "triangular": Kernel(
        lambda u: _log(1 - u.abs()),
        lambda share: (2 * share - 1).sign() * (1 - (1 - (2 * share - 1).abs()).sqrt()),
    ),
}
assert set(KERNELS) == set(get_args(KernelName))


@dataclass(frozen=True)
class KernelDensity:
    """The estimate from samples ``[N, D]``, float64."""

    samples: Tensor
    bandwidth: float
    kernel: KernelName = "gaussian"

    def log_density(self, x: Tensor) -> Tensor:
        """In nats, ``[M, D] -> [M]``; minus infinity beyond the reach of every kernel."""
        return self._summed(x) - math.log(len(self.samples)) - self._scale()

    def leave_one_out(self) -> Tensor:
        """The log density of every sample under the estimate from all others, ``[N]``."""
        return self._summed(self.samples, leave_out=True) - math.log(len(self.samples) - 1) - self._scale()

    def draw(self, count: int, rng: torch.Generator) -> Tensor:
        """New points ``[count, D]``: a sample at random, disturbed by its kernel."""
        chosen = self.samples[torch.randint(len(self.samples), (count,), generator=rng)]
        share = torch.rand(chosen.shape, generator=rng, dtype=torch.float64).clamp(1e-12, 1 - 1e-12)
        return chosen + self.bandwidth * KERNELS[self.kernel].quantile(share)

    def _scale(self) -> float:
        return self.samples.shape[1] * math.log(self.bandwidth)

    def _summed(self, x: Tensor, leave_out: bool = False) -> Tensor:
        """``log sum_i K((x - x_i) / h)``, without the sample itself if ``x`` are the samples and it is left out."""
        parts = []
        for start in range(0, len(x), CHUNK):
            u = (x[start : start + CHUNK, None].double() - self.samples.double()) / self.bandwidth
            logs = KERNELS[self.kernel].log_density(u).sum(-1)
            if leave_out:
                rows = torch.arange(len(logs))
                logs[rows, start + rows] = -torch.inf
            parts.append(torch.logsumexp(logs, 1))
        return torch.cat(parts)


def silverman(samples: Tensor) -> float:
    """The bandwidth ``sd (4 / ((D + 2) N))^(1 / (D + 4))``, best for a Gaussian. Silverman (1986), section 4.3.2."""
    count, dimensions = samples.shape
    return float(samples.double().std(0).mean()) * (4 / ((dimensions + 2) * count)) ** (1 / (dimensions + 4))


def cross_validated(
    samples: Tensor, kernel: KernelName = "gaussian", candidates: Sequence[float] = ()
) -> KernelDensity:
    """The estimate with the bandwidth under which every sample is most likely, given all others.

    Args:
        candidates: bandwidths to choose from; by default 31 between a hundredth of, and three times, Silverman's.
    """
    if not candidates:
        candidates = (silverman(samples) * torch.logspace(-2, math.log10(3), 31, dtype=torch.float64)).tolist()
    estimates = [KernelDensity(samples, bandwidth, kernel) for bandwidth in candidates]
    return max(estimates, key=lambda estimate: float(estimate.leave_one_out().mean()))


def parzen_log_likelihood(queries: Tensor, samples: Tensor, bandwidth: float) -> float:
    """Mean log density (nats) of ``queries`` under Gaussian kernels at ``samples``, as in old tables of GANs.

    For many dimensions: it needs the distances of all pairs only.
    """
    queries, samples = queries.double(), samples.double()
    dimensions = samples.shape[1]
    normaliser = math.log(len(samples)) + dimensions * math.log(bandwidth * math.sqrt(2 * math.pi))
    parts = [
        torch.logsumexp(-torch.cdist(chunk, samples).square() / (2 * bandwidth**2), 1) for chunk in queries.split(500)
    ]
    return float(torch.cat(parts).mean()) - normaliser

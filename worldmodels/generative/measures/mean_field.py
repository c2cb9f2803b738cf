"""Variational inference without a network: coordinate ascent (CAVI), where every step has a closed form.

What an encoder learns for all samples at once is found here for one distribution, factor by factor. Bishop (2006),
section 10.1.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class MeanField(NamedTuple):
    """Independent normal factors ``q(z) = prod_j q_j(z_j)``, and how the bound rose."""

    mean: Tensor  #: [D]
    variance: Tensor  #: [D]
    bounds: Tensor  #: the ELBO after every sweep, ``[sweeps]``; of a normalised target ``-KL(q || p)``


def coordinate_ascent(mean: Tensor, covariance: Tensor, start: Tensor, sweeps: int) -> MeanField:
    """The factors closest to N(mean, covariance) by KL(q || p), each in turn set to ``exp E_(-j)[log p(z)]``.

    With the precision matrix L that is a normal of variance ``1 / L_jj`` around ``mean_j - sum_(k != j) L_jk (m_k -
    mean_k) / L_jj``. The means arrive at those of the target, the variances are too small where the z_j depend on each
    other.

    Args:
        mean: ``[D]``; covariance: ``[D, D]``; start: the factors' first means, ``[D]``.
        sweeps: rounds through all factors.
    """
    precision = torch.linalg.inv(covariance)
    own = precision.diagonal()
    found, bounds = start.clone(), []
    for _ in range(sweeps):
        for j in range(len(mean)):
            others = precision[j] @ (found - mean) - own[j] * (found[j] - mean[j])
            found[j] = mean[j] - others / own[j]
        offset = found - mean
        energy = 0.5 * (offset @ precision @ offset + len(mean) + torch.logdet(2 * math.pi * covariance))
        entropy = 0.5 * (2 * math.pi * math.e / own).log().sum()
        bounds.append(entropy - energy)
    return MeanField(found, 1 / own, torch.stack(bounds))

"""How close pictures come to those that they should be: L1, PSNR, SSIM. All ``[N, C, S, S]`` in [0, 1] -> ``[N]``."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

WINDOW, SIGMA = 11, 1.5  #: of SSIM's Gaussian
K1, K2 = 0.01, 0.03


def absolute_error(made: Tensor, x: Tensor) -> Tensor:
    """Mean absolute difference of a picture's values."""
    return (made - x).abs().flatten(1).mean(1)


def psnr(made: Tensor, x: Tensor) -> Tensor:
    """Peak signal-to-noise ratio, ``-10 log10(mean squared error)``, in decibels; at most 100, of equal pictures."""
    return -10 * torch.log10((made - x).square().flatten(1).mean(1).clamp(min=1e-10))


def ssim(made: Tensor, x: Tensor) -> Tensor:
    """Structural similarity with Gaussian windows of 11x11, sigma 1.5, wholly inside; the mean over channels.

    Wang et al. (2004), eq. 13. 1 for equal pictures.

    Raises:
        ValueError: pictures are smaller than a window.
    """
    if min(x.shape[2:]) < WINDOW:
        raise ValueError(f"SSIM needs pictures of {WINDOW}x{WINDOW} at least, got {list(x.shape)}")
    place = torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2
    bell = torch.exp(-place.square() / (2 * SIGMA**2))
    bell = (bell / bell.sum()).to(x)

    def mean(values: Tensor) -> Tensor:
        flat = values.flatten(0, 1)[:, None]
        return F.conv2d(F.conv2d(flat, bell[None, None, :, None]), bell[None, None, None, :]).reshape(len(x), -1)

    mean_made, mean_x = mean(made), mean(x)
    variance_made, variance_x = mean(made * made) - mean_made.square(), mean(x * x) - mean_x.square()
    covariance = mean(made * x) - mean_made * mean_x
    light = (2 * mean_made * mean_x + K1**2) / (mean_made.square() + mean_x.square() + K1**2)
    structure = (2 * covariance + K2**2) / (variance_made + variance_x + K2**2)
    return (light * structure).mean(1)


def similarity(made: Tensor, x: Tensor) -> dict[str, float]:
    """The means of all of them over pictures; SSIM where a window fits in."""
    found = {"l1": absolute_error(made, x), "psnr": psnr(made, x)}
    if min(x.shape[2:]) >= WINDOW:
        found["ssim"] = ssim(made, x)
    return {name: float(values.mean()) for name, values in found.items()}

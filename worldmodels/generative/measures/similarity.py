"""How close pictures come to their targets: L1, PSNR, SSIM. All ``[N, C, S, S]`` in [0, 1] -> ``[N]``."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

WINDOW, SIGMA = 11, 1.5  #: of SSIM's Gaussian
K1, K2 = 0.01, 0.03


def absolute_error(output: Tensor, x: Tensor) -> Tensor:
    """Mean absolute difference of a picture's values."""
    return (output - x).abs().flatten(1).mean(1)


def psnr(output: Tensor, x: Tensor) -> Tensor:
    """Peak signal-to-noise ratio, ``-10 log10(mean squared error)``, in decibels; at most 100, of equal pictures."""
    return -10 * torch.log10((output - x).square().flatten(1).mean(1).clamp(min=1e-10))


def ssim(output: Tensor, x: Tensor) -> Tensor:
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

    mean_output, mean_x = mean(output), mean(x)
    variance_output, variance_x = mean(output * output) - mean_output.square(), mean(x * x) - mean_x.square()
    covariance = mean(output * x) - mean_output * mean_x
    light = (2 * mean_output * mean_x + K1**2) / (mean_output.square() + mean_x.square() + K1**2)
    structure = (2 * covariance + K2**2) / (variance_output + variance_x + K2**2)
    return (light * structure).mean(1)


def similarity(output: Tensor, x: Tensor) -> dict[str, float]:
    """The means of all of them over pictures; SSIM where a window fits in."""
    measures = {"l1": absolute_error(output, x), "psnr": psnr(output, x)}
    if min(x.shape[2:]) >= WINDOW:
        measures["ssim"] = ssim(output, x)
    return {name: float(values.mean()) for name, values in measures.items()}

"""Random generators that are a function of (seed, step)."""

from __future__ import annotations

import numpy as np
import torch


def generator_for(seed: int, step: int, device: torch.device | str = "cpu") -> torch.Generator:
    """The random generator of one step; a SplitMix-like spread keeps neighbouring seeds apart."""
    mixed = (seed * 0x9E3779B97F4A7C15 + (step + 1) * 0xBF58476D1CE4E5B9) & (2**63 - 1)
    return torch.Generator(device=device).manual_seed(mixed)


def numpy_generator_for(seed: int, step: int) -> np.random.Generator:
    """As :func:`generator_for`, for NumPy."""
    return np.random.default_rng((seed, step))

"""Pictures as the authors of World Models (2018) shrank them: what their published weights were fitted to.

Their code called SciPy's ``imresize`` on floats, which stretches every frame from its darkest to its brightest value
and then averages bilinearly. What came back were bytes, not floats to 1, so that the inversion that followed,
``((1 - x) * 255)`` as bytes, is ``x - 1`` modulo 256: black becomes 255.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def shrink(frame: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """``[H, W, 3]`` to ``[size, size, 3]``."""
    low, high = float(frame.min()), float(frame.max())
    scale = 255.0 / (high - low if high > low else 255.0)
    stretched = ((frame - low) * scale + 0.5).astype(np.uint8)
    small = np.asarray(Image.fromarray(stretched).resize((size, size), Image.Resampling.BILINEAR))
    return small - np.uint8(1)

"""The page's numbers: one block of bytes, as text that a script can carry (a page opened as a file may fetch none)."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Tensors:
    """Arrays that the page looks up by number.

    Each is stored at half precision where that loses nothing (so released agents, which are half precision, take two
    bytes a weight), at single precision elsewhere: the page computes with exactly the numbers that PyTorch has.
    """

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []
        self._bytes = bytearray()

    def add(self, array: ArrayLike) -> int:
        """Store an array, flat; returns its number."""
        single = np.ascontiguousarray(array, np.float32).reshape(-1)
        with np.errstate(over="ignore"):
            half = single.astype(np.float16)
        lossless = np.array_equal(half.astype(np.float32), single)
        stored: NDArray[Any] = half if lossless else single
        self.entries.append({"at": len(self._bytes), "count": len(single), "half": lossless})
        self._bytes += stored.astype(stored.dtype.newbyteorder("<")).tobytes()
        self._bytes += bytes(-len(self._bytes) % 4)  # a Float32Array begins at a multiple of four bytes
        return len(self.entries) - 1

    def json(self) -> dict[str, Any]:
        """``tensors`` and ``bytes`` of ``model.js``."""
        return {"tensors": self.entries, "bytes": base64.b64encode(self._bytes).decode()}

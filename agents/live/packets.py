"""What travels to the page: one JSON header and some pictures or files in one binary message."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rollouts.envs.config import Frame

_SMALL = 128
"""Pictures up to this many rows are shown enlarged, and are worth more bytes."""


def pack(kind: str, header: dict[str, Any], blobs: Sequence[bytes] = ()) -> bytes:
    """``uint32 length of the header, header as JSON, blobs``; the header names the kind and the blobs' sizes."""
    text = json.dumps({"kind": kind, **header, "sizes": [len(blob) for blob in blobs]}, allow_nan=False).encode()
    return b"".join((struct.pack("<I", len(text)), text, *blobs))


def unpack(packet: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """The header and the blobs of :func:`pack`."""
    start = 4 + struct.unpack_from("<I", packet)[0]
    header, blobs = json.loads(packet[4:start]), []
    for size in header["sizes"]:
        blobs.append(packet[start : start + size])
        start += size
    return header, blobs


def jpeg(frame: Frame, fine: bool = False) -> bytes:
    """A picture ``[H, W, 3]`` as JPEG; small and ``fine`` ones keep the colour of every pixel."""
    options = [cv2.IMWRITE_JPEG_QUALITY, 82]
    if fine or frame.shape[0] <= _SMALL:
        full = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
        options = [cv2.IMWRITE_JPEG_QUALITY, 92, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, full]
    return cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), options)[1].tobytes()


def picture(blob: bytes) -> Frame:
    """The picture that :func:`jpeg` made."""
    decoded = cv2.imdecode(np.frombuffer(blob, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), np.uint8)


def numbers(values: NDArray[np.float32]) -> list[float]:
    """An array for a header, three digits after the point."""
    return [round(float(value), 3) for value in values]


def number(value: float | None, digits: int = 4) -> float | None:
    """One number for a header; None for what JSON cannot say."""
    return None if value is None or not np.isfinite(value) else round(value, digits)

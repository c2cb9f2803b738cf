"""The code in the terminal, read by OpenCV as a phone would."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from agents.cli import play

UPPER_LOWER = {"█": (1, 1), "▀": (1, 0), "▄": (0, 1), " ": (0, 0)}  # light modules are drawn


def test_a_phone_can_read_the_address(monkeypatch: pytest.MonkeyPatch):
    text = play.photograph("http://somewhere:8423/")
    assert text is not None
    *rows, address = text.splitlines()
    modules = np.array([half for row in rows for half in zip(*(UPPER_LOWER[cell] for cell in row), strict=True)])
    picture = np.kron(modules, np.ones((8, 8))).astype(np.uint8) * 255
    decoded, _, _ = cv2.QRCodeDetector().detectAndDecode(picture)
    assert decoded == address
    assert address.endswith(":8423/")

"""Shrinking by matrix products against OpenCV's and against whole numbers."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
import pytest

from rollouts.envs import areas
from rollouts.envs.areas import shrink

PRODUCTS = [(84, 96, 64), (96, 84, 64), (63, 105, 21), (70, 98, 42), (64, 64, 64), (96, 96, 32)]
OPENCV = [(128, 320, 64), (96, 96, 48), (100, 100, 64), (40, 40, 64), (210, 160, 64)]


@pytest.mark.parametrize(("height", "width", "size"), [*PRODUCTS, *OPENCV])
def test_the_bytes_are_opencvs(height: int, width: int, size: int):
    rng = np.random.default_rng(0)
    pictures = [rng.integers(low, high, (height, width, 3), np.uint8) for low, high in ((0, 256), (250, 256), (0, 3))]
    pictures += [rng.choice(np.array([0, 255], np.uint8), (height, width, 3))]
    pictures += [np.full((height, width, 3), 255, np.uint8)]
    for picture in [*pictures, np.concatenate([pictures[0], pictures[1]], 1)[:, 5 : 5 + width]]:
        expected = cv2.resize(np.ascontiguousarray(picture), (size, size), interpolation=cv2.INTER_AREA)
        small = shrink(picture, size)
        np.testing.assert_array_equal(small, expected)
        assert small.flags["C_CONTIGUOUS"]
        assert not np.shares_memory(small, picture)


def test_products_are_taken_where_no_mean_lies_halfway():
    assert all(areas._plan(h, w, 3, size) is not None for h, w, size in PRODUCTS)
    assert all(areas._plan(h, w, 3, size) is None for h, w, size in OPENCV)


def test_means_are_rounded_as_fractions_are():
    """Those nearest to a half, 31/63 and 32/63 above a whole number, in CarRacing's sizes."""
    rows, columns = areas._shares(21, 16), areas._shares(3, 2)
    rng, seen = np.random.default_rng(1), set()
    for _ in range(20):
        picture = rng.integers(0, 256, (84, 96, 3), np.uint8)
        exact = [[Fraction(round(part * side), side) for part in row] for row, side in ((rows[1], 21), (columns[1], 3))]
        for block in range(32):
            pixels = picture[:21, 3 * block : 3 * block + 3, 0].tolist()
            mean = sum(a * b * pixels[i][j] for i, a in enumerate(exact[0]) for j, b in enumerate(exact[1]))
            seen.add(mean % 1)
            assert shrink(picture, 64)[1, 2 * block + 1, 0] == int(mean + Fraction(1, 2))
    assert {Fraction(31, 63), Fraction(32, 63)} <= seen

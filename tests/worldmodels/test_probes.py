"""Probes: they find what is in z and nothing that is not, and things are where they were drawn."""

from __future__ import annotations

import numpy as np
import pytest

from worldmodels.probes import edges, moving_things, probe, what_z_tells, worst_patches


def blank(count: int) -> np.ndarray:
    return np.full((count, 64, 64, 3), 90, np.uint8)


def test_a_probe_explains_what_is_linear_in_z_and_not_what_is_elsewhere():
    rng = np.random.default_rng(0)
    z, noise = rng.normal(size=(2000, 6)), rng.normal(size=2000)
    signal = z @ [1.0, -2.0, 0, 0, 3.0, 0] + 5
    assert probe(z, signal) == pytest.approx(1.0, abs=1e-3)
    assert probe(z, signal + noise * signal.std()) == pytest.approx(0.5, abs=0.05)
    assert probe(z, noise) == pytest.approx(0.0, abs=0.05)
    assert probe(z[:20], signal[:20]) is None
    assert probe(z, np.ones(2000)) is None


def test_moving_things_are_found_with_their_columns_and_sizes_unless_the_camera_moves():
    frame, earlier = blank(2)
    frame[20:22, 9:12] = 255
    frame[30:36, 40:44] = 255
    assert sorted(moving_things(frame, earlier)) == [(11 / 64 - 0.5 / 64, 6), (42 / 64, 24)]
    assert moving_things(np.roll(np.random.default_rng(0).integers(0, 256, frame.shape, np.uint8), 1, 1), earlier) == []


def test_edges_are_the_strongest_steps_of_colour_on_both_sides():
    frame = blank(1)[0]
    frame[:, :12], frame[:, 50:] = 200, 10
    left, right = edges(frame)
    assert left.tolist() == [12 / 64] * 4
    assert right.tolist() == [50 / 64] * 4


def test_of_two_balls_a_z_that_holds_the_near_one_tells_of_that_alone():
    rng, count = np.random.default_rng(0), 1500
    far, near = rng.integers(2, 28, count), rng.integers(34, 56, count)
    frames, earlier = blank(count), blank(count)
    for moment in range(count):
        frames[moment, 20:22, far[moment] : far[moment] + 2] = 255  # 4 pixels
        frames[moment, 30:40, near[moment] : near[moment] + 5] = 255  # 50
    z = np.stack([near + 0.01 * rng.normal(size=count), rng.normal(size=count)], 1).astype(float)
    r2_of = what_z_tells(z, frames, earlier)["moving"]
    assert r2_of["small"]["moments"] == r2_of["large"]["moments"] == count
    assert r2_of["middle"] == {"moments": 0, "r2": None}
    assert r2_of["large"]["r2"] > 0.99
    assert r2_of["small"]["r2"] < 0.05


def test_the_worst_patches_are_named_worst_first_and_framed():
    frames = blank(3)
    frames[1, 17:20, 33:36] = 255
    frames[2, 40:48, 8:16] = 0
    picture, places = worst_patches(frames, lambda seen: np.full_like(seen, 90), count=2)
    assert places == [(2, 5, 1), (1, 2, 4)]
    assert picture.shape == (2 * 66 + 2, 2 * 66 + 2, 3)
    assert (picture[2 + 40, 2 + 8] == (255, 0, 255)).all()

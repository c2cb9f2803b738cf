"""The view for people against Gymnasium's own ``rgb_array`` of one and the same state."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium.envs.box2d.car_racing import PLAYFIELD, VIDEO_H, VIDEO_W, CarRacing

from rollouts.envs.car_drawing import SCENE_ROWS, Painter, seen_at
from rollouts.envs.car_racing import FastCarRacing
from tests.rollouts.test_fast_car_racing import drive

SCENE, PANEL = slice(0, SCENE_ROWS), slice(SCENE_ROWS, VIDEO_H)


def difference(env: FastCarRacing, rows: slice = SCENE) -> float:
    """Mean absolute difference of the two pictures in grey levels."""
    stock = CarRacing._render(env, "rgb_array")
    return float(np.abs(env.render()[rows].astype(int) - stock[rows]).mean())


def driven(seed: int, steps: int, **options: bool) -> FastCarRacing:
    env = FastCarRacing(render_mode="rgb_array", **options)
    env.reset(seed=seed)
    for _ in range(steps):
        env.step(drive(env))
    return env


def test_the_picture_is_gymnasiums_along_a_drive():
    env, scenes, panels = driven(5, 0), [], []
    for step in range(300):
        env.step(drive(env))
        if step % 20 == 10:
            scenes.append(difference(env))
            panels.append(difference(env, PANEL))
    print(f"scene {np.mean(scenes):.3f}, worst {max(scenes):.3f}; panel {np.mean(panels):.3f}, worst {max(panels):.3f}")
    assert env.render().shape == (VIDEO_H, VIDEO_W, 3)
    assert np.mean(scenes) < 0.3
    assert max(scenes) < 0.8
    assert max(panels) < 0.1


def test_sliding_leaves_the_same_traces():
    env, differences = driven(1, 60), []
    for step in range(120):
        env.step(np.array([0.9, 1.0, 0.0], np.float32))
        if step % 20 == 10:
            differences.append(difference(env))
    assert len(env.car.particles) > 2
    assert np.mean(differences) < 0.3
    with_traces = env.render()
    env.car.particles.clear()
    assert (env.render() != with_traces).any()


def test_other_colours_and_black_beyond_the_field_are_gymnasiums():
    assert difference(driven(3, 60, domain_randomize=True)) < 0.5
    env = driven(2, 60)
    for body in (env.car.hull, *env.car.wheels):
        body.position += (0, PLAYFIELD - 20 - env.car.hull.position[1])
    assert (env.render()[SCENE] == 0).all(-1).mean() > 0.1
    assert difference(env) < 0.6


def test_pictures_are_the_callers_own():
    env = driven(4, 60)
    first = env.render()
    kept = first.copy()
    env.step(drive(env))
    assert (env.render() != kept).any()
    np.testing.assert_array_equal(first, kept)


def test_a_score_too_long_for_its_place_is_cut():
    env = driven(4, 2)
    env.reward = -1234567.0
    assert env.render().shape == (VIDEO_H, VIDEO_W, 3)


def test_a_kerb_without_width_can_be_drawn():
    env = driven(4, 60)
    flat = [[(0.0, 0.0), (0.0, 0.0), (1.0, 1.0), (1.0, 1.0)]]
    picture = Painter(flat, env.bg_color).draw(env, np.full((401, 3), 200))
    assert picture.shape == (VIDEO_H, VIDEO_W, 3)


def test_another_car_is_where_it_is_seen():
    """The own car stands at the middle of the bottom quarter, upright, and so do all places relative to it."""
    env, other = driven(6, 60), driven(6, 60)
    assert seen_at(env, other) == pytest.approx((0.5, 0.75, 0))
    other.car.hull.position += env.car.hull.GetWorldVector((3.0, 8.0))  # to the right of the car and ahead of it
    other.car.hull.angle -= 0.3
    assert env.sees(other) == pytest.approx((0.5 + 3 * 16.2 / 1000, 0.75 - 8 * 16.2 / 800, 0.3), abs=1e-3)
    picture = env.render()
    assert env._painter is not None
    env._painter._draw_car = lambda *_: None  # type: ignore[method-assign]
    rows, columns = np.nonzero((picture[SCENE] != env.render()[SCENE]).any(-1))
    assert columns.mean() / VIDEO_W == pytest.approx(0.5, abs=0.02)
    assert rows.mean() / VIDEO_H == pytest.approx(0.75, abs=0.03)
    assert env.sees(object()) is None  # type: ignore[arg-type]

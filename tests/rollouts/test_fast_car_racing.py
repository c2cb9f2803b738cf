"""FastCarRacing against Gymnasium's own CarRacing: the same numbers exactly, and nearly the same pictures."""

from __future__ import annotations

import itertools
import math
import pickle
from collections.abc import Callable
from typing import Any

import cv2
import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.box2d.car_racing import PLAYFIELD, CarRacing
from gymnasium.utils.env_checker import check_env

from rollouts.envs import car_tracks
from rollouts.envs.car_racing import ENV_ID, INSET, FastCarRacing, _narrowed
from rollouts.envs.registration import register

WORLD = slice(0, 84)
PANEL = slice(84, 96)
Policy = Callable[[Any], np.ndarray]


def drive(env: CarRacing) -> np.ndarray:
    """Steer for the tile five ahead, with a speed that falls off with the bend fourteen ahead."""
    hull, track = env.car.hull, np.array(env.track)
    here = int(np.hypot(*(track[:, 2:] - hull.position).T).argmin())

    def bearing(ahead: int) -> float:
        x, y = track[(here + ahead) % len(track), 2:] - hull.position
        return (math.atan2(y, x) - math.pi / 2 - hull.angle + math.pi) % (2 * math.pi) - math.pi

    speed, target = hull.linearVelocity.length, 12 + 45 * math.exp(-abs(bearing(14)))
    steer = np.clip(-1.5 * bearing(5), -1, 1)
    return np.array([steer, 0.6 * (speed < target), 0.4 * (speed > target + 5)], np.float32)


def at_random(env: CarRacing) -> np.ndarray:
    return env.action_space.sample()


def stock_with_few_frames(every: int, **kwargs: Any) -> CarRacing:
    """Gymnasium's CarRacing that draws every so many steps only: its drawing takes 99 % of its time."""
    env = CarRacing(**kwargs)
    draw, steps = env._render, itertools.count()
    env._render = lambda mode: draw(mode) if next(steps) % every == 0 else None  # type: ignore[method-assign]
    return env


def difference(frame: np.ndarray, stock: np.ndarray, rows: slice = WORLD) -> float:
    """Mean absolute difference in grey levels."""
    return float(np.abs(frame[rows].astype(int) - stock[rows]).mean())


def difference_now(env: FastCarRacing, rows: slice = WORLD) -> float:
    """The difference between both renderers' pictures of one and the same state."""
    return difference(env._render("state_pixels"), CarRacing._render(env, "state_pixels"), rows)


def compare_episode(
    seed: int, policy: Policy, every: int, steps: int = 1000, **kwargs: Any
) -> tuple[float, list[float]]:
    """Play one episode in both, asserting that they agree; its return, and the differences of some frames."""
    envs = [
        gym.wrappers.TimeLimit(env, 1000) for env in (stock_with_few_frames(every, **kwargs), FastCarRacing(**kwargs))
    ]
    stock, fast = envs
    (stock_frame, stock_info), (frame, info) = (env.reset(seed=seed) for env in envs)
    assert info == stock_info
    differences, score = [difference(frame, stock_frame)], 0.0
    fast.action_space.seed(seed)
    for _ in range(steps):
        action = policy(fast.unwrapped)
        stock_frame, *expected = stock.step(action)
        frame, *outcome = fast.step(action)
        assert outcome == expected  # reward, terminated, truncated and info, to the last bit
        score += outcome[0]
        if stock_frame is not None:
            differences.append(difference(frame, stock_frame))
        if outcome[1] or outcome[2]:
            break
    return score, differences


@pytest.mark.slow
@pytest.mark.parametrize(("policy", "least"), [(drive, 600), (at_random, -100)])
def test_ten_whole_episodes_agree(policy: Policy, least: float):
    scores, means, worst = [], [], []
    for seed in range(10):
        score, differences = compare_episode(seed, policy, every=50)
        scores.append(score)
        means.append(np.mean(differences))
        worst.append(max(differences))
    print(f"return {np.mean(scores):.0f}, difference {np.mean(means):.3f}, {max(means):.3f}, {max(worst):.3f}")
    assert min(scores) > least
    assert max(means) < 0.5
    assert max(worst) < 2.5


def test_a_track_that_was_made_before_is_the_same_world_again():
    def drives(env: FastCarRacing, seed: int) -> tuple[list[Any], list[Any], list[Any]]:
        frames = [env.reset(seed=seed)[0]]
        road = [([tuple(vertex) for vertex in tile.fixtures[0].shape.vertices], tile.idx) for tile in env.road]
        numbers = env.np_random.random()
        outcomes = []
        for _ in range(60):
            frame, *outcome = env.step(drive(env))
            frames.append(frame)
            outcomes.append((outcome, tuple(env.car.hull.position), env.car.hull.angle))
        return frames, [road, numbers, env.start_alpha, env.track, outcomes], [c.tolist() for c in env._colors]

    car_tracks._tracks.clear()
    makes = [next(seed for seed in range(40) if _attempts(seed) > 1), 5]  # the first one takes two attempts
    first = [drives(FastCarRacing(), seed) for seed in makes]
    known, env = len(car_tracks._tracks), FastCarRacing()
    again = [drives(env, seed) for seed in makes]
    assert len(car_tracks._tracks) == known == 2
    for (frames, *rest), (frames_again, *rest_again) in zip(first, again, strict=True):
        assert rest_again == rest
        assert np.array_equal(frames_again, frames)


def _attempts(seed: int) -> int:
    """How often Gymnasium tries before it has a track."""
    env, calls = CarRacing(), []
    make = env._create_track
    env._create_track = lambda: calls.append(0) or make()  # type: ignore[method-assign]
    env._render = lambda mode: None  # type: ignore[method-assign]
    env.reset(seed=seed)
    return len(calls)


def test_only_the_tracks_used_last_are_kept(monkeypatch: pytest.MonkeyPatch):
    car_tracks._tracks.clear()
    monkeypatch.setattr(car_tracks, "KEPT", 2)
    env = FastCarRacing()
    kept = []
    for seed in (1, 2, 1, 3):
        env.reset(seed=seed)
        kept.append([track.track == env.track for track in car_tracks._tracks.values()])
    assert kept == [[True], [False, True], [False, True], [False, True]]
    env.reset(seed=1)
    assert [track.track == env.track for track in car_tracks._tracks.values()] == [False, True]


def test_discrete_actions_agree():
    score, _ = compare_episode(3, at_random, every=100, steps=200, continuous=False)
    assert score > -50


def test_opening_zoom_looks_the_same():
    env = FastCarRacing()
    differences = []
    for seed in (0, 1):
        env.reset(seed=seed)
        for _ in range(50):
            differences.append(difference_now(env))
            env.step(drive(env))
    print(f"zoom: {np.mean(differences):.3f}, worst {max(differences):.3f}")
    assert np.mean(differences) < 1
    assert max(differences) < 2.5


def test_randomized_colours_look_the_same():
    env = FastCarRacing(domain_randomize=True)
    differences = []
    for seed in range(6):
        env.reset(seed=seed)
        for step in range(120):
            env.step(drive(env))
            if step % 20 == 0:
                differences.append(difference_now(env))
    ground = env._render("state_pixels")[0, 0]
    env.reset(options={"randomize": False})
    for _ in range(60):
        frame = env.step(drive(env))[0]
    assert (frame == ground).all(-1).any()
    assert difference_now(env) < 1
    print(f"randomized: {np.mean(differences):.3f}, worst {max(differences):.3f}")
    assert np.mean(differences) < 1
    assert max(differences) < 4  # the very first frames, with the whole track in a few pixels of any contrast


def test_off_road_and_sliding_looks_the_same():
    env = FastCarRacing()
    env.reset(seed=1)
    differences, on_grass = [], 0
    for step in range(300):
        env.step(np.array([0.6, 1.0, 0.0], np.float32))
        if step % 10 == 0 and step > 60 and not any(wheel.tiles for wheel in env.car.wheels):
            on_grass += 1
            differences.append(difference_now(env))
    print(f"off road: {np.mean(differences):.3f}, worst {max(differences):.3f}")
    assert on_grass > 5
    assert np.mean(differences) < 0.5
    assert max(differences) < 1


def test_leaving_the_field_agrees_and_looks_the_same():
    envs: list[CarRacing] = [stock_with_few_frames(10), FastCarRacing()]
    for env in envs:
        env.reset(seed=2)
        for body in (env.car.hull, *env.car.wheels):  # to the upper edge, where its nose points at the start
            body.position += (0, PLAYFIELD - 15 - env.track[0][3])
    differences = []
    for _ in range(200):
        stock, fast = (env.step(np.array([0.0, 1.0, 0.0], np.float32)) for env in envs)
        assert fast[1:] == stock[1:]
        if stock[0] is not None:
            differences.append(difference(fast[0], stock[0]))
            assert (fast[0][WORLD] == 0).all(-1).mean() > 0.2
        if fast[2]:
            break
    assert fast[1:] == (-100, True, False, {"lap_finished": False})
    print(f"off field: {np.mean(differences):.3f}, worst {max(differences):.3f}")
    assert len(differences) > 2
    assert max(differences) < 2


@pytest.mark.skipif(gym.__version__ < "1.4", reason="before 1.4 the score is an unrounded number across the bars")
def test_panel_looks_the_same():
    env = FastCarRacing()
    env.reset(seed=4)
    differences = []
    for step in range(150):
        env.step(drive(env) if step < 100 else np.array([1.0, 1.0, 0.0], np.float32))
        if step % 10 == 0:
            differences.append(difference_now(env, PANEL))
    print(f"panel: {np.mean(differences):.3f}, worst {max(differences):.3f}")
    assert np.mean(differences) < 4
    env.reward = -123456.0  # too long for its place
    env._render("state_pixels")


def test_frames_are_the_callers_own():
    env = FastCarRacing()
    first, _ = env.reset(seed=6)
    kept = first.copy()
    for _ in range(5):
        second = env.step(np.array([0.0, 1.0, 0.0], np.float32))[0]
    np.testing.assert_array_equal(first, kept)
    assert (second != first).any()
    assert second.shape == (96, 96, 3)
    assert second.dtype == np.uint8


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_gymnasium_accepts_it():
    check_env(FastCarRacing(), skip_render_check=True)


def test_registered_id_makes_it():
    register()
    register()
    env = gym.make(ENV_ID, continuous=False, lap_complete_percent=0.9, render_mode="rgb_array")
    assert isinstance(env.unwrapped, FastCarRacing)
    assert env.spec is not None
    assert env.spec.max_episode_steps == 1000
    assert env.spec.reward_threshold == 900
    assert env.unwrapped.lap_complete_percent == 0.9
    assert env.action_space == gym.spaces.Discrete(5)


def test_can_be_pickled():
    env = pickle.loads(pickle.dumps(FastCarRacing(domain_randomize=True)))
    assert isinstance(env, FastCarRacing)
    assert env.domain_randomize


def test_a_kerb_without_width_stays_a_line():
    """Gymnasium makes one where two neighbouring tiles point exactly the same way."""
    strips = np.array([[0, 4, 4 + 2j, 2j], [1, 1, 1 + 2j, 1 + 2j]])
    narrowed = _narrowed(strips)
    inset = INSET[cv2.LINE_8]
    np.testing.assert_allclose(narrowed[0], [inset, 4 - inset, 4 - inset + 2j, inset + 2j])
    np.testing.assert_array_equal(narrowed[1], strips[1])

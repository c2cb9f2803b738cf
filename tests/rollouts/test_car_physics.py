"""CarRacing's faster physics against Gymnasium's, bit for bit, and all repeats of an action against single steps."""

from __future__ import annotations

import threading
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.box2d.car_racing import PLAYFIELD, CarRacing

from rollouts.envs.car_panel import _bars, draw_bars
from rollouts.envs.car_physics import Drive
from rollouts.envs.car_racing import ENV_ID, FastCarRacing
from rollouts.envs.car_steps import UnseenSteps
from rollouts.envs.config import EnvConfig
from rollouts.envs.image_env import ImageEnv, make_env
from rollouts.errors import UserError
from tests.rollouts.test_fast_car_racing import drive, stock_with_few_frames

NEVER = 10**9


def numbers(env: CarRacing) -> list[Any]:
    """All that the physics of an environment consists of, exactly."""
    car = env.car
    found = [env.reward, env.prev_reward, env.tile_visited_count, env.t, car.fuel_spent]
    for body in (car.hull, *car.wheels):
        found += [*body.position, body.angle, *body.linearVelocity, body.angularVelocity]
    for wheel in car.wheels:
        found += [wheel.joint.angle, wheel.joint.motorSpeed, wheel.omega, wheel.phase]
        found += [wheel.gas, wheel.brake, wheel.steer]
        found += [wheel.skid_start is None, wheel.skid_particle is None, -1, *sorted(tile.idx for tile in wheel.tiles)]
    traces = [(trace.color, trace.poly, trace.grass) for trace in car.particles]
    return [*[float(value).hex() for value in found], traces]


def chosen(env: FastCarRacing, kind: int, step: int, rng: np.random.Generator, last: np.ndarray) -> np.ndarray:
    """A driver, noise, held actions with hard braking, or full gas off the road."""
    if kind == 0:
        return drive(env)
    if kind == 1:
        return rng.uniform([-1, 0, 0], 1).astype(np.float32)
    if kind == 2:
        held = np.array([rng.uniform(-1, 1), rng.uniform(0, 1), max(0, rng.uniform(-2, 1))], np.float32)
        return held if step % 20 == 0 else last
    return np.array([0.3 * (step % 50 > 25), 1.0, 0.0], np.float32)


def compare(seeds: range, steps: int) -> tuple[int, int]:
    """Play in both, one episode after the other in the same two worlds; how many steps, how many traces of skids."""
    stock, fast = stock_with_few_frames(NEVER), FastCarRacing()
    fast._render = lambda mode: None  # type: ignore[method-assign]
    done, traces = 0, 0
    for seed in seeds:
        stock.reset(seed=seed)
        fast.reset(seed=seed)
        rng, action = np.random.default_rng(seed), np.zeros(3, np.float32)
        assert numbers(fast) == numbers(stock)
        for step in range(steps):
            action = chosen(fast, seed % 4, step, rng, action)
            outcome = fast.step(action)[1:]
            assert outcome == stock.step(action)[1:]
            assert numbers(fast) == numbers(stock), (seed, step)
            done += 1
            if outcome[1]:
                break
        traces += len(fast.car.particles)
    return done, traces


def test_every_number_of_the_physics_is_gymnasiums():
    done, traces = compare(range(4), 150)
    assert done == 600
    assert traces > 10


@pytest.mark.slow
def test_every_number_of_the_physics_is_gymnasiums_in_long_episodes():
    done, _ = compare(range(12), 1000)
    assert done > 8000


def test_nothing_but_numbers_is_nothing_but_numbers_too():
    """What is no number spreads as in Gymnasium's, without an error in between."""
    stock, fast = stock_with_few_frames(NEVER), FastCarRacing()
    for env in (stock, fast):
        env.reset(seed=3)
        for wheel in env.car.wheels:
            wheel.omega = wheel.phase = float("nan")
        Drive(env.car).step() if env is fast else env.car.step(1 / 50)
    states = [[[wheel.omega, wheel.phase, wheel.gas] for wheel in env.car.wheels] for env in (fast, stock)]
    np.testing.assert_array_equal(*states)
    assert np.isnan(states[0]).any()


def same(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    return bool(np.array_equal(one[0], other[0])) and one[1:] == other[1:]


def both(**options: Any) -> tuple[ImageEnv, ImageEnv]:
    """The same environment twice: one that does all repeats at once, and one that does them one by one."""
    once, single = (make_env(EnvConfig("carracing-fast", **options)) for _ in range(2))
    assert once._many is not None
    single._many = None
    return once, single


@pytest.mark.parametrize(("repeat", "limit"), [(4, 250), (3, 100), (1, 60)])
def test_repeats_at_once_are_single_steps(repeat: int, limit: int):
    envs = both(action_repeat=repeat, max_episode_steps=limit)
    for seed in (0, 1):
        frames = [env.reset(seed=seed)[0] for env in envs]
        assert np.array_equal(*frames)
        rng, decisions, truncated = np.random.default_rng(seed), 0, False
        while not truncated:
            action = rng.uniform([-0.5, 0, -1], [0.5, 1, 0.5]).clip([-1, 0, 0], 1).astype(np.float32)
            once, single = (env.step(action) for env in envs)
            assert same(once, single)
            assert np.array_equal(envs[0]._observation, envs[1]._observation)
            assert numbers(envs[0].unwrapped) == numbers(envs[1].unwrapped)
            truncated, decisions = once[3], decisions + 1
        assert decisions == -(-limit // repeat)


def test_a_finished_lap_ends_a_decision_early():
    envs = both(action_repeat=4, kwargs={"lap_complete_percent": "0.02"})
    for env in envs:
        env.reset(seed=2)
        world = env.unwrapped
        world.road[0].road_visited, world.tile_visited_count = False, 20
        for tile in world.road[1:21]:
            tile.road_visited = True
        back = world.road[0].fixtures[0].shape.vertices[0]
        for body in (world.car.hull, *world.car.wheels):  # some way off, and onto the first tile again
            body.position += (back[0] - world.car.hull.position[0], back[1] - world.car.hull.position[1] - 3)
    outcomes = []
    for _ in range(40):
        outcomes = [env.step(np.array([0.0, 0.5, 0.0], np.float32)) for env in envs]
        assert same(*outcomes)
        if outcomes[0][2]:
            break
    assert outcomes[0][2:] == (True, False, {"lap_finished": True})
    assert numbers(envs[0].unwrapped) == numbers(envs[1].unwrapped)


def test_leaving_the_field_ends_a_decision_early():
    envs = both(action_repeat=4)
    for env in envs:
        env.reset(seed=2)
        world = env.unwrapped
        for body in (world.car.hull, *world.car.wheels):
            body.position += (0, PLAYFIELD - 3 - world.track[0][3])
    for _ in range(60):
        once, single = (env.step(np.array([0.0, 1.0, 0.0], np.float32)) for env in envs)
        assert same(once, single)
        if once[2]:
            break
    assert once[1] < -99
    assert once[2:] == (True, False, {"lap_finished": False})


def test_errors_name_the_same_step():
    messages = []
    for env in both(action_repeat=4):
        with pytest.raises(UserError) as early:
            env.step(np.zeros(3, np.float32))
        env.reset(seed=7)
        env.step(np.zeros(3, np.float32))
        world, calls = env.unwrapped, []
        judge = world._judge

        def fail(action: Any, calls: list[int] = calls, judge: Any = judge) -> Any:
            calls.append(1)
            if len(calls) == 3:
                raise ArithmeticError("the road is gone")
            return judge(action)

        world._judge = fail
        with pytest.raises(UserError) as late:
            env.step(np.zeros(3, np.float32))
        messages.append([str(error.value).rpartition(",")[0] for error in (early, late)])
    assert messages[0] == messages[1]
    assert "in step 1 of" in messages[0][0]
    assert "in step 7 of the episode with seed 7" in messages[0][1]


def test_whoever_looks_between_repeats_sees_all_of_them():
    env = make_env(EnvConfig("carracing-fast", action_repeat=4))
    env.reset(seed=0)
    times = []
    env.between = lambda: times.append(env.unwrapped.t)
    env.step(np.zeros(3, np.float32))
    assert len(set(times)) == 3


def test_steps_are_done_at_once_only_where_nothing_lies_between():
    assert UnseenSteps(gym.make(ENV_ID, disable_env_checker=True)).many_steps is not None
    for env in (
        gym.make("CarRacing-v3", disable_env_checker=True),
        gym.make(ENV_ID, disable_env_checker=True, continuous=False),
        gym.make(ENV_ID, disable_env_checker=False),
        gym.wrappers.ClipReward(gym.make(ENV_ID, disable_env_checker=True), -1, 1),
    ):
        assert UnseenSteps(env).many_steps is None


def test_the_panels_parts_make_the_panel():
    rng = np.random.default_rng(0)
    for _ in range(500):
        lengths = [*rng.integers(-30, 60, 5).tolist(), *rng.integers(-60, 60, 2).tolist()]
        rows = np.full((12, 96, 3), 77, np.uint8)
        draw_bars(rows, lengths)
        np.testing.assert_array_equal(rows, _bars(*lengths))


def test_environments_in_two_threads_draw_their_own_pictures():
    def frames(seed: int) -> list[np.ndarray]:
        env = FastCarRacing()
        return [env.reset(seed=seed)[0], *(env.step(np.array([0.1, 0.5, 0.0], np.float32))[0] for _ in range(60))]

    alone = [frames(seed) for seed in (1, 2)]
    together: dict[int, list[np.ndarray]] = {}
    threads = [threading.Thread(target=lambda seed=seed: together.update({seed: frames(seed)})) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed, expected in zip((1, 2), alone, strict=True):
        np.testing.assert_array_equal(together[seed], expected)

"""Policies for Take Cover that see nothing, or read the engine's own objects: yardsticks, no results.

The player moves along y, its back to a wall; monsters stand opposite and throw fireballs, which fly straight on.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from rollouts.envs.config import EnvConfig
from rollouts.envs.image_env import ImageEnv, make_env

LOW, HIGH = 16.0, 752.0  #: the player's y at the walls
THRUST, FRICTION = 0.75, 0.90625  #: of a tic's sidestep, and what is left of a speed after it
REACH = 22.0  #: a fireball (radius 6) hits the player (radius 16) nearer than this in x and in y
HORIZON = 50  #: tics that the planner looks ahead
CHANGES = (2, 4, 7, 11, 16, 24, 35)  #: tics after which a plan's second direction begins
EVERY = 2  #: tics between plans


class Scene(NamedTuple):
    """What the engine tells: the player, and every fireball in flight as x, y, and its velocities."""

    x: float
    y: float
    speed: float
    balls: NDArray[np.float64]  #: [N, 4]


class Dodger(Protocol):
    """A policy of one game."""

    def __call__(self, scene: Scene) -> int:
        """-1, 0 or 1: towards lower y, nowhere, towards higher y."""


class Still:
    """Stands where it began."""

    def __call__(self, scene: Scene) -> int:
        return 0


class Sweeper:
    """From wall to wall, without a look at anything; it turns so many units before a wall."""

    def __init__(self, margin: float) -> None:
        self.margin, self.way = margin, 1

    def __call__(self, scene: Scene) -> int:
        if scene.y > HIGH - self.margin:
            self.way = -1
        elif scene.y < LOW + self.margin:
            self.way = 1
        return self.way


class Planner:
    """Tries all plans of two directions against where every fireball will be, and takes the one that is hit least.

    Among equals the one that keeps the most distance, then the one that ends nearest the middle.

    Args:
        sight: fireballs farther away than this are not seen; None sees all.
    """

    def __init__(self, sight: float | None = None) -> None:
        self.sight, self.tic, self.way = sight, 0, 0
        ways = [(first, second, change) for first in (-1, 0, 1) for second in (-1, 0, 1) for change in CHANGES]
        first, second, change = (np.array(column) for column in zip(*ways, strict=True))
        tics = np.arange(HORIZON)
        self.plans = np.where(tics < change[:, None], first[:, None], second[:, None])  # [P, T]

    def __call__(self, scene: Scene) -> int:
        if self.tic % EVERY == 0:
            self.way = self._best(scene)
        self.tic += 1
        return self.way

    def _best(self, scene: Scene) -> int:
        paths = walk(scene.y, scene.speed, self.plans)
        balls = scene.balls
        if self.sight is not None:
            balls = balls[np.hypot(balls[:, 0] - scene.x, balls[:, 1] - scene.y) < self.sight]
        if not len(balls):
            return 0
        tics = np.arange(1, HORIZON + 1)
        x = balls[:, 0, None] + balls[:, 2, None] * tics  # [N, T]
        y = balls[:, 1, None] + balls[:, 3, None] * tics
        beside = np.abs(x - scene.x) < REACH + 2  # a fireball is level with the player for some tics only
        away = np.abs(paths[:, None] - y) + np.where(beside, 0.0, np.inf)  # [P, N, T]
        nearest = away.min(2)
        hits = (nearest < REACH + 2).sum(1)
        distance = np.minimum(nearest.min(1), 2 * REACH)
        middle = np.abs(paths[:, -1] - (LOW + HIGH) / 2)
        best = np.lexsort((middle, -distance, hits))[0]
        return int(self.plans[best, 0])


def walk(y: float, speed: float, plans: NDArray[np.int64]) -> NDArray[np.float64]:
    """Where the player is in each tic of plans ``[P, T]`` of directions: Doom's thrust and friction, and the walls."""
    place, velocity = np.full(len(plans), y), np.full(len(plans), speed)
    path = np.empty(plans.shape)
    for tic in range(plans.shape[1]):
        velocity = velocity + THRUST * plans[:, tic]
        unbounded = place + velocity
        place = np.clip(unbounded, LOW, HIGH)
        velocity = np.where(place == unbounded, velocity * FRICTION, 0.0)
        path[:, tic] = place
    return path


def open_game() -> ImageEnv:
    """Take Cover as it ships, whose engine also tells its objects."""
    env = make_env(EnvConfig("takecover"))
    game: Any = env.unwrapped.game  # type: ignore[attr-defined]
    game.close()
    game.set_objects_info_enabled(True)
    game.init()
    return env


def survive(dodger: Dodger, env: ImageEnv, seed: int) -> tuple[float, int]:
    """One whole game: the tics survived, and how many there were."""
    env.reset(seed=seed)
    game: Any = env.unwrapped.game  # type: ignore[attr-defined]
    total, tics, over = 0.0, 0, False
    while not over:
        way = dodger(scene_of(game.get_state()))
        _, reward, terminated, truncated, _ = env.step(np.array([-way], np.float32))  # a step to the right lowers y
        total, tics, over = total + reward, tics + 1, terminated or truncated
    return total, tics


def scene_of(state: Any) -> Scene:
    """The engine's objects; a fireball that does not move has burst."""
    player = next(thing for thing in state.objects if thing.name == "DoomPlayer")
    balls = [
        (thing.position_x, thing.position_y, thing.velocity_x, thing.velocity_y)
        for thing in state.objects
        if thing.name == "DoomImpBall" and (thing.velocity_x or thing.velocity_y)
    ]
    return Scene(player.position_x, player.position_y, player.velocity_y, np.array(balls, float).reshape(-1, 4))

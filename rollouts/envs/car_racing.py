"""CarRacing-v3 with Gymnasium's own tracks, physics and rewards, and a direct low-resolution renderer.

Gymnasium fills every polygon of the track at 1000×800 and then averages the picture down to 96×96; 99 % of its
time goes there. Here the few polygons in view are found with NumPy and filled by OpenCV on a canvas of only
twice the observation's resolution, which is then averaged in the same way.

Points of the plane are complex numbers: ``(point - camera) * turn`` moves, rotates and zooms in one go. "Window"
coordinates are the pixels of Gymnasium's 1000×800 window, with the car at the origin and y upwards.
"""

from __future__ import annotations

import cmath
import math
import threading
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, TypeAlias

import cv2
import gymnasium as gym
import numpy as np
from gymnasium.envs.box2d.car_dynamics import (
    HULL_POLY1,
    HULL_POLY2,
    HULL_POLY3,
    HULL_POLY4,
    SIZE,
    WHEEL_COLOR,
    WHEEL_R,
    WHEEL_W,
    WHEEL_WHITE,
    WHEELPOS,
    Car,
)
from gymnasium.envs.box2d.car_racing import (
    GRASS_DIM,
    PLAYFIELD,
    SCALE,
    STATE_H,
    STATE_W,
    WINDOW_H,
    WINDOW_W,
    ZOOM,
    CarRacing,
)
from numpy.typing import NDArray

from rollouts.envs import car_tracks
from rollouts.envs.car_drawing import Painter, seen_at
from rollouts.envs.car_panel import DARKENING, PANEL_H, PANEL_ROWS, SUPERSAMPLING, Color, darkened, draw_panel
from rollouts.envs.car_physics import DT, Contacts, Drive, Road

Points: TypeAlias = NDArray[Any]  #: complex numbers, a polygon a row

ENV_ID = "worldmodels/FastCarRacing-v3"

SHIFT = 6  #: fractional bits of canvas coordinates
#: World units that OpenCV's polygons reach beyond pygame's, plain and anti-aliased. Only the car is small enough for
#: anti-aliasing to be worth its time on top of the supersampling.
INSET = {cv2.LINE_8: 1.5 / (ZOOM * SCALE), cv2.LINE_AA: 2.7 / (ZOOM * SCALE)}

SCENE_ROWS = STATE_H - PANEL_ROWS
SCENE_H = WINDOW_H - PANEL_H
CAR_Y = WINDOW_H // 4  #: the car's height above the window's bottom edge

_X, _Y = SUPERSAMPLING * STATE_W / WINDOW_W, SUPERSAMPLING * STATE_H / WINDOW_H  #: canvas per window pixel
_SCALE = np.array([_X, -_Y]) * 2**SHIFT
# OpenCV's whole numbers are the centres of pixels, hence the half.
_ORIGIN = np.array([_X * WINDOW_W / 2 - 0.5, _Y * (WINDOW_H - CAR_Y) - 0.5]) * 2**SHIFT


def _points(polygons: Any) -> Points:
    """Polygons of (x, y) pairs, [N, V, 2], as complex numbers [N, V]."""
    return np.array(polygons, np.float64).view(np.complex128)[..., 0]


def _narrowed(strips: Points) -> Points:
    """Quadrilaterals [N, 4] (left, right, right, left) made narrower, not shorter: they have to join on.

    Gymnasium's kerb has no width at all where two neighbouring tiles point the same way; such a line stays one.
    """
    across = strips[:, [1, 0, 3, 2]] - strips
    return strips + INSET[cv2.LINE_8] * across / np.maximum(np.abs(across), 1e-9)


def _shrunk(polygons: Points, line: int = cv2.LINE_8) -> Points:
    """Upright convex polygons [N, V], each corner moved inwards in x and in y."""
    corner = polygons - polygons.mean(axis=1, keepdims=True)
    return polygons - INSET[line] * (np.sign(corner.real) + 1j * np.sign(corner.imag))


_SQUARE = np.array([[0, 1, 1 + 1j, 1j]])
_FIELD = _shrunk(2 * PLAYFIELD * (_SQUARE - (0.5 + 0.5j)))
_GRASS_AXIS = GRASS_DIM * np.arange(-20, 20, 2)
_GRASS = _shrunk((_GRASS_AXIS[:, None] + 1j * _GRASS_AXIS).reshape(-1, 1) + GRASS_DIM * _SQUARE)  #: [400, 4]
_HULL_POLYS = (HULL_POLY1, HULL_POLY2, HULL_POLY3, HULL_POLY4)
_HULL = [_shrunk(SIZE * _points([poly]), cv2.LINE_AA) for poly in _HULL_POLYS]
_WHEEL_CENTRES = [SIZE * complex(x, y) for x, y in WHEELPOS]
_WHEEL_HALF_W, _WHEEL_HALF_L = SIZE * np.array([WHEEL_W, WHEEL_R]) - INSET[cv2.LINE_AA]
_HULL_COLORS = [darkened((204, 0, 0))] * len(_HULL)
_WHEEL_COLORS = [darkened(WHEEL_COLOR), darkened(WHEEL_WHITE)]
_BOTH = int(np.array([True, True]).view(np.uint16)[0])  #: two true values side by side, as one number


class _Scratch(threading.local):
    """What every thread draws on: one canvas for all environments stays in the processor's cache."""

    def __init__(self) -> None:
        self.canvas = np.zeros((SCENE_ROWS * SUPERSAMPLING, STATE_W * SUPERSAMPLING, 3), np.uint8)


_scratch = _Scratch()


@lru_cache(maxsize=4)
def _bare(color: Color) -> NDArray[np.uint8]:
    """A canvas of nothing but ground."""
    return np.full_like(_scratch.canvas, color)


class FastCarRacing(CarRacing):
    """Gymnasium's CarRacing at thirty times its speed and more: drawn anew, and its physics worked out in less time.

    Same arguments, seeds, tracks, physics, rewards, ends and info, step for step. Observations, [96, 96, 3] uint8
    RGB, differ from Gymnasium's by 0.3 grey levels on average in rows 0-83, the world; rows 84-95, the panel of
    indicators, look the same. So does ``render()``, the view for people: ``car_drawing``.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._canvas = _scratch.canvas
        self._painter: Painter | None = None
        self._road = Road(self.world)
        self._contacts = Contacts(self, self._road)
        self._drive: Drive | None = None

    def _create_track(self) -> bool:
        """Make a track as Gymnasium does, then lay out all that stands still as arrays, in drawing order."""
        world, self.world = self.world, self._road
        try:
            if not car_tracks.create(self, super()._create_track):
                return False
        finally:
            self.world = world
        self.world.contactListener = self._contacts  # reset() has put Gymnasium's there, which knows bodies only
        road = _points([polygon for polygon, _ in self.road_poly])
        self._polygons = np.concatenate([_GRASS, _narrowed(road)])  # [P, 4]
        self._centres = self._polygons.mean(axis=1)
        self._reach = np.abs(self._polygons - self._centres[:, None]).max(axis=1)
        self._limits = _limits(self._reach, ZOOM * SCALE)
        # Contacts repaint a tile in place. With each tile's colour a row of one matrix, no step has to go and
        # look; whole numbers, because Gymnasium drops the fractions when it draws.
        colors = [color for _, color in self.road_poly]
        self._colors = np.array([self.grass_color] * len(_GRASS) + colors).astype(int)  # [P, 3]
        rows = {id(color): row for color, row in zip(colors, self._colors[len(_GRASS) :], strict=True)}
        self.road_poly = [(polygon, rows[id(color)]) for polygon, color in self.road_poly]
        road_tiles: list[Any] = self.road or []
        for tile in road_tiles:
            tile.color = rows[id(tile.color)]
        self._ground_color = darkened(self.bg_color)
        self._painter = None
        return True

    def _destroy(self) -> None:
        if self.road:
            self._road.clear()
            self.road = []
            assert self.car is not None
            self.car.destroy()

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """As Gymnasium's."""
        if not self.continuous or self.render_mode == "human":
            self._take_wheel()  # for the contacts alone
            return super().step(action)
        self._advance(action)
        self.state = self._render("state_pixels")
        return self.state, *self._judge(action)

    def step_unseen(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """As ``step``, not drawn: drawing is most of its time."""
        self._advance(action)
        return None, *self._judge(action)

    def _take_wheel(self) -> Drive:
        """What drives this episode's car."""
        assert self.car is not None
        if self._drive is None or self._drive.car is not self.car:
            self._drive = Drive(self.car)
            self._contacts.watch(self.car)
        return self._drive

    def _advance(self, action: Any) -> None:
        """Move the world by one step; no action, none that is new."""
        drive = self._take_wheel()
        if action is not None:
            chosen = action.astype(np.float64).tolist()
            drive.control(-chosen[0], chosen[1], chosen[2])
        drive.step()
        self.world.Step(DT, 6 * 30, 2 * 30)
        self.t += DT

    def _judge(self, action: Any) -> tuple[float, bool, bool, dict[str, Any]]:
        """Reward, terminated, truncated and info of the step just done; without an action nothing is at stake."""
        if action is None:
            return 0, False, False, {}
        car = self.car
        assert car is not None
        self.reward -= 0.1
        car.fuel_spent = 0.0
        gain, terminated, info = self.reward - self.prev_reward, False, {}
        self.prev_reward = self.reward
        if self.new_lap or self.tile_visited_count == len(self.track):
            terminated, info = True, {"lap_finished": True}
        place = self._take_wheel().place
        if abs(place.x) > PLAYFIELD or abs(place.y) > PLAYFIELD:
            gain, terminated, info = -100, True, {"lap_finished": False}
        return gain, terminated, False, info

    def sees(self, other: gym.Env[Any, Any]) -> tuple[float, float, float] | None:
        """Where another car is on this one's picture, see :func:`seen_at`; None for another kind of world."""
        return seen_at(self, other) if isinstance(other, CarRacing) and other.car is not None else None

    def _render(self, mode: str) -> Any:
        """Gymnasium's hook for all drawing.

        ``"state_pixels"`` is the observation, [96, 96, 3], ``"rgb_array"`` the view for people, [400, 600, 3], uint8.
        """
        car = self.car
        if mode == "rgb_array" and car is not None:
            self._painter = self._painter or Painter([polygon for polygon, _ in self.road_poly], self.bg_color)
            return self._painter.draw(self, self._colors)
        if mode != "state_pixels" or car is None:
            return super()._render(mode)
        zoom = 0.1 * SCALE * max(1 - self.t, 0) + ZOOM * SCALE * min(self.t, 1)
        place = car.hull.position
        camera = complex(place.x, place.y)
        turn = cmath.rect(zoom, -car.hull.angle)
        self._canvas = _scratch.canvas
        self._draw_ground(camera, turn)
        self._draw_scenery(camera, turn, zoom)
        self._draw_car(car, zoom)

        frame = np.empty((STATE_H, STATE_W, 3), np.uint8)
        cv2.resize(self._canvas, (STATE_W, SCENE_ROWS), dst=frame[:SCENE_ROWS], interpolation=cv2.INTER_AREA)
        draw_panel(frame[SCENE_ROWS:], car, self.reward)
        return frame

    def _draw_ground(self, camera: complex, turn: complex) -> None:
        """Bare ground within the playing field, black beyond it."""
        sight = math.hypot(WINDOW_W / 2, WINDOW_H - CAR_Y) / abs(turn)
        if max(abs(camera.real), abs(camera.imag)) + sight < PLAYFIELD:
            np.copyto(self._canvas, _bare(self._ground_color))
        else:
            self._canvas.fill(0)
            self._fill(_to_canvas((_FIELD - camera) * turn), [self._ground_color])

    def _draw_scenery(self, camera: complex, turn: complex, zoom: float) -> None:
        """Grass squares, then road tiles, each with its kerb: those in view."""
        middle = camera + 1j * (PANEL_H + SCENE_H / 2 - CAR_Y) / turn
        offset = np.abs(((self._centres - middle) * turn).view(np.float64))  # x, y, x, y, ...
        within = offset < (self._limits if zoom == ZOOM * SCALE else _limits(self._reach, zoom))
        indices = np.flatnonzero(within.view(np.uint16) == _BOTH)
        polygons = _to_canvas((self._polygons.take(indices, axis=0) - camera) * turn)
        colors = (self._colors.take(indices, axis=0) - DARKENING).tolist()
        squares = int(indices.searchsorted(len(_GRASS)))
        if squares:  # of one colour and apart from each other, they can be filled in one call
            cv2.fillPoly(self._canvas, list(polygons[:squares]), colors[0], cv2.LINE_8, SHIFT)
        self._fill(polygons[squares:], colors[squares:])

    def _draw_car(self, car: Car, zoom: float) -> None:
        """Four wheels, then the hull over them.

        The camera follows the hull: in the picture the hull stands still and a wheel only turns on its joint and
        rolls. In steps too fine to be seen, 1/50 and 1/10 radian, nearly all of that comes from a cache.
        """
        for centre, wheel in zip(_WHEEL_CENTRES, car.wheels, strict=True):
            phase = round(10 * (wheel.phase % math.tau)) / 10
            wheel_polygons = _wheel(centre, round(50 * wheel.joint.angle) / 50, phase, zoom)
            self._fill(wheel_polygons, _WHEEL_COLORS, cv2.LINE_AA)
        self._fill(_hull(zoom), _HULL_COLORS, cv2.LINE_AA)

    def _fill(self, polygons: Iterable[NDArray[np.int32]], colors: Iterable[Color], line: int = cv2.LINE_8) -> None:
        """Fill convex polygons in this order; colours that are left over are not used."""
        canvas, fill = self._canvas, cv2.fillConvexPoly  # some 40 times a step, looked up once
        for polygon, color in zip(polygons, colors, strict=False):
            fill(canvas, polygon, color, line, SHIFT)


def _limits(reach: NDArray[np.float64], zoom: float) -> NDArray[np.float64]:
    """How far, in x and in y, polygons of this reach may be from the middle of the window to show in it, ``[2 N]``."""
    return (np.array([WINDOW_W, SCENE_H]) / 2 + zoom * reach[:, None]).reshape(-1)


def _to_canvas(window: Points) -> NDArray[np.int32]:
    """Window points [N, V] as OpenCV's fixed-point canvas coordinates [N, V, 2]."""
    return (window.view(np.float64).reshape(*window.shape, 2) * _SCALE + _ORIGIN).astype(np.int32)


@lru_cache(maxsize=2**14)
def _wheel(centre: complex, angle: float, phase: float, zoom: float) -> list[NDArray[np.int32]]:
    """A tyre and, where it is in sight, the white mark that shows the tyre rolling: each [4, 2] on the canvas."""
    # The mark is an arc of 1.2 radians seen from above; an end that is underneath shows at the tyre's edge.
    ends = cmath.rect(1, phase), cmath.rect(1, phase + 1.2)
    mark = [end.real if end.imag <= 0 else math.copysign(1, end.real) for end in ends]
    spans = [(-1.0, 1.0), mark] if any(end.imag <= 0 for end in ends) else [(-1.0, 1.0)]
    across, along = cmath.rect(_WHEEL_HALF_W, angle), cmath.rect(_WHEEL_HALF_L, angle) * 1j
    sides = np.array([-across, across, across, -across])
    polygons = [centre + sides + along * np.array([back, back, front, front]) for back, front in spans]
    return list(_to_canvas(np.array(polygons) * zoom))


@lru_cache(maxsize=64)  # one for each zoom of the opening
def _hull(zoom: float) -> list[NDArray[np.int32]]:
    """The four parts of the hull on the canvas, each [V, 2]."""
    return [_to_canvas(part * zoom)[0] for part in _HULL]

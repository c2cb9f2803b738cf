"""Gymnasium's 600x400 picture of CarRacing, the view for people, drawn fast enough for a live page.

Gymnasium fills every polygon of the track at 1000x800 and averages that down, 20 ms a picture, nearly all of it in
Python. Here the polygons in view are found with NumPy and filled by OpenCV, anti-aliased, at 600x400; OpenCV lets go
of the interpreter's lock meanwhile.

Points of the plane are complex numbers, as in ``car_racing``: ``(point - camera) * turn`` are pixels of
Gymnasium's window, with the car at the origin and y upwards.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import cv2
import numpy as np
import pygame
import pygame.surfarray  # pygame loads it at its first use, which is not safe in two threads at once
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
    Car,
)
from gymnasium.envs.box2d.car_racing import (
    GRASS_DIM,
    PLAYFIELD,
    SCALE,
    VIDEO_H,
    VIDEO_W,
    WINDOW_H,
    WINDOW_W,
    ZOOM,
    CarRacing,
)
from numpy.typing import NDArray

Points: TypeAlias = NDArray[Any]  #: complex numbers, a polygon a row
Polygons: TypeAlias = NDArray[np.int32]  #: [N, V, 2] in OpenCV's fixed-point coordinates
Color: TypeAlias = tuple[int, ...]

SHIFT = 6  #: fractional bits of canvas coordinates
DARKENING = 1  #: grey levels that pygame's smoothscale loses
INSET = {"ground": 0.8, "car": 0.8}  #: window pixels that OpenCV's anti-aliased polygons reach beyond pygame's
PANEL_H = WINDOW_H // 8  #: of the black panel at the bottom of the window
PANEL_ROWS = VIDEO_H // 8
SCENE_ROWS = VIDEO_H - PANEL_ROWS
SCENE_H = WINDOW_H - PANEL_H
CAR_Y = WINDOW_H // 4  #: the car's height above the window's bottom edge
SCORE_X, SCORE_W = 60, 150  #: the middle of the score's text, and what it may fill
HULL_COLOR = (204, 0, 0)

_X, _Y = VIDEO_W / WINDOW_W, VIDEO_H / WINDOW_H  #: canvas per window pixel
_SCALE = np.array([_X, -_Y]) * 2**SHIFT
# OpenCV's whole numbers are the centres of pixels, hence the half.
_ORIGIN = np.array([_X * WINDOW_W / 2 - 0.5, _Y * (WINDOW_H - CAR_Y) - 0.5]) * 2**SHIFT
_SQUARE = np.array([[0, 1, 1 + 1j, 1j]])
_AXIS = GRASS_DIM * np.arange(-20, 20, 2)
_GRASS = (_AXIS[:, None] + 1j * _AXIS).reshape(-1, 1) + GRASS_DIM * _SQUARE  #: [400, 4]
_FIELD = 2 * PLAYFIELD * (_SQUARE - (0.5 + 0.5j))
_UNIT_X, _UNIT_Y = WINDOW_W // 40, WINDOW_H // 40  #: the panel is laid out in 40ths of the window
_WHITE, _BLUE, _VIOLET, _GREEN, _RED = (255, 255, 255), (0, 0, 255), (51, 0, 255), (0, 255, 0), (255, 0, 0)
_UPRIGHT = ((5, _WHITE), (7, _BLUE), (8, _BLUE), (9, _VIOLET), (10, _VIOLET))
_LEVEL = ((20, _GREEN), (30, _RED))


class Painter:
    """Draws one track's pictures; it keeps what stands still from one to the next.

    Args:
        road: the polygons of the track's tiles and kerbs, each four (x, y) pairs, in drawing order.
        ground: the colour of the bare ground.
    """

    def __init__(self, road: Sequence[Any], ground: Iterable[float]) -> None:
        strips = _points(road)
        self._polygons = np.concatenate([_GRASS, strips])  # [P, 4]
        self._centres = self._polygons.mean(axis=1)
        self._reach = np.abs(self._polygons - self._centres[:, None]).max(axis=1)
        # Inwards, in window pixels at the usual zoom; a kerb without width stays a line.
        across = self._polygons[:, [1, 0, 3, 2]] - self._polygons
        inset = INSET["ground"] / (ZOOM * SCALE)
        self._polygons = self._polygons + inset * across / np.maximum(np.abs(across), 1e-9)
        self._ground_color = _darkened(ground)
        self._ground = np.full((SCENE_ROWS, VIDEO_W, 3), self._ground_color, np.uint8)
        self._canvas = self._ground

    def draw(self, env: CarRacing, colors: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The picture ``[400, 600, 3]`` of an environment that stands on this track.

        Args:
            colors: ``[P, 3]``, of the grass squares and of the road's polygons.
        """
        car = env.car
        assert car is not None
        camera, turn = _view(env)
        picture = np.empty((VIDEO_H, VIDEO_W, 3), np.uint8)
        self._canvas = picture[:SCENE_ROWS]
        self._draw_ground(camera, turn)
        self._draw_scenery(camera, turn, colors)
        self._draw_skids(car, camera, turn)
        self._draw_car(car, camera, turn)
        picture[SCENE_ROWS:] = _panel(env, car)
        return picture

    def _draw_ground(self, camera: complex, turn: complex) -> None:
        """Bare ground within the playing field, black beyond it."""
        sight = math.hypot(WINDOW_W / 2, WINDOW_H - CAR_Y) / abs(turn)
        if max(abs(camera.real), abs(camera.imag)) + sight < PLAYFIELD:
            np.copyto(self._canvas, self._ground)
        else:
            self._canvas.fill(0)
            self._fill(_on_canvas((_FIELD - camera) * turn), [self._ground_color])

    def _draw_scenery(self, camera: complex, turn: complex, colors: NDArray[np.int64]) -> None:
        """Grass squares, then road tiles, each with its kerb: those in view."""
        offset = (self._centres - camera) * turn - 1j * (PANEL_H + SCENE_H / 2 - CAR_Y)
        reach = self._reach * abs(turn)
        in_view = (np.abs(offset.real) < WINDOW_W / 2 + reach) & (np.abs(offset.imag) < SCENE_H / 2 + reach)
        indices = np.flatnonzero(in_view)
        polygons = _on_canvas((self._polygons.take(indices, axis=0) - camera) * turn)
        self._fill(polygons, (colors.take(indices, axis=0) - DARKENING).tolist())

    def _draw_skids(self, car: Car, camera: complex, turn: complex) -> None:
        """The traces of sliding wheels."""
        for trace in car.particles:
            line = _on_canvas((_points([trace.poly]) - camera) * turn)
            cv2.polylines(self._canvas, [line[0]], False, _darkened(trace.color), 1, cv2.LINE_AA, SHIFT)

    def _draw_car(self, car: Car, camera: complex, turn: complex) -> None:
        """Four wheels, each with the white mark that shows it rolling, then the hull over them."""
        for wheel in car.wheels:
            place, spin = (complex(*wheel.position) - camera) * turn, cmath.rect(1, wheel.angle) * turn
            mark = _mark(wheel.phase)
            parts = _WHEEL if mark is None else np.concatenate([_WHEEL, mark])
            self._fill(_on_canvas(place + parts * spin), _WHEEL_COLORS[: len(parts)])
        spin = cmath.rect(1, car.hull.angle) * turn  # which is upright
        for part in _HULL:
            self._fill(_on_canvas(part * spin), [_HULL_COLOR])

    def _fill(self, polygons: Iterable[NDArray[np.int32]], colors: Iterable[Color]) -> None:
        """Fill convex polygons in this order."""
        canvas, fill = self._canvas, cv2.fillConvexPoly
        for polygon, color in zip(polygons, colors, strict=True):
            fill(canvas, polygon, color, cv2.LINE_AA, SHIFT)


def seen_at(env: CarRacing, other: CarRacing) -> tuple[float, float, float]:
    """Where on an environment's picture the car of another would be, on the same track.

    Returns:
        x and y in widths and heights of the picture from its upper left corner, which may lie outside of it, and how
        far the car is turned clockwise from upright, in radians.
    """
    assert env.car is not None
    assert other.car is not None
    camera, turn = _view(env)
    point = (complex(*other.car.hull.position) - camera) * turn
    x, y = 0.5 + point.real / WINDOW_W, (WINDOW_H - CAR_Y - point.imag) / WINDOW_H
    return x, y, float(env.car.hull.angle - other.car.hull.angle)


def _view(env: CarRacing) -> tuple[complex, complex]:
    """``camera, turn``: the window pixel of a point is ``(point - camera) * turn``."""
    assert env.car is not None
    zoom = 0.1 * SCALE * max(1 - env.t, 0) + ZOOM * SCALE * min(env.t, 1)
    return complex(*env.car.hull.position), cmath.rect(zoom, -env.car.hull.angle)


def _points(polygons: Any) -> Points:
    """Polygons of (x, y) pairs, [N, V, 2], as complex numbers [N, V]."""
    return np.array(polygons, np.float64).view(np.complex128)[..., 0]


def _on_canvas(window: Points) -> Polygons:
    """Window points [N, V] as OpenCV's fixed-point canvas coordinates [N, V, 2]."""
    return (window.view(np.float64).reshape(*window.shape, 2) * _SCALE + _ORIGIN).astype(np.int32)


def _darkened(color: Iterable[float]) -> Color:
    return tuple(max(int(level) - DARKENING, 0) for level in color)


def _inwards(polygons: Points) -> Points:
    """Small upright convex polygons [N, V], each corner moved inwards in x and in y."""
    corner = polygons - polygons.mean(axis=1, keepdims=True)
    return polygons - INSET["car"] / (ZOOM * SCALE) * (np.sign(corner.real) + 1j * np.sign(corner.imag))


def _mark(phase: float) -> Points | None:
    """The white mark of a wheel seen from above, [1, 4]; None where it is underneath.

    It is an arc of 1.2 radians; an end that is underneath shows at the tyre's edge.
    """
    ends = cmath.rect(1, phase), cmath.rect(1, phase + 1.2)
    if all(end.imag > 0 for end in ends):
        return None
    back, front = (SIZE * WHEEL_R * (end.real if end.imag <= 0 else math.copysign(1, end.real)) for end in ends)
    half = SIZE * WHEEL_W - INSET["car"] / (ZOOM * SCALE)
    return np.array([[-half + 1j * back, half + 1j * back, half + 1j * front, -half + 1j * front]])


_HULL = [_inwards(SIZE * _points([part])) for part in (HULL_POLY1, HULL_POLY2, HULL_POLY3, HULL_POLY4)]
_WHEEL = _inwards(2 * SIZE * (WHEEL_W * (_SQUARE.real - 0.5) + 1j * WHEEL_R * (_SQUARE.imag - 0.5)))
_HULL_COLOR, _WHEEL_COLORS = _darkened(HULL_COLOR), [_darkened(WHEEL_COLOR), _darkened(WHEEL_WHITE)]


def _panel(env: CarRacing, car: Car) -> NDArray[np.uint8]:
    """The panel of indicators, [50, 600, 3]: the score, five bars that grow upwards, two to the right."""
    panel = np.zeros((PANEL_ROWS, VIDEO_W, 3), np.uint8)
    upright = [0.02 * car.hull.linearVelocity.length, *[0.01 * wheel.omega for wheel in car.wheels]]
    for (column, color), value in zip(_UPRIGHT, upright, strict=True):
        _box(panel, column * _UNIT_X, (4 - value) * _UNIT_Y, (column + 1) * _UNIT_X, 4 * _UNIT_Y, color)
    level = [-10 * car.wheels[0].joint.angle, -0.8 * car.hull.angularVelocity]
    for (column, color), value in zip(_LEVEL, level, strict=True):
        _box(panel, column * _UNIT_X, _UNIT_Y, (column + value) * _UNIT_X, 3 * _UNIT_Y, color)
    score = _score(f"{env.reward:04.0f}")
    panel[:, : score.shape[1]] = np.maximum(panel[:, : score.shape[1]], score)
    return panel


def _box(panel: NDArray[np.uint8], x: float, y: float, to_x: float, to_y: float, color: Color) -> None:
    """Fill a box of window pixels, both its edges included, as pygame does; its corners come in any order."""
    if abs(x - to_x) < 1e-4 * _UNIT_X or abs(y - to_y) < 1e-4 * _UNIT_Y:
        return
    columns, across = _cover(x, to_x, _X, VIDEO_W)
    rows, down = _cover(y, to_y, _Y, PANEL_ROWS)
    share = (down[:, None] * across)[..., None]
    panel[rows, columns] = panel[rows, columns] * (1 - share) + share * _darkened(color)


def _cover(one: float, other: float, scale: float, size: int) -> tuple[slice, NDArray[np.float64]]:
    """Which canvas pixels the window pixels from one to another lie in, and what share of each they fill."""
    first, last = sorted((one, other))
    start, end = np.clip([int(first) * scale, (int(last) + 1) * scale], 0, size)
    pixels = np.arange(int(start), math.ceil(end))
    shares = np.minimum(pixels + 1, end) - np.maximum(pixels, start)
    return slice(int(start), math.ceil(end)), shares


@lru_cache(maxsize=1024)
def _score(text: str) -> NDArray[np.uint8]:
    """The left end of the panel with the score, in Gymnasium's font and size: [50, 90, 1]."""
    pygame.font.init()
    font = pygame.font.Font(pygame.font.get_default_font(), 42)
    drawn = pygame.surfarray.array3d(font.render(text, True, (255, 255, 255), (0, 0, 0)))[..., 0].T
    corner = np.zeros((PANEL_H, SCORE_W), np.uint8)
    left, top = max(SCORE_X - drawn.shape[1] // 2, 0), (PANEL_H - drawn.shape[0]) // 2
    drawn = drawn[:, : SCORE_W - left]
    corner[top : top + drawn.shape[0], left : left + drawn.shape[1]] = drawn
    small = cv2.resize(corner, (round(SCORE_W * _X), PANEL_ROWS), interpolation=cv2.INTER_AREA)
    return np.maximum(small, DARKENING)[..., None] - np.uint8(DARKENING)

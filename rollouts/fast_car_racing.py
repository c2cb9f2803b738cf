"""CarRacing-v3 with Gymnasium's own tracks, physics and rewards, and a direct low-resolution renderer.

Gymnasium fills every polygon of the track at 1000×800 and then averages the picture down to 96×96; 99 % of its
time goes there. Here the few polygons in view are found with NumPy and filled by OpenCV on a canvas of only twice
the observation's resolution, which is then averaged in the same way.

Points of the plane are complex numbers: ``(point - camera) * turn`` moves, rotates and zooms in one go. "Window"
coordinates are the pixels of Gymnasium's 1000×800 window, with the car at the origin and y upwards.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Iterable
from functools import cache, lru_cache
from typing import Any, TypeAlias

import cv2
import gymnasium as gym
import numpy as np
import pygame
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

Points: TypeAlias = NDArray[np.complex128]
Color: TypeAlias = tuple[int, ...]

ENV_ID = "worldmodels/FastCarRacing-v3"

SUPERSAMPLING = 2  #: canvas pixels per observation pixel and side; OpenCV averages 2×2 ten times as fast as 3×3
SHIFT = 6  #: fractional bits of canvas coordinates
DARKENING = 2  #: grey levels that pygame's smoothscale loses, by rounding down in both of its passes
INSET = 1.5 / (ZOOM * SCALE)  #: world units; OpenCV fills about 1.5 window pixels more on each side than pygame

PANEL_H, PANEL_ROWS = WINDOW_H // 8, STATE_H // 8  #: the black panel at the bottom, in window and in observation
SCENE_H = WINDOW_H - PANEL_H
CAR_Y = WINDOW_H // 4  #: the car's height above the window's bottom edge
SCORE_X = 60  #: the middle of the score's text

_X, _Y = SUPERSAMPLING * STATE_W / WINDOW_W, SUPERSAMPLING * STATE_H / WINDOW_H  #: canvas per window pixel
_SCALE = np.array([_X, -_Y]) * 2**SHIFT
# OpenCV's whole numbers are the centres of pixels, hence the half.
_ORIGIN = np.array([_X * WINDOW_W / 2 - 0.5, _Y * (WINDOW_H - CAR_Y) - 0.5]) * 2**SHIFT


def _inset(polygons: Points, distance: float = INSET) -> Points:
    """Convex polygons [N, V] with every edge moved inwards."""
    edges = np.roll(polygons, -1, axis=1) - polygons
    area = (polygons.conj() * np.roll(polygons, -1, axis=1)).imag.sum(axis=1, keepdims=True)
    after = 1j * np.sign(area) * edges / np.abs(edges)
    before = np.roll(after, 1, axis=1)
    return polygons + distance * (after + before) / (1 + (after * before.conj()).real)


def _darkened(color: Iterable[float]) -> Color:
    return tuple(max(int(level) - DARKENING, 0) for level in color)


_SQUARE = np.array([[0, 1, 1 + 1j, 1j]])
_FIELD = 2 * PLAYFIELD * (_SQUARE - (0.5 + 0.5j))
_GRASS_AXIS = GRASS_DIM * np.arange(-20, 20, 2)
_GRASS = _inset((_GRASS_AXIS[:, None] + 1j * _GRASS_AXIS).reshape(-1, 1) + GRASS_DIM * _SQUARE)  #: [400, 4]
_HULL = [_inset(SIZE * np.array([poly]) @ (1, 1j)) for poly in (HULL_POLY1, HULL_POLY2, HULL_POLY3, HULL_POLY4)]
_WHEEL_HALF_W, _WHEEL_HALF_L = SIZE * WHEEL_W - INSET, SIZE * WHEEL_R - INSET
_TYRE, _MARK = _darkened(WHEEL_COLOR), _darkened(WHEEL_WHITE)
_SPEED_BAR, _STEERING_BAR, _GYRO_BAR = (_darkened(c) for c in ((255, 255, 255), (0, 255, 0), (255, 0, 0)))
_WHEEL_BARS = [_darkened(c) for c in ((0, 0, 255), (0, 0, 255), (51, 0, 255), (51, 0, 255))]


class FastCarRacing(CarRacing):
    """Gymnasium's CarRacing at more than twenty times its speed: only the drawing of observations is replaced.

    Same arguments, seeds, tracks, physics, rewards, ends and info, step for step. Observations [96, 96, 3] uint8
    RGB differ from Gymnasium's by 0.3 grey levels on average over rows 0-83, the world; rows 84-95, the panel of
    indicators, are close. ``render()``, the view for people, is Gymnasium's own.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._canvas = np.zeros((STATE_H * SUPERSAMPLING, STATE_W * SUPERSAMPLING, 3), np.uint8)
        self._empty = np.zeros_like(self._canvas)  # what lies under everything else: bare ground, empty panel
        self._scene, self._panel = np.split(self._canvas, [(STATE_H - PANEL_ROWS) * SUPERSAMPLING])

    def _create_track(self) -> bool:
        """Make a track as Gymnasium does, then lay out all that stands still as arrays, in drawing order."""
        if not super()._create_track():
            return False
        road = np.array([polygon for polygon, _ in self.road_poly]) @ (1, 1j)
        self._polygons = np.concatenate([_GRASS, _inset(road)])  # [P, 4]
        self._centres = self._polygons.mean(axis=1)
        self._reach = np.abs(self._polygons - self._centres[:, None]).max(axis=1)
        # Contacts repaint a tile in place. With each tile's colour a row of one matrix, no step has to go and
        # look; whole numbers, because Gymnasium drops the fractions when it draws.
        colors = [color for _, color in self.road_poly]
        self._colors = np.array([self.grass_color] * len(_GRASS) + colors).astype(int)  # [P, 3]
        rows = {id(color): row for color, row in zip(colors, self._colors[len(_GRASS) :], strict=True)}
        self.road_poly = [(polygon, rows[id(color)]) for polygon, color in self.road_poly]
        for tile in self.road:
            tile.color = rows[id(tile.color)]
        self._empty[: len(self._scene)] = _darkened(self.bg_color)
        return True

    def _render(self, mode: str) -> Any:
        """Gymnasium's hook for all drawing; ``"state_pixels"`` is the observation, [96, 96, 3] uint8 RGB."""
        if mode != "state_pixels" or self.car is None:
            return super()._render(mode)
        zoom = 0.1 * SCALE * max(1 - self.t, 0) + ZOOM * SCALE * min(self.t, 1)
        camera = complex(*self.car.hull.position)
        turn = cmath.rect(zoom, -self.car.hull.angle)
        self._draw_ground(camera, turn)
        self._draw_scenery(camera, turn)
        self._draw_car(camera, turn)
        self._draw_indicators()
        frame = cv2.resize(self._canvas, (STATE_W, STATE_H), interpolation=cv2.INTER_AREA)
        score = _score(f"{self.reward:04.0f}")
        frame[-PANEL_ROWS:, : score.shape[1]] = score
        return frame

    def _draw_ground(self, camera: complex, turn: complex) -> None:
        """Bare ground within the playing field, black beyond it, an empty panel."""
        sight = math.hypot(WINDOW_W / 2, WINDOW_H - CAR_Y) / abs(turn)
        if max(abs(camera.real), abs(camera.imag)) + sight < PLAYFIELD:
            np.copyto(self._canvas, self._empty)
        else:
            self._canvas.fill(0)
            self._fill(_to_canvas((_FIELD - camera) * turn), [_darkened(self.bg_color)])

    def _draw_scenery(self, camera: complex, turn: complex) -> None:
        """Grass squares, then road tiles, each with its kerb: those in view."""
        offset = (self._centres - camera) * turn - 1j * (PANEL_H + SCENE_H / 2 - CAR_Y)
        reach = self._reach * abs(turn)
        in_view = (np.abs(offset.real) < WINDOW_W / 2 + reach) & (np.abs(offset.imag) < SCENE_H / 2 + reach)
        indices = np.flatnonzero(in_view)
        colors = self._colors.take(indices, axis=0) - DARKENING
        self._fill(_to_canvas((self._polygons.take(indices, axis=0) - camera) * turn), colors.tolist())

    def _draw_car(self, camera: complex, turn: complex) -> None:
        """Four tyres, each with the white mark that shows it rolling, then the hull over them."""
        polygons, colors = [], []
        for wheel in self.car.wheels:
            centre, heading = complex(*wheel.position), cmath.rect(1, wheel.angle)
            across, along = heading * _WHEEL_HALF_W, heading * _WHEEL_HALF_L * 1j
            left, right = centre - across, centre + across
            polygons.append((left - along, right - along, right + along, left + along))
            colors.append(_TYRE)
            # The mark is an arc of 1.2 radians, seen from above; an end that is underneath shows at the rim.
            start, end = cmath.rect(1, wheel.phase), cmath.rect(1, wheel.phase + 1.2)
            if start.imag <= 0 or end.imag <= 0:
                back = along * (start.real if start.imag <= 0 else math.copysign(1, start.real))
                front = along * (end.real if end.imag <= 0 else math.copysign(1, end.real))
                polygons.append((left + back, right + back, right + front, left + front))
                colors.append(_MARK)
        self._fill(_to_canvas((np.array(polygons) - camera) * turn), colors)
        self._fill(_hull(abs(turn)), [_darkened(255 * level for level in self.car.hull.color)] * len(_HULL))

    def _draw_indicators(self) -> None:
        """Speed, the four wheels' rotation, steering angle and gyroscope, as bars on the panel."""
        hull, wheels = self.car.hull, self.car.wheels
        self._draw_bar(5, 4, 1, -0.02 * hull.linearVelocity.length, _SPEED_BAR)
        for i, (wheel, color) in enumerate(zip(wheels, _WHEEL_BARS, strict=True)):
            self._draw_bar(7 + i, 4, 1, -0.01 * wheel.omega, color)
        self._draw_bar(20, 1, -10 * wheels[0].joint.angle, 2, _STEERING_BAR)
        self._draw_bar(30, 1, -0.8 * hull.angularVelocity, 2, _GYRO_BAR)

    def _draw_bar(self, x: float, y: float, width: float, height: float, color: Color) -> None:
        """Fill a rectangle of the panel, in 40ths of the window from its left top; sizes may be negative."""
        unit_x, unit_y = _X * WINDOW_W / 40, _Y * WINDOW_H / 40
        left, right = round(min(x, x + width) * unit_x), round(max(x, x + width) * unit_x)
        top, bottom = round(min(y, y + height) * unit_y), round(max(y, y + height) * unit_y)
        if left < right and top < bottom:
            cv2.rectangle(self._panel, (left, top), (right - 1, bottom - 1), color, cv2.FILLED)

    def _fill(self, polygons: Iterable[NDArray[np.int32]], colors: Iterable[Color]) -> None:
        for polygon, color in zip(polygons, colors, strict=True):
            cv2.fillConvexPoly(self._scene, polygon, color, cv2.LINE_8, SHIFT)


def _to_canvas(window: Points) -> NDArray[np.int32]:
    """Window points [N, V] as OpenCV's fixed-point canvas coordinates [N, V, 2]."""
    return (window.view(np.float64).reshape(*window.shape, 2) * _SCALE + _ORIGIN).astype(np.int32)


@lru_cache(maxsize=64)  # the camera follows the hull, so that its picture changes only with the opening's zoom
def _hull(zoom: float) -> list[NDArray[np.int32]]:
    """The four parts of the hull on the canvas, each [V, 2]."""
    return [_to_canvas(part * zoom)[0] for part in _HULL]


@cache
def _glyph(character: str) -> NDArray[np.uint8]:
    """One character, white on black, in Gymnasium's font and size: [H, W]."""
    pygame.font.init()
    font = pygame.font.Font(pygame.font.get_default_font(), 42)
    return pygame.surfarray.array3d(font.render(character, True, (255, 255, 255), (0, 0, 0)))[..., 0].T


@lru_cache(maxsize=2048)
def _score(text: str) -> NDArray[np.uint8]:
    """The left end of the panel, with the score: [12, 12, 1]."""
    glyphs = np.concatenate([_glyph(character) for character in text], axis=1)
    left, top = SCORE_X - glyphs.shape[1] // 2, (PANEL_H - glyphs.shape[0]) // 2
    corner = np.zeros((PANEL_H, 125), np.uint8)
    corner[top : top + len(glyphs), left : left + glyphs.shape[1]] = glyphs
    small = cv2.resize(corner, (12, PANEL_ROWS), interpolation=cv2.INTER_AREA)
    return np.maximum(small, DARKENING)[..., None] - np.uint8(DARKENING)


def register() -> None:
    """Make ``gymnasium.make("worldmodels/FastCarRacing-v3")`` work; may be called more than once."""
    if ENV_ID not in gym.registry:
        gym.register(
            ENV_ID,
            entry_point="rollouts.fast_car_racing:FastCarRacing",
            max_episode_steps=1000,
            reward_threshold=900,
        )

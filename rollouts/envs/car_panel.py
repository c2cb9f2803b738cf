"""The panel of indicators below CarRacing's picture: true speed, the four wheels', steering, turning, and the score."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from typing import TypeAlias

import cv2
import numpy as np
import pygame
import pygame.surfarray  # pygame loads it at its first use, which is not safe in two threads at once
from gymnasium.envs.box2d.car_dynamics import Car
from gymnasium.envs.box2d.car_racing import STATE_H, STATE_W, WINDOW_H
from numpy.typing import NDArray

Color: TypeAlias = tuple[int, ...]

SUPERSAMPLING = 2  #: canvas pixels per observation pixel and side; OpenCV averages 2×2 far faster than 3×3
DARKENING = 2  #: grey levels that pygame's smoothscale loses, by rounding down in both of its passes
PANEL_H = WINDOW_H // 8  #: the black panel at the bottom of the window
PANEL_ROWS = STATE_H // 8
SCORE_X = 60  #: the middle of the score's text


def darkened(color: Iterable[float]) -> Color:
    return tuple(max(int(level) - DARKENING, 0) for level in color)


_WHITE, _BLUE, _VIOLET, _GREEN, _RED = (255, 255, 255), (0, 0, 255), (51, 0, 255), (0, 255, 0), (255, 0, 0)
_BAR_COLORS = [darkened(c) for c in (_WHITE, _BLUE, _BLUE, _VIOLET, _VIOLET, _GREEN, _RED)]
_UNIT = SUPERSAMPLING * STATE_W / 40  #: the panel is laid out in 40ths of the window; in canvas pixels
_STEERING, _TURNING = 20 * _UNIT, 30 * _UNIT  #: where the two level bars begin
_EDGES = 56, 120  #: left of them there are, as a rule, only upright bars, and those and steering; whole pixels


def draw_panel(rows: NDArray[np.uint8], car: Car, reward: float) -> None:
    """Fill ``rows [12, 96, 3]``, the observation's last ones, with a car's panel."""
    upright = [0.02 * car.hull.linearVelocity.length, *[0.01 * wheel.omega for wheel in car.wheels]]
    level = [-10 * car.wheels[0].joint.angle, -0.8 * car.hull.angularVelocity]
    draw_bars(rows, [round(_UNIT * value) for value in upright + level])
    score = _score(f"{reward:04.0f}")
    rows[:, : score.shape[1]] = score


def draw_bars(rows: NDArray[np.uint8], lengths: Sequence[int]) -> None:
    """Fill ``rows [12, 96, 3]`` with bars of these lengths in canvas pixels.

    What they show hardly ever repeats as a whole, but bars that keep to their own columns do.
    """
    *upright, steering, turning = lengths
    if not (_EDGES[0] <= _STEERING + steering <= _EDGES[1] and _EDGES[1] <= _TURNING + turning):
        rows[:] = _bars(*lengths)
        return
    left, right = (edge // SUPERSAMPLING for edge in _EDGES)
    rows[:, :left] = _bars(*upright, 0, 0)[:, :left]
    rows[:, left:right] = _bars(0, 0, 0, 0, 0, steering, 0)[:, left:right]
    rows[:, right:] = _bars(0, 0, 0, 0, 0, 0, turning)[:, right:]


@lru_cache(maxsize=2**12)
def _bars(*lengths: int) -> NDArray[np.uint8]:
    """The panel with its bars, [12, 96, 3]: five that grow upwards, two to the right; lengths in canvas pixels."""
    canvas = np.zeros((PANEL_ROWS * SUPERSAMPLING, STATE_W * SUPERSAMPLING, 3), np.uint8)
    upright, level = zip((5, 7, 8, 9, 10), lengths, strict=False), zip((20, 30), lengths[5:], strict=True)
    boxes = [(column, column + 1.0, 4 - length / _UNIT, 4) for column, length in upright]
    boxes += [(column, column + length / _UNIT, 1.0, 3) for column, length in level]
    for box, color in zip(boxes, _BAR_COLORS, strict=True):
        left, right, top, bottom = (max(round(edge * _UNIT), 0) for edge in box)
        canvas[min(top, bottom) : max(top, bottom), min(left, right) : max(left, right)] = color
    return cv2.resize(canvas, (STATE_W, PANEL_ROWS), interpolation=cv2.INTER_AREA).astype(np.uint8)


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
    corner = np.zeros((PANEL_H, 125), np.uint8)
    left, top = max(SCORE_X - glyphs.shape[1] // 2, 0), (PANEL_H - glyphs.shape[0]) // 2
    corner[top : top + len(glyphs), left : left + glyphs.shape[1]] = glyphs[:, : corner.shape[1] - left]
    small = cv2.resize(corner, (12, PANEL_ROWS), interpolation=cv2.INTER_AREA)
    return np.maximum(small, DARKENING)[..., None] - np.uint8(DARKENING)

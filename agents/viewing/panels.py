"""Drawing what an agent sees, expects and does. Pure functions from values to pictures; used by every viewer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Frame = NDArray[np.uint8]
Colour = tuple[int, int, int]

WIDTH, HEIGHT = 1000, 580
TITLE_SIZE, TEXT_SIZE = 24, 18  #: of letters, in pixels: still legible where a GIF shows the panel at 3/5 of its width
BACKGROUND: Colour = (17, 19, 24)
SURFACE: Colour = (30, 33, 41)
TEXT: Colour = (232, 234, 240)
FAINT: Colour = (146, 152, 168)
ACCENT: Colour = (94, 176, 255)
WARM: Colour = (255, 168, 92)


@dataclass(frozen=True)
class Bar:
    """One action: a value between its limits, drawn from ``zero``."""

    name: str
    value: float
    low: float
    high: float
    zero: float = 0.0


@dataclass(frozen=True)
class Panel:
    """Everything one picture shows."""

    title: str
    status: str
    view: Frame  #: the large picture
    tiles: Sequence[tuple[str, Frame]]  #: up to three captioned squares
    bars: Sequence[Bar]
    latent: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))  #: z, drawn as a bar code
    curve: Sequence[float] = ()
    curve_name: str = "return"


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def draw(panel: Panel) -> Frame:
    """A picture ``[580, 1000, 3]``."""
    canvas = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    canvas[:] = BACKGROUND
    _paste(canvas, panel.view, 24, 64, 576, 384, smooth=panel.view.shape[0] > 128)
    captions = []
    for number, (caption, tile) in enumerate(panel.tiles[:3]):
        x, y = 624 + number % 2 * 184, 64 + number // 2 * 204
        _paste(canvas, tile, x, y, 168, 168)
        captions.append((x, y + 172, caption))
    picture = Image.fromarray(canvas)
    pen = ImageDraw.Draw(picture)
    pen.text((24, 20), panel.title, TEXT, _font(TITLE_SIZE))
    pen.text((WIDTH - 24, 24), panel.status, FAINT, _font(TEXT_SIZE), anchor="ra")
    for x, y, caption in captions:
        pen.text((x, y), caption, FAINT, _font(TEXT_SIZE))
    _draw_latent(pen, panel.latent, 808, 268, 168, 168)
    if len(panel.latent):
        pen.text((808, 440), "z, its numbers", FAINT, _font(TEXT_SIZE))
    _draw_bars(pen, panel.bars, 24, 474, 400)
    _draw_curve(pen, panel.curve, panel.curve_name, 460, 474, 516, 82)
    return np.asarray(picture)


def _paste(canvas: Frame, frame: Frame, x: int, y: int, width: int, height: int, smooth: bool = False) -> None:
    """Fit a frame into a box, keeping its proportions; small observations stay crisp."""
    scale = min(width / frame.shape[1], height / frame.shape[0])
    w, h = round(frame.shape[1] * scale), round(frame.shape[0] * scale)
    shrunk = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR if smooth else cv2.INTER_NEAREST
    canvas[y : y + height, x : x + width] = SURFACE
    left, top = x + (width - w) // 2, y + (height - h) // 2
    canvas[top : top + h, left : left + w] = cv2.resize(frame, (w, h), interpolation=shrunk)


def _draw_latent(pen: ImageDraw.ImageDraw, z: NDArray[np.float32], x: int, y: int, width: int, height: int) -> None:
    if not len(z):
        return
    pen.rounded_rectangle((x, y, x + width, y + height), 4, SURFACE)
    step, middle = (width - 8) / len(z), y + height / 2
    for number, value in enumerate(np.clip(z, -4, 4)):
        left, tip = x + 4 + number * step, middle - float(value) / 4 * (height / 2 - 6)
        pen.rectangle(
            (left, min(tip, middle), left + max(step - 1, 1), max(tip, middle)), ACCENT if value > 0 else WARM
        )


def _draw_bars(pen: ImageDraw.ImageDraw, bars: Sequence[Bar], x: int, y: int, width: int) -> None:
    for number, bar in enumerate(bars[:4]):
        top, left = y + number * 28, x + 104
        right = x + width - 64
        pen.text((x, top), bar.name, FAINT, _font(TEXT_SIZE))
        pen.rounded_rectangle((left, top + 4, right, top + 18), 3, SURFACE)
        span = (right - left) / max(bar.high - bar.low, 1e-9)
        zero, tip = left + (bar.zero - bar.low) * span, left + (np.clip(bar.value, bar.low, bar.high) - bar.low) * span
        pen.rectangle((min(zero, tip), top + 4, max(zero, tip), top + 18), ACCENT)
        pen.text((x + width, top), f"{bar.value:+.2f}", TEXT, _font(TEXT_SIZE), anchor="ra")


def _draw_curve(
    pen: ImageDraw.ImageDraw, values: Sequence[float], name: str, x: int, y: int, width: int, height: int
) -> None:
    pen.rounded_rectangle((x, y, x + width, y + height), 4, SURFACE)
    pen.text((x + 8, y + 5), f"{name} {values[-1]:.1f}" if len(values) else name, FAINT, _font(TEXT_SIZE))
    if len(values) < 2:
        return
    low, high = min(0.0, *values), max(1.0, *values)
    shown = values[:: max(len(values) // width, 1)]
    points = [
        (x + 6 + (width - 12) * i / (len(shown) - 1), y + height - 6 - (height - 36) * (v - low) / (high - low))
        for i, v in enumerate(shown)
    ]
    pen.line(points, ACCENT, 2)

"""Pictures of what a model sees: grids and strips of frames, as arrays, PNG files and TensorBoard images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rollouts.runs.files import atomic_path

Frames = NDArray[np.uint8]
LETTERS = 15  #: height of captions in pixels


def to_float(frames: Frames | Tensor, device: torch.device | str = "cpu") -> Tensor:
    """uint8 ``[N, H, W, 3]`` -> float ``[N, 3, H, W]`` in [0, 1], in channels-last memory (which convolutions like)."""
    tensor = torch.as_tensor(frames).to(device)
    return tensor.permute(0, 3, 1, 2).to(torch.float32).div_(255.0)


def to_uint8(frames: Tensor) -> Frames:
    """float ``[N, 3, H, W]`` in [0, 1] -> uint8 ``[N, H, W, 3]``."""
    scaled = frames.detach().float().clamp(0, 1).mul(255).round()
    return scaled.to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()


GAP = 2  #: pixels between the pictures of a grid


def grid(frames: Frames, columns: int, gap: int = GAP) -> Frames:
    """Lay ``[N, H, W, 3]`` out in rows of ``columns`` with thin light gaps."""
    count, height, width, _ = frames.shape
    rows = -(-count // columns)
    canvas = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, 3), 235, np.uint8)
    for index, frame in enumerate(frames):
        y, x = gap + index // columns * (height + gap), gap + index % columns * (width + gap)
        canvas[y : y + height, x : x + width] = frame
    return canvas


def with_captions(sheet: Frames, rows: Sequence[str], columns: Sequence[str] = (), scale: int = 2) -> Frames:
    """A grid ``[H, W, 3]``, enlarged, with a caption on the left of each of its equally high rows, and above each of
    its equally wide columns."""
    from PIL import Image, ImageDraw, ImageFont

    enlarged = sheet.repeat(scale, 0).repeat(scale, 1)
    font = ImageFont.load_default(LETTERS)
    margin = max((math.ceil(font.getlength(caption)) + 16 for caption in rows), default=0)
    top = 2 * LETTERS if columns else 0
    canvas = Image.new("RGB", (enlarged.shape[1] + margin, enlarged.shape[0] + top), "white")
    canvas.paste(Image.fromarray(enlarged), (margin, top))
    pen, height = ImageDraw.Draw(canvas), enlarged.shape[0] / max(len(rows), 1)
    for row, caption in enumerate(rows):
        pen.text((margin - 8, top + (row + 0.5) * height), caption, "black", font, anchor="rm")
    for column, caption in enumerate(columns):
        pen.text((margin + (column + 0.5) * enlarged.shape[1] / len(columns), LETTERS), caption, "black", font, "mm")
    return np.asarray(canvas)


def save_png(picture: Frames, path: Path, scale: int = 1) -> None:
    """Write an RGB picture ``[H, W, 3]``, enlarged ``scale`` times without blurring."""
    import cv2  # here: half a second that drawing itself does not need

    enlarged = picture.repeat(scale, 0).repeat(scale, 1)
    encoded = cv2.imencode(".png", cv2.cvtColor(enlarged, cv2.COLOR_RGB2BGR))[1]
    with atomic_path(path) as temporary:
        temporary.write_bytes(encoded.tobytes())

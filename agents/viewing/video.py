"""Frames to a file: mp4 (H.264) or GIF, written frame by frame, and in place only when complete."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rollouts.errors import UserError
from rollouts.runs.files import atomic_path
from rollouts.transfer.videos import write_mp4

Frame = NDArray[np.uint8]
GIF_WIDTH = 600


def write_video(frames: Iterable[Frame], path: Path, fps: int) -> int:
    """Write ``[H, W, 3]`` frames to ``path`` (.mp4 or .gif).

    Returns:
        The number of frames.

    Raises:
        UserError: the suffix is neither .mp4 nor .gif, or there was no frame.
    """
    writers = {".mp4": write_mp4, ".gif": _write_gif}
    if path.suffix not in writers:
        raise UserError(f"Videos are written as .mp4 or .gif, not {path.suffix or 'without a suffix'} ({path}).")
    with atomic_path(path) as temporary:
        return writers[path.suffix](frames, temporary, fps)


def _write_gif(frames: Iterable[Frame], path: Path, fps: int) -> int:
    pictures = []
    for frame in frames:
        picture = Image.fromarray(frame)
        if picture.width > GIF_WIDTH:
            picture = picture.resize((GIF_WIDTH, picture.height * GIF_WIDTH // picture.width), Image.Resampling.BOX)
        # An octree keeps the colour of small things, such as a red car on a green field, and is quick.
        pictures.append(picture.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE))
    if not pictures:
        raise UserError("There was no frame to write.")
    pictures[0].save(
        path, "GIF", save_all=True, append_images=pictures[1:], duration=_delays(len(pictures), fps), loop=0
    )
    return len(pictures)


def _delays(count: int, fps: int) -> list[int]:
    """Milliseconds for which each picture of a GIF stays: whole hundredths of a second, right on the whole.

    Below 2 of them viewers fall back to 10.
    """
    due = [round(100 * picture / min(fps, 50)) for picture in range(count + 1)]
    return [10 * (end - start) for start, end in pairwise(due)]

"""Pictures inside a page: PNG and JPEG as data addresses, rows of frames with names, and films to step through."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from agents.reports.markup import Content, Markup, figure, tag

Frames = NDArray[np.uint8]
GAP = 2
FRAME_WIDTH = 140  #: pixels of a page that a frame takes at most
QUALITY = 86  #: of films, on JPEG's scale to 100
LARGEST = 3_000_000  #: bytes of a stored picture that is taken over


def address(picture: Frames, lossy: bool = False) -> str:
    """A picture ``[H, W, 3 or 4]`` as an address that holds it whole."""
    content = io.BytesIO()
    if lossy:
        Image.fromarray(picture).save(content, "JPEG", quality=QUALITY, subsampling=0)  # small red cars stay red
    else:
        Image.fromarray(picture).save(content, "PNG", optimize=True)
    return _data("jpeg" if lossy else "png", content.getvalue())


def _data(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def stored(path: Path, words: str) -> Markup | None:
    """A PNG that a stage has drawn; None if there is none, or it is no picture."""
    try:
        content = path.read_bytes()
        with Image.open(io.BytesIO(content)) as picture:
            picture.verify()
            (width, height), fine = picture.size, picture.format == "PNG" and len(content) <= LARGEST
    except (OSError, SyntaxError, ValueError):
        return None
    if not fine:
        return None
    drawn = tag("img", src=_data("png", content), alt=words, width=width, height=height, class_="sheet")
    return tag("div", drawn, class_="scroll", tabindex=0, role="group", aria_label=words)


def stored_figure(title: str, path: Path, words: str, caption: str) -> Markup | None:
    """Such a PNG as a figure over the page's whole width; None without it."""
    picture = stored(path, words)
    return figure(title, picture, caption, wide=True) if picture is not None else None


def strip(frames: Frames) -> Frames:
    """Frames ``[N, H, W, 3]`` side by side with clear gaps, ``[H, W', 4]``."""
    count, height, width, _ = frames.shape
    canvas = np.zeros((height, count * (width + GAP) - GAP, 4), np.uint8)
    for place, frame in enumerate(frames):
        left = place * (width + GAP)
        canvas[:, left : left + width, :3], canvas[:, left : left + width, 3] = frame, 255
    return canvas


def rows(named: Mapping[str, Frames], columns: Sequence[str] = ()) -> Markup:
    """Rows of equally many frames, each under its name; captions of columns below the last."""
    parts: list[Content] = []
    width = f"max-width:{FRAME_WIDTH * len(next(iter(named.values())))}px"
    for name, frames in named.items():
        picture = address(strip(frames))
        parts.append(tag("p", name, class_="row-name"))
        parts.append(tag("img", src=picture, alt=f"{name}, {len(frames)} pictures", class_="strip", style=width))
    if columns:
        parts.append(tag("p", [tag("span", column) for column in columns], class_="columns", style=width))
    return tag("div", parts, class_="rows scroll", tabindex=0, role="group", aria_label=", ".join(named))


def film(named: Mapping[str, Frames], rate: float, about: str) -> Markup:
    """Films of equally many frames ``[T, H, W, 3]`` side by side, to play and to step through.

    Args:
        rate: pictures per second.
    """
    first = next(iter(named.values()))
    count, height, width, _ = first.shape
    sheet = np.concatenate(
        [frames.transpose(1, 0, 2, 3).reshape(height, count * width, 3) for frames in named.values()]
    )
    screens = [
        tag("div", tag("canvas", width=width, height=height, role="img", aria_label=name), tag("span", name))
        for name in named
    ]
    return tag(
        "div",
        tag("div", screens, class_="screens"),
        tag(
            "div",
            tag("button", "Play", type="button", class_="play"),
            tag("input", type="range", min=0, max=count - 1, value=0, aria_label=f"step of {about}"),
            tag("output", "0", aria_live="off"),
            class_="transport",
        ),
        class_="film",
        data_sheet=address(sheet, lossy=True),
        data_rate=round(rate, 2),
    )

"""Coloured shapes with captions from a small grammar: every attribute that a caption names can be checked.

``[a | the | one] [small | large | big] [COLOUR] (SHAPE | shape) [PLACE]``; what is left out may be anything.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from worldmodels.generative.data.language import Language
from worldmodels.generative.data.samples import Labels, Samples
from worldmodels.training.randomness import numpy_generator_for

CAPTIONED = "captioned-shapes"
COLOURS = {
    "red": (220, 50, 50),
    "green": (50, 180, 70),
    "blue": (60, 90, 235),
    "yellow": (240, 220, 60),
    "white": (240, 240, 240),
}
SIZES = {"small": 3.2, "large": 5.5}
"""Radius of a circle of the same area, in pixels of a picture of 32x32."""
SHAPES = ("circle", "square", "triangle")
PLACES = {"left": (-7, 0), "right": (7, 0), "top": (0, -7), "bottom": (0, 7), "middle": (0, 0)}
"""Pixels to the right of the centre, and below it."""
ATTRIBUTES = {"size": tuple(SIZES), "colour": tuple(COLOURS), "shape": SHAPES, "place": tuple(PLACES)}
WORDS = ("a", "the", "one", *SIZES, "big", *COLOURS, *SHAPES, "shape", "at", "in", *PLACES)
"""The vocabulary."""
LENGTH = 7  #: of the longest caption
LANGUAGE = Language(WORDS, LENGTH, ("a small red circle", "a shape"))
NAMED = 0.8  #: how often a caption names an attribute
COUNTS = (10_000, 1_000)  #: for training, and held out
SIDE = 32


class Scenes(NamedTuple):
    """Attributes of N pictures as numbers of their values, ``[N]`` each; -1 where it is not known."""

    size: NDArray[np.int64]
    colour: NDArray[np.int64]
    shape: NDArray[np.int64]
    place: NDArray[np.int64]


def some_scenes(count: int, rng: np.random.Generator) -> Scenes:
    """All combinations equally often."""
    return Scenes(*(rng.integers(len(values), size=count) for values in ATTRIBUTES.values()))


def caption(scene: tuple[int, int, int, int], rng: np.random.Generator) -> str:
    """A random caption of a scene, which names every attribute with probability ``NAMED``."""
    named = [value if rng.random() < NAMED else -1 for value in scene]
    words = [str(rng.choice(["a", "the", "one"]))]
    if named[0] >= 0:
        words.append(str(rng.choice([["small"], ["large", "big"]][named[0]])))
    if named[1] >= 0:
        words.append(tuple(COLOURS)[named[1]])
    words.append("shape" if named[2] < 0 else SHAPES[named[2]])
    if named[3] >= 0:
        where = tuple(PLACES)[named[3]]
        words += ["in" if where == "middle" else "at", "the", where]
    return " ".join(words)


def captions_of(scenes: Scenes, rng: np.random.Generator) -> list[str]:
    """A caption for each."""
    return [caption(scene, rng) for scene in zip(*(part.tolist() for part in scenes), strict=True)]


def named_in(tokens: NDArray[np.int64]) -> Scenes:
    """What captions ``[N, LENGTH]`` name, and -1 for what they do not."""
    columns = []
    for values in ATTRIBUTES.values():
        of = np.full(len(WORDS) + 1, -1)
        for number, value in enumerate(values):
            of[WORDS.index(value) + 1] = number
        if "large" in values:
            of[WORDS.index("big") + 1] = values.index("large")
        columns.append(of[tokens.astype(int)].max(1))
    return Scenes(*columns)


def coverage(
    shape: NDArray[np.int64],
    radius: NDArray[np.float64],
    across: NDArray[np.float64],
    down: NDArray[np.float64],
    side: int,
) -> NDArray[np.float32]:
    """How much of every pixel a shape covers, ``[N, side, side]``, with soft edges one pixel wide.

    Args:
        shape: numbers in ``SHAPES``, ``[N]``.
        radius: of a circle of the same area; across, down: of the centre of mass; in pixels, ``[N]``.
    """
    places = np.arange(side, dtype=np.float32) + np.float32(0.5)
    x = places[None, None] - across.astype(np.float32)[:, None, None]
    y = places[None, :, None] - down.astype(np.float32)[:, None, None]
    r = radius.astype(np.float32)[:, None, None]
    inner = r * np.sqrt(np.pi / np.sqrt(27))  # of the circle inside an equilateral triangle of that area
    outside = np.where(
        (shape == 0)[:, None, None],
        np.hypot(x, y) - r,
        np.where(
            (shape == 1)[:, None, None],
            np.maximum(np.abs(x), np.abs(y)) - r * np.sqrt(np.pi) / 2,
            np.maximum(y, np.abs(x) * np.sqrt(0.75) - y / 2) - inner,
        ),
    )
    return np.clip(0.5 - outside, 0, 1)


def pictures_of(scenes: Scenes, rng: np.random.Generator, side: int = SIDE) -> NDArray[np.uint8]:
    """A picture ``[N, side, side, 3]`` of every scene: place, size, colour, background and pixels vary a little."""
    count, unit = len(scenes.size), side / SIDE
    radius = unit * (np.array(list(SIZES.values()))[scenes.size] + rng.uniform(-0.3, 0.3, count))
    offsets = np.array(list(PLACES.values()))[scenes.place] + rng.uniform(-1, 1, (count, 2))
    across, down = (side / 2 + unit * offsets).T
    covered = coverage(scenes.shape, radius, across, down, side)[..., None]
    ground = rng.uniform(20, 45, (count, 1, 1, 1)).astype(np.float32)
    colour = np.array(list(COLOURS.values()))[scenes.colour] + rng.uniform(-15, 15, (count, 3))
    noise = 3 * rng.standard_normal((count, side, side, 3), np.float32)
    pixels = ground + covered * (colour.astype(np.float32)[:, None, None] - ground) + noise
    return np.clip(np.round(pixels), 0, 255).astype(np.uint8)


def captioned_shapes(seed: int, size: int = 0) -> Samples:
    """Pictures whose conditions are the tokens of their captions ``[N, LENGTH]``; classes are colour and shape."""
    parts = []
    for number, count in enumerate(COUNTS):
        rng = numpy_generator_for(seed, number)
        scenes = some_scenes(count, rng)
        pixels = np.concatenate(
            [
                pictures_of(Scenes(*(part[start : start + 1000] for part in scenes)), rng, size or SIDE)
                for start in range(0, count, 1000)
            ]
        )
        tokens = np.stack([LANGUAGE.tokens_of(text) for text in captions_of(scenes, rng)])
        parts.append((pixels, _classes(scenes), tokens))
    (train, labels, words), (test, test_labels, test_words) = parts
    names = tuple(f"{colour} {shape}" for colour in COLOURS for shape in SHAPES)
    return Samples(CAPTIONED, train, test, labels, test_labels, names, words, test_words)


def _classes(scenes: Scenes) -> Labels:
    return scenes.colour * len(SHAPES) + scenes.shape

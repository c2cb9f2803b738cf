"""Moving digits: clips whose class stays and whose motion goes on with known probabilities.

A digit begins anywhere, in one of four diagonal directions with equal probability, and goes ``STEP`` pixels along both
axes in every frame. Along each axis on its own it turns round with probability ``TURN`` before a step, and at a wall.
So after a single frame four futures are equally likely, and after two a straight one with probability (1 - TURN)^2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from worldmodels.generative.data.samples import Labels, Samples
from worldmodels.training.randomness import numpy_generator_for

MOVING = "moving-digits"
SIDE, DIGIT = 32, 20
STEP = 2  #: pixels per frame, along both axes
TURN = 0.1  #: probability of turning round along one axis, in every frame after the first step
COUNTS = (4_000, 500)  #: clips for training, and held out


def paths(count: int, frames: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Upper left corners of digits, ``[count, frames, 2]`` (across, down)."""
    most = SIDE - DIGIT
    place = rng.integers(0, most + 1, (count, 2))
    direction = rng.choice([-1, 1], (count, 2))
    places = [place]
    for frame in range(1, frames):
        if frame > 1:
            direction = np.where(rng.random((count, 2)) < TURN, -direction, direction)
        beyond = (place + STEP * direction < 0) | (place + STEP * direction > most)
        direction = np.where(beyond, -direction, direction)
        place = place + STEP * direction
        places.append(place)
    return np.stack(places, 1)


def drawn(digits: NDArray[np.uint8], corners: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Clips ``[N, T, SIDE, SIDE, 1]`` of digits ``[N, DIGIT, DIGIT, 1]`` at ``[N, T, 2]``."""
    count, frames, _ = corners.shape
    clips = np.zeros((count, frames, SIDE, SIDE, 1), np.uint8)
    inside = np.arange(DIGIT)
    down, across = corners[..., 1, None] + inside, corners[..., 0, None] + inside
    one, time = np.arange(count)[:, None, None, None], np.arange(frames)[None, :, None, None]
    clips[one, time, down[..., :, None], across[..., None, :]] = digits[:, None]
    return clips


def moving_digits(seed: int, frames: int, pictures: tuple[NDArray[np.uint8], Labels]) -> Samples:
    """Clips of ``pictures`` (28x28 digits and their classes); one in ten digits moves only in those held out."""
    small = pictures[0][:, 4:24, 4:24]
    chosen = np.random.default_rng(0).permutation(len(small))
    parts = []
    for number, pool in enumerate((chosen[len(chosen) // 10 :], chosen[: len(chosen) // 10])):
        rng = numpy_generator_for(seed, number)
        which = rng.choice(pool, COUNTS[number])
        parts.append((drawn(small[which], paths(len(which), frames, rng)), pictures[1][which]))
    (train, labels), (test, test_labels) = parts
    return Samples(MOVING, train, test, labels, test_labels, tuple(str(digit) for digit in range(10)))

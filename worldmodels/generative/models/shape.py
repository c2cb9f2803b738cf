"""What a model is built for, which its run keeps beside its weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from worldmodels.generative.data.samples import Samples


class Shape(NamedTuple):
    """What a model makes: images of ``size`` and ``channels``, or points of ``channels`` dimensions (size 0)."""

    size: int
    channels: int
    classes: int = 0
    condition: int = 0  #: channels of the data's own conditions
    other: int = 0  #: channels of the other set
    frames: int = 0  #: of clips
    words: Sequence[str] = ()  #: of captions of the user's own; their length is ``condition``
    examples: Sequence[str] = ()  #: some of these captions

    @classmethod
    def of(cls, samples: Samples) -> Shape:
        condition, other = (
            0 if part is None else part.shape[-1] for part in (samples.train_condition, samples.train_other)
        )
        size = samples.size if samples.are_images else 0
        texts = (samples.language.words, samples.language.examples) if samples.language else ()
        return cls(size, samples.channels, samples.classes, condition, other, samples.frames, *texts)

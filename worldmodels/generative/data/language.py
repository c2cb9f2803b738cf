"""Captions as numbers: the words of some captions, and how a caption is written with them."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rollouts.errors import UserError

Tokens = NDArray[np.int64]
SEEN = 2  #: pictures whose captions a word must be in to be learnt
RARE = "<rare>"  #: all words that are in fewer
LONGEST = 40  #: words of a caption; what follows is not read
SEVERAL = 10  #: captions of one picture
EXAMPLES = 100  #: captions that are kept
LISTED = 40  #: words of a vocabulary that is named in full
WORD = re.compile(r"\w+(?:['’-]\w+)*")


def words_of(caption: str) -> list[str]:
    """A caption's words in small letters, without its punctuation."""
    return WORD.findall(unicodedata.normalize("NFKC", caption).lower())


@dataclass(frozen=True)
class Language:
    """A vocabulary. Token 0 stands for no word, so word number i is token i + 1."""

    words: tuple[str, ...]
    length: int
    """Of the longest caption, in words."""
    examples: tuple[str, ...] = ()
    """Some captions that it was made of."""

    @classmethod
    def of(cls, captions: Sequence[Sequence[str]]) -> Language:
        """The vocabulary of pictures with one or several captions each: their words, the commonest first, and one
        more for all that are too rare to be learnt.

        Raises:
            UserError: no word is in the captions of two pictures.
        """
        pictures = [{word for caption in own for word in words_of(caption)} for own in captions]
        counts = Counter(word for words in pictures for word in words)
        common = sorted((word for word in counts if counts[word] >= SEEN), key=lambda word: (-counts[word], word))
        if not common:
            raise UserError(f"No word is in the captions of {SEEN} pictures: there is nothing to learn from them.")
        longest = max(len(words_of(caption)) for own in captions for caption in own)
        language = cls((*common, RARE), min(longest, LONGEST))
        shown = np.linspace(0, len(captions) - 1, min(len(captions), EXAMPLES)).astype(int)
        texts = [language.text_of(language.read(captions[number][0])) for number in shown]
        return replace(language, examples=tuple(text for text in texts if text))

    def tokens_of(self, caption: str) -> Tokens:
        """A caption as tokens ``[length]``, with 0 before its first word.

        Raises:
            UserError: there is no word, one that has not been learnt, or more of them than in any caption.
        """
        words = words_of(caption)
        unknown = [word for word in words if word not in self._numbers]
        if unknown:
            raise UserError(f"No caption had the word {unknown[0]!r}; {self._like(unknown[0])}.")
        if not 0 < len(words) <= self.length:
            raise UserError(
                f"A caption has 1 to {self.length} words, such as {self.examples[0]!r}; {caption!r} has {len(words)}."
            )
        return self.read(caption)

    def read(self, caption: str) -> Tokens:
        """The same of any caption: words that have not been learnt are all one, the end of a long one is cut off."""
        tokens = [self._numbers.get(word, len(self.words)) for word in words_of(caption)[: self.length]]
        return np.array([0] * (self.length - len(tokens)) + tokens)

    def text_of(self, tokens: Tokens) -> str:
        """The caption that these tokens stand for, without its rare words."""
        words = [self.words[token - 1] for token in tokens.astype(int) if token]
        return " ".join(word for word in words if word != RARE)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {word: number + 1 for number, word in enumerate(self.words)}

    def _like(self, word: str) -> str:
        """What may be written instead."""
        if len(self.words) <= LISTED:
            return f"the vocabulary is {', '.join(known for known in self.words if known != RARE)}"
        close = get_close_matches(word, self.words, 5, 0.5)
        return f"close to it are {', '.join(close)}" if close else f"known are {', '.join(self.words[:LISTED])} ..."

"""The sentences of a transcript that answer a search."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clipforge.media.words.transcript import Sentence

# What PostgreSQL's stemmer takes off is seldom longer: a word of the transcript is one that was asked
# for if it begins alike. It found the transcript; here only a place in it is shown.
SUFFIX = 3
SHORTEST_STEM = 4
_WORD = re.compile(r"\w+")


def quotes(sentences: Sequence[Sentence], text: str, most: int) -> list[Sentence]:
    """Up to `most` sentences with the most of the words of `text`, in their order."""
    stems = {_stem(word) for word in _WORD.findall(text.lower())}
    counts = [_spoken(sentence, stems) for sentence in sentences]
    best = max(counts, default=0)
    if not best:
        return []
    return [each for each, count in zip(sentences, counts, strict=True) if count == best][:most]


def _spoken(sentence: Sentence, stems: set[str]) -> int:
    words = _WORD.findall(sentence.text.lower())
    return sum(any(word.startswith(stem) for word in words) for stem in stems)


def _stem(word: str) -> str:
    return word[: max(len(word) - SUFFIX, min(len(word), SHORTEST_STEM))]

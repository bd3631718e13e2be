"""Sentences from a stream of words: at full stops, at long pauses, and never endless."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from clipforge.media.words.transcript import Sentence, Word

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LONGEST_PAUSE: Final = 2.0  # s; nobody pauses longer within a sentence
# Speech without punctuation is parted at its longest pause until no part is longer than this.
LONGEST: Final = 30.0  # s
SHORTEST_PAUSE: Final = 0.3  # s; a shorter one is no reason to part a sentence

_CLOSING: Final = "\"'”’)]»"
_ENDS: Final = (".", "?", "!", "…", "。", "？", "！", "।", "؟")  # noqa: RUF001 - as they are written
# "Dr.", "U.S." and initials go on; so does "3.", which numbers what follows.
_GOES_ON: Final = re.compile(
    r"(?:mr|mrs|ms|dr|prof|st|vs|jr|sr|no|gen|sen|rep|e\.g|i\.e|etc|(?:[a-z]\.)*[a-z]|\d+)\.",
    re.IGNORECASE,
)


def ends_sentence(text: str) -> bool:
    """Whether a word is the last of its sentence, by its punctuation."""
    bare = text.rstrip(_CLOSING)
    return bare.endswith(_ENDS) and not _GOES_ON.fullmatch(bare.lstrip("\"'“‘(["))


def sentences(words: Iterable[Word]) -> tuple[Sentence, ...]:
    """The words in sentences, in their order. Times that run backwards or overlap are set right."""
    found: list[Sentence] = []
    current: list[Word] = []
    for word in _in_order(words):
        if current and (
            ends_sentence(current[-1].text) or word.start - current[-1].end > LONGEST_PAUSE
        ):
            found += _parted(current)
            current = []
        current.append(word)
    if current:
        found += _parted(current)
    return tuple(found)


def _in_order(words: Iterable[Word]) -> Iterable[Word]:
    before = 0.0
    for word in words:
        start = max(word.start, before)
        before = max(word.end, start)
        yield replace(word, start=start, end=before)


def _parted(words: Sequence[Word]) -> list[Sentence]:
    if words[-1].end - words[0].start <= LONGEST or len(words) == 1:
        return [Sentence(tuple(words))]
    pauses = [after.start - word.end for word, after in itertools.pairwise(words)]
    longest = max(pauses)
    if longest < SHORTEST_PAUSE:
        return [Sentence(tuple(words))]
    at = pauses.index(longest) + 1
    return [*_parted(words[:at]), *_parted(words[at:])]

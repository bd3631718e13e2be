"""A transcript: sentences of words, each with its place in the source.

Plain data that survives JSON. Times are seconds into the source, confidences lie in 0..1.
"""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


# Characters that are in no word. Half of a surrogate pair cannot be stored.
CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Word:
    """A word with its punctuation and without spaces around it. `end` is never before `start`."""

    text: str
    start: float
    end: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Sentence:
    """Words in the order in which they are spoken; at least one."""

    words: tuple[Word, ...]

    @property
    def start(self) -> float:
        return self.words[0].start

    @property
    def end(self) -> float:
        return self.words[-1].end

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)


@dataclass(frozen=True, slots=True)
class Transcript:
    """The sentences of a source in order. They do not overlap. `language` is an ISO 639-1 code."""

    language: str
    sentences: tuple[Sentence, ...]
    model: str

    @property
    def words(self) -> tuple[Word, ...]:
        return tuple(word for sentence in self.sentences for word in sentence.words)

    @property
    def text(self) -> str:
        return " ".join(sentence.text for sentence in self.sentences)

    def between(self, start: float, end: float) -> Transcript:
        """The words whose middle lies in [start, end), in their sentences, with their own times."""
        kept = (
            tuple(word for word in sentence.words if start <= (word.start + word.end) / 2 < end)
            for sentence in self.sentences
        )
        return Transcript(
            self.language, tuple(Sentence(words) for words in kept if words), self.model
        )

    def corrected(self, texts: Mapping[int, str]) -> Transcript:
        """The transcript with other texts for some words, by their indices; a person is sure of them."""
        index = itertools.count()
        return Transcript(
            self.language,
            tuple(
                Sentence(tuple(_corrected(word, texts.get(next(index))) for word in sentence.words))
                for sentence in self.sentences
            ),
            self.model,
        )

    def as_json(self) -> dict[str, Any]:
        """The transcript as JSON: a word is a list of text, start, end and confidence."""
        return {
            "language": self.language,
            "model": self.model,
            "sentences": [
                [
                    [word.text, round(word.start, 3), round(word.end, 3), round(word.confidence, 3)]
                    for word in sentence.words
                ]
                for sentence in self.sentences
            ],
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Transcript:
        """The transcript that `as_json` wrote; raises LookupError, TypeError or ValueError for anything else."""
        return cls(
            str(document["language"]),
            tuple(
                Sentence(tuple(_word(*word) for word in words)) for words in document["sentences"]
            ),
            str(document["model"]),
        )


def _corrected(word: Word, text: str | None) -> Word:
    return word if text is None else replace(word, text=text, confidence=1.0)


def _word(text: str, start: float, end: float, confidence: float) -> Word:
    """Raises ValueError for what is no word: the document may come from a child that was attacked."""
    if CONTROL.search(text):
        raise ValueError("a control character or half of one")
    if not 0 <= start <= end < math.inf or not 0 <= confidence <= 1:
        raise ValueError("no time or no confidence")
    return Word(text, float(start), float(end), float(confidence))

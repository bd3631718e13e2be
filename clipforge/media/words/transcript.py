"""A transcript: sentences of words, each with its place in the source.

Plain data that survives JSON. Times are seconds into the source, confidences lie in 0..1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


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


def _word(text: str, start: float, end: float, confidence: float) -> Word:
    """Raises ValueError for times that are no times: the document may come from a child that was attacked."""
    if not 0 <= start <= end < math.inf or not 0 <= confidence <= 1:
        raise ValueError("no time or no confidence")
    return Word(str(text), float(start), float(end), float(confidence))

"""Transcripts for tests, written by hand."""

from __future__ import annotations

from clipforge.media.words.transcript import Sentence, Transcript, Word


def spoken(
    *sentences: str, start: float = 0.0, pace: float = 0.3, language: str = "en"
) -> Transcript:
    """A word begins every `pace` seconds from `start` on, and ends when the next begins."""
    said = []
    for sentence in sentences:
        words = []
        for text in sentence.split(" "):
            words.append(Word(text, start, start + pace, 0.9))
            start = round(start + pace, 6)
        said.append(Sentence(tuple(words)))
    return Transcript(language, tuple(said), "by hand")


def at(*words: tuple[str, float, float]) -> Transcript:
    """One sentence of (text, start, end)."""
    return Transcript(
        "en",
        (Sentence(tuple(Word(text, start, end, 0.9) for text, start, end in words)),),
        "by hand",
    )

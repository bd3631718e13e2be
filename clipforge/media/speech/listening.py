"""Listening to a source: speech in windows of half a minute, their words put together.

Only what the detector takes for speech is listened to, with short breaths between; long pauses and
everything else (music, noise, applause) are left out. So the cost follows the speech, and memory
stays the same however long the source is.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from clipforge.media.boundaries import joined_runs, speech_runs
from clipforge.media.decoding import SAMPLE_RATE
from clipforge.media.kept_format import HOP_RATE
from clipforge.media.speech.recognition import ModelUnusable, Recognizer
from clipforge.media.words.sentences import ends_sentence, sentences
from clipforge.media.words.transcript import Transcript, Word

__all__ = ["ModelUnusable", "listen"]

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from clipforge.media.boundaries import Floats as Times
    from clipforge.media.features import Bools, Floats
    from clipforge.media.speech.models import SpeechModel
    from clipforge.media.speech.spool import Spool

WINDOW: Final = 29.0  # s; the model sees thirty, and fills what is missing with silence
# The detector is late by some hundredths of a second, and soft consonants are no speech to it.
MARGIN: Final = 0.3  # s
BREATH: Final = 1.0  # s; a longer pause is shortened to this
# A window ends at the end of a sentence in its second half: the rest is heard again with what
# follows, since half a sentence is understood worse.
EARLIEST_END: Final = 0.5
# A word of which less lies in speech was not spoken.
LEAST_SPEECH: Final = 0.25
# How far a word may reach out of the detected speech.
SLACK: Final = 0.1  # s
# The mean confidence of the words, and the share of them that was not refused, of a transcript that
# can be shown. Hard English speech has 0.85. An English model that listens to another language makes
# loops, which are refused, and words that it is half sure of.
LEAST_CONFIDENCE: Final = 0.65
LEAST_CREDIBLE: Final = 0.6
# After so many windows without anything credible nobody listens any longer: loops cost the most.
PATIENCE: Final = 4
# The model gives some short words no length. Seconds.
SHORTEST_WORD: Final = 0.06


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of the source, and where it begins in its window. Seconds."""

    start: float
    end: float
    at: float


def listen(
    spool: Spool, speech: Bools, model: SpeechModel, on_progress: Callable[[float], None]
) -> Transcript | None:
    """The transcript of the sound in `spool`, of which `speech` says where it is speech.

    None where there is no speech, or none in a language that the model speaks. `on_progress` gets the
    share of the speech that has been heard. Raises ModelUnusable.
    """
    stretches = _padded(speech_runs(speech))
    if not len(stretches):
        return None
    recognizer = Recognizer(model)
    language = model.language or recognizer.language_of(_sound(spool, _window(stretches, 0.0)))
    if language is None or not recognizer.speaks(language):
        return None
    words, refused = _heard(spool, speech, stretches, recognizer, language, on_progress)
    if not _is_credible(words, refused):
        return None
    return Transcript(language, sentences(words), model.name)


def _heard(
    spool: Spool,
    speech: Bools,
    stretches: Times,
    recognizer: Recognizer,
    language: str,
    on_progress: Callable[[float], None],
) -> tuple[list[Word], int]:
    words: list[Word] = []
    refused = 0
    end = float(stretches[-1, 1])
    since = 0.0
    for number in itertools.count():
        pieces = _window(stretches, since)
        if not pieces or (number == PATIENCE and not _is_credible(words, refused)):
            break
        heard = recognizer.hear(_sound(spool, pieces), language)
        found = _in_speech(_placed(heard.words, pieces), speech)
        since = pieces[-1].end
        if since < end:
            found, since = _whole_sentences(found, pieces)
        words += found
        refused += heard.refused
        on_progress(min(since / end, 1.0))
    return words, refused


def _is_credible(words: Sequence[Word], refused: int) -> bool:
    if not words or len(words) < LEAST_CREDIBLE * (len(words) + refused):
        return False
    return float(np.mean([word.confidence for word in words])) >= LEAST_CONFIDENCE


def _padded(runs: Times) -> Times:
    """Phrases with their margins, those that then touch joined: rows of start and end."""
    if not len(runs):
        return runs
    starts, ends = np.maximum(runs[:, 0] - MARGIN, 0), runs[:, 1] + MARGIN
    apart = starts[1:] > ends[:-1]
    return np.stack(
        [starts[np.concatenate([[True], apart])], ends[np.concatenate([apart, [True]])]], axis=1
    )


def _window(stretches: Times, since: float) -> list[Piece]:
    """The pieces that are listened to at once, from `since` on; empty when nothing is left."""
    pieces: list[Piece] = []
    at = 0.0
    for start, end in stretches[np.searchsorted(stretches[:, 1], since, "right") :].tolist():
        begin = max(start, since)
        if pieces:
            at += min(begin - pieces[-1].end, BREATH)
        length = min(end - begin, WINDOW - at)
        if length <= 0:
            break
        pieces.append(Piece(begin, begin + length, at))
        at += length
    return pieces


def _sound(spool: Spool, pieces: Sequence[Piece]) -> Floats:
    """The samples of a window, with silence between its pieces."""
    last = pieces[-1]
    samples = np.zeros(round((last.at + last.end - last.start) * SAMPLE_RATE), np.float32)
    for piece in pieces:
        heard = spool.read(piece.start, piece.end)
        first = round(piece.at * SAMPLE_RATE)
        part = samples[first : first + len(heard)]
        part[:] = heard[: len(part)]
    return samples


def _placed(words: Sequence[Word], pieces: Sequence[Piece]) -> list[Word]:
    """Words of a window with their times in the source: in the piece in which their middle lies."""
    starts = np.array([piece.at for piece in pieces])
    placed = []
    for word in words:
        middle = (word.start + word.end) / 2
        piece = pieces[max(int(np.searchsorted(starts, middle, "right")) - 1, 0)]
        shift = piece.start - piece.at
        start, end = (
            min(max(time + shift, piece.start), piece.end) for time in (word.start, word.end)
        )
        placed.append(Word(word.text, start, end, word.confidence))
    return placed


def _in_speech(words: Sequence[Word], speech: Bools) -> list[Word]:
    """The words that lie in speech. A pause that the model counted to a word is taken off."""
    return [kept for word in words if (kept := _spoken(word, speech)) is not None]


def _spoken(word: Word, speech: Bools) -> Word | None:
    """The word without the pause in it, before it or after it; None if it does not lie in speech."""
    first = int(word.start * HOP_RATE)
    heard = speech[first : max(math.ceil(word.end * HOP_RATE), first + 1)]
    if not len(heard) or heard.mean() < LEAST_SPEECH:
        return None
    runs = joined_runs(heard)
    start, end = (first / HOP_RATE + runs[np.argmax(runs[:, 1] - runs[:, 0])]).tolist()
    end = min(word.end, end + SLACK)
    start = min(max(word.start, start - SLACK), max(end - SHORTEST_WORD, 0.0))
    return Word(word.text, start, end, word.confidence)


def _whole_sentences(words: list[Word], pieces: Sequence[Piece]) -> tuple[list[Word], float]:
    """The words up to the last end of a sentence in the second half of a window, and where that is.

    Of a sentence that goes on, up to its longest pause there. All of them where there are no words.
    """
    middle = (pieces[0].start + pieces[-1].end) / 2
    cuts = [
        (ends_sentence(word.text), after.start - word.end, number)
        for number, (word, after) in enumerate(itertools.pairwise(words), 1)
        if word.end > middle
    ]
    if not cuts:
        return words, pieces[-1].end
    whole = [cut for cut in cuts if cut[0]]
    number = whole[-1][2] if whole else max(cuts, key=lambda cut: cut[1])[2]
    return words[:number], (words[number - 1].end + words[number].start) / 2

"""The words in a few seconds of speech, by a Whisper model. Refuses what the model made up.

Whisper always has something to say: of silence it makes "Thank you for watching", of a language that
it does not know fluent nonsense. So a stretch counts only where the model was sure, did not repeat
itself, and took it for speech.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from faster_whisper import WhisperModel

from clipforge.media.words.transcript import CONTROL, Word

if TYPE_CHECKING:
    from clipforge.media.features import Floats
    from clipforge.media.speech.models import SpeechModel

THREADS: Final = 2
BEAMS: Final = 2  # one loses punctuation, five cost half as much again and hear no better

# Of a stretch, as the model rates itself. Clear speech has -0.1 to -0.4.
LEAST_LOG_PROBABILITY: Final = -1.0
# Its text compressed: how much shorter it gets. Rhetoric reaches 2.2, a model in a loop 5 and more.
MOST_REPETITION: Final = 3.0
# The model's own doubt that this is speech at all counts only where it is not sure of the words.
MOST_DOUBT: Final = 0.6
DOUBTFUL_LOG_PROBABILITY: Final = -0.6

# Of a model for several languages: below it nobody knows which one it is.
LEAST_LANGUAGE_PROBABILITY: Final = 0.5


class ModelUnusable(Exception):
    """The model is there and cannot be loaded. The message says why."""


@dataclass(frozen=True, slots=True)
class Heard:
    """Words with times in seconds into what was listened to."""

    words: tuple[Word, ...]
    refused: int  # words that the model made up


class Recognizer:
    """A loaded model. Takes a third of a second to load and 250 MB. Raises ModelUnusable."""

    def __init__(self, model: SpeechModel) -> None:
        try:
            self._model = WhisperModel(
                model.folder, device="cpu", compute_type="int8", cpu_threads=THREADS
            )
        except Exception as error:  # the libraries raise their own, and bare Exception too
            raise ModelUnusable(f"{model.name} cannot be loaded: {error}") from error

    def language_of(self, samples: Floats) -> str | None:
        """The language of some seconds of speech, as an ISO 639-1 code; None if unknown.

        A model of one language takes everything for it: then only `hear` tells.
        """
        if not self._model.model.is_multilingual:
            return "en"
        language, probability, _ = self._model.detect_language(samples)
        return language if probability >= LEAST_LANGUAGE_PROBABILITY else None

    def speaks(self, language: str) -> bool:
        return language in self._model.supported_languages

    def hear(self, samples: Floats, language: str) -> Heard:
        """The words of at most half a minute of sound. The same sound gives the same words."""
        segments, _ = self._model.transcribe(
            samples,
            language=language,
            beam_size=BEAMS,
            temperature=0.0,  # higher ones draw at random
            condition_on_previous_text=False,  # a mistake would go on to the next
            word_timestamps=True,
        )
        words: list[Word] = []
        refused = 0
        for segment in segments:
            found = [_word(word) for word in segment.words or () if word.word.strip()]
            if _is_credible(segment):
                words += found
            else:
                refused += len(found)
        return Heard(tuple(words), refused)


def _word(word: Any) -> Word:
    start, end = float(word.start), float(word.end)
    return Word(CONTROL.sub("", word.word).strip(), start, max(start, end), float(word.probability))


def _is_credible(segment: Any) -> bool:
    if segment.compression_ratio > MOST_REPETITION:
        return False
    least = (
        DOUBTFUL_LOG_PROBABILITY if segment.no_speech_prob > MOST_DOUBT else LEAST_LOG_PROBABILITY
    )
    return bool(segment.avg_logprob >= least)

"""Parts of a transcript as clients read them: as a document, as subtitles, as text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from clipforge.media import tightening
from clipforge.media.captions import cues, sidecar
from clipforge.media.words.transcript import Word
from projects.models import ProjectTranscript


@dataclass(frozen=True)
class Part:
    """The words from `start` to `end` of a source (seconds). Their times count from `origin`.

    Where it has `ranges`, only what lies in these, timed as if they followed each other from 0 on.
    """

    row: ProjectTranscript
    start: float
    end: float
    origin: float = 0.0
    ranges: tuple[tuple[float, float], ...] = ()
    columns: int = cues.COLUMNS

    def document(self) -> dict[str, Any]:
        return {
            "language": self.row.language,
            "model": self.row.model,
            "start": round(self.start, 3),
            "end": round(self.end, 3),
            "corrected_at": self.row.corrected_at,
            "sentences": list(self._sentences()),
        }

    def written_as(self, form: str) -> str:
        """The part as `srt`, `vtt` or `txt`, which is a sentence a line."""
        content, start, end, origin = self.row.content, self.start, self.end, self.origin
        if self.ranges:
            content = tightening.retimed(content, self.ranges)
            start, end, origin = 0.0, tightening.seconds(self.ranges), 0.0
        if form == "txt":
            kept = content.between(start, end)
            return "".join(f"{sentence.text}\n" for sentence in kept.sentences)
        shift = start - origin
        shown = [
            replace(cue, start=cue.start + shift, end=cue.end + shift)
            for cue in cues.cues_of(content, start, end, columns=self.columns)
        ]
        return sidecar.srt(shown) if form == "srt" else sidecar.webvtt(shown)

    def _sentences(self) -> Iterator[dict[str, Any]]:
        index = 0
        for sentence in self.row.content.sentences:
            words = [
                {
                    "index": number,
                    "text": shown.text,
                    "start": round(shown.start, 3),
                    "end": round(shown.end, 3),
                    "confidence": shown.confidence,
                }
                for number, word in enumerate(sentence.words, index)
                if (shown := self._placed(word)) is not None
            ]
            index += len(sentence.words)
            if words:
                yield {
                    "start": words[0]["start"],
                    "end": words[-1]["end"],
                    "text": " ".join(str(word["text"]) for word in words),
                    "words": words,
                }

    def _placed(self, word: Word) -> Word | None:
        """The word with its times in this part; None where it is not in it."""
        if self.ranges:
            return tightening.moved(word, self.ranges)
        if not self.start <= (word.start + word.end) / 2 < self.end:
            return None
        return replace(word, start=word.start - self.origin, end=word.end - self.origin)

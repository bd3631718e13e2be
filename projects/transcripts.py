"""Parts of a transcript as clients read them: as a document, as subtitles, as text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from clipforge.media.captions import cues, sidecar
from projects.models import ProjectTranscript


@dataclass(frozen=True)
class Part:
    """The words from `start` to `end` of a source (seconds). Their times count from `origin`."""

    row: ProjectTranscript
    start: float
    end: float
    origin: float = 0.0

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
        if form == "txt":
            kept = self.row.content.between(self.start, self.end)
            return "".join(f"{sentence.text}\n" for sentence in kept.sentences)
        shift = self.start - self.origin
        shown = [
            replace(cue, start=cue.start + shift, end=cue.end + shift)
            for cue in cues.cues_of(self.row.content, self.start, self.end)
        ]
        return sidecar.srt(shown) if form == "srt" else sidecar.webvtt(shown)

    def _sentences(self) -> Iterator[dict[str, Any]]:
        index = 0
        for sentence in self.row.content.sentences:
            words = [
                {
                    "index": number,
                    "text": word.text,
                    "start": self._time(word.start),
                    "end": self._time(word.end),
                    "confidence": word.confidence,
                }
                for number, word in enumerate(sentence.words, index)
                if self.start <= (word.start + word.end) / 2 < self.end
            ]
            index += len(sentence.words)
            if words:
                yield {
                    "start": words[0]["start"],
                    "end": words[-1]["end"],
                    "text": " ".join(str(word["text"]) for word in words),
                    "words": words,
                }

    def _time(self, seconds: float) -> float:
        return round(seconds - self.origin, 3)

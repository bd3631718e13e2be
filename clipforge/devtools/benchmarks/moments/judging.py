"""Moments and clips beside what is known of their videos."""

from __future__ import annotations

import base64
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from clipforge.devtools.benchmarks.moments.composing import (
    ADDRESS_TEXT,
    BECKETT,
    Planted,
    Span,
    Talk,
)
from clipforge.media import Aspect, RenderSpec, operations
from clipforge.media.contracts import Analysis, Choice
from clipforge.media.reframing.tests.people import (
    RATE,
    WIDTH,
    Person,
    centred_for,
    framed,
    inside,
    make_film,
    still,
)
from clipforge.media.sample import ADDRESS
from clipforge.media.speech.tests import speakers
from clipforge.media.tests.flashes import make_flashes, offsets
from clipforge.media.tests.samples import loudness, true_peak

SAME: Final = 0.5  # intersection over union, from which a moment is a plant
# An edge so near to that of a word or a sentence lies at it: a machine's voice fades in and out.
SLACK: Final = 0.1  # s
LENGTHS: Final = (8, 15, 25)  # s of the moments that a talk is cut into


@dataclass(slots=True)
class Found:
    """How many of so many things are as they should be."""

    good: int = 0
    all: int = 0

    def count(self, is_good: bool) -> None:
        self.good += is_good
        self.all += 1

    @property
    def share(self) -> float:
        return round(self.good / max(self.all, 1), 4)


def analysed(path: Path) -> Analysis:
    return operations.analyse(path, speech_model=speakers.MODEL)


# --- choice ---------------------------------------------------------------------------


def recall(videos: list[Planted]) -> dict[str, float]:
    """The share of plants that a moment is: among the first as many as there are, and among all."""
    first, anywhere, wanted = Found(), Found(), Found()
    for video in videos:
        moments = [(moment.start, moment.end) for moment in analysed(video.path).moments]
        for plant in video.plants:
            first.count(any(same(plant, each) for each in moments[: len(video.plants)]))
            anywhere.count(any(same(plant, each) for each in moments))
        for each in moments:
            wanted.count(any(same(plant, each) for plant in video.plants))
    return {
        "plants": first.all,
        "recall_first": first.share,
        "recall_all": anywhere.share,
        "precision": wanted.share,
    }


def same(one: Span, other: Span) -> bool:
    both = min(one[1], other[1]) - max(one[0], other[0])
    either = max(one[1], other[1]) - min(one[0], other[0])
    return both / either >= SAME


def edges(talk: Talk) -> dict[str, float]:
    """The share of edges of moments that lie inside words, and of those inside sentences; words heard wrongly."""
    analysis = analysed(talk.path)
    features, transcript = base64.b64decode(analysis.features), analysis.transcript
    words, sentences = Found(), Found()
    for seconds in LENGTHS:
        wishes = Choice(count=8, min_seconds=seconds - 4, max_seconds=seconds + 8)
        for moment in operations.choose(features, transcript, wishes).moments:
            for time in (moment.start, moment.end):
                words.count(within(time, talk.words))
                sentences.count(within(time, talk.sentences))
    heard = transcript.text if transcript else ""
    return {
        "edges": words.all,
        "edges_in_words": words.share,
        "edges_in_sentences": sentences.share,
        "covered_of_talk": round(_covered(analysis) / analysis.source.duration, 4),
        "word_errors_machine": _error_rate(talk.text, heard),
    }


def within(time: float, spans: list[Span]) -> bool:
    return any(start + SLACK < time < end - SLACK for start, end in spans)


def _covered(analysis: Analysis) -> float:
    return sum(moment.end - moment.start for moment in analysis.moments)


def recordings() -> list[tuple[Path, str]]:
    """Recordings of people whose words are known, the shortest first."""
    return [
        (speakers.recording("beckett"), BECKETT),
        (ADDRESS, ADDRESS_TEXT),
        (speakers.recording(), speakers.TWO_CITIES),
    ]


def word_errors(folder: Path, heard: list[tuple[Path, str]]) -> dict[str, float]:
    """The share of words that are heard wrongly in recordings."""
    said, wrong = 0, 0
    for number, (sound, text) in enumerate(heard):
        video = speakers.make_talk(folder / f"said-{number}.mp4", sound)
        transcript = analysed(video).transcript
        said += len(text.split())
        wrong += speakers.word_errors(text, transcript.text if transcript else "")
    return {"words": said, "word_error_rate": round(wrong / said, 4)}


def _error_rate(said: str, heard: str) -> float:
    return round(speakers.word_errors(said, heard) / len(said.split()), 4)


# --- faces ----------------------------------------------------------------------------


def films(seconds: float) -> dict[str, list[list[Person]]]:
    """Shots of people whose faces a centre crop loses."""
    far = 300 / seconds  # pixels a second, from one side to the other
    walker = Person(lambda time: (20 + far * time, 80), 160)
    return {
        "left third": [[still(20, 60, 200)]],
        "two people": [[still(40, 80, 180), still(420, 80, 180, mirrored=True)]],
        "walking": [[walker]],
        "cuts": [[still(20, 60, 180)], [still(430, 60, 180)], [still(230, 90, 160)]],
        "swaying": [[Person(lambda time: (60 + 8 * np.sin(2 * time), 60), 200)]],
    }


def faces(folder: Path, *, seconds: float) -> dict[str, float]:
    """The share of pictures with all faces whole, in our crop and in one of the middle; jitter at rest."""
    ours, centre, pictures, jitter = 0.0, 0.0, 0, 0.0
    for number, shots in enumerate(films(seconds).values()):
        film = make_film(folder / f"faces-{number}.mp4", [(seconds, people) for people in shots])
        found = framed(film)
        middle = centred_for(found)
        for place, people in enumerate(shots):
            begin = round(place * seconds * RATE)
            part = slice(begin, begin + round(seconds * RATE))
            count = part.stop - part.start
            ours += count * inside(found, people, part=part)
            centre += count * inside(middle, people, part=part)
            pictures += count
        if number == 0:
            jitter = max(
                float(np.abs(np.diff(place, 2)).max(initial=0)) * WIDTH
                for crop in found.crops
                for place in (crop.x, crop.y)
            )
    return {
        "faces_in_frame": round(ours / pictures, 4),
        "faces_in_centre_crop": round(centre / pictures, 4),
        "jitter_at_rest": round(jitter, 3),
    }


# --- clips ----------------------------------------------------------------------------


def sound_of_clips(folder: Path, sources: list[tuple[Path, Span]]) -> dict[str, float]:
    """Loudness and peaks of clips, farthest from where they should be."""
    levels, peaks = [], []
    for number, (source, (start, end)) in enumerate(sources):
        clip = folder / f"clip-{number}.mp4"
        operations.render(source, clip, RenderSpec(start, end, Aspect.VERTICAL, 180))
        levels.append(loudness(clip))
        peaks.append(true_peak(clip))
    return {
        "clips": len(levels),
        "loudness_lowest": min(levels),
        "loudness_highest": max(levels),
        "true_peak": max(peaks),
    }


def drift(folder: Path) -> dict[str, float]:
    """How far sound comes from its picture in clips, beside how it did in their sources. Milliseconds."""
    farthest = 0.0
    for name, start in itertools.product(("flash.mp4", "flash.mkv", "flash.ts"), (0.0, 1.5)):
        source = make_flashes(folder / name)
        clip = folder / "drift.mp4"
        operations.render(source, clip, RenderSpec(start, start + 4, Aspect.SOURCE, 90))
        before = np.median(offsets(source))
        farthest = max(farthest, float(np.abs(offsets(clip) - before).max()))
    return {"drift_ms": round(1000 * farthest, 1)}

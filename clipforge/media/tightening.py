"""Tightening: leaves out pauses and filler words, and moves the words of captions accordingly.

What is kept are ranges of the source, in seconds and in order. Pictures are cut hard, as editors do;
sound is faded over a few hundredths of a second across each cut, and neither gains on the other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from clipforge.media.contracts import Tighten
from clipforge.media.words.transcript import Sentence, Transcript, Word

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction

Range = tuple[float, float]

# The sound of two ranges overlaps for so long, half of it before the cut and half after.
FADE_SECONDS = 0.03
SHORTEST_PIECE = 0.15  # between two cuts: less is a click, and no word
# Each cut is a filter of the sound; the longest pauses are left out first.
MOST_CUTS = 100
# The detector of speech is late by some hundredths of a second, and soft consonants are no speech to it.
MARGIN = 0.15
BREATH = 0.3  # between two phrases that are one
SHORTEST_PHRASE = 0.2  # less is a click
FILLERS = frozenset(
    ["um", "umm", "uh", "uhh", "uhm", "er", "erm", "hm", "hmm", "mhm", "äh", "ähm", "euh"]
)
PUNCTUATION = ".,;:!?…-– "


@dataclass(frozen=True, slots=True)
class Rule:
    """Of a pause longer than `pause` seconds, all but `rest` seconds are left out."""

    pause: float
    rest: float
    drops_fillers: bool


RULES = {
    Tighten.GENTLE: Rule(pause=1.0, rest=0.5, drops_fillers=False),
    Tighten.HARD: Rule(pause=0.45, rest=0.2, drops_fillers=True),
}


def kept(transcript: Transcript, start: float, end: float, how: Tighten) -> list[Range]:
    """The ranges of [start, end) that are kept. All of it where nothing is said: that is no pause."""
    return _kept(transcript.between(start, end).words, start, end, how)


def kept_phrases(phrases: Sequence[Range], start: float, end: float, how: Tighten) -> list[Range]:
    """The same, where only the phrases are known, and not their words: fillers stay."""
    spoken = [
        Word("", max(first - MARGIN, start), min(last + MARGIN, end), 1.0)
        for first, last in _joined(phrases)
        if last - first >= SHORTEST_PHRASE
    ]
    return _kept(spoken, start, end, how)


def _joined(phrases: Sequence[Range]) -> list[Range]:
    """The phrases with the breaths in them."""
    joined: list[Range] = []
    for first, last in phrases:
        begin = joined.pop()[0] if joined and first - joined[-1][1] <= BREATH else first
        joined.append((begin, last))
    return joined


def _kept(words: Sequence[Word], start: float, end: float, how: Tighten) -> list[Range]:
    rule = RULES.get(how)
    if rule is None or not words:
        return [(start, end)]
    gaps = _gaps(words, start, end, rule)
    cuts = [gap.cut(rule, leads=gap is gaps[0], trails=gap is gaps[-1]) for gap in gaps]
    found = sorted(filter(None, cuts), key=lambda cut: cut[0] - cut[1])[:MOST_CUTS]
    return _without(sorted(found), start, end)


def is_filler(word: Word) -> bool:
    return word.text.strip(PUNCTUATION).lower() in FILLERS


@dataclass(slots=True)
class _Gap:
    """From the end of a word to the start of the next, with the fillers in between."""

    start: float
    end: float
    fillers: list[Word]

    def cut(self, rule: Rule, *, leads: bool, trails: bool) -> Range | None:
        """The part of it that is left out. Nothing is left before the first word but its share, and so at the end."""
        if not self.fillers and self.end - self.start <= rule.pause:
            return None
        first = self.start if leads else self.start + rule.rest / 2
        last = self.end if trails else self.end - rule.rest / 2
        if self.fillers:  # they go whole, however near the words are
            first = min(first, self.fillers[0].start)
            last = max(last, self.fillers[-1].end)
        first, last = max(first, self.start), min(last, self.end)
        return (first, last) if first < last else None


def _gaps(words: Sequence[Word], start: float, end: float, rule: Rule) -> list[_Gap]:
    gaps = [_Gap(start, end, [])]
    for word in words:
        if rule.drops_fillers and is_filler(word):
            gaps[-1].fillers.append(word)
            continue
        gaps[-1].end = min(max(word.start, gaps[-1].start), end)
        gaps.append(_Gap(min(max(word.end, gaps[-1].start), end), end, []))
    return gaps


def _without(cuts: Sequence[Range], start: float, end: float) -> list[Range]:
    found: list[Range] = []
    begin = start
    for first, last in cuts:
        # The first word may come at once; else a piece has to be long enough to be heard.
        if first - begin < SHORTEST_PIECE and first > start:
            continue
        if first > start:
            found.append((begin, first))
        begin = last
    if end - begin >= SHORTEST_PIECE or not found:
        found.append((begin, end))
    return found


def seconds(ranges: Sequence[Range]) -> float:
    """The length of all together."""
    return sum(last - first for first, last in ranges)


def retimed(transcript: Transcript, ranges: Sequence[Range]) -> Transcript:
    """The words of the ranges, timed as if these followed each other from 0 on."""
    sentences = (
        tuple(found for word in sentence.words if (found := moved(word, ranges)) is not None)
        for sentence in transcript.sentences
    )
    return Transcript(
        transcript.language,
        tuple(Sentence(words) for words in sentences if words),
        transcript.model,
    )


def moved(word: Word, ranges: Sequence[Range]) -> Word | None:
    """The word as `retimed` times it; None where it is left out."""
    middle = (word.start + word.end) / 2
    offset = 0.0
    for first, last in ranges:
        if first <= middle < last:
            begin, finish = max(word.start, first), min(word.end, last)
            return replace(word, start=offset + begin - first, end=offset + finish - first)
        offset += last - first
    return None


def in_frames(ranges: Sequence[Range], start: float, rate: Fraction) -> list[tuple[int, int]]:
    """The ranges as numbers of frames from `start` on: the first, and that after the last."""
    found = [
        (round((first - start) * float(rate)), round((last - start) * float(rate)))
        for first, last in ranges
    ]
    return [(first, last) for first, last in found if first < last]


def picture_filters(frames: Sequence[tuple[int, int]], rate: Fraction) -> tuple[str, ...]:
    """Filters that keep these frames, at their rate, without a gap."""
    if not frames:
        return ()
    wanted = "+".join(f"between(n,{first},{last - 1})" for first, last in frames)
    return (f"select='{wanted}'", f"setpts=N/({rate}*TB)")


def sound_filters(frames: Sequence[tuple[int, int]], rate: Fraction, whole: float) -> str:
    """A graph that keeps the sound of these frames out of `whole` seconds, faded across each cut."""
    fade = FADE_SECONDS
    last = len(frames) - 1
    split = "".join(f"[s{number}]" for number in range(len(frames)))
    graph = [f"apad=whole_dur={whole:.6f},asplit={len(frames)}{split}"]
    for number, (first, after) in enumerate(frames):
        begin = float(first / rate) - (fade / 2 if number else 0)
        end = float(after / rate) + (fade / 2 if number < last else 0)
        graph.append(
            f"[s{number}]atrim=start={begin:.6f}:end={end:.6f},asetpts=PTS-STARTPTS[p{number}]"
        )
    joined = "[p0]"
    for number in range(1, len(frames)):
        graph.append(f"{joined}[p{number}]acrossfade=d={fade}:c1=qsin:c2=qsin[j{number}]")
        joined = f"[j{number}]"
    return ";".join([*graph, f"{joined}anull"])

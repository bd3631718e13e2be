"""Scoring: a rating of a stretch of video, with reasons that a customer can check by watching it.

Five aspects, each 0..1 before they are shown as 0..100:

* speech: how much of it is talk
* energy: how loud and how lively the sound is; a hum or a tone is loud but not lively, and a
  crowd that roars is, because it rises above the ambience of its file
* motion: how much moves in the picture
* pace: cuts in the picture, attacks in the sound
* opening: how strong the first three seconds are, in themselves and after what came before

Where the words are known (`spoken`), what is said counts too: hook, complete, payoff, density,
reaction of the room, and the keywords that were asked for.

An aspect is first measured on a fixed scale, and then lowered by up to `STANDING_OUT` if
the stretch does not stand out in its own file. Standing out only ever lowers: the best
moment of a dull file is still dull (scores by percentile, as in our first prototype, gave
it 60). The total is a weighted quadratic mean, so that one strong aspect counts for more
than several weak ones (a good talk needs no cuts, a good chase needs no talk), out of
`FULL_MARKS`.

The scales and weights are set by hand, on synthetic and real footage, not learned from
labelled clips. Change any of them and `SCORER_VERSION` changes too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from clipforge.media.contracts import MomentKind
from clipforge.media.features import QUIETEST_GATE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from clipforge.media.features import Bools, Seconds
    from clipforge.media.spoken import Spoken

    Floats = NDArray[np.float64]

SCORER_VERSION: Final = "4"

# Scales: the value that counts as nothing, and the value that counts as full.
SPEECH_SCALE: Final = (0.05, 0.70)  # share of the time; a fluent speech measures 0.67
LEVEL_SCALE: Final = (-45.0, -20.0)  # dBFS, mean of a second
SWING_SCALE: Final = (0.4, 2.5)  # dB per 50 ms; steady noise 0.2, speech 3
FLUX_SCALE: Final = (1.3, 3.0)  # dB; steady noise 1.1, speech 3
SURGE_SCALE: Final = (6.0, 18.0)  # dB above the ambience; ten sound twice as loud
MOTION_SCALE: Final = (1.0, 12.0)  # gray levels between pictures; animation 7, hand-held 18
CUTS_SCALE: Final = (0.0, 0.4)  # cuts per second: one every 2.5 s is full pace
RISE_SCALE: Final = (0.0, 0.4)  # of activity against the seconds before

OPENING_SECONDS: Final = 3.0
EDGE_SECONDS: Final = 6.0  # before and after a stretch, longer than a pause: does it go on?
BEFORE_SECONDS: Final = 5.0
OPENING_RISE_SHARE: Final = 0.3  # the rest of an opening is what happens in it

STANDING_OUT: Final = 0.3  # the share that an aspect loses when far below the typical of its file
STANDING_OUT_RANGE: Final = 0.3  # how far from typical (0..1) is as far as it counts
TYPICAL_LENGTH: Final = 15  # s, length of the stretches of which the median is typical

FULL_MARKS: Final = 0.75  # the mean that counts as 100; nothing real is full in all aspects
QUIET_LOSS: Final = 0.3  # of the total, if all of a stretch is quiet
DARK_LOSS: Final = 0.5  # of the total, if all of it is black

WEIGHTS: Final[Mapping[str, float]] = {
    "speech": 0.34,
    "energy": 0.22,
    "motion": 0.14,  # a shaky camera has as much of it as a chase
    "pace": 0.14,
    "opening": 0.16,
}
# Without sound only the picture is rated, and the other aspects are not shown at all. They add up
# to less than 1: a silent film has to move to score 60.
SILENT_WEIGHTS: Final[Mapping[str, float]] = {"motion": 0.20, "pace": 0.20, "opening": 0.15}

# Of a stretch that is all talk, what is said makes up this share of the total; of one without words, none.
WORDS_SHARE: Final = 0.35
WORD_WEIGHTS: Final[Mapping[str, float]] = {
    "hook": 0.34,
    "complete": 0.20,
    "payoff": 0.20,
    "density": 0.14,
    "reaction": 0.12,
}
KEYWORDS_SHARE: Final = 0.5  # of the total, where keywords are asked for
REACTION_LOUDER: Final = 6.0  # dB above the ambience
REACTION_AFTER: Final = 3.0  # s after the end of a moment in which it still is one to it
REACTION_FULL: Final = 3.0  # s of laughter or applause in a moment

# A moment without an aspect of this much, its opening aside, is worth no clip: nothing could be said
# for it. Calm footage has openings too, wherever a little stirs after nothing.
WORTH_SAYING: Final = 35.0

# Kinds: a moment is talk, else music, else action, from this share of it on.
TALK_SHARE: Final = 0.35
MUSIC_SHARE: Final = 0.25
REGULAR: Final = 0.5  # a beat; drums have 1, talk 0.25
KINDS: Final = (MomentKind.TALK, MomentKind.MUSIC, MomentKind.ACTION)


@dataclass(frozen=True, slots=True)
class Ratings:
    """Scores of many stretches, in their order, all in 0..100."""

    total: Floats
    aspects: dict[str, Floats]
    # Those of words, each 0 in a stretch in which nothing is said that is understood.
    words: dict[str, Floats]
    presence: Floats

    @property
    def worth(self) -> Bools:
        """Whether something other than the opening can be seen or heard in each."""
        best = [values for name, values in self.aspects.items() if name != "opening"]
        worth: Bools = np.max(best, axis=0) >= WORTH_SAYING
        return worth

    def of(self, index: int) -> tuple[float, dict[str, float]]:
        """Total and sub-scores of one stretch, rounded as they are stored."""
        said = self.words if self.presence[index] > 0 else {}
        aspects = {
            name: round(float(values[index]), 1)
            for name, values in {**self.aspects, **said}.items()
        }
        return round(float(self.total[index]), 1), aspects


@dataclass(frozen=True, slots=True)
class Facts:
    """Measures of a stretch that a viewer can check."""

    speech: float  # share of the time
    louder: float  # dB above the ambience of the file
    cuts: int
    livelier: float  # its movement, in that of the whole file
    after_calm: bool  # the seconds before it had less than half of its opening


class Scorer:
    """Rates any stretches of one file. Making it costs one pass over the seconds."""

    def __init__(self, seconds: Seconds, spoken: Spoken | None = None) -> None:
        self._length = len(seconds)
        self.spoken = spoken
        reactions = _reactions(seconds) * (spoken.after_sentences(self._length) if spoken else 0)
        self._reactions = _running_sum(reactions)
        self._weights = WEIGHTS if seconds.audible else SILENT_WEIGHTS
        strengths = _strengths(seconds)
        kept = [name for name in self._weights if name != "opening"]
        weight = sum(self._weights[name] for name in kept)
        activity = _combined({name: strengths[name] for name in kept}, self._weights, weight)
        self._sums = {name: _running_sum(strengths[name]) for name in kept}
        self._activity = _running_sum(activity)
        self._facts = {
            "speech": _running_sum(seconds.speech),
            "level": _running_sum(seconds.level - _ambience(seconds)),
            "motion": _running_sum(np.minimum(seconds.motion, MOTION_SCALE[1])),
            "cuts": _running_sum(seconds.cuts),
            "music": _running_sum(_music(seconds)),
        }
        self._quiet = _running_sum(seconds.quiet if seconds.audible else np.zeros(self._length))
        self._dark = _running_sum(seconds.dark)
        self._typical = self._typical_strengths()

    def rate(self, starts: Floats, ends: Floats) -> Ratings:
        """Rate the stretches [start, end), in seconds; fractions of a second count."""
        standing = {
            name: strength * (1 - STANDING_OUT + STANDING_OUT * _position(strength, typical))
            for (name, strength), typical in zip(
                self._measure(starts, ends).items(), self._typical, strict=True
            )
        }
        losses = (1 - QUIET_LOSS * self._mean(self._quiet, starts, ends)) * (
            1 - DARK_LOSS * self._mean(self._dark, starts, ends)
        )
        total = _combined(standing, self._weights, 1.0) * losses / FULL_MARKS
        words, presence = self._rate_words(starts, ends)
        return Ratings(
            total=100 * np.minimum(_with_words(total, words, presence), 1),
            aspects={name: 100 * values for name, values in standing.items()},
            words={name: 100 * values for name, values in words.items()},
            presence=presence,
        )

    def _rate_words(self, starts: Floats, ends: Floats) -> tuple[dict[str, Floats], Floats]:
        """The aspects of what is said, 0..1, and how far each stretch is talk."""
        if not self.spoken:
            return {}, np.zeros(len(starts))
        heard = ends + REACTION_AFTER
        seconds = self._mean(self._reactions, starts, heard) * (heard - starts)
        reaction = np.clip(seconds / REACTION_FULL, 0, 1)
        words = {**self.spoken.rate(starts, ends), "reaction": reaction}
        return words, self.spoken.presence(starts, ends)

    def kinds(self, starts: Floats, ends: Floats) -> NDArray[np.int64]:
        """The place in KINDS of each stretch's kind."""
        talk = self._mean(self._facts["speech"], starts, ends) >= TALK_SHARE
        music = self._mean(self._facts["music"], starts, ends) >= MUSIC_SHARE
        kinds: NDArray[np.int64] = np.where(talk, 0, np.where(music, 1, 2))
        return kinds

    def going_on(self, starts: Floats, ends: Floats) -> Floats:
        """How far what happens goes on beyond the edges, 0..1: 1 cuts a passage on both sides."""
        inside = np.maximum(self._mean(self._activity, starts, ends), 1e-6)
        before = self._mean(self._activity, starts - EDGE_SECONDS, starts)
        after = self._mean(self._activity, ends, ends + EDGE_SECONDS)
        # Nobody knows what was before the recording.
        before = np.where(starts <= 0, inside / 2, before)
        after = np.where(ends >= self._length, inside / 2, after)
        going_on: Floats = (np.minimum(before / inside, 1) + np.minimum(after / inside, 1)) / 2
        return going_on

    def facts(self, start: float, end: float) -> Facts:
        """The measures of one stretch that a viewer can check."""
        starts, ends = np.array([start]), np.array([end])
        mean = {
            name: float(self._mean(sums, starts, ends)[0]) for name, sums in self._facts.items()
        }
        typical = float(self._facts["motion"][-1]) / self._length
        before = float(self._mean(self._activity, starts - BEFORE_SECONDS, starts)[0])
        first = float(self._mean(self._activity, starts, starts + OPENING_SECONDS)[0])
        return Facts(
            speech=mean["speech"],
            louder=mean["level"],
            cuts=round(mean["cuts"] * (end - start)),
            livelier=mean["motion"] / max(typical, 0.1),
            after_calm=start >= BEFORE_SECONDS and before < first / 2,
        )

    def _measure(self, starts: Floats, ends: Floats) -> dict[str, Floats]:
        """Every aspect on its fixed scale, 0..1."""
        measured = {name: self._mean(sums, starts, ends) for name, sums in self._sums.items()}
        return measured | {"opening": self._opening(starts)}

    def _opening(self, starts: Floats) -> Floats:
        first = self._mean(self._activity, starts, starts + OPENING_SECONDS)
        before = self._mean(self._activity, starts - BEFORE_SECONDS, starts)
        rise = np.where(starts > 0, _scaled(first - before, RISE_SCALE), 0)
        return (1 - OPENING_RISE_SHARE) * first + OPENING_RISE_SHARE * rise * (first > 0)

    def _typical_strengths(self) -> list[float]:
        """The median of each aspect over the file's stretches."""
        length = min(TYPICAL_LENGTH, self._length)
        starts = np.arange(self._length - length + 1, dtype=np.float64)
        measured = self._measure(starts, starts + length)
        return [float(np.median(values)) for values in measured.values()]

    def _mean(self, running: Floats, starts: Floats, ends: Floats) -> Floats:
        """Mean of a series over each stretch, from its running sum; 0 outside the file."""
        grid = np.arange(self._length + 1)
        starts, ends = np.clip(starts, 0, self._length), np.clip(ends, 0, self._length)
        sums = np.interp(ends, grid, running) - np.interp(starts, grid, running)
        return np.divide(sums, ends - starts, out=np.zeros_like(sums), where=ends > starts)


def is_worth(aspects: Mapping[str, float]) -> bool:
    """Whether something other than the opening can be seen or heard in a stretch."""
    return any(aspects.get(name, 0) >= WORTH_SAYING for name in WEIGHTS if name != "opening")


def _with_words(total: Floats, words: Mapping[str, Floats], presence: Floats) -> Floats:
    """The total, of which what is said makes up its share."""
    if not words:
        return total
    share = WORDS_SHARE * presence
    said = {name: words[name] for name in WORD_WEIGHTS}
    spoken = _combined(said, WORD_WEIGHTS, 1.0) / FULL_MARKS
    total = np.sqrt((1 - share) * total**2 + share * spoken**2)
    if (asked := words.get("keywords")) is not None:
        total = np.sqrt((1 - KEYWORDS_SHARE) * total**2 + KEYWORDS_SHARE * asked**2)
    return total


def _reactions(seconds: Seconds) -> Floats:
    """1 for each second of loud sound that is neither talk nor music: laughter, applause."""
    loud = seconds.level - _ambience(seconds) >= REACTION_LOUDER
    return (loud & (seconds.speech < TALK_SHARE) & (seconds.beat < REGULAR)).astype(np.float64)


def _strengths(seconds: Seconds) -> dict[str, Floats]:
    """Each second's aspects on their fixed scales."""
    lively = np.maximum(_scaled(seconds.swing, SWING_SCALE), _scaled(seconds.flux, FLUX_SCALE))
    surge = _scaled(seconds.level - _ambience(seconds), SURGE_SCALE)
    cutting = _scaled(_cuts_per_second(seconds), CUTS_SCALE)
    attacks = _scaled(seconds.flux, FLUX_SCALE)
    return {
        "speech": _scaled(seconds.speech, SPEECH_SCALE),
        "energy": _scaled(seconds.level, LEVEL_SCALE) * np.maximum(lively, surge),
        "motion": _scaled(seconds.motion, MOTION_SCALE),
        # Either sets the pace; half weight for sound, which is busy whenever somebody talks.
        "pace": 1 - (1 - cutting) * (1 - attacks / 2),
    }


def _cuts_per_second(seconds: Seconds) -> Floats:
    """The pace of the cuts: each counts half in the shot before it and half in the one after, all along.

    A single cut, as from a calm scene to a lively one, so makes neither of them quick: that would take
    from the contrast between them, by which a passage is told from what is around it.
    """
    begins = np.flatnonzero(seconds.cuts)
    lengths = np.diff(np.concatenate([[0], begins, [len(seconds.cuts)]]))
    cuts = np.ones(len(lengths))
    cuts[0] -= 0.5  # where the file begins and where it ends is no cut
    cuts[-1] -= 0.5
    rate = np.repeat(cuts / np.maximum(lengths, 1), lengths)
    return np.maximum(rate, np.where(seconds.cuts > 1, seconds.cuts, 0))


def _ambience(seconds: Seconds) -> np.float32:
    """The level (dBFS) of the file when nothing much happens; a silent file counts as a quiet room."""
    return np.float32(max(float(np.median(seconds.level)), QUIETEST_GATE))


def _music(seconds: Seconds) -> Floats:
    return ((seconds.beat >= REGULAR) & (seconds.quiet < 0.5)).astype(np.float64)


def _scaled(values: NDArray[np.floating], scale: tuple[float, float]) -> Floats:
    nothing, full = scale
    return np.clip((values.astype(np.float64) - nothing) / (full - nothing), 0, 1)


def _position(strength: Floats, typical: float) -> Floats:
    """The position of a strength around the typical of the file: 0 below, 1/2 at it, 1 above."""
    return np.clip(0.5 + (strength - typical) / (2 * STANDING_OUT_RANGE), 0, 1)


def _combined(values: Mapping[str, Floats], weights: Mapping[str, float], out_of: float) -> Floats:
    """Root of the weighted mean of squares; `out_of` is the weight that counts as all."""
    squares = [weights[name] * strength**2 for name, strength in values.items()]
    combined: Floats = np.sqrt(np.sum(squares, axis=0) / out_of)
    return combined


def _running_sum(values: NDArray[np.floating]) -> Floats:
    return np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])

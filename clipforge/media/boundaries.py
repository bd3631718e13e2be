"""Clip boundaries, the times at which a clip may start or end: in pauses, at silences, on cuts.

Clips that begin or end within a word are the most frequent complaint about tools of this
kind. So a boundary is never inside speech unless there is no pause in reach, and then it is
at the quietest point.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from clipforge.media.decoding import FRAME_RATE
from clipforge.media.features import HOP_RATE, quiet_gate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clipforge.media.features import Bools, Picture, Sound

    Floats = NDArray[np.float64]

REACH: Final = 3.0  # s, how far a boundary may move from the wanted time

# Detected speech is joined into phrases: short gaps are closed and clicks dropped.
PAUSE: Final = 0.25  # s; a shorter gap is inside a phrase
SHORTEST_SPEECH: Final = 0.1  # s
SHORTEST_SILENCE: Final = 0.25  # s
# Detection lags: speech begins a little before the detected stretch and dies away after it.
LEAD: Final = 0.2  # s
TAIL: Final = 0.3  # s

# A cut seen in four pictures a second lies within an eighth of a second of that picture.
# Keeping that distance shows no flash of the neighbouring shot.
CUT_MARGIN: Final = 0.5 / FRAME_RATE  # s

# The cost of a boundary, in seconds: one that is cheaper by n may be n further away.
FULL_PAUSE: Final = 0.6  # s; a pause this long is as good as the end of a sentence
BREATH_COST: Final = 1.0  # for the shortest pause; none for a full one
SILENCE_COST: Final = 0.3  # more than for a pause between phrases as long
CUT_COST: Final = 0.3
UNMARKED_COST: Final = 2.0  # at no pause, silence or cut, but outside speech
WITHIN_SPEECH_COST: Final = 100.0


@dataclass(frozen=True, slots=True)
class Boundary:
    time: float  # s
    cost: float  # s, the distance from the wanted time included


@dataclass(frozen=True, slots=True)
class Candidates:
    """Possible boundaries of a file: times in seconds, ascending, and the cost of each."""

    times: Floats
    costs: Floats

    def near(self, time: float) -> list[Boundary]:
        """The boundaries in reach of `time`, with the distance added to their cost."""
        first = np.searchsorted(self.times, time - REACH, "left")
        last = np.searchsorted(self.times, time + REACH, "right")
        found = zip(self.times[first:last].tolist(), self.costs[first:last].tolist(), strict=True)
        return [Boundary(at, cost + abs(at - time)) for at, cost in found]


class Boundaries:
    """The clip boundaries of one file of `duration` seconds.

    Without `exact_cuts` (only keyframes were decoded, so a cut is known to some seconds)
    cuts are not used.
    """

    def __init__(
        self, sound: Sound, picture: Picture, duration: float, *, exact_cuts: bool
    ) -> None:
        self.duration = duration
        self.speech = speech_runs(sound.speech)
        self._level = sound.level
        quiet = runs(sound.level < quiet_gate(sound), HOP_RATE)
        quiet = quiet[quiet[:, 1] - quiet[:, 0] >= SHORTEST_SILENCE]
        cuts = np.flatnonzero(picture.cut if exact_cuts else []) / FRAME_RATE
        self._starts = self._start_candidates(quiet, cuts)
        self._ends = self._end_candidates(quiet, cuts)

    def starts(self, time: float) -> list[Boundary]:
        """The possible starts of a clip that should start at `time`; never empty."""
        return self._near(self._starts, time)

    def ends(self, time: float) -> list[Boundary]:
        """The possible ends of a clip that should end at `time`; never empty."""
        return self._near(self._ends, time)

    def inside_speech(self, times: Floats) -> Bools:
        """A mask of the times that lie inside speech."""
        index = np.searchsorted(self.speech[:, 0], times, "left") - 1
        inside = np.zeros(len(times), np.bool_)
        inside[index >= 0] = times[index >= 0] < self.speech[index[index >= 0], 1]
        return inside

    def _near(self, candidates: Candidates, time: float) -> list[Boundary]:
        boundaries = candidates.near(time)
        if not self.inside_speech(np.array([time]))[0]:
            boundaries.append(Boundary(time, UNMARKED_COST))
        return boundaries or [self._quietest(time)]

    def _quietest(self, time: float) -> Boundary:
        """The middle of the quietest fifth of a second in reach: the best boundary within speech."""
        first = max(round((time - REACH) * HOP_RATE), 0)
        level = np.convolve(
            self._level[first : round((time + REACH) * HOP_RATE)], np.ones(4), "valid"
        )
        middle = (first + int(np.argmin(level)) + 2) / HOP_RATE
        return Boundary(middle, WITHIN_SPEECH_COST + abs(middle - time))

    def _start_candidates(self, quiet: Floats, cuts: Floats) -> Candidates:
        gaps = np.diff(np.concatenate([[0.0], self.speech.ravel()]))[::2]
        lengths = quiet[:, 1] - quiet[:, 0]
        lead = np.minimum(LEAD, gaps / 2)
        return self._candidates(
            (self.speech[:, 0] - lead, _pause_cost(gaps)),
            (quiet[:, 1] - LEAD / 2, SILENCE_COST + _pause_cost(lengths)),
            (cuts + CUT_MARGIN, np.full(len(cuts), CUT_COST)),
        )

    def _end_candidates(self, quiet: Floats, cuts: Floats) -> Candidates:
        gaps = np.diff(np.concatenate([self.speech.ravel(), [self.duration]]))[1::2]
        lengths = quiet[:, 1] - quiet[:, 0]
        tail = np.minimum(TAIL, gaps / 2)
        return self._candidates(
            (self.speech[:, 1] + tail, _pause_cost(gaps)),
            (quiet[:, 0] + TAIL / 2, SILENCE_COST + _pause_cost(lengths)),
            (cuts - CUT_MARGIN, np.full(len(cuts), CUT_COST)),
        )

    def _candidates(self, *kinds: tuple[Floats, Floats]) -> Candidates:
        """All kinds together with both ends of the file, without those inside speech."""
        times = np.concatenate([[0.0, self.duration], *(times for times, _ in kinds)])
        costs = np.concatenate([[0.0, 0.0], *(costs for _, costs in kinds)])
        times = np.clip(times, 0, self.duration)
        good = ~self.inside_speech(times)
        good[:2] = True  # the file itself begins and ends there
        order = np.argsort(times[good], kind="stable")
        return Candidates(times[good][order], costs[good][order])


def runs(mask: Bools, rate: int) -> Floats:
    """Stretches of True as rows of (start, end) in seconds."""
    steps = np.diff(np.concatenate([[0], mask.astype(np.int8), [0]]))
    stretches: Floats = np.flatnonzero(steps).reshape(-1, 2) / rate
    return stretches


def speech_runs(speech: Bools) -> Floats:
    """Phrases: speech with its short gaps closed, without clicks."""
    phrases = joined_runs(speech)
    return phrases[phrases[:, 1] - phrases[:, 0] >= SHORTEST_SPEECH]


def joined_runs(speech: Bools) -> Floats:
    """Stretches of speech as rows of (start, end) in seconds, with their short gaps closed."""
    found = runs(speech, HOP_RATE)
    gaps = found[1:, 0] - found[:-1, 1]
    apart = gaps >= PAUSE
    starts = found[np.concatenate([[True], apart]), 0] if len(found) else found[:, 0]
    ends = found[np.concatenate([apart, [True]]), 1] if len(found) else found[:, 1]
    joined: Floats = np.stack([starts, ends], axis=1)
    return joined


def _pause_cost(gaps: Floats) -> Floats:
    cost: Floats = BREATH_COST * np.clip(1 - (gaps - PAUSE) / (FULL_PAUSE - PAUSE), 0, 1)
    return cost

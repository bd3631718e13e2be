"""Where a clip may begin and end without harm: in pauses, at silences, on cuts.

Clips that begin or end within a word are what people complain about most in tools of this
kind. So an edge is never inside speech unless there is no pause in reach, and then it is
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

REACH: Final = 3.0  # s, how far an edge may move from where it was wanted

# Speech as it is marked: gaps within a phrase and clicks do not count.
PAUSE: Final = 0.25  # s; a shorter gap is inside a phrase
SHORTEST_SPEECH: Final = 0.1  # s
SHORTEST_SILENCE: Final = 0.25  # s
# Detection lags: speech begins a little before what is marked and dies away after it.
LEAD: Final = 0.2  # s
TAIL: Final = 0.3  # s

# A cut seen in four pictures a second lies within an eighth of a second of that picture.
# Keeping that distance shows no flash of the neighbouring shot.
CUT_MARGIN: Final = 0.5 / FRAME_RATE  # s

# What a place costs, in seconds of moving that it is worth avoiding.
FULL_PAUSE: Final = 0.6  # s; a pause this long is as good as the end of a sentence
BREATH_COST: Final = 1.0  # for the shortest pause; none for a full one
SILENCE_COST: Final = 0.3  # more than for a pause between phrases as long
CUT_COST: Final = 0.3
STAY_COST: Final = 2.0  # no mark at all, but no speech either
WITHIN_SPEECH_COST: Final = 100.0


@dataclass(frozen=True, slots=True)
class Place:
    time: float  # s
    cost: float  # s, the way there included


@dataclass(frozen=True, slots=True)
class Marks:
    """Good places, in seconds, ascending, and what each costs."""

    times: Floats
    costs: Floats

    def near(self, time: float) -> list[Place]:
        """Those in reach of `time`."""
        first = np.searchsorted(self.times, time - REACH, "left")
        last = np.searchsorted(self.times, time + REACH, "right")
        places = zip(self.times[first:last].tolist(), self.costs[first:last].tolist(), strict=True)
        return [Place(place, cost + abs(place - time)) for place, cost in places]


class Edges:
    """Good places in one file of `duration` seconds.

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
        self._starts = self._start_marks(quiet, cuts)
        self._ends = self._end_marks(quiet, cuts)

    def starts(self, time: float) -> list[Place]:
        """Where a clip wanted from `time` on may start; never empty."""
        return self._places(self._starts, time)

    def ends(self, time: float) -> list[Place]:
        """Where a clip wanted until `time` may end; never empty."""
        return self._places(self._ends, time)

    def inside_speech(self, times: Floats) -> Bools:
        """Which of the times would cut somebody off."""
        index = np.searchsorted(self.speech[:, 0], times, "left") - 1
        inside = np.zeros(len(times), np.bool_)
        inside[index >= 0] = times[index >= 0] < self.speech[index[index >= 0], 1]
        return inside

    def _places(self, marks: Marks, time: float) -> list[Place]:
        places = marks.near(time)
        if not self.inside_speech(np.array([time]))[0]:
            places.append(Place(time, STAY_COST))
        return places or [self._quietest(time)]

    def _quietest(self, time: float) -> Place:
        """The quietest fifth of a second in reach: the least bad place within speech."""
        first = max(round((time - REACH) * HOP_RATE), 0)
        level = np.convolve(
            self._level[first : round((time + REACH) * HOP_RATE)], np.ones(4), "valid"
        )
        middle = (first + int(np.argmin(level)) + 2) / HOP_RATE
        return Place(middle, WITHIN_SPEECH_COST + abs(middle - time))

    def _start_marks(self, quiet: Floats, cuts: Floats) -> Marks:
        gaps = np.diff(np.concatenate([[0.0], self.speech.ravel()]))[::2]
        lengths = quiet[:, 1] - quiet[:, 0]
        lead = np.minimum(LEAD, gaps / 2)
        return self._marks(
            (self.speech[:, 0] - lead, _pause_cost(gaps)),
            (quiet[:, 1] - LEAD / 2, SILENCE_COST + _pause_cost(lengths)),
            (cuts + CUT_MARGIN, np.full(len(cuts), CUT_COST)),
        )

    def _end_marks(self, quiet: Floats, cuts: Floats) -> Marks:
        gaps = np.diff(np.concatenate([self.speech.ravel(), [self.duration]]))[1::2]
        lengths = quiet[:, 1] - quiet[:, 0]
        tail = np.minimum(TAIL, gaps / 2)
        return self._marks(
            (self.speech[:, 1] + tail, _pause_cost(gaps)),
            (quiet[:, 0] + TAIL / 2, SILENCE_COST + _pause_cost(lengths)),
            (cuts - CUT_MARGIN, np.full(len(cuts), CUT_COST)),
        )

    def _marks(self, *kinds: tuple[Floats, Floats]) -> Marks:
        """All kinds together with both ends of the file, without those that cut speech."""
        times = np.concatenate([[0.0, self.duration], *(times for times, _ in kinds)])
        costs = np.concatenate([[0.0, 0.0], *(costs for _, costs in kinds)])
        times = np.clip(times, 0, self.duration)
        good = ~self.inside_speech(times)
        good[:2] = True  # the file itself begins and ends there
        order = np.argsort(times[good], kind="stable")
        return Marks(times[good][order], costs[good][order])


def runs(mask: Bools, rate: int) -> Floats:
    """Stretches of True as rows of (start, end) in seconds."""
    steps = np.diff(np.concatenate([[0], mask.astype(np.int8), [0]]))
    edges: Floats = np.flatnonzero(steps).reshape(-1, 2) / rate
    return edges


def speech_runs(speech: Bools) -> Floats:
    """Phrases: speech with its short gaps closed, without clicks."""
    found = runs(speech, HOP_RATE)
    gaps = found[1:, 0] - found[:-1, 1]
    apart = gaps >= PAUSE
    starts = found[np.concatenate([[True], apart]), 0] if len(found) else found[:, 0]
    ends = found[np.concatenate([apart, [True]]), 1] if len(found) else found[:, 1]
    phrases: Floats = np.stack([starts, ends], axis=1)
    return phrases[phrases[:, 1] - phrases[:, 0] >= SHORTEST_SPEECH]


def _pause_cost(gaps: Floats) -> Floats:
    cost: Floats = BREATH_COST * np.clip(1 - (gaps - PAUSE) / (FULL_PAUSE - PAUSE), 0, 1)
    return cost

"""Clip boundaries, the times at which a clip may start or end: in pauses, at silences, on cuts.

Clips that begin or end within a word are the most frequent complaint about tools of this
kind. So a boundary is never inside speech unless there is no pause in reach, and then it is
at the quietest point.

Where the words are known, it is between two sentences; and where no sentence begins or ends in reach,
in a breath, never within a word.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from clipforge.media.decoding import FRAME_RATE
from clipforge.media.features import quiet_gate
from clipforge.media.kept_format import HOP_RATE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from clipforge.media.features import Bools, Picture, Sound
    from clipforge.media.words.transcript import Sentence, Transcript, Word

    Floats = NDArray[np.float64]

REACH: Final = 3.0  # s, how far a boundary may move from the wanted time
SENTENCE_REACH: Final = 15.0  # s, how far to the start or the end of a sentence; few are longer

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
# More than the way to the next sentence: where one is in reach, it is taken.
WITHIN_SENTENCE_COST: Final = 60.0
WITHIN_SPEECH_COST: Final = 100.0


@dataclass(frozen=True, slots=True)
class Boundary:
    time: float  # s
    cost: float  # s, the distance from the wanted time included


@dataclass(frozen=True, slots=True)
class Candidates:
    """Possible boundaries of a file: times in seconds, ascending, the cost and the reach of each."""

    times: Floats
    costs: Floats
    reaches: Floats

    def near(self, time: float) -> list[Boundary]:
        """The boundaries that reach `time`, with the distance added to their cost."""
        first = np.searchsorted(self.times, time - SENTENCE_REACH, "left")
        last = np.searchsorted(self.times, time + SENTENCE_REACH, "right")
        columns = (self.times[first:last], self.costs[first:last], self.reaches[first:last])
        found = zip(*(column.tolist() for column in columns), strict=True)
        return [
            Boundary(at, cost + abs(at - time))
            for at, cost, reach in found
            if abs(at - time) <= reach
        ]


@dataclass(frozen=True, slots=True)
class Spoken:
    """Where the sentences and the words of a source are: rows of (start, end) in seconds."""

    sentences: Floats
    words: Floats

    @classmethod
    def of(cls, transcript: Transcript | None) -> Spoken:
        if transcript is None:
            return cls(np.zeros((0, 2)), np.zeros((0, 2)))
        return cls(_places(transcript.sentences), _places(transcript.words))


class Boundaries:
    """The clip boundaries of one file of `duration` seconds; without a transcript, by its phrases.

    Without `exact_cuts` (only keyframes were decoded, so a cut is known to some seconds)
    cuts are not used.
    """

    def __init__(
        self,
        sound: Sound,
        picture: Picture,
        duration: float,
        *,
        exact_cuts: bool,
        transcript: Transcript | None = None,
    ) -> None:
        self.duration = duration
        self.speech = speech_runs(sound.speech)
        self._spoken = Spoken.of(transcript)
        unknown = self.speech[~_overlapping(self.speech, self._spoken.sentences)]
        self._uncut = np.concatenate([unknown, self._spoken.words])
        self._uncut = self._uncut[np.argsort(self._uncut[:, 0], kind="stable")]
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

    def _near(self, candidates: Candidates, time: float) -> list[Boundary]:
        boundaries = candidates.near(time)
        at = np.array([time])
        if not _inside(self._uncut, at)[0]:
            within = WITHIN_SENTENCE_COST * bool(_inside(self._spoken.sentences, at)[0])
            boundaries.append(Boundary(time, UNMARKED_COST + within))
        return boundaries or [self._between_words(time) or self._quietest(time)]

    def _between_words(self, time: float) -> Boundary | None:
        """The nearest time between two words of a sentence; None outside of all sentences."""
        words = self._spoken.words
        after = int(np.searchsorted(words[:, 0], time, "right"))
        gaps = [
            float(words[number - 1, 1] + words[number, 0]) / 2
            for number in (after - 1, after)
            if 0 < number < len(words)
        ]
        near = [at for at in gaps if abs(at - time) <= REACH]
        if not near:
            return None
        middle = min(near, key=lambda at: abs(at - time))
        return Boundary(middle, WITHIN_SPEECH_COST + abs(middle - time))

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
            sentences=self._before(self._spoken.sentences[:, 0]),
        )

    def _end_candidates(self, quiet: Floats, cuts: Floats) -> Candidates:
        gaps = np.diff(np.concatenate([self.speech.ravel(), [self.duration]]))[1::2]
        lengths = quiet[:, 1] - quiet[:, 0]
        tail = np.minimum(TAIL, gaps / 2)
        return self._candidates(
            (self.speech[:, 1] + tail, _pause_cost(gaps)),
            (quiet[:, 0] + TAIL / 2, SILENCE_COST + _pause_cost(lengths)),
            (cuts - CUT_MARGIN, np.full(len(cuts), CUT_COST)),
            sentences=self._after(self._spoken.sentences[:, 1]),
        )

    def _before(self, starts: Floats) -> Floats:
        """A little before each of these starts of words, in the pause that is there."""
        ends = np.concatenate([[0.0], self._spoken.words[:, 1]])
        pauses = starts - ends[np.searchsorted(self._spoken.words[:, 0], starts, "left")]
        places: Floats = starts - np.clip(pauses / 2, 0, LEAD)
        return places

    def _after(self, ends: Floats) -> Floats:
        """A little after each of these ends of words, in the pause that is there."""
        starts = np.concatenate([self._spoken.words[:, 0], [self.duration]])
        pauses = starts[np.searchsorted(self._spoken.words[:, 1], ends, "right")] - ends
        places: Floats = ends + np.clip(pauses / 2, 0, TAIL)
        return places

    def _candidates(self, *kinds: tuple[Floats, Floats], sentences: Floats) -> Candidates:
        """All kinds together with both ends of the file, without those inside words and speech."""
        times = np.concatenate([[0.0, self.duration], *(times for times, _ in kinds), sentences])
        costs = np.concatenate(
            [[0.0, 0.0], *(costs for _, costs in kinds), np.zeros(len(sentences))]
        )
        reaches = np.full(len(times), REACH)
        reaches[len(times) - len(sentences) :] = SENTENCE_REACH
        times = np.clip(times, 0, self.duration)
        costs = costs + WITHIN_SENTENCE_COST * _inside(self._spoken.sentences, times)
        good = ~_inside(self._uncut, times)
        good[:2] = True  # the file itself begins and ends there
        order = np.argsort(times[good], kind="stable")
        return Candidates(times[good][order], costs[good][order], reaches[good][order])


def _places(spoken: Sequence[Sentence] | Sequence[Word]) -> Floats:
    """Rows of start and end."""
    return np.array([(each.start, each.end) for each in spoken], np.float64).reshape(-1, 2)


def _inside(stretches: Floats, times: Floats) -> Bools:
    """A mask of the times that lie inside a stretch; those are in order, and hardly overlap."""
    index = np.searchsorted(stretches[:, 0], times, "left") - 1
    inside = np.zeros(len(times), np.bool_)
    inside[index >= 0] = times[index >= 0] < stretches[index[index >= 0], 1]
    return inside


def _overlapping(stretches: Floats, others: Floats) -> Bools:
    """A mask of the stretches that overlap one of the others, which are in order and apart."""
    first = np.searchsorted(others[:, 1], stretches[:, 0], "right")
    mask: Bools = np.concatenate([others[:, 0], [np.inf]])[first] < stretches[:, 1]
    return mask


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

"""Selection of moments: the best-rated windows, moved to boundaries that cut no speech.

Windows of several lengths start at every second. The best-rated is taken first, its start
and end move to boundaries nearby (`boundaries`), and windows that overlap it are dropped;
then the next, until there are enough. They move only within the time that is still free:
moments never overlap. (Moving them after all had been chosen brought overlaps back.)
"""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, Final

import numpy as np

from clipforge.media.contracts import ScoredMoment
from clipforge.media.scoring import explain

if TYPE_CHECKING:
    from clipforge.media.boundaries import Boundaries
    from clipforge.media.scoring import Scorer

LENGTHS: Final = (15, 18, 22, 26, 32, 40, 50, 60)  # s, before they move to boundaries
SHORTEST: Final = 14.0  # s, after they have moved
LONGEST: Final = 62.0  # s
# Of a source too short for these: the whole, or its best three quarters; never under 60 %.
SHORT_SOURCE: Final = 28.0  # s
SHORTEST_SHARE: Final = 0.6
SHORTEST_CLIP: Final = 3.0  # s; a shorter clip is not worth watching, however short the source

# The share of its rank that a window of half or twice the favourite length loses. Without it the
# shortest always win, because the mean over a window falls as it grows beyond the best part.
FAVOURITE: Final = 30  # s
LENGTH_LOSS: Final = 0.08

SECONDS_PER_MOMENT: Final = 25.0  # one moment for so much source...
MAX_MOMENTS: Final = 10  # ...up to this many
MIN_SCORE: Final = 30.0  # a window with a lower score is not worth clipping

MAX_OVERLAP: Final = 2.0  # s that a window may reach into a moment before its boundary moves out


def select(scorer: Scorer, boundaries: Boundaries) -> list[ScoredMoment]:
    """The moments of one file, best first; none if nothing is worth clipping."""
    limit = min(max(round(boundaries.duration / SECONDS_PER_MOMENT), 1), MAX_MOMENTS)
    moments: list[ScoredMoment] = []
    for start, end in _windows(scorer, boundaries.duration):
        if len(moments) == limit:
            break
        free = _free(start, end, moments, boundaries.duration)
        if free and (placed := _move_to_boundaries(start, end, boundaries, free)):
            moment = _moment(*placed, scorer)
            if moment.score >= MIN_SCORE:
                moments.append(moment)
    return sorted(moments, key=lambda moment: (-moment.score, moment.start))


def lengths(duration: float) -> list[int]:
    """The window lengths (whole seconds) for a source of this duration."""
    whole = max(round(duration), 1)
    fitting = {length for length in LENGTHS if length <= whole}
    if duration < SHORT_SOURCE:
        fitting |= {max(whole * 3 // 4, 1), whole}
    return sorted(fitting)


def shortest(duration: float) -> float:
    """The least a moment of a source of this duration may last, in seconds."""
    return min(SHORTEST, max(duration * SHORTEST_SHARE, SHORTEST_CLIP))


def _windows(scorer: Scorer, duration: float) -> list[tuple[float, float]]:
    """All windows worth clipping, best first; equals by earliest start, then shortest."""
    starts, ends, ranks = [], [], []
    for length in lengths(duration):
        begin = np.arange(max(round(duration), 1) - length + 1, dtype=np.float64)
        total = scorer.rate(begin, begin + length).total
        good = total >= MIN_SCORE
        starts.append(begin[good])
        ends.append(np.minimum(begin[good] + length, duration))
        ranks.append(total[good] * (1 - LENGTH_LOSS * abs(math.log2(length / FAVOURITE))))
    start, end, rank = np.concatenate(starts), np.concatenate(ends), np.concatenate(ranks)
    order = np.lexsort((end, start, -rank))
    return list(zip(start[order].tolist(), end[order].tolist(), strict=True))


def _free(
    start: float, end: float, moments: list[ScoredMoment], duration: float
) -> tuple[float, float] | None:
    """The free stretch around a window, in seconds; None if it overlaps a moment too far."""
    low, high = 0.0, duration
    for moment in moments:
        if min(end, moment.end) - max(start, moment.start) > MAX_OVERLAP:
            return None
        if moment.start + moment.end < start + end:
            low = max(low, moment.end)
        else:
            high = min(high, moment.start)
    return low, high


def _move_to_boundaries(
    start: float, end: float, boundaries: Boundaries, free: tuple[float, float]
) -> tuple[float, float] | None:
    """The cheapest pair of boundaries for a window; None if no pair in reach leaves a fit length."""
    low, high = free
    least = shortest(boundaries.duration)
    fitting = [
        (first.cost + last.cost, first.time, last.time)
        for first, last in product(boundaries.starts(start), boundaries.ends(end))
        if low <= first.time and last.time <= high and least <= last.time - first.time <= LONGEST
    ]
    if not fitting:
        return None
    _, first_time, last_time = min(fitting)
    return first_time, last_time


def _moment(start: float, end: float, scorer: Scorer) -> ScoredMoment:
    score, aspects = scorer.rate(np.array([start]), np.array([end])).of(0)
    return ScoredMoment(
        start=round(start, 3),
        end=math.floor(end * 1000) / 1000,  # never past the end of the source
        score=score,
        subscores=aspects,
        reason=explain(aspects),
    )

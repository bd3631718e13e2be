"""Selection of moments: the best-rated windows, moved to boundaries that cut no speech.

Windows of several lengths start at every second. The best-ranked is taken first, and its start
and end move to boundaries nearby (`boundaries`), within the time that is still free: moments never
overlap. (Moving them after all had been chosen brought overlaps back.) Then the next, until there
are enough, or until together they cover half of the source: a choice of nearly everything is none.

A window ranks by its score, less

* what goes on beyond its edges: of a passage that stands out the whole is better than a part
* how far its length is from the favourite
* how near it lies to a moment that was chosen already: moments come from all over a long video

and of a passage that comes again (`repeats`) only one is taken.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Final

import numpy as np

from clipforge.media.contracts import Choice, ScoredMoment
from clipforge.media.reasons import explain
from clipforge.media.scoring import KINDS, is_worth

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clipforge.media.boundaries import Boundaries
    from clipforge.media.features import Bools
    from clipforge.media.repeats import Repeats
    from clipforge.media.scoring import Scorer

    Floats = NDArray[np.float64]
    Span = tuple[float, float]

# s, before they move to boundaries. Those over 90 s only where more is asked for.
LENGTHS: Final = (
    *(3, 4, 5, 6, 8, 10, 12, 15, 18, 22, 26, 30, 35),
    *(40, 46, 53, 60, 68, 78, 90, 104, 120, 138, 158, 180),
)
SHORTEST_WINDOW: Final = 15  # s
SHORTEST: Final = 14.0  # s, after they have moved
LONGEST: Final = 92.0  # s
# Of a source too short for these: the whole, or its best three quarters; never under 60 %.
SHORT_SOURCE: Final = 28.0  # s
SHORTEST_SHARE: Final = 0.6
SHORTEST_CLIP: Final = 3.0  # s; a shorter clip is not worth watching, however short the source

# The share of its rank that a window of half or twice the favourite length loses. Without it the
# shortest always win, because the mean over a window falls as it grows beyond the best part.
FAVOURITE: Final = 30  # s
LENGTH_LOSS: Final = 0.08
# The share that a window loses if what happens goes on as before on both sides of it.
EDGE_LOSS: Final = 0.4
# The share that a window right beside a chosen one loses.
NEAR_LOSS: Final = 0.1

SECONDS_PER_MOMENT: Final = 25.0  # one moment for so much source...
MAX_MOMENTS: Final = 10  # ...up to this many
MOST_COVERED: Final = 0.5  # of the source by all moments, unless a number of them is asked for
MIN_SCORE: Final = 30.0  # a window with a lower score is not worth clipping

MAX_OVERLAP: Final = 2.0  # s that a window may reach into a moment before its boundary moves out
MOST_REPEATED: Final = 0.4  # of a window: with more of a chosen passage in it, it is that passage
DEAREST_EDGES: Final = 50.0  # s; a pair of boundaries that costs more cuts speech
MAX_TRIES: Final = (
    1000  # of windows for which no boundaries are found; bounds the time that it takes
)


def select(
    scorer: Scorer,
    boundaries: Boundaries,
    wishes: Choice = Choice(),  # noqa: B008 - frozen
    repeats: Repeats | None = None,
) -> list[ScoredMoment]:
    """The moments of one file, best first; none if nothing is worth clipping."""
    return _Selection(scorer, boundaries, wishes, repeats).moments()


def lengths(duration: float, least: float = SHORTEST, most: float = LONGEST) -> list[int]:
    """The window lengths (whole seconds) for a source of this duration."""
    whole = max(round(duration), 1)
    first = SHORTEST_WINDOW if least == SHORTEST else least
    fitting = {length for length in LENGTHS if first <= length <= min(most, whole)}
    if duration < SHORT_SOURCE:
        fitting |= {size for size in (max(whole * 3 // 4, 1), whole) if size <= most + 1}
    return sorted(fitting or {min(max(round((least + most) / 2), 1), whole)})


def shortest(duration: float) -> float:
    """The least a moment of a source of this duration may last, in seconds."""
    return min(SHORTEST, max(duration * SHORTEST_SHARE, SHORTEST_CLIP))


def rated(scorer: Scorer, start: float, end: float) -> ScoredMoment:
    """The stretch as a moment, with its score and the reason for it."""
    spoken = scorer.spoken
    starts, ends = np.array([start]), np.array([end])
    score, aspects = scorer.rate(starts, ends).of(0)
    return ScoredMoment(
        start=round(start, 3),
        end=math.floor(end * 1000) / 1000,  # never past the end of the source
        score=score,
        subscores=aspects,
        reason=explain(
            aspects,
            scorer.facts(start, end),
            end - start,
            spoken.quotes(start, end) if spoken else None,
        ),
        kind=KINDS[int(scorer.kinds(starts, ends)[0])],
        title=spoken.title(start, end) if spoken else "",
        hook=spoken.hook(start, end) if spoken else "",
    )


@dataclass(slots=True)
class _Windows:
    """Windows that may still be taken, in columns."""

    start: Floats
    end: Floats
    rank: Floats

    def best(self, near: Floats) -> int:
        """The index of the best-ranked; equals by earliest start, then shortest."""
        return int(np.argmax(self.rank * (1 - NEAR_LOSS * near)))

    def keep(self, mask: Bools) -> None:
        self.start, self.end, self.rank = self.start[mask], self.end[mask], self.rank[mask]

    def overlaps(self, start: float, end: float) -> Bools:
        """A mask of the windows that reach too far into [start, end)."""
        mask: Bools = np.minimum(self.end, end) - np.maximum(self.start, start) > MAX_OVERLAP
        return mask

    def nearness(self, chosen: list[Span], reach: float) -> Floats:
        """How near each lies to a chosen stretch: 1 beside it, 0 at `reach` seconds and beyond."""
        near = np.zeros(len(self.start))
        for start, end in chosen:
            gap = np.maximum(np.maximum(self.start - end, start - self.end), 0)
            np.maximum(near, 1 - gap / reach, out=near)
        return near


class _Selection:
    def __init__(
        self, scorer: Scorer, boundaries: Boundaries, wishes: Choice, repeats: Repeats | None
    ) -> None:
        self._scorer, self._boundaries, self._repeats = scorer, boundaries, repeats
        self._kinds = wishes.kinds
        self._low = min(max(wishes.start, 0.0), boundaries.duration)
        self._high = min(wishes.end or boundaries.duration, boundaries.duration)
        span = max(self._high - self._low, 0.0)
        self._longest = wishes.max_seconds or max(LONGEST, 1.5 * (wishes.min_seconds or 0))
        self._shortest = wishes.min_seconds or min(
            shortest(span), max(SHORTEST_SHARE * self._longest, SHORTEST_CLIP)
        )
        self._limit = wishes.count or min(max(round(span / SECONDS_PER_MOMENT), 1), MAX_MOMENTS)
        self._budget = math.inf if wishes.count else MOST_COVERED * span
        self._taken = list(wishes.taken)
        self._reach = max(span / self._limit, 1.0)
        self._span = span

    def moments(self) -> list[ScoredMoment]:
        """Edges within speech are for talk without a pause, of which there would be nothing."""
        return self._choose(DEAREST_EDGES) or self._choose(math.inf)

    def _choose(self, dearest: float) -> list[ScoredMoment]:
        self._dearest = dearest
        self._windows = self._rank(self._span)
        moments: list[ScoredMoment] = []
        windows, tries = self._windows, 0
        near = windows.nearness(self._taken, self._reach)
        while len(windows.start) and len(moments) < self._limit and tries < MAX_TRIES:
            tries += 1
            best = windows.best(near)
            moment = self._try(float(windows.start[best]), float(windows.end[best]), moments)
            if moment is None:
                keep = np.arange(len(windows.start)) != best
                windows.keep(keep)
                near = near[keep]
                continue
            moments.append(moment)
            self._taken.append((moment.start, moment.end))
            self._leave_out(moment)
            near = windows.nearness(self._taken, self._reach)
        return sorted(moments, key=lambda moment: (-moment.score, moment.start))

    def _rank(self, span: float) -> _Windows:
        """All windows worth clipping, by start and then length."""
        starts, ends, ranks = [], [], []
        favourite = min(max(FAVOURITE, self._shortest), self._longest)
        for length in lengths(span, self._shortest, self._longest):
            begin, end = self._windows_of(length, span)
            ratings = self._scorer.rate(begin, end)
            good = (ratings.total >= MIN_SCORE) & ratings.worth
            if self._kinds:
                kinds = [KINDS[kind] in self._kinds for kind in self._scorer.kinds(begin, end)]
                good &= np.array(kinds, np.bool_)
            going_on = self._scorer.going_on(begin, end)
            loss = LENGTH_LOSS * abs(math.log2(length / favourite)) + EDGE_LOSS * going_on
            starts.append(begin[good])
            ends.append(end[good])
            ranks.append((ratings.total * (1 - loss))[good])
        start, end, rank = np.concatenate(starts), np.concatenate(ends), np.concatenate(ranks)
        order = np.lexsort((end, start))
        windows = _Windows(start[order], end[order], rank[order])
        for taken in self._taken:
            windows.keep(~windows.overlaps(*taken))
        return windows

    def _windows_of(self, length: int, span: float) -> tuple[Floats, Floats]:
        """The windows of a length at every second; of talk, from sentence to sentence."""
        begin = self._low + np.arange(max(round(span), 1) - length + 1, dtype=np.float64)
        end = np.minimum(begin + length, self._high)
        if self._scorer.spoken:
            aligned = np.unique(np.stack(self._scorer.spoken.aligned(begin, end)), axis=1)
            lasting = aligned[1] - aligned[0]
            fit = (lasting >= self._shortest) & (lasting <= self._longest)
            begin, end = aligned[:, fit & (aligned[0] >= self._low) & (aligned[1] <= self._high)]
        return begin, end

    def _try(self, start: float, end: float, moments: list[ScoredMoment]) -> ScoredMoment | None:
        """The moment that a window becomes; None where it cannot be one."""
        placed = self._place(start, end)
        if placed is None:
            return None
        moment = rated(self._scorer, *placed)
        covered = sum(each.end - each.start for each in moments) + moment.end - moment.start
        # A single moment may be most of a short source.
        fits = not moments or covered <= self._budget
        return moment if fits and self._is_wanted(moment) else None

    def _is_wanted(self, moment: ScoredMoment) -> bool:
        """The window was; its edges have moved since."""
        return (
            moment.score >= MIN_SCORE
            and is_worth(moment.subscores)
            and (not self._kinds or moment.kind in self._kinds)
        )

    def _leave_out(self, moment: ScoredMoment) -> None:
        """Take the windows away that the moment leaves no room for, or that repeat it."""
        windows = self._windows
        windows.keep(~windows.overlaps(moment.start, moment.end))
        if self._scorer.spoken:
            again = self._scorer.spoken.said_again(
                moment.start, moment.end, windows.start, windows.end
            )
            windows.keep(again <= MOST_REPEATED)
        if self._repeats is not None and len(windows.start):
            rows = math.ceil(self._boundaries.duration) + 1
            comes_again = self._repeats.of(moment.start, moment.end, rows)
            sums = np.concatenate([[0], np.cumsum(comes_again)])
            first, last = windows.start.astype(np.int64), np.ceil(windows.end).astype(np.int64)
            repeated = (sums[last] - sums[first]) / (windows.end - windows.start)
            windows.keep(repeated <= MOST_REPEATED)

    def _place(self, start: float, end: float) -> Span | None:
        """The cheapest pair of boundaries for a window; None if no pair in reach leaves a fit length."""
        low, high = self._free(start, end)
        fitting = [
            (first.cost + last.cost, first.time, last.time)
            for first, last in product(self._boundaries.starts(start), self._boundaries.ends(end))
            if low <= first.time
            and last.time <= high
            and self._shortest <= last.time - first.time <= self._longest
            and first.cost + last.cost <= self._dearest
        ]
        if not fitting:
            return None
        _, first_time, last_time = min(fitting)
        return first_time, last_time

    def _free(self, start: float, end: float) -> Span:
        """The free stretch around a window, in seconds."""
        low, high = self._low, self._high
        for taken_start, taken_end in self._taken:
            if taken_start + taken_end < start + end:
                low = max(low, taken_end)
            else:
                high = min(high, taken_start)
        return low, high

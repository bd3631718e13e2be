"""The path of a crop along one axis: still as long as it can be, smooth where it has to move.

Positions are shares of the picture: 0 is the crop at the left or top edge. The whole clip is known before it
is drawn, so the camera need not chase: it stands where the subject stays inside for longest, and has begun
to move before the subject would leave. Plain numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

# Seconds that one move takes: the longest in which the subject stays inside. It is as slow to begin and to
# end as a sine, so that a move over the whole width in the shortest time has a jerk, and in the others none.
MOVES = (2.0, 1.4, 1.0, 0.7, 0.4)
# What remains of the crop around the subject, as a share of its width, where there is room.
MARGIN = 0.15


@dataclass(frozen=True, slots=True)
class Wish:
    """The demand of a sample on the crop: to begin between `low` and `high`, best at `best`."""

    low: float
    high: float
    best: float


def wish(begin: float, end: float, extent: float, place: float = 0.5) -> Wish:
    """The wish of a subject from `begin` to `end` for a crop of length `extent`.

    Its middle is best at the share `place` of the crop. A subject that is larger than the crop is
    shown by its middle.
    """
    margin = min(MARGIN * (end - begin), max(0.0, (extent - (end - begin)) / 2))
    low, high = end + margin - extent, begin - margin
    if low > high:
        low = high = (begin + end - extent) / 2
    best = min(max((begin + end) / 2 - place * extent, low), high)
    room = 1 - extent
    return Wish(*(min(max(value, 0.0), room) for value in (low, high, best)))


def path(wishes: Sequence[Wish], times: Floats, pictures: int, rate: float) -> Floats:
    """The position for each of so many pictures of one shot; `times` are those of the wishes in seconds.

    The first picture is at 0 s. At least one wish.
    """
    steps = _steps(_holds(wishes), times, pictures, rate)
    low = np.array([wish.low for wish in wishes])
    high = np.array([wish.high for wish in wishes])
    at = np.clip(np.round(times * rate).astype(int), 0, pictures - 1)
    best, least = steps, np.inf
    for seconds in MOVES:
        smooth = _smoothed(steps, max(1, round(seconds * rate)))
        outside = float((np.maximum(low - smooth[at], 0) + np.maximum(smooth[at] - high, 0)).sum())
        if outside < least - 1e-6:
            best, least = smooth, outside
    return best


def _holds(wishes: Sequence[Wish]) -> list[float]:
    """A position for each wish that changes as seldom as possible."""
    held: list[float] = []
    begin = 0
    while begin < len(wishes):
        low, high, end = 0.0, 1.0, begin
        while end < len(wishes):
            narrower = max(low, wishes[end].low), min(high, wishes[end].high)
            if narrower[0] > narrower[1]:
                break
            (low, high), end = narrower, end + 1
        mean = sum(wish.best for wish in wishes[begin:end]) / (end - begin)
        held += [min(max(mean, low), high)] * (end - begin)
        begin = end
    return held


def _steps(held: list[float], times: Floats, pictures: int, rate: float) -> Floats:
    """The positions of all pictures: each has that of the nearest wish."""
    middles = (times[1:] + times[:-1]) / 2
    nearest = np.searchsorted(middles, np.arange(pictures) / rate, side="right")
    return np.array(held)[nearest]


def _smoothed(steps: Floats, window: int) -> Floats:
    """Steps as moves of `window` pictures that begin and end slowly. Where nothing changes, nothing moves."""
    if window < 2 or (steps == steps[0]).all():
        return steps
    kernel = np.hanning(window + 2)[1:-1]
    padded = np.pad(steps, (window // 2, window - 1 - window // 2), mode="edge")
    return np.convolve(padded, kernel / kernel.sum(), mode="valid")

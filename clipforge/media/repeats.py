"""Passages that come again: the same stretch of a source, played once more.

A recap at the start of an episode, a trailer that is shown twice, a loop. Of such a passage one
moment is enough. It is known by its curve of loudness, in pieces of eight seconds, which
compression and another volume leave as it is; and the pictures have to agree, because a loop of
music under other pictures is another passage. Without sound the pictures are compared alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from clipforge.media.decoding import FRAME_RATE
from clipforge.media.features import HOP_RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clipforge.media.features import Bools, Picture, Sound

    Floats = NDArray[np.float64]

PIECE: Final = 8  # s that are recognised at once; of 288,000 others in four hours none is as alike
SAME_SOUND: Final = 0.85  # correlation; strangers reach 0.6
SAME_PICTURE: Final = 0.5  # a picture is compared where the sound agrees already
SAME_FILM: Final = 0.9  # pictures alone
SAME_BRIGHTNESS: Final = 12.0  # gray levels, mean
# A series that varies by less within a piece says nothing.
FLAT_LEVEL, FLAT_PICTURE = 2.0, 1.0  # dB, gray levels
QUIETEST: Final = -60.0  # dBFS; what is below is the noise of the recording


class Repeats:
    """The repeated passages of one file. Making it costs one Fourier transform of its curve."""

    def __init__(self, sound: Sound, picture: Picture, *, audible: bool) -> None:
        self._motion = _smooth(picture.motion)
        self._luma = picture.luma.astype(np.float64)
        self._audible = audible
        if audible:
            self._rate, self._flat = HOP_RATE, FLAT_LEVEL
            self._series = np.maximum(sound.level, QUIETEST).astype(np.float64)
        else:
            self._rate, self._flat, self._series = FRAME_RATE, FLAT_PICTURE, self._motion
        self._series = self._series - self._series.mean() if len(self._series) else self._series
        self._length = PIECE * self._rate
        self._size = 1 << (len(self._series) + self._length).bit_length()
        self._transform = np.fft.rfft(self._series, self._size)
        self._deviation = _moving_deviation(self._series, self._length)

    def of(self, start: float, end: float, rows: int) -> Bools:
        """The seconds, of `rows`, in which a piece of [start, end) comes again elsewhere."""
        again = np.zeros(rows, np.bool_)
        if end - start < PIECE:
            return again
        begins = np.arange(start, end - PIECE, PIECE).tolist()
        for begin in [*begins, end - PIECE]:
            for time in self._places(begin).tolist():
                again[round(time) : round(time) + PIECE] = True
        again[int(start) : round(end)] = False
        return again

    def _places(self, begin: float) -> Floats:
        """The times at which the piece that begins at `begin` begins again, one a second at most."""
        first = round(begin * self._rate)
        piece = self._series[first : first + self._length]
        if len(piece) < self._length or piece.std() < self._flat:
            return np.zeros(0)
        piece = (piece - piece.mean()) / (piece.std() * self._length)
        products = np.fft.irfft(self._transform * np.conj(np.fft.rfft(piece, self._size)))
        alike = products[: len(self._deviation)] / np.maximum(self._deviation, self._flat / 2)
        alike[max(first - self._length, 0) : first + self._length] = 0
        hits = _best_a_second(alike, self._rate, SAME_SOUND if self._audible else SAME_FILM)
        times = hits / self._rate
        agreed = self._pictures_agree(begin, times)
        agreeing: Floats = times[agreed]
        return agreeing

    def _pictures_agree(self, begin: float, times: Floats) -> Bools:
        """A mask of the times at which the pictures go on as they do from `begin`."""
        count = PIECE * FRAME_RATE
        span = np.arange(count)
        here = round(begin * FRAME_RATE) + span
        there = np.round(times * FRAME_RATE).astype(np.int64)[:, np.newaxis] + span
        if not len(self._luma) or here[-1] >= len(self._luma):
            return np.ones(len(times), np.bool_)
        there = np.minimum(there, len(self._luma) - 1)
        bright = np.abs(self._luma[there].mean(axis=1) - self._luma[here].mean())
        agree: Bools = bright <= SAME_BRIGHTNESS
        for series in (self._luma, self._motion):
            if series[here].std() >= FLAT_PICTURE:
                agree &= _correlation(series[here], series[there]) >= SAME_PICTURE
        return agree


def _best_a_second(alike: Floats, rate: int, least: float) -> NDArray[np.int64]:
    """Of each second the most alike place, if it is alike enough."""
    whole = -(-len(alike) // rate) * rate
    rows = np.pad(alike, (0, whole - len(alike))).reshape(-1, rate)
    best = rows.argmax(axis=1)
    hits = np.flatnonzero(rows[np.arange(len(rows)), best] >= least)
    places: NDArray[np.int64] = hits * rate + best[hits]
    return places


def _moving_deviation(series: Floats, length: int) -> Floats:
    """The standard deviation of each stretch of `length` values."""
    if len(series) < length:
        return np.zeros(0)
    sums = np.concatenate([[0.0], np.cumsum(series)])
    squares = np.concatenate([[0.0], np.cumsum(series**2)])
    mean = (sums[length:] - sums[:-length]) / length
    variance = (squares[length:] - squares[:-length]) / length - mean**2
    deviation: Floats = np.sqrt(np.maximum(variance, 0))
    return deviation


def _correlation(piece: Floats, others: Floats) -> Floats:
    piece = piece - piece.mean()
    others = others - others.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(others, axis=1) * np.linalg.norm(piece)
    alike: Floats = others @ piece / np.maximum(norms, 1e-9)
    return alike


def _smooth(motion: NDArray[np.float32]) -> Floats:
    """Over a second: pictures are taken at other instants when a passage comes again."""
    if not len(motion):
        return np.zeros(0)
    return np.convolve(motion.astype(np.float64), np.full(FRAME_RATE, 1 / FRAME_RATE), "same")

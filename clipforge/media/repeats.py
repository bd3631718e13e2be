"""Passages that come again: the same stretch of a source, played once more.

A recap at the start of an episode, a trailer that is shown twice, a loop. Of such a passage one
moment is enough. It is known by its curve of loudness, in pieces of eight seconds, which
compression and another volume leave as it is; and the pictures have to agree, because a loop of
music under other pictures is another passage. Without sound the pictures are compared alone.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from clipforge.media.decoding import FRAME_RATE
from clipforge.media.kept_format import HOP_RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clipforge.media.features import Bools, Picture, Sound

    Floats = NDArray[np.float64]

PIECE: Final = 8  # s that are recognised at once; of 288,000 others in four hours none is as alike
PIECES: Final = 4  # of a moment, spread over it
SAME_SOUND: Final = 0.85  # correlation; strangers reach 0.6
# Looked for at five values a second, which costs a quarter, and then compared in full.
COARSE: Final = 4  # values in one
NEARLY_SAME: Final = 0.75
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
            self._rate, self._flat, self._coarse = HOP_RATE, FLAT_LEVEL, COARSE
            self._series = np.maximum(sound.level, QUIETEST).astype(np.float64)
        else:
            self._rate, self._flat, self._coarse = FRAME_RATE, FLAT_PICTURE, 1
            self._series = self._motion
        self._thin = _thinned(self._series, self._coarse)
        self._length = PIECE * self._rate
        self._size = 1 << (len(self._thin) + self._length // self._coarse).bit_length()
        self._transform = np.fft.rfft(self._thin, self._size)
        self._deviation = _moving_deviation(self._thin, self._length // self._coarse)

    def of(self, start: float, end: float, rows: int) -> Bools:
        """The seconds, of `rows`, in which a piece of [start, end) comes again elsewhere."""
        again = np.zeros(rows, np.bool_)
        if end - start < PIECE:
            return again
        count = min(math.ceil((end - start) / PIECE), PIECES)
        stride = max((end - start) / count, PIECE)  # each piece stands for as much
        begins = np.linspace(start, end - PIECE, count).tolist()
        places = [self._places(begin) for begin in begins]
        later = [found - begin for found, begin in zip(places, begins, strict=True)]
        for number, times in enumerate(places):
            others = np.concatenate([np.zeros(0), *later[:number], *later[number + 1 :]])
            for time in times.tolist():
                # One piece alone may be alike by chance: talk that sets in after silence.
                if count == 1 or _among(time - begins[number], others):
                    again[round(time) : round(time + stride)] = True
        again[int(start) : round(end)] = False
        return again

    def _places(self, begin: float) -> Floats:
        """The times at which the piece that begins at `begin` begins again, one a second at most."""
        first = round(begin * self._rate)
        piece = self._series[first : first + self._length]
        if len(piece) < self._length or piece.std() < self._flat:
            return np.zeros(0)
        least = NEARLY_SAME if self._audible else SAME_FILM
        times = self._nearly_alike(_thinned(piece, self._coarse), least) * self._coarse / self._rate
        times = times[np.abs(times - begin) >= PIECE]
        times = times[self._pictures_agree(begin, times)]
        same: Floats = times[self._sounds_agree(piece, times)] if self._audible else times
        return same

    def _nearly_alike(self, piece: Floats, least: float) -> NDArray[np.int64]:
        """The places in the thin series at which it is like the piece, one a second at most."""
        piece = (piece - piece.mean()) / max(float(piece.std()) * len(piece), 1e-9)
        products = np.fft.irfft(self._transform * np.conj(np.fft.rfft(piece, self._size)))
        alike = products[: len(self._deviation)] / np.maximum(self._deviation, self._flat / 4)
        return _best_a_second(alike, self._rate // self._coarse, least)

    def _sounds_agree(self, piece: Floats, times: Floats) -> Bools:
        """A mask of the times around which the sound is that of the piece, to an instant."""
        best = np.zeros(len(times))
        span = np.arange(self._length)
        for shift in range(-COARSE, COARSE + 1):
            first = np.round(times * self._rate).astype(np.int64) + shift
            places = np.clip(first[:, np.newaxis] + span, 0, len(self._series) - 1)
            np.maximum(best, _correlation(piece, self._series[places]), out=best)
        agreed: Bools = best >= SAME_SOUND
        return agreed

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
        alike = [
            _correlation(series[here], series[there]) >= SAME_PICTURE
            for series in (self._luma, self._motion)
            if series[here].std() >= FLAT_PICTURE
        ]
        # Either will do: a cut right before a passage changes what seems to move in its beginning.
        return agree & np.any(alike, axis=0) if alike else agree


def _among(shift: float, others: Floats) -> bool:
    """Whether another piece comes again after the same time, to a second."""
    return bool(len(others)) and float(np.abs(others - shift).min()) <= 1


def _thinned(series: Floats, by: int) -> Floats:
    """Means of `by` values each, around zero."""
    whole = len(series) // by * by
    means: Floats = series[:whole].reshape(-1, by).mean(axis=1)
    return means - means.mean() if len(means) else means


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

"""The level of sound: how far it is from that of the large platforms, and the filters that bring it there.

One gain over the whole clip brings it to the level; a limiter holds only the peaks that would stand out then.
A limiter takes loudness away, and so does the encoder, which adds to the peaks besides. So what was made is
measured, and gain and ceiling are corrected by what it is off. Plain numbers: what is measured, and how, is
the business of `soundtrack`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

TARGET_LUFS = -14.0
TOLERANCE_LU = 0.25  # half of what is promised
MAX_PEAK_DBTP = -1.1  # a platform asks for -1; other meters read a little more than ours
FIRST_CEILING_DBTP = -2.0  # AAC at 128 kbit/s adds about 1 dB to the peaks of most sound
LOWEST_CEILING_DBTP = -8.0
ATTEMPTS = 5
# Sound below this is no speech but the noise of a room. It is raised the less, the softer it is, and
# from 18 LU further down not at all.
SOFT_LUFS = -50.0
SOFT_SLOPE = 2.0
MAX_GAIN_DB = TARGET_LUFS - SOFT_LUFS
# Of what passes the ceiling, so much is louder in the end: 0.77 to 0.91 of speech, music and film by 1 to
# 7 dB. It is taken for no less than LEAST_KEPT, lest a measurement that is a little off lead far away.
TYPICALLY_KEPT, LEAST_KEPT = 0.83, 0.25
# With no limit a voice under a few loud bangs would be pressed flat.
MAX_LIMITING_DB = 12.0

METER = "ebur128=peak=true:framelog=quiet"
_SUMMARY = re.compile(
    r"Summary:.*?I:\s+(?P<loudness>-?[\d.]+|-inf|nan) LUFS.*?Peak:\s+(?P<peak>-?[\d.]+|-inf|nan) dBFS",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Level:
    """Integrated loudness (LUFS) and true peak (dBTP)."""

    loudness: float
    peak: float


SILENCE_LUFS = -69.0  # the gate of the measurement: nothing softer counts
SILENCE = Level(-120.0, -120.0)


@dataclass(frozen=True, slots=True)
class Correction:
    """A gain in dB, and the true peak that is not to be passed (dBTP); None: no limiter."""

    gain: float = 0.0
    ceiling: float | None = None

    def filters(self) -> tuple[str, ...]:
        """Filters for sound of 48 kHz."""
        if self.ceiling is None:
            return (f"volume={self.gain:.2f}dB",) if self.gain else ()
        limit = 10 ** (self.ceiling / 20)
        return (
            f"volume={self.gain:.2f}dB:precision=double",
            "aresample=192000",  # a true peak lies between the samples
            f"alimiter=limit={limit:.4f}:attack=5:release=80:level=0:latency=1",
            "aresample=48000",
        )


def bring_to_level(found: Level, make: Callable[[Correction], Level]) -> Level:
    """Make the sound, found at this level, anew until it is right; the level that it has in the end.

    `make` makes it with a correction and gives the level of what was made: once for most sound, and
    ATTEMPTS times at most. Silence stays as it is.
    """
    limiting = Limiting(found)
    applied = first(found)
    level = make(applied)
    for _ in range(ATTEMPTS - 1):
        limiting.learn(applied, level)
        better = _corrected(applied, level, limiting)
        if better == applied:
            break
        applied, level = better, make(better)
    return level


def first(found: Level) -> Correction:
    """The correction of sound found at this level, as far as that can be told beforehand."""
    gain = round(_target(found.loudness) - found.loudness, 2)
    if found.peak + gain <= FIRST_CEILING_DBTP:
        return Correction(gain)
    return Correction(Limiting(found).gain(FIRST_CEILING_DBTP), FIRST_CEILING_DBTP)


class Limiting:
    """The loudness that a limiter takes from some sound.

    That depends on nothing but by how much the loudest peak would pass the ceiling. What was measured of
    it is believed; beyond that it goes on as between the last two, and before, as it does of most sound.
    """

    def __init__(self, found: Level) -> None:
        self._found = found
        self._wanted = _target(found.loudness)
        # By how much the peak would pass the ceiling, and how much of that is louder in the end. dB.
        self._known = [(0.0, 0.0)]

    def learn(self, applied: Correction, level: Level) -> None:
        """Believe that this correction led to this level."""
        if applied.ceiling is None:
            return
        passed = self._found.peak + applied.gain - applied.ceiling
        kept = level.loudness - self._found.loudness + self._found.peak - applied.ceiling
        self._known = sorted([*(each for each in self._known if each[0] != passed), (passed, kept)])

    def off(self, level: Level) -> float:
        """By how much this is too soft. LU."""
        return self._wanted - level.loudness

    def gain(self, ceiling: float) -> float:
        """The gain that brings the sound to its level under this ceiling, or the most that is bearable."""
        plain = self._wanted - self._found.loudness
        needed = self._found.peak + plain - ceiling
        gain = self._passed(needed) - self._found.peak + ceiling
        return round(min(max(gain, plain), plain + MAX_LIMITING_DB), 2)

    def _passed(self, kept: float) -> float:
        """By how much the peak has to pass the ceiling for so much of it to be kept."""
        below = [each for each in self._known if each[1] <= kept] or self._known[:1]
        above = [each for each in self._known if each[1] > kept]
        passed, least = below[-1]
        if above:
            share = (above[0][1] - least) / max(above[0][0] - passed, 0.1)
        elif len(below) > 1:
            # The more is limited, the less of it is kept. Two that are close say nothing of how much less.
            earlier = [each for each in below if each[0] <= passed - 1] or below[:1]
            share = (least - earlier[-1][1]) / max(passed - earlier[-1][0], 0.1)
        else:
            share = TYPICALLY_KEPT
        return passed + (kept - least) / min(max(share, LEAST_KEPT), 1.0)


def _corrected(applied: Correction, level: Level, limiting: Limiting) -> Correction:
    """A better correction than `applied`, which gave `level`; the same if that is good enough."""
    ceiling = applied.ceiling
    over = level.peak - MAX_PEAK_DBTP
    if over > 0:
        lower = FIRST_CEILING_DBTP if ceiling is None else ceiling - over
        ceiling = max(lower, LOWEST_CEILING_DBTP)
    off = limiting.off(level)
    if level.loudness <= SILENCE_LUFS or (ceiling == applied.ceiling and abs(off) <= TOLERANCE_LU):
        return replace(applied, ceiling=ceiling)
    if ceiling is None and level.peak + off <= FIRST_CEILING_DBTP:
        return replace(applied, gain=round(applied.gain + off, 2))
    if ceiling is None:
        ceiling = FIRST_CEILING_DBTP
    return Correction(limiting.gain(ceiling), ceiling)


def _target(loudness: float) -> float:
    """The level that sound of this loudness is brought to."""
    gain = TARGET_LUFS - loudness
    if loudness < SOFT_LUFS:
        gain = max(0.0, MAX_GAIN_DB - SOFT_SLOPE * (SOFT_LUFS - loudness))
    return loudness + gain


def parse(said: str) -> Level:
    """The last summary of the meter in what ffmpeg said; silence where there was nothing to measure.

    The last, since the names of tracks, which anyone may choose, are said before.
    """
    summaries = list(_SUMMARY.finditer(said))
    if not summaries:
        return SILENCE
    return Level(_number(summaries[-1]["loudness"]), _number(summaries[-1]["peak"]))


def _number(text: str) -> float:
    """Silence is said as -inf, and as nan where there is no sound at all."""
    return SILENCE.loudness if text in {"-inf", "nan"} else float(text)

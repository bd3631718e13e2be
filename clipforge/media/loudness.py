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
    wanted = _target(found.loudness)
    applied = first(found)
    most = applied.gain + MAX_LIMITING_DB
    level = make(applied)
    for _ in range(ATTEMPTS - 1):
        better = _corrected(applied, level, wanted, most)
        if better == applied:
            break
        applied, level = better, make(better)
    return level


def first(found: Level) -> Correction:
    """The correction of sound found at this level, as far as that can be told beforehand."""
    gain = round(_target(found.loudness) - found.loudness, 2)
    peak = found.peak + gain
    return Correction(gain, FIRST_CEILING_DBTP if peak > FIRST_CEILING_DBTP else None)


def _corrected(applied: Correction, level: Level, wanted: float, most: float) -> Correction:
    """A better correction than `applied`, which gave `level`; the same if that is good enough."""
    better = applied
    over = level.peak - MAX_PEAK_DBTP
    if over > 0:
        ceiling = FIRST_CEILING_DBTP if applied.ceiling is None else applied.ceiling - over
        better = replace(better, ceiling=max(ceiling, LOWEST_CEILING_DBTP))
    off = wanted - level.loudness
    if abs(off) > TOLERANCE_LU and level.loudness > SILENCE_LUFS:
        better = replace(better, gain=min(round(better.gain + off, 2), most))
        if better.ceiling is None and level.peak + off > FIRST_CEILING_DBTP:
            better = replace(better, ceiling=FIRST_CEILING_DBTP)
    return better


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

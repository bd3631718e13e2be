"""Features as they are kept: all that choosing needs, in about 100 KB an hour.

What was measured fits in bytes: levels to a third of a decibel, changes of the picture to a quarter
of a gray level. An analysis chooses from what it keeps, so choosing again finds the same.

`kept_format` has their form.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from clipforge.media.features import FLOOR_DB, Picture, Sound
from clipforge.media.kept_format import FORMAT, HEADER, opened

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clipforge.media.features import Bools, Floats

LEVEL_STEPS: Final = 3  # a decibel, from FLOOR_DB up
FLUX_STEPS: Final = 8  # a decibel
MOTION_STEPS: Final = 4  # a gray level


@dataclass(frozen=True, slots=True)
class Kept:
    """The features of a source of which `duration` seconds can be clipped."""

    sound: Sound
    picture: Picture
    duration: float
    exact_cuts: bool


def keep(sound: Sound, picture: Picture, duration: float, *, exact_cuts: bool) -> bytes:
    """The features as bytes that `unpack` reads."""
    series = (
        _steps(sound.level - FLOOR_DB, LEVEL_STEPS),
        _steps(sound.voice - FLOOR_DB, LEVEL_STEPS),
        _steps(sound.flux, FLUX_STEPS),
        np.packbits(sound.speech),
        _steps(picture.motion, MOTION_STEPS),
        _steps(picture.luma, 1),
        np.packbits(picture.cut),
    )
    sizes = len(sound.level), len(picture.motion)
    header = HEADER.pack(FORMAT, exact_cuts, duration, *sizes)
    return header + zlib.compress(b"".join(values.tobytes() for values in series), 6)


def unpack(data: bytes) -> Kept:
    """Raises ValueError for anything that `keep` did not write."""
    packed = opened(data)
    hops, pictures = packed.hops, packed.pictures
    rest = np.frombuffer(packed.rows, np.uint8)

    def take(count: int) -> NDArray[np.uint8]:
        nonlocal rest
        taken, rest = rest[:count], rest[count:]
        return taken

    level, voice, flux = (take(hops) for _ in range(3))
    speech = _bits(take(-(-hops // 8)), hops)
    motion, luma = take(pictures), take(pictures)
    sound = Sound(
        level=_values(level, LEVEL_STEPS) + np.float32(FLOOR_DB),
        voice=_values(voice, LEVEL_STEPS) + np.float32(FLOOR_DB),
        flux=_values(flux, FLUX_STEPS),
        speech=speech,
    )
    picture = Picture(
        motion=_values(motion, MOTION_STEPS), luma=_values(luma, 1), cut=_bits(rest, pictures)
    )
    return Kept(sound, picture, packed.duration, exact_cuts=packed.exact_cuts)


def _steps(values: Floats, steps: int) -> NDArray[np.uint8]:
    return np.clip(np.round(values * steps), 0, 255).astype(np.uint8)


def _values(steps: NDArray[np.uint8], size: int) -> Floats:
    return steps.astype(np.float32) / np.float32(size)


def _bits(packed: NDArray[np.uint8], count: int) -> Bools:
    return np.unpackbits(packed, count=count).astype(np.bool_)

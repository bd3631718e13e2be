"""Synthetic sound and picture tracks, for tests of scoring and selection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from clipforge.media.decoding import FRAME_RATE
from clipforge.media.features import Picture, Seconds, Sound
from clipforge.media.kept_format import HOP_RATE

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

LOUD, SOFT = -20.0, -60.0  # dBFS


def sound(seconds: float, *spoken: tuple[float, float], lively: bool = False) -> Sound:
    """Sound with speech at the given times, and soft noise (or lively sound) around it."""
    hops = round(seconds * HOP_RATE)
    speech = np.zeros(hops, np.bool_)
    for start, end in spoken:
        speech[round(start * HOP_RATE) : round(end * HOP_RATE)] = True
    level = np.where(speech | lively, LOUD, SOFT).astype(np.float32)
    swinging = np.where(np.arange(hops) // 4 % 2, -10, 10).astype(np.float32)
    voice = np.where(speech | lively, LOUD + swinging, SOFT).astype(np.float32)
    flux = np.where(speech | lively, 3.0, 1.0).astype(np.float32)
    return Sound(level=level, voice=voice, flux=flux, speech=speech)


def picture(seconds: float, *, motion: float = 0.0, cuts: tuple[float, ...] = ()) -> Picture:
    """A bright picture in which everything moves alike, with cuts at the given times."""
    frames = round(seconds * FRAME_RATE)
    cut = np.zeros(frames, np.bool_)
    cut[[round(time * FRAME_RATE) for time in cuts]] = True
    return Picture(
        motion=np.full(frames, motion, np.float32),
        cut=cut,
        luma=np.full(frames, 100, np.float32),
    )


def seconds(count: int, **given: ArrayLike) -> Seconds:
    """Rows of silence over a still, bright picture, but for the series given."""
    nothing = {
        "speech": 0,
        "level": -70,
        "swing": 0,
        "flux": 0,
        "quiet": 0,
        "motion": 0,
        "cuts": 0,
        "dark": 0,
        "beat": 0,
    }
    series = {
        name: np.broadcast_to(np.asarray(value, np.float32), count).copy()
        for name, value in {**nothing, **given}.items()
        if name in nothing
    }
    return Seconds(**series, audible=bool(given.get("audible", True)))

"""Which of several mouths moves as speech sounds. Plain numbers.

A mouth that chews moves whether somebody speaks or not; that of the speaker moves with the sound.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from clipforge.media.kept_format import HOP_RATE
from clipforge.media.reframing.looking import MOUTH_RATE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from clipforge.media.features import Sound

    Floats = NDArray[np.float64]

# How far the sound may be before or after the pictures. Quarters of a second.
LAGS = (-1, 0, 1)
LEAST_SECONDS = 3.0
# Speech that never stops, and hardly changes in loudness, tells of no mouth whether it is its own.
LEAST_SPREAD = 0.15
# How many times as much as chance a mouth has to agree with the sound (the error of no agreement is one by
# the root of the number of values).
CLEARLY = 2.5
SOFTEST_DB = 30.0  # below the loudest; speech that is softer counts as none


def energy(sound: Sound) -> Floats:
    """The speech in each quarter of a second, from 0 (none) to 1 (the loudest); the first is before 0 s."""
    spoken = sound.voice[sound.speech]
    if not len(spoken):
        return np.zeros(1)
    loudness = np.clip((sound.voice - spoken.max()) / SOFTEST_DB + 1, 0, 1) * sound.speech
    hops = HOP_RATE // MOUTH_RATE
    whole = len(loudness) // hops * hops
    return np.concatenate([[0.0], loudness[:whole].reshape(-1, hops).mean(axis=1)])


def movements(mouths: Sequence[Floats], speech: Floats) -> list[float] | None:
    """By how much more each mouth moves where speech is loudest than in silence, in gray levels.

    That of a mouth that agrees less with the sound than another counts for less. A mouth has a value for
    each quarter of a second, NaN where it was not seen. None where the sound tells of none of them.
    """
    found = [_movement(mouth, speech[: len(mouth)]) for mouth in mouths]
    best = max((agreement for agreement, _ in found), default=0.0)
    if not best:
        return None
    return [slope * (agreement / best) ** 2 for agreement, slope in found]


def _movement(mouth: Floats, speech: Floats) -> tuple[float, float]:
    """How well a mouth agrees with the sound (0 to 1), and by how much more it moves with it."""
    best = 0.0, 0.0
    for lag in LAGS:
        seen, heard = _paired(mouth, speech, lag)
        if len(seen) < LEAST_SECONDS * MOUTH_RATE or heard.std() < LEAST_SPREAD or not seen.std():
            continue
        agreement = float(np.corrcoef(seen, heard)[0, 1])
        if agreement > max(best[0], CLEARLY / len(seen) ** 0.5):
            best = agreement, agreement * float(seen.std() / heard.std())
    return best


def _paired(mouth: Floats, speech: Floats, lag: int) -> tuple[Floats, Floats]:
    """The movements that were seen, and the sound that was heard so many quarters later."""
    count = min(len(mouth), len(speech))
    seen, heard = (
        mouth[max(0, -lag) : count - max(0, lag)],
        speech[max(0, lag) : count + min(0, lag)],
    )
    known = ~np.isnan(seen)
    return seen[known], heard[known]

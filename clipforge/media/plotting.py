"""Curves: every sub-score over the length of a source, from what was kept of it. Runs in the child.

A point rates the stretch around it, of the length that the typical of a file is taken from, or a point's
share of a long source: what lies between two points counts too, and there are never more than POINTS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from clipforge.media.choosing import scorer_of, version
from clipforge.media.contracts import Curves
from clipforge.media.scoring import TYPICAL_LENGTH

if TYPE_CHECKING:
    from clipforge.media.kept import Kept
    from clipforge.media.words.transcript import Transcript

POINTS: Final = 300
SHORTEST_STEP: Final = 1.0  # s; nothing is measured more often than that


def curves(kept: Kept, transcript: Transcript | None) -> Curves:
    """The score and each sub-score at even distances, 0..100."""
    scorer = scorer_of(kept, transcript)
    duration = max(kept.duration, SHORTEST_STEP)
    step = max(SHORTEST_STEP, duration / POINTS)
    window = min(max(float(TYPICAL_LENGTH), step), duration)
    times = np.arange(min(POINTS, max(1, int(duration / step + 1e-6)))) * step + step / 2
    starts = np.clip(times - window / 2, 0, duration - window)
    found = scorer.rate(starts, starts + window)
    spoken = found.presence > 0
    words = {name: np.where(spoken, values, 0) for name, values in found.words.items()}
    return Curves(
        step=round(step, 3),
        window=round(window, 3),
        scorer_version=version(kept),
        values={
            name: [round(float(value), 1) for value in values]
            for name, values in {"score": found.total, **found.aspects, **words}.items()
        },
    )

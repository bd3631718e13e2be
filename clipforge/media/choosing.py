"""Choosing moments from kept features: at the end of an analysis, and again whenever asked.

Nothing is decoded. Choosing ten moments takes 0.25 CPU-s from an hour of talk, 0.75 from four.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from clipforge.media.boundaries import CUT_MARGIN, LEAD, TAIL, Boundaries
from clipforge.media.contracts import Choice, Chosen, Snap
from clipforge.media.decoding import FRAME_RATE
from clipforge.media.features import per_second
from clipforge.media.repeats import Repeats
from clipforge.media.scoring import SCORER_VERSION, Scorer
from clipforge.media.selection import rated, select
from clipforge.media.spoken import Spoken

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clipforge.media.kept import Kept
    from clipforge.media.words.transcript import Transcript

    Floats = NDArray[np.float64]

KEYFRAMES_SUFFIX: Final = "+keyframes"
SNAP_REACH: Final = 3.0  # s that an edge may move


def choose(kept: Kept, transcript: Transcript | None, wishes: Choice) -> Chosen:
    """The moments that the wishes leave, and whether there are others without them."""
    scorer, boundaries, repeats = _judges(kept, transcript, wishes.keywords)
    moments = select(scorer, boundaries, wishes, repeats)
    others = (
        not moments and wishes != Choice() and bool(select(scorer, boundaries, Choice(), repeats))
    )
    return Chosen(moments=moments, scorer_version=version(kept), others=others)


def place(kept: Kept, transcript: Transcript | None, start: float, end: float, snap: str) -> Chosen:
    """The rated moment from `start` to `end`, with each edge moved to the nearest of `snap`.

    There a word or a sentence begins or ends, or the shot changes. An edge without one in reach
    stays where it is, as all do with "none", and where nothing would be left between them.
    """
    scorer, boundaries, _ = _judges(kept, transcript)
    starts, ends = _edges(kept, transcript, boundaries, snap)
    first, last = _nearest(starts, start), _nearest(ends, end)
    if first < last:
        start, end = first, last
    end = min(end, kept.duration)
    return Chosen([rated(scorer, min(start, end), end)], version(kept))


def version(kept: Kept) -> str:
    """The version of the scorer; sources of which only keyframes are known have a suffix."""
    return SCORER_VERSION if kept.exact_cuts else SCORER_VERSION + KEYFRAMES_SUFFIX


def scorer_of(kept: Kept, transcript: Transcript | None, keywords: tuple[str, ...] = ()) -> Scorer:
    """The scorer of what is kept."""
    spoken = Spoken(transcript, keywords) if transcript and transcript.sentences else None
    return Scorer(per_second(kept.sound, kept.picture, kept.duration), spoken)


def _judges(
    kept: Kept, transcript: Transcript | None, keywords: tuple[str, ...] = ()
) -> tuple[Scorer, Boundaries, Repeats]:
    boundaries = Boundaries(
        kept.sound,
        kept.picture,
        kept.duration,
        exact_cuts=kept.exact_cuts,
        transcript=transcript,
    )
    seconds = per_second(kept.sound, kept.picture, kept.duration)
    repeats = Repeats(kept.sound, kept.picture, audible=seconds.audible)
    spoken = Spoken(transcript, keywords) if transcript and transcript.sentences else None
    return Scorer(seconds, spoken), boundaries, repeats


def _edges(
    kept: Kept, transcript: Transcript | None, boundaries: Boundaries, snap: str
) -> tuple[Floats, Floats]:
    """The places at which a moment may begin, and those at which it may end, in seconds."""
    if snap == Snap.NONE:
        return np.zeros(0), np.zeros(0)
    if snap == Snap.CUT:
        cuts = np.flatnonzero(kept.picture.cut if kept.exact_cuts else []) / FRAME_RATE
        return cuts + CUT_MARGIN, cuts - CUT_MARGIN
    if transcript is None:  # phrases between pauses, which is what is known
        return boundaries.speech[:, 0] - LEAD, boundaries.speech[:, 1] + TAIL
    spoken = transcript.words if snap == Snap.WORD else transcript.sentences
    return np.array([each.start for each in spoken]), np.array([each.end for each in spoken])


def _nearest(places: Floats, time: float) -> float:
    if not len(places):
        return time
    nearest = float(places[np.argmin(np.abs(places - time))])
    return max(nearest, 0.0) if abs(nearest - time) <= SNAP_REACH else time

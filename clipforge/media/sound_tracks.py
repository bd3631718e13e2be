"""Which sound track of a file is the one that people hear. Runs in the child.

Recorders write an empty track for a microphone that is off, and editors keep a second language or a
commentary. A player takes the track that is marked as the default. Matroska marks every track so
unless it is told otherwise, and some files mark none: then only listening tells.
"""

from __future__ import annotations

import itertools
from array import array
from typing import TYPE_CHECKING

import av
import av.error
from av.stream import Disposition

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Where a track is listened to: so many places over its length, so many seconds each.
PLACES, SECONDS = 12, 1.0
# Of 32,768. About -66 dBFS: the noise of a microphone in a quiet room is above it, dither is not.
AUDIBLE_PEAK = 16
RATE = 8_000  # Hz; enough to tell sound from silence
PACKETS_A_PLACE = 2_000


def choose(
    container: av.container.InputContainer, tracks: Sequence[av.AudioStream], duration: float
) -> av.AudioStream:
    """The track to use: the first that can be heard, those that are marked as default before others.

    Where none can be heard, the first of that order. `tracks` are those that can be decoded, at least
    one. Moves the container's position. A single track is not listened to.
    """
    ordered = sorted(tracks, key=lambda track: not track.disposition & Disposition.default)
    if len(ordered) == 1:
        return ordered[0]
    return next(
        (track for track in ordered if _can_be_heard(container, track, duration)), ordered[0]
    )


def _can_be_heard(
    container: av.container.InputContainer, track: av.AudioStream, duration: float
) -> bool:
    begin = (container.start_time or 0) / av.time_base
    for place in range(PLACES):
        since = begin + duration * place / PLACES
        container.seek(int(since * av.time_base))
        if any(peak > AUDIBLE_PEAK for peak in _peaks(container, track, since)):
            return True
    return False


def _peaks(
    container: av.container.InputContainer, track: av.AudioStream, since: float
) -> Iterator[int]:
    """The loudest sample of each decoded piece from `since` (seconds) on. Damage is skipped.

    A seek ends at the keyframe before, which may be far: what lies between is passed over.
    """
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    heard = 0
    for packet in itertools.islice(container.demux(track), PACKETS_A_PLACE):
        if packet.pts is not None and packet.time_base and packet.pts * packet.time_base < since:
            continue
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            continue
        for frame in frames:
            for piece in resampler.resample(frame):
                samples = array("h", bytes(piece.planes[0])[: piece.samples * 2])
                heard += len(samples)
                yield max(map(abs, samples), default=0)
        if heard >= RATE * SECONDS:
            return

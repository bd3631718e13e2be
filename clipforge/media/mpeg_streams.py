"""How long an MPEG stream without an index really is. Runs in the child.

A transport or program stream has no index, and its clock may start again: recordings that were joined, a
broadcast that switched to another source. The first and the last time stamp then say nothing about
what lies between. ffmpeg notices a jump of the clock while it decodes and lets time go on; here the
packets are counted in the same way, without decoding, so that both agree on the length.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import av

# As ffmpeg's `dts_delta_threshold`: a step of the clock by more is a new clock. Seconds.
JUMP: Final = 10.0
# As ffmpeg: going back by more than this is a new clock too. Seconds.
BACK: Final = 0.1


@dataclass(frozen=True, slots=True)
class Timeline:
    """Seconds from the start of the file to the end of its last picture, and whether its clock ran on."""

    duration: float
    is_continuous: bool


def measure(container: av.container.InputContainer, video: av.VideoStream) -> Timeline:
    """Read all packets from the start, without decoding: as fast as the disk.

    Moves the container's position to its end.
    """
    container.seek(container.start_time or 0)
    streams = [video, *container.streams.audio]
    # As floats, looked up once: a recording of four hours has a million packets, and a probe in a
    # request has seconds.
    units = {stream.index: float(stream.time_base or 0) for stream in streams}
    begin = (container.start_time or 0) / av.time_base
    end = shift = 0.0
    expected: dict[int, float] = {}
    is_continuous = True
    for packet in container.demux(streams):
        if packet.dts is None:
            continue
        index = packet.stream_index
        unit = units[index]
        decoded_at = packet.dts * unit + shift
        due = expected.get(index)
        if due is not None and (abs(decoded_at - due) > JUMP or decoded_at + BACK < due):
            is_continuous = False
            shift += due - decoded_at
            decoded_at = due
        length = (packet.duration or 0) * unit
        expected[index] = decoded_at + length
        if index == video.index and packet.pts is not None:
            end = max(end, packet.pts * unit + shift + length)
    return Timeline(end - begin, is_continuous)

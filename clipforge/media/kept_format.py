"""The form of kept features, and the phrases in them, without numpy: for a process that serves requests.

The bytes come from a process that handled a hostile file: nothing takes more memory than the declared
lengths need, and these are bounded.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Final

from clipforge.media.decoding import FRAME_RATE

FORMAT: Final = 1
HEADER: Final = struct.Struct("<BBdII")  # format, exact cuts, duration, hops, pictures
LONGEST_SECONDS: Final = 24 * 3600
HOP_RATE: Final = 20  # hops of the sound, per second
SERIES_BEFORE_SPEECH: Final = 3  # of a byte a hop


@dataclass(frozen=True, slots=True)
class Packed:
    """Features as bytes: `rows` are the series one after the other."""

    duration: float
    exact_cuts: bool
    hops: int
    pictures: int
    rows: bytes


def opened(data: bytes) -> Packed:
    """Raises ValueError for anything that is not of this form."""
    if len(data) < HEADER.size or data[0] != FORMAT:
        raise ValueError("not features of this format")
    _, exact_cuts, duration, hops, pictures = HEADER.unpack_from(data)
    if not (
        0 <= duration <= LONGEST_SECONDS
        and hops <= LONGEST_SECONDS * HOP_RATE
        and pictures <= LONGEST_SECONDS * FRAME_RATE
    ):
        raise ValueError("features of an impossible length")
    size = SERIES_BEFORE_SPEECH * hops + -(-hops // 8) + 2 * pictures + -(-pictures // 8)
    return Packed(duration, bool(exact_cuts), hops, pictures, _inflated(data[HEADER.size :], size))


def phrases(data: bytes, start: float, end: float) -> list[tuple[float, float]]:
    """Where in [start, end) somebody speaks, as the detector of speech heard it. In seconds, in order.

    Raises ValueError for what are no features.
    """
    packed = opened(data)
    first = SERIES_BEFORE_SPEECH * packed.hops
    bits = packed.rows[first : first + -(-packed.hops // 8)]
    found: list[tuple[float, float]] = []
    for hop in range(max(int(start * HOP_RATE), 0), min(round(end * HOP_RATE), packed.hops)):
        if bits[hop // 8] >> (7 - hop % 8) & 1:
            begin = found.pop()[0] if found and found[-1][1] == hop / HOP_RATE else hop / HOP_RATE
            found.append((begin, (hop + 1) / HOP_RATE))
    return found


def _inflated(data: bytes, size: int) -> bytes:
    inflate = zlib.decompressobj()
    try:
        inflated = inflate.decompress(data, size + 1)
    except zlib.error as error:
        raise ValueError("damaged features") from error
    if len(inflated) != size or not inflate.eof:
        raise ValueError("features of another length than they declare")
    return inflated

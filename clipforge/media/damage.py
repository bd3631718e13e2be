"""Tells from the words of a decoder whether pictures were damaged, and concealed by it.

A decoder goes on: it draws what it can, and copies the rest from the picture before. Its exit status says
nothing of that, but it complains. Only complaints that a whole file never gives rise to are counted: some
are usual where reading begins in the middle.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from clipforge.media.contracts import WarningCode

if TYPE_CHECKING:
    from clipforge.media.contracts import SourceInfo

# A line is seldom as long as this; a hostile file may make it so.
LONGEST_LINE = 4096
# As the decoders of pictures say it: those of H.264, MPEG-1 to -4 and H.263, MJPEG, VP8, the rest.
_COMPLAINT = re.compile(
    rb"error while decoding MB|concealing \d+|(left|top) block unavailable|mb_type \d+ in|"
    rb"damaged at|Error at MB|invalid mb type|slice mismatch|"
    rb"bad vlc|error y=\d+|overread \d+|vist#.*Error submitting packet|Invalid NAL unit size|corrupt decoded frame"
)


class Complaints:
    """Takes all that ffmpeg says, cut anywhere. `pictures` is true once pictures were damaged."""

    def __init__(self) -> None:
        self.pictures = False
        self._rest = b""

    def feed(self, data: bytes) -> None:
        if self.pictures:
            return
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest[-LONGEST_LINE:]
        self.pictures = any(
            _COMPLAINT.search(line[:LONGEST_LINE]) and not line.startswith(b"[aist#")
            for line in lines
        )


def warnings_of(source: SourceInfo, complaints: Complaints) -> list[WarningCode]:
    """The things missing in something that was made of a source, by what was said meanwhile."""
    damaged = [WarningCode.PICTURE_DAMAGED] if complaints.pictures else []
    return [*source.warnings, *damaged]

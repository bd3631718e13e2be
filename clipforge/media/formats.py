"""The encoders and containers of clips, as arguments of ffmpeg."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clipforge.media.contracts import Format
from clipforge.media.encoding import THREADS

if TYPE_CHECKING:
    from fractions import Fraction

KEYFRAME_SECONDS = 2
# Bits a second that no part of a clip exceeds: for up to 1080, and by the pixels above that.
MOST_BITS, FULL_HD = 8_000_000, 1920 * 1080

# Each encodes about as fast as the first and looks about as good: 4.7, 5.6, 5.2 and 4.0 CPU-s for six
# seconds in 1080 of an animated film.
H264 = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "21", "-profile:v", "high")
HEVC = (
    *("-c:v", "libx265", "-preset", "superfast", "-crf", "24", "-tag:v", "hvc1"),
    *("-x265-params", f"pools={THREADS}:frame-threads={THREADS}:log-level=error"),
)
VP9 = (
    *("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "5", "-row-mt", "1"),
    *("-b:v", "0", "-crf", "32"),
)
# A faster preset than this is for tests of the encoder, as it says itself.
AV1 = ("-c:v", "libsvtav1", "-preset", "10", "-crf", "35", "-svtav1-params", f"lp={THREADS}")
MP4 = ("-movflags", "+faststart", "-f", "mp4")

ENCODERS = {Format.MP4: H264, Format.HEVC: HEVC, Format.AV1: AV1, Format.WEBM: VP9}


def pictures(wanted: Format, rate: Fraction, pixels: int) -> tuple[str, ...]:
    """The encoder of the pictures, for clips of so many pictures a second and pixels a picture."""
    common = ("-threads:v", THREADS, "-g", str(round(rate * KEYFRAME_SECONDS)))
    if wanted is Format.WEBM:
        return (*ENCODERS[wanted], *common)  # its limit of bits would need a target besides
    most = MOST_BITS * max(1, pixels / FULL_HD)
    limits = ("-maxrate", str(round(most)), "-bufsize", str(round(2 * most)))
    return (*ENCODERS[wanted], *limits, *common)


def sound(wanted: Format) -> tuple[str, ...]:
    """The sound was made as AAC, which WebM does not take."""
    return ("-c:a", "libopus", "-b:a", "128k") if wanted is Format.WEBM else ("-c:a", "copy")


def container(wanted: Format) -> tuple[str, ...]:
    return ("-f", "webm") if wanted is Format.WEBM else MP4

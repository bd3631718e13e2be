"""The ffmpeg binary, and the options that make an untrusted input safe.

The list of demuxers is the control that matters. A protocol list alone still lets a
playlist read local files; a demuxer list without playlists does not. Input options
belong to the one `-i` that follows them, so `safe_input` returns both together.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path

from clipforge.media.contracts import Limits

# Containers that hold their own samples: no playlists (hls, dash, concat), no devices,
# no image sequences, no sdp.
FORMATS = "mov,mp4,matroska,webm,avi,mpegts,mpeg,asf,flv"
PROTOCOLS = "file,pipe"
CODECS = (
    "h264,hevc,av1,libdav1d,vp8,vp9,mpeg4,mpeg1video,mpeg2video,mjpeg,prores,dnxhd,"
    "h263,msmpeg4,wmv1,wmv2,wmv3,vc1,"
    "aac,mp3,mp3float,mp2,mp2float,opus,vorbis,flac,ac3,eac3,dca,alac,amrnb,amrwb,"
    "wmav1,wmav2,wmapro,"
    "pcm_u8,pcm_s16le,pcm_s24le,pcm_s32le,pcm_f32le,pcm_s16be,pcm_alaw,pcm_mulaw,mov_text"
)
MAX_STREAMS = 16
# Containers without an index: a seek lands anywhere, and the length is what the first and the last time
# stamp make of it.
WITHOUT_INDEX = frozenset({"mpegts", "mpeg"})
NOWHERE = ("-f", "null", "-")
PROBE_BYTES = 20_000_000
PROBE_MICROSECONDS = 15_000_000

# ffmpeg needs no variable of our environment, which has secrets.
# The encoder of AV1 says only what went wrong.
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/nonexistent",
    "LC_ALL": "C.UTF-8",
    "SVT_LOG": "1",
}


@functools.cache
def executable() -> str:
    """The ffmpeg binary: `IMAGEIO_FFMPEG_EXE` if set, else the one in the wheel."""
    if chosen := os.environ.get("IMAGEIO_FFMPEG_EXE"):
        return chosen
    import imageio_ffmpeg  # here, because importing it takes time that a probe need not spend

    return str(imageio_ffmpeg.get_ffmpeg_exe())


def url(path: Path) -> str:
    """An argument that names this local file, whatever characters its name contains."""
    return f"file:{path.absolute()}"


def safe_input(path: Path, *, limits: Limits, options: tuple[str, ...] = ()) -> list[str]:
    """Input options and `-i` for one untrusted file; `options` are more input options."""
    return [
        *("-protocol_whitelist", PROTOCOLS),
        *("-format_whitelist", FORMATS),
        *("-codec_whitelist", CODECS),
        *("-max_pixels", str(limits.max_pixels)),
        *("-max_streams", str(MAX_STREAMS)),
        *("-probesize", str(PROBE_BYTES)),
        *("-analyzeduration", str(PROBE_MICROSECONDS)),
        *("-err_detect", "careful"),
        *options,
        *("-i", url(path)),
    ]


def same_clock(container: str, other: str) -> list[str]:
    """Arguments of an output that keeps `other` (a stream of the first input) on the clock of a run.

    In containers without an index, ffmpeg counts from the first time stamp of the streams that it is
    asked for: pictures and sound that are read by two runs would be counted from two beginnings. Packets
    are dropped unseen, which costs nothing.
    """
    return ["-map", other, "-c", "copy", *NOWHERE] if container in WITHOUT_INDEX else []

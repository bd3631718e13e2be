"""The poster of a stretch of a source: one of its keyframes. Runs in the child, while a request waits.

Only keyframes are decoded, of which a stretch has a few; without one, the picture in its middle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from clipforge.media import decoding, encoding, ffmpeg, illustrating, probing, rendering
from clipforge.media.contracts import POSTERS
from clipforge.media.encoding import THREADS, seconds_text
from clipforge.media.reframing import looking

if TYPE_CHECKING:
    from pathlib import Path

    from clipforge.media.contracts import Limits
    from clipforge.media.reframing.models import FaceModel

MOST_KEYFRAMES: Final = 16  # that are looked at; a minute has six to thirty


def portray(
    path: Path,
    folder: Path,
    start: float,
    end: float,
    limits: Limits,
    face_model: FaceModel | None = None,
) -> tuple[str, ...]:
    """Write the posters of [start, end) into a folder; their names, none where no time leads to it."""
    examined = probing.examine(path, limits)
    if not examined.can_seek:
        return ()
    source = examined.source
    judge = illustrating.Judge(
        looking.detection_size((source.width, source.height)), looking.detector(face_model)
    )
    toned = (rendering.tone_map(examined.hdr_transfer),) if examined.hdr_transfer else ()
    stretch = ("-ss", seconds_text(start), "-t", seconds_text(end - start))
    opened = _opened(path, limits, "-skip_frame", "nokey", *stretch)
    if found := _keyframes(opened, judge, toned):
        best = max(range(found), key=judge.marks.__getitem__)
        chosen: tuple[str, ...] = (f"select=eq(n\\,{best})",)
    else:
        opened = _opened(path, limits, "-ss", seconds_text((start + end) / 2))
        chosen = ()
    outputs = illustrating.posters(source, folder, (*chosen, rendering.DEINTERLACE), toned)
    encoding.run(["-v", "error", *opened, *decoding.written(outputs)], limits)
    return tuple(name for name in POSTERS if (folder / name).is_file())


def _keyframes(opened: list[str], judge: illustrating.Judge, toned: tuple[str, ...]) -> int:
    """How many keyframes there are, each of which has its mark then."""
    width, height = judge.size
    filters = (f"scale={width}:{height}:flags=fast_bilinear", *toned, "format=rgb24")
    feed = looking.Frames(width * height * 3, judge.take).feed
    # None twice, however long after the one before it is.
    once = ("-fps_mode", "passthrough")
    decoding.stream(opened, [looking.raw(feed, filters, MOST_KEYFRAMES, *once)])
    return len(judge.marks)


def _opened(path: Path, limits: Limits, *options: str) -> list[str]:
    return ffmpeg.safe_input(path, limits=limits, options=("-threads", THREADS, *options))

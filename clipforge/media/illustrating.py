"""Pictures of a clip: a poster, and a strip of small ones for scrubbing. Runs in the child.

The poster is a sharp picture, with a face where one is found; not dark, and not between two shots. The strip is
one sprite with its WebVTT, in which each cue names a part of the sprite by its pixels. Those of a whole
source are made while it is analysed (`clipforge.media.overview`).
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from clipforge.media import decoding, encoding, ffmpeg, probing
from clipforge.media.contracts import PICTURES
from clipforge.media.encoding import THREADS, seconds_text
from clipforge.media.reframing import looking

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from clipforge.media.contracts import Limits, SourceInfo
    from clipforge.media.reframing.faces import FaceDetector
    from clipforge.media.reframing.models import FaceModel
    from clipforge.media.sandbox import OnProgress

STAGE = "poster"
POSTERS = {
    "poster.jpg": ("-c:v", "mjpeg", "-q:v", "3"),
    "poster.webp": ("-c:v", "libwebp", "-compression_level", "2"),
}
STRIP, CUES = "strip.jpg", "strip.vtt"
POSTER_SIDE = 1280  # pixels at most
TILE_SIDE = 160
COLUMNS, MAX_TILES, SHORTEST_TILE = 10, 100, 0.5
NO_TILE = 0.1  # of one: a rest that is shorter belongs to the last
# Where a poster is sought: so many pictures, spread over the clip.
CANDIDATES = 60
DARK = 40  # of 255: no poster, if there is anything else
FACE_BONUS = 1.5
# The first picture of an input, though it lies before the time that was sought. Otherwise ffmpeg drops it,
# and decodes on up to that time: ten seconds of 1080p, where keyframes are so far apart.
ANY_TIME = "passthrough"


def illustrate(
    clip: Path,
    folder: Path,
    limits: Limits,
    on_progress: OnProgress,
    face_model: FaceModel | None = None,
) -> tuple[str, ...]:
    """Write the pictures of a clip into a folder; their names. Raises MediaError."""
    source = probing.probe(clip, limits)
    on_progress(STAGE, 0.0)
    time = _poster_time(clip, source, limits, looking.detector(face_model))
    encoding.run(_poster(clip, source, folder, time, limits), limits)
    on_progress(STAGE, 0.5)
    encoding.run(_strip(clip, source, folder, limits), limits)
    (folder / CUES).write_text(cues(source, *tiles(source.duration)), encoding="utf-8")
    on_progress(STAGE, 1.0)
    return PICTURES


def _poster_time(
    clip: Path, source: SourceInfo, limits: Limits, detector: FaceDetector | None
) -> float:
    """When the best picture is, in seconds."""
    rate = Fraction(max(1, round(100 * CANDIDATES / source.duration)), 100)
    rate = min(rate, Fraction(looking.SAMPLE_RATE))
    judge = Judge(looking.detection_size((source.width, source.height)), detector)
    judge.watch(_input(clip, limits), rate)
    best = max(range(len(judge.marks)), key=judge.marks.__getitem__, default=0)
    return min(float(best / rate), max(0.0, source.duration - 2 / source.fps))


class Judge:
    """Gives each picture of a clip a mark."""

    def __init__(self, size: tuple[int, int], detector: FaceDetector | None) -> None:
        self.marks: list[float] = []
        self.size, self._detector = size, detector

    def watch(self, arguments: list[str], rate: Fraction) -> None:
        looking.watch(arguments, rate, self.size, CANDIDATES + 2, self.take)

    def take(self, frame: NDArray[np.uint8]) -> None:
        picture = frame.reshape(self.size[1], self.size[0], 3)
        self.marks.append(self._mark(picture))

    def _mark(self, picture: NDArray[np.uint8]) -> float:
        faces = self._detector.find(picture) if self._detector else []
        return mark(picture) * (FACE_BONUS if faces else 1.0)


def mark(picture: NDArray[np.uint8]) -> float:
    """How good a picture is as a poster, by its light and sharpness."""
    gray = picture[:, :, 1].astype(np.float32)
    if gray.mean() < DARK:
        return float(gray.mean()) / 1e3
    # How much a pixel differs from the mean of its neighbours: blur and fades take that away.
    rough = (
        4 * gray[1:-1, 1:-1] - gray[:-2, 1:-1] - gray[2:, 1:-1] - gray[1:-1, :-2] - gray[1:-1, 2:]
    )
    return float(rough.std())


def _poster(clip: Path, source: SourceInfo, folder: Path, time: float, limits: Limits) -> list[str]:
    opened = _input(clip, limits, "-ss", seconds_text(time))
    return ["-v", "error", *opened, *decoding.written(posters(source, folder))]


def posters(
    source: SourceInfo, folder: Path, before: Sequence[str] = (), after: Sequence[str] = ()
) -> list[decoding.Written]:
    """The outputs that are the first picture of an input as a poster of each kind.

    `before` and `after` are filters that come before it is scaled and after.
    """
    width, height = shrunk(source, POSTER_SIDE)
    filters = ",".join((*before, f"scale={width}:{height}:flags=bicubic,setsar=1", *after))
    one = ("-fps_mode", ANY_TIME, "-frames:v", "1")
    return [
        (filters, [*one, *codec, "-f", "image2", "-update", "1", ffmpeg.url(folder / name)])
        for name, codec in POSTERS.items()
    ]


def _strip(clip: Path, source: SourceInfo, folder: Path, limits: Limits) -> list[str]:
    count, seconds = tiles(source.duration)
    width, height = tile_size(source)
    rows = math.ceil(count / COLUMNS)
    filters = (
        f"fps={1 / seconds:.6f}:start_time=0:round=up,scale={width}:{height}:flags=bilinear,setsar=1,"
        f"trim=end_frame={count},tile={COLUMNS}x{rows}"
    )
    return [
        *("-v", "error", *_input(clip, limits), "-map", "0:V:0", "-vf", filters),
        *("-frames:v", "1", "-c:v", "mjpeg", "-q:v", "5"),
        *("-f", "image2", "-update", "1", ffmpeg.url(folder / STRIP)),
    ]


def tiles(duration: float, shortest: float = SHORTEST_TILE) -> tuple[int, float]:
    """How many small pictures stand for a clip, and for how many seconds each."""
    seconds = max(shortest, duration / MAX_TILES)
    return max(1, math.ceil(duration / seconds - NO_TILE)), seconds


def tile_size(source: SourceInfo) -> tuple[int, int]:
    return shrunk(source, TILE_SIDE, enlarge=True)


def shrunk(source: SourceInfo, side: int, *, enlarge: bool = False) -> tuple[int, int]:
    """Width and height in even pixels, with this longer side or, unless it is enlarged, the source's."""
    scale = side / max(source.width, source.height)
    scale = scale if enlarge else min(1.0, scale)
    width, height = (
        max(2, round(length * scale / 2) * 2) for length in (source.width, source.height)
    )
    return width, height


def cues(source: SourceInfo, count: int, seconds: float) -> str:
    """The WebVTT of a strip of so many pictures. The sprite is named relative to it."""
    width, height = tile_size(source)
    blocks = ["WEBVTT"]
    for number in range(count):
        begin = number * seconds
        end = begin + seconds if number < count - 1 else source.duration
        x, y = number % COLUMNS * width, number // COLUMNS * height
        blocks.append(f"{_clock(begin)} --> {_clock(end)}\n{STRIP}#xywh={x},{y},{width},{height}")
    return "\n\n".join(blocks) + "\n"


def _clock(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}.{rest % 1000:03}"


def _input(clip: Path, limits: Limits, *options: str) -> list[str]:
    return ffmpeg.safe_input(clip, limits=limits, options=("-threads", THREADS, *options))

"""Pictures of a whole source, made of what its analysis decodes: a poster and a strip. Runs in the child.

Decoding them again would cost as much as the analysis. So up to a hundred pictures, a second apart at
least, leave the decoder small, besides those that are measured: the strip is made of them, and the best is
sought among them. Only that one is decoded again, in full, since the analysis leaves out what smooths blocks.
"""

from __future__ import annotations

import functools
import heapq
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from clipforge.media import decoding, encoding, ffmpeg, illustrating, rendering
from clipforge.media.contracts import PICTURES, MediaError
from clipforge.media.encoding import THREADS, seconds_text
from clipforge.media.reframing import looking
from clipforge.media.reframing.faces import ALIGNMENT

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from clipforge.media.contracts import Limits
    from clipforge.media.probing import ExaminedSource
    from clipforge.media.reframing.faces import FaceDetector
    from clipforge.media.reframing.models import FaceModel
    from clipforge.media.sandbox import OnProgress

    Picture = NDArray[np.uint8]

STAGE: Final = "poster"
SHORTEST_TILE: Final = 1.0  # s; every picture more costs 4 CPU-ms of 1080p
# The pictures that leave the decoder have so many times the sides of those in the strip.
TIMES: Final = 3
# Faces are looked for in the sharpest, in so many for a minute of source: 15 CPU-ms each.
FACES_A_MINUTE: Final = 6
MOST_WITH_FACES: Final = 12
# How sharp the keyframe before the chosen picture has to be beside it, to take its place. It is smoothed,
# and the other one is not, which makes as much as a third of the sharpness of a grainy picture.
AS_SHARP: Final = 0.6


@dataclass(frozen=True, slots=True)
class Wanted:
    """The folder that the pictures go to, and the model that finds faces."""

    folder: Path
    face_model: FaceModel | None = None


class Overview:
    """Takes pictures of a source while it is decoded, and draws poster and strip of them."""

    def __init__(self, wanted: Wanted, examined: ExaminedSource) -> None:
        self._wanted, self._examined = wanted, examined
        source = examined.source
        self._count, self._seconds = illustrating.tiles(source.duration, SHORTEST_TILE)
        self._tile = illustrating.tile_size(source)
        self._size = TIMES * self._tile[0], TIMES * self._tile[1]
        rows = -(-self._count // illustrating.COLUMNS)
        columns = min(self._count, illustrating.COLUMNS)
        self._sprite = np.zeros((rows * self._tile[1], columns * self._tile[0], 3), np.uint8)
        self._seen = 0
        most = max(1, min(MOST_WITH_FACES, round(FACES_A_MINUTE * source.duration / 60)))
        self._most = most if wanted.face_model else 1
        # The best so far: mark, number (the earlier of two alike is the better), picture.
        self._best: list[tuple[float, int, Picture]] = []

    def output(self) -> decoding.Output:
        """The output of the decoder that gives the pictures."""
        width, height = self._size
        filters = [
            f"fps={1 / self._seconds:.6f}:start_time=0:round=up",
            *self._small(),
            "format=rgb24",
        ]
        frames = looking.Frames(width * height * 3, self._take)
        return looking.raw(frames.feed, tuple(filters), self._count)

    def _take(self, frame: Picture) -> None:
        width, height = self._size
        picture = frame.reshape(height, width, 3)
        self._draw_tile(self._seen, picture)
        entry = illustrating.mark(picture), -self._seen, picture
        add = heapq.heappush if len(self._best) < self._most else heapq.heappushpop
        add(self._best, entry)
        self._seen += 1

    def _draw_tile(self, number: int, picture: Picture) -> None:
        width, height = self._tile
        small = np.zeros((height, width, 3), np.uint16)
        for first in np.ndindex(TIMES, TIMES):  # ten times as fast as numpy's mean over both axes
            small += picture[first[0] :: TIMES, first[1] :: TIMES]
        small //= TIMES**2
        row, column = divmod(number, illustrating.COLUMNS)
        y, x = row * height, column * width
        self._sprite[y : y + height, x : x + width] = small

    def draw(self, path: Path, limits: Limits, on_progress: OnProgress) -> tuple[str, ...]:
        """Write the pictures into the folder; the names of those that could be made."""
        if not self._seen:
            return ()
        on_progress(STAGE, 0.0)
        try:
            self._draw_poster(path, limits)
            self._draw_strip(limits)
        except (MediaError, OSError) as error:
            # The analysis is what was asked for, and is complete without them.
            sys.stderr.write(f"no pictures: {error}\n")
            return ()
        on_progress(STAGE, 1.0)
        return PICTURES

    def _draw_poster(self, path: Path, limits: Limits) -> None:
        source, folder = self._examined.source, self._wanted.folder
        has_face, number, picture = self._choose()
        if self._examined.can_seek:
            time = min(number * self._seconds, max(0.0, source.duration - 2 / source.fps))
            enough = AS_SHARP * illustrating.mark(picture)
            # The keyframe before it is of the same shot, as a rule, and needs no other picture.
            for option in ("-noaccurate_seek", "-accurate_seek"):
                seek = (option, "-ss", seconds_text(time))
                shown = self._decode_poster(path, seek, limits)
                if shown is None or illustrating.mark(shown) < enough:
                    continue
                if not has_face or self._has_face(shown):
                    return
        # No time leads to it, or it cannot be decoded alone. Small is better than none.
        self._encode(picture, decoding.written(illustrating.posters(source, folder)), limits)

    def _decode_poster(self, path: Path, seek: tuple[str, ...], limits: Limits) -> Picture | None:
        """Write the posters of the first picture there; that picture, as small as the others."""
        source, folder = self._examined.source, self._wanted.folder
        width, height = self._size
        shown: list[Picture] = []
        small = (*self._small(), "format=rgb24")
        opened = ffmpeg.safe_input(path, limits=limits, options=("-threads", THREADS, *seek))
        take = looking.Frames(width * height * 3, shown.append).feed
        try:
            decoding.stream(
                ["-y", *opened],
                [looking.raw(take, small, 1, "-fps_mode", illustrating.ANY_TIME)],
                files=illustrating.posters(source, folder, (rendering.DEINTERLACE,), self._toned()),
            )
        except MediaError:  # of a damaged picture; there is a small one, which was decoded
            return None
        written = all((folder / name).is_file() for name in illustrating.POSTERS)
        return shown[0].reshape(height, width, 3) if shown and written else None

    def _draw_strip(self, limits: Limits) -> None:
        folder = self._wanted.folder
        # What the file is short of its declared length stays on its last picture.
        for number in range(self._seen, self._count):
            self._copy_tile(self._seen - 1, number)
        output = ["-frames:v", "1", "-c:v", "mjpeg", "-q:v", "5", "-f", "image2", "-update", "1"]
        self._encode(self._sprite, [*output, ffmpeg.url(folder / illustrating.STRIP)], limits)
        said = illustrating.cues(self._examined.source, self._count, self._seconds)
        (folder / illustrating.CUES).write_text(said, encoding="utf-8")

    def _copy_tile(self, number: int, to: int) -> None:
        width, height = self._tile
        (y, x), (row, column) = (
            divmod(number, illustrating.COLUMNS),
            divmod(to, illustrating.COLUMNS),
        )
        tile = self._sprite[y * height : (y + 1) * height, x * width : (x + 1) * width].copy()
        self._sprite[row * height : (row + 1) * height, column * width : (column + 1) * width] = (
            tile
        )

    def _choose(self) -> tuple[bool, int, Picture]:
        """The best picture: whether it has a face, its number, and itself."""
        ranked = []
        for mark, number, picture in self._best:
            has_face = self._has_face(picture)
            rank = mark * (illustrating.FACE_BONUS if has_face else 1.0)
            ranked.append((rank, number, has_face, picture))
        _, number, has_face, picture = max(ranked, key=lambda entry: entry[:2])
        return has_face, -number, picture

    def _has_face(self, picture: Picture) -> bool:
        if self._detector is None:
            return False
        height, width = picture.shape[:2]
        beside = ((0, -height % ALIGNMENT), (0, -width % ALIGNMENT), (0, 0))
        return bool(self._detector.find(np.pad(picture, beside)))

    @functools.cached_property
    def _detector(self) -> FaceDetector | None:
        return looking.detector(self._wanted.face_model)

    def _small(self) -> tuple[str, ...]:
        width, height = self._size
        return (f"scale={width}:{height}:flags=fast_bilinear", *self._toned())

    def _toned(self) -> tuple[str, ...]:
        transfer = self._examined.hdr_transfer
        return (rendering.tone_map(transfer), "format=yuv420p") if transfer else ()

    def _encode(self, picture: Picture, outputs: list[str], limits: Limits) -> None:
        """Run ffmpeg on a picture that was made here."""
        height, width = picture.shape[:2]
        raw = self._wanted.folder / "picture.rgb"
        try:
            raw.write_bytes(picture.tobytes())
            form = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}")
            encoding.run(["-v", "error", *form, "-i", ffmpeg.url(raw), *outputs], limits)
        finally:
            raw.unlink(missing_ok=True)

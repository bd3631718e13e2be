"""Looks at the pictures of a clip before they are rendered: faces, cuts, movement, and whether it is a screen.

One ffmpeg gives two streams, on the clock of the clip: every picture small and gray, for cuts and movement,
and two a second in colour, for faces. Nothing but numbers is kept, about 2 kB a second. Runs in the child.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clipforge.media import decoding
from clipforge.media.features import PictureExtractor
from clipforge.media.reframing.faces import ALIGNMENT, Box, FaceDetector

if TYPE_CHECKING:
    from collections.abc import Callable
    from fractions import Fraction

    from numpy.typing import NDArray

    from clipforge.media.reframing.models import FaceModel

SAMPLE_RATE = 2  # pictures a second in which faces are looked for
MOUTH_RATE = 2 * SAMPLE_RATE  # how often it is noted how much a mouth moves
# Between two samples with the same faces the picture in between is not searched, if it looks like the first:
# finding faces takes most of the time here. Shares of the face's size, and gray levels.
STEADY_PLACE, STEADY_SIZE, SAME_PICTURE = 0.3, 1.2, 8
THINNED = 8  # only every so many pixels are compared for that
LONG_SIDE = 512  # pixels of those, where a face of a twentieth of the width is found
GRAY_WIDTH, GRAY_HEIGHT = 2 * decoding.FRAME_WIDTH, 2 * decoding.FRAME_HEIGHT
GRAY_BYTES = GRAY_WIDTH * GRAY_HEIGHT
MAX_WAITING = 60  # samples whose movement waits for their faces
CHANGED = 6  # gray levels; less is noise
EDGE = 16  # gray levels between neighbours; less is texture, noise or a shadow
# A screen: mostly flat, with sharp edges, and nearly nothing in it moves.
FLAT, SHARP = 1, 40  # gray levels between neighbours
SCREEN_FLAT, SCREEN_SHARP, SCREEN_CHANGED = 0.55, 0.02, 0.06  # shares of the picture
# Where the mouth is in the box of a face, and where nothing speaks: left, top, right, bottom.
MOUTH, BROW = (0.2, 0.62, 0.8, 1.0), (0.1, 0.0, 0.9, 0.5)


# The detail of a picture, by columns and by rows.
Detail = tuple["NDArray[np.float32]", "NDArray[np.float32]"]


@dataclass(frozen=True, slots=True)
class Face:
    """A face in one sample. `speaking`: how much more its mouth moves than its brow, in gray levels.

    `mouth` is that of the quarter of a second before, and of the one after.
    """

    box: Box
    speaking: float = 0.0
    mouth: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Sample:
    """A moment of the clip: its faces, and where it moves, by columns and by rows; and where it has detail."""

    faces: tuple[Face, ...]
    columns: NDArray[np.float32]
    rows: NDArray[np.float32]
    screen: bool
    detailed_columns: NDArray[np.float32]
    detailed_rows: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything that was seen: sample N is at N / SAMPLE_RATE seconds. `cuts` are numbers of pictures."""

    samples: list[Sample]
    cuts: list[int]
    pictures: int


@dataclass(frozen=True, slots=True)
class View:
    """The pictures to look at: `arguments` open the source, and `clock` are filters that begin at 0 s.

    `size` is width and height as shown. There are `pictures` of them, `rate` a second.
    """

    arguments: list[str]
    clock: tuple[str, ...]
    size: tuple[int, int]
    rate: Fraction
    pictures: int


def look(view: View, detector: FaceDetector | None, on_progress: Callable[[float], None]) -> Seen:
    """Look at the pictures of a clip. Without a detector there are no faces.

    `on_progress` gets the share of them that was seen. Damaged pictures are left out.
    """
    width, height = detection_size(view.size)
    watcher = Watcher(view.rate, (width, height), detector)
    small = f"scale={GRAY_WIDTH}:{GRAY_HEIGHT}:flags=fast_bilinear,format=gray"
    large = f"scale={width}:{height}:flags=bilinear,format=rgb24"
    # `up`: the last picture up to the time of a sample, and not one of up to half a sample later.
    every, some = f"fps={view.rate}:start_time=0", f"fps={SAMPLE_RATE}:start_time=0:round=up"
    samples = math.ceil(view.pictures / view.rate * SAMPLE_RATE)

    def feed(data: bytes) -> None:
        watcher.feed_gray(data)
        on_progress(watcher.pictures / view.pictures)

    decoding.stream(
        view.arguments,
        [
            raw(feed, (*view.clock, every, small), view.pictures),
            raw(watcher.feed_colour, (*view.clock, some, large), samples),
        ],
    )
    return watcher.finish()


def watch(
    arguments: list[str],
    rate: Fraction,
    size: tuple[int, int],
    most: int,
    take: Callable[[NDArray[np.uint8]], None],
) -> None:
    """Give `take` so many pictures a second of a clip, in colour, `most` of them at most."""
    filters = (f"fps={rate}:start_time=0:round=up", f"scale={size[0]}:{size[1]}:flags=bilinear")
    feed = Frames(size[0] * size[1] * 3, take).feed
    decoding.stream(arguments, [raw(feed, (*filters, "format=rgb24"), most)])


def detection_size(size: tuple[int, int]) -> tuple[int, int]:
    """Width and height of the pictures that faces are looked for in."""
    scale = LONG_SIDE / max(size)
    width, height = (max(1, round(side * scale / ALIGNMENT)) * ALIGNMENT for side in size)
    return width, height


def raw(
    feed: Callable[[bytes], None], filters: tuple[str, ...], count: int, *options: str
) -> decoding.Output:
    """An output of so many raw pictures. `options` are more options of it."""
    return decoding.Output(
        feed,
        lambda pipe: [
            *("-frames:v", str(count), *options),
            *("-c:v", "rawvideo", "-f", "rawvideo", pipe),
        ],
        ",".join(filters),
    )


def detector(model: FaceModel | None) -> FaceDetector | None:
    """The detector with this model. A file that is no such model counts as none: the clip is made."""
    if model is None:
        return None
    try:
        return FaceDetector(model)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"no faces: the model {model.name} cannot be used: {error}\n")
        return None


class Frames:
    """Cuts a stream of bytes into frames."""

    def __init__(self, size: int, take: Callable[[NDArray[np.uint8]], None]) -> None:
        self._size, self._take, self._rest = size, take, bytearray()

    def feed(self, data: bytes) -> None:
        self._rest += data
        while len(self._rest) >= self._size:
            frame = np.frombuffer(bytes(self._rest[: self._size]), np.uint8)
            del self._rest[: self._size]
            self._take(frame)


class Watcher:
    """Takes both streams, whichever is ahead, and keeps what was seen."""

    def __init__(
        self, rate: Fraction, size: tuple[int, int], detector: FaceDetector | None
    ) -> None:
        self._rate, self._size, self._detector = rate, size, detector
        self._extractor = PictureExtractor()
        self._gray = Frames(GRAY_BYTES, self._take_gray)
        self._colour = Frames(size[0] * size[1] * 3, self._take_colour)
        self.pictures = 0
        self._before: NDArray[np.int16] | None = None
        self._change = np.zeros((GRAY_HEIGHT, GRAY_WIDTH), np.float32)
        self._quarters: list[NDArray[np.float32]] = []
        self._changes: dict[int, list[NDArray[np.float32]]] = {}
        self._moved: list[tuple[NDArray[np.float32], NDArray[np.float32], float]] = []
        self._found: list[tuple[list[Box], bool, Detail]] = []
        self._between: NDArray[np.uint8] | None = None
        self._last: NDArray[np.uint8] | None = None
        self._faces: dict[int, tuple[Face, ...]] = {}

    def feed_gray(self, data: bytes) -> None:
        self._gray.feed(data)

    def feed_colour(self, data: bytes) -> None:
        self._colour.feed(data)

    def finish(self) -> Seen:
        self._close_quarter()
        if self._quarters:
            self._close_quarter()
        if self._between is not None:
            self._keep(self._between, self._find(self._between))
        self._meet()
        cuts = [int(cut) for cut in np.flatnonzero(self._extractor.finish().cut)]
        count = min(len(self._found), len(self._moved))
        return Seen([self._sample(index) for index in range(count)], cuts, self.pictures)

    def _sample(self, index: int) -> Sample:
        boxes, screen, detail = self._found[index]
        columns, rows, changed = self._moved[index]
        return Sample(
            faces=self._faces.get(index, tuple(Face(box) for box in boxes)),
            columns=columns,
            rows=rows,
            screen=screen and changed <= SCREEN_CHANGED,
            detailed_columns=detail[0],
            detailed_rows=detail[1],
        )

    def _take_gray(self, frame: NDArray[np.uint8]) -> None:
        picture = frame.reshape(GRAY_HEIGHT, GRAY_WIDTH)
        self._extractor.feed(picture[::2, ::2].tobytes())
        now = picture.astype(np.int16)
        if self._before is not None:
            self._change += np.abs(now - self._before)
        self._before = now
        self.pictures += 1
        # The window of sample N lies around it, a quarter of a second before and one after.
        quarters = 2 * len(self._moved) + len(self._quarters)
        if self.pictures >= quarters * self._rate / MOUTH_RATE:
            self._close_quarter()
            self._meet()

    def _close_quarter(self) -> None:
        self._quarters.append(self._change * (MOUTH_RATE / float(self._rate)))
        self._change = np.zeros_like(self._change)
        if len(self._quarters) == MOUTH_RATE // SAMPLE_RATE:
            self._close_window()

    def _close_window(self) -> None:
        quarters, self._quarters = self._quarters, []
        change = sum(quarters) / np.float32(len(quarters))
        moving = np.where(change > CHANGED, change, 0)
        self._changes[len(self._moved)] = quarters
        self._moved.append((moving.sum(axis=0), moving.sum(axis=1), float((moving > 0).mean())))
        if len(self._changes) > MAX_WAITING:
            del self._changes[min(self._changes)]

    def _take_colour(self, frame: NDArray[np.uint8]) -> None:
        width, height = self._size
        picture = frame.reshape(height, width, 3)
        between, self._between = self._between, None
        if between is not None:
            boxes = self._find(picture)
            before = self._found[-1][0]
            steady = _steady(before, boxes) if _looks_like(between, self._last) else None
            self._keep(between, self._find(between) if steady is None else steady)
            self._keep(picture, boxes)
        elif self._last is None:
            self._keep(picture, self._find(picture))
        else:
            self._between = picture
        self._meet()

    def _find(self, picture: NDArray[np.uint8]) -> list[Box]:
        return self._detector.find(picture) if self._detector else []

    def _keep(self, picture: NDArray[np.uint8], boxes: list[Box]) -> None:
        self._found.append((boxes, _looks_like_screen(picture), _detail(picture)))
        self._last = picture

    def _meet(self) -> None:
        """Bring together the faces and the movement of samples that have both."""
        for index in [index for index in self._changes if index < len(self._found)]:
            before, after = self._changes.pop(index)
            both = (before + after) / np.float32(2)
            self._faces[index] = tuple(
                Face(box, _speaking(box, both), (_speaking(box, before), _speaking(box, after)))
                for box in self._found[index][0]
            )


def _looks_like(picture: NDArray[np.uint8], other: NDArray[np.uint8] | None) -> bool:
    if other is None:
        return False
    one, two = (each[::THINNED, ::THINNED, 1].astype(np.int16) for each in (picture, other))
    return bool(np.abs(one - two).mean() < SAME_PICTURE)


def _steady(before: list[Box], after: list[Box]) -> list[Box] | None:
    """The faces between two finds of the same ones, halfway; None where they are not the same."""
    if len(before) != len(after):
        return None
    found, left = [], list(after)
    for one in before:
        two = min(left, key=lambda box: abs(box.x - one.x) + abs(box.y - one.y))
        left.remove(two)
        grown = max(one.height, two.height) / max(min(one.height, two.height), 1e-6)
        if (
            abs(one.x - two.x) > STEADY_PLACE * one.width
            or abs(one.y - two.y) > STEADY_PLACE * one.height
            or grown > STEADY_SIZE
        ):
            return None
        found.append(
            Box(
                (one.left + two.left) / 2,
                (one.top + two.top) / 2,
                (one.right + two.right) / 2,
                (one.bottom + two.bottom) / 2,
            )
        )
    return found


def _speaking(face: Box, change: NDArray[np.float32]) -> float:
    return max(0.0, _mean(face, MOUTH, change) - _mean(face, BROW, change))


def _mean(face: Box, part: tuple[float, float, float, float], change: NDArray[np.float32]) -> float:
    height, width = change.shape
    left, right = ((face.left + face.width * part[side]) * width for side in (0, 2))
    top, bottom = ((face.top + face.height * part[side]) * height for side in (1, 3))
    seen = change[
        int(top) : max(int(top) + 1, round(bottom)), int(left) : max(int(left) + 1, round(right))
    ]
    return float(seen.mean()) if seen.size else 0.0


def _detail(picture: NDArray[np.uint8]) -> Detail:
    """Where a picture has edges that the eye goes to: sharp ones, by columns and by rows."""
    green = picture[:, :, 1].astype(np.int16)
    across, down = np.abs(np.diff(green, axis=1)), np.abs(np.diff(green, axis=0))
    edges = np.maximum(across[:-1], down[:, :-1])
    sharp = np.where(edges >= EDGE, edges, 0).astype(np.float32)
    return sharp.sum(axis=0), sharp.sum(axis=1)


def _looks_like_screen(picture: NDArray[np.uint8]) -> bool:
    """Whether a picture is flat with sharp edges, as windows and slides are and what a camera sees is not."""
    steps = np.abs(np.diff(picture[:, :, 1].astype(np.int16), axis=1))
    return bool((steps <= FLAT).mean() >= SCREEN_FLAT and (steps >= SHARP).mean() >= SCREEN_SHARP)

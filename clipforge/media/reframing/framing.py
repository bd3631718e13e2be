"""The part of its source that a clip shows: the layout, and for each crop where it is in each picture. Plain numbers.

Who is followed: the faces of a shot that fit into the crop together, else the one that matters most; without
faces, where something moves; where nothing does, where there is something to see; else the middle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clipforge.media.contracts import FaceBox, Layout
from clipforge.media.reframing import subjects
from clipforge.media.reframing.faces import Box
from clipforge.media.reframing.looking import SAMPLE_RATE
from clipforge.media.reframing.paths import Wish, path, wish

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from clipforge.media.reframing.looking import Sample, Seen
    from clipforge.media.reframing.subjects import Shot, Track

# Eyes are drawn a little above the middle.
PLACE_X, PLACE_Y = 0.5, 0.42
FITTING = 0.92  # of the crop, which a group may fill
# A crop that keeps this much of the picture loses nothing worth fitting it for.
NEARLY_ALL = 0.9
MOST = 0.7  # of the samples: what decides the layout
SMALL_FACE = 0.03  # of the picture: a presenter in the corner of a screen
# Movement: where it is sought anew, how much more of it a place must hold than the middle, how far the crop
# may be from the best place.
BLOCK_SAMPLES, ADVANTAGE, LEEWAY = 8, 0.15, 0.1
# A half of a split picture shows at most half of the width, and a face takes at most this of it.
SPLIT_WIDTH, SPLIT_FACE = 0.5, 0.5


@dataclass(frozen=True, slots=True)
class Crop:
    """A part of the picture: its width and height, and where it begins in each picture, all as shares."""

    width: float
    height: float
    x: NDArray[np.float64]
    y: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Framing:
    """A layout that is not AUTO. FIT has no crop, CROP one, SPLIT an upper and a lower one."""

    layout: Layout
    crops: tuple[Crop, ...] = ()
    faces: tuple[FaceBox, ...] = ()  # as far as they were looked for


@dataclass(frozen=True, slots=True)
class Scene:
    """A shot with the faces that matter in it."""

    shot: Shot
    tracks: list[Track]

    @property
    def samples(self) -> int:
        return self.shot.end - self.shot.begin


def frame(
    seen: Seen,
    rate: float,
    source: float,
    shape: float,
    layout: Layout,
    listen: Callable[[], NDArray[np.float64] | None] = lambda: None,
) -> Framing:
    """The framing of a clip of `rate` pictures a second, of which at least one was seen.

    `source` and `shape` are width by height of what is shown of the source, and of the clip. `listen`
    gives the speech in it (`agreement.energy`), and is called where that says who speaks.
    """
    width, height = extents(source, shape)
    scenes = _scenes(seen, rate, listen)
    if layout is Layout.AUTO:
        layout = choose(seen, scenes, shape, (width, height))
    if layout is Layout.FIT:
        return Framing(layout)
    if layout is Layout.SPLIT:
        return Framing(layout, _halves(seen, rate, scenes, source, shape))
    return Framing(
        Layout.CROP,
        (_followed(seen, rate, scenes, (width, height), lambda scene: _group(scene, width)),),
    )


def _scenes(
    seen: Seen, rate: float, listen: Callable[[], NDArray[np.float64] | None]
) -> list[Scene]:
    shots = subjects.shots(seen, rate)
    tracks = [subjects.tracks(seen.samples, shot) for shot in shots]
    speech = listen() if any(len(found) > 1 for found in tracks) else None
    return [
        Scene(shot, subjects.companions(subjects.ordered(found, shot, speech), shot))
        for shot, found in zip(shots, tracks, strict=True)
    ]


def centred(source: float, shape: float) -> Framing:
    """The framing that shows the middle."""
    width, height = extents(source, shape)
    middle = Crop(width, height, np.array([(1 - width) / 2]), np.array([(1 - height) / 2]))
    return Framing(Layout.CROP, (middle,))


def extents(source: float, shape: float) -> tuple[float, float]:
    """Width and height of the largest crop of this shape, as shares of the source."""
    return min(1.0, shape / source), min(1.0, source / shape)


def choose(
    seen: Seen, scenes: Sequence[Scene], shape: float, extent: tuple[float, float]
) -> Layout:
    """The layout that suits what was seen."""
    width, height = extent
    if min(width, height) >= NEARLY_ALL or not seen.samples:
        return Layout.CROP
    largest = max((face.box.area for sample in seen.samples for face in sample.faces), default=0.0)
    if largest < SMALL_FACE and np.mean([sample.screen for sample in seen.samples]) >= MOST:
        return Layout.FIT
    if _share(scenes, lambda scene: _is_larger(scene, width, height)) >= MOST:
        return Layout.FIT
    if shape < 1 and _share(scenes, lambda scene: _pair(scene, width) is not None) >= MOST:
        return Layout.SPLIT
    return Layout.CROP


def _share(scenes: Sequence[Scene], holds: Callable[[Scene], bool]) -> float:
    """The share of the samples that lie in scenes for which something holds."""
    total = sum(scene.samples for scene in scenes)
    return sum(scene.samples for scene in scenes if holds(scene)) / max(1, total)


def _is_larger(scene: Scene, width: float, height: float) -> bool:
    """Whether the main face does not fit into a crop."""
    boxes = scene.tracks[0].boxes(scene.shot) if scene.tracks else []
    return bool(boxes) and bool(
        np.mean([box.width > width or box.height > height for box in boxes]) >= MOST
    )


def _pair(scene: Scene, width: float) -> tuple[Track, Track] | None:
    """The main face and the first that does not fit into a crop of this width with it, left one first."""
    for other in scene.tracks[1:]:
        if not _fits((scene.tracks[0], other), scene.shot, width):
            left, right = sorted((scene.tracks[0], other), key=lambda track: track.x)
            return left, right
    return None


def _fits(group: Sequence[Track], shot: Shot, width: float) -> bool:
    return max(box.width for box in subjects.together(group, shot)) <= FITTING * width


def _group(scene: Scene, width: float) -> list[Track]:
    """The main face, with all others that fit into the crop beside it."""
    group: list[Track] = scene.tracks[:1]
    for track in scene.tracks[1:]:
        if _fits((*group, track), scene.shot, width):
            group = [*group, track]
    return group


def _halves(
    seen: Seen, rate: float, scenes: Sequence[Scene], source: float, shape: float
) -> tuple[Crop, Crop]:
    """The upper crop with the person on the left, the lower with the one on the right."""
    whole = extents(source, 2 * shape)
    pairs = {scene.shot.first: _pair(scene, SPLIT_WIDTH) for scene in scenes}
    needed = [
        max(box.width / whole[0], box.height / whole[1]) / SPLIT_FACE
        for scene in scenes
        for track in pairs[scene.shot.first] or ()
        for box in track.boxes(scene.shot)
    ]
    zoom = min(1.0, max(SPLIT_WIDTH / whole[0], *needed, 0.0) if needed else 1.0)
    extent = (whole[0] * zoom, whole[1] * zoom)

    def person(side: int) -> Callable[[Scene], list[Track]]:
        def of(scene: Scene) -> list[Track]:
            pair = pairs[scene.shot.first]
            return [pair[side]] if pair else scene.tracks[: 1 - side]

        return of

    return (
        _followed(seen, rate, scenes, extent, person(0)),
        _followed(seen, rate, scenes, extent, person(1)),
    )


def _followed(
    seen: Seen,
    rate: float,
    scenes: Sequence[Scene],
    extent: tuple[float, float],
    whom: Callable[[Scene], list[Track]],
) -> Crop:
    """The crop that follows somebody in each scene, or the movement where there is nobody."""
    width, height = extent
    x, y = np.empty(seen.pictures), np.empty(seen.pictures)
    for scene in scenes:
        shot, group = scene.shot, whom(scene)
        pictures = slice(shot.first, shot.last)
        boxes = _to_the_edges(subjects.together(group, shot), shot, rate) if group else []
        across, down = _wishes(seen.samples[shot.begin : shot.end], boxes, width, height)
        times = np.arange(shot.begin, shot.end) / SAMPLE_RATE - shot.first / rate
        count = shot.last - shot.first
        if boxes:  # up to the edges of the shot, where no sample is
            times = np.array([0.0, *times, (count - 1) / rate])
        x[pictures] = path(across, times, count, rate) if across else (1 - width) / 2
        y[pictures] = path(down, times, count, rate) if down else (1 - height) / 2
    return Crop(width, height, x, y)


def _to_the_edges(boxes: list[Box], shot: Shot, rate: float) -> list[Box]:
    """The boxes of the samples of a shot, with one before for its first picture and one after for its last.

    Each goes on as the two next to it do.
    """
    before = shot.begin - shot.first / rate * SAMPLE_RATE
    after = (shot.last - 1) / rate * SAMPLE_RATE - (shot.end - 1)
    return [_onwards(boxes[:2][::-1], before), *boxes, _onwards(boxes[-2:], after)]


def _onwards(boxes: Sequence[Box], samples: float) -> Box:
    """Where a box is so many samples after the last of one or two."""
    earlier, last = boxes[0], boxes[-1]
    x, y = (last.x - earlier.x) * samples, (last.y - earlier.y) * samples
    return Box(
        *(float(side) for side in (last.left + x, last.top + y, last.right + x, last.bottom + y))
    )


def _wishes(
    samples: Sequence[Sample], boxes: Sequence[Box], width: float, height: float
) -> tuple[list[Wish], list[Wish]]:
    """The wishes across and down for each sample of a shot."""
    if boxes:
        return (
            [wish(box.left, box.right, width, PLACE_X) for box in boxes],
            [wish(box.top, box.bottom, height, PLACE_Y) for box in boxes],
        )
    if any(sample.columns.any() for sample in samples):
        return (
            _interest([sample.columns for sample in samples], width, BLOCK_SAMPLES),
            _interest([sample.rows for sample in samples], height, BLOCK_SAMPLES),
        )
    whole = max(1, len(samples))  # a shot may lie between two samples, and have none
    return (
        _interest([sample.detailed_columns for sample in samples], width, whole),
        _interest([sample.detailed_rows for sample in samples], height, whole),
    )


def _interest(profiles: Sequence[NDArray[np.float32]], extent: float, at_a_time: int) -> list[Wish]:
    """A wish for each sample to show where the most of something is, decided for so many at a time."""
    wishes: list[Wish] = []
    for begin in range(0, len(profiles), at_a_time):
        block = profiles[begin : begin + at_a_time]
        best = _busiest(np.sum(block, axis=0), extent)
        room = 1 - extent
        near = Wish(max(0.0, best - LEEWAY * extent), min(room, best + LEEWAY * extent), best)
        wishes += [near] * len(block)
    return wishes


def _busiest(profile: NDArray[np.float32], extent: float) -> float:
    """Where a crop begins that holds most of a profile; the middle, if that holds nearly as much."""
    middle = (1 - extent) / 2
    total = float(profile.sum())
    window = max(1, round(extent * len(profile)))
    if total <= 0 or window >= len(profile):
        return middle
    held = np.convolve(profile, np.ones(window), mode="valid") / total
    # Of places that are as good the middle one, so that something is left on both sides.
    best = int(np.median(np.flatnonzero(held >= held.max() - 0.01)))
    if held[best] < held[round(middle * len(profile))] + ADVANTAGE:
        return middle
    return min(best / len(profile), 1 - extent)

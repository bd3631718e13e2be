"""Who is to be seen: faces followed from sample to sample within a shot, and the ones that matter. Plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from clipforge.media.reframing.agreement import movements
from clipforge.media.reframing.faces import Box
from clipforge.media.reframing.looking import SAMPLE_RATE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from clipforge.media.reframing.looking import Face, Sample, Seen

LOST_AFTER = 3  # samples without a find, after which a face is another's
REACH = 1.2  # of its own size: how far a face comes from one sample to the next
ALIKE = 2.0  # times as large or small, at most
# A face that is found in less of a shot than this is a mistake or passes by.
LEAST_PRESENCE = 0.25
# Beside the main face, others matter that are there most of the time and not much smaller.
COMPANION_PRESENCE, COMPANION_AREA = 0.5, 0.35
SPEAKING_SCALE = 6.0  # gray levels by which a mouth moves that speaks


@dataclass(frozen=True, slots=True)
class Shot:
    """The pictures from `first` up to `last`, in which the samples from `begin` up to `end` lie."""

    first: int
    last: int
    begin: int
    end: int


@dataclass(slots=True)
class Track:
    """One face through a shot, by the number of the sample."""

    faces: dict[int, Face] = field(default_factory=dict)

    @property
    def seen_last(self) -> int:
        return max(self.faces)

    def presence(self, shot: Shot) -> float:
        return len(self.faces) / max(1, shot.end - shot.begin)

    @property
    def area(self) -> float:
        return float(np.mean([face.box.area for face in self.faces.values()]))

    @property
    def x(self) -> float:
        return float(np.mean([face.box.x for face in self.faces.values()]))

    @property
    def speaking(self) -> float:
        """How much its mouth moves, in gray levels."""
        return float(np.mean([face.speaking for face in self.faces.values()]))

    def mouth(self, shot: Shot) -> NDArray[np.float64]:
        """How much its mouth moves in each quarter of a second of the shot; NaN where it was not found.

        Neither in the first nor in the last, in which something else may have been before the cut.
        """
        moved = np.full(2 * (shot.end - shot.begin), np.nan)
        for index, face in self.faces.items():
            at = 2 * (index - shot.begin)
            moved[at : at + 2] = face.mouth
        moved[[0, -1]] = np.nan
        return moved

    def weight(self, shot: Shot, speaking: float) -> float:
        """How much it is the subject: the large face, the central one, the one that speaks, all along."""
        central = 1 - abs(self.x - 0.5)
        spoken = min(1.0, speaking / SPEAKING_SCALE)
        return float(self.area**0.5 * self.presence(shot) * central * (1 + spoken))

    def boxes(self, shot: Shot) -> list[Box]:
        """Its box in each sample of the shot; where it was not found, in between its neighbours."""
        known = sorted(self.faces)
        edges = np.array(
            [
                (box.left, box.top, box.right, box.bottom)
                for box in (self.faces[index].box for index in known)
            ]
        )
        wanted = np.arange(shot.begin, shot.end)
        filled = np.stack([np.interp(wanted, known, edge) for edge in edges.T], axis=1)
        return [Box(*map(float, row)) for row in filled]


def shots(seen: Seen, rate: float) -> list[Shot]:
    """The shots of a clip in order. One between two samples has none."""
    edges = [0, *(cut for cut in seen.cuts if 0 < cut < seen.pictures), seen.pictures]
    times = np.arange(len(seen.samples)) / SAMPLE_RATE * rate
    return [
        Shot(first, last, *map(int, np.searchsorted(times, (first - 0.5, last - 0.5))))
        for first, last in pairwise(edges)
        if last > first
    ]


def tracks(samples: Sequence[Sample], shot: Shot) -> list[Track]:
    """The faces of a shot that are worth following, as they come."""
    found: list[Track] = []
    for index in range(shot.begin, shot.end):
        _continue(found, index, samples[index])
    return [track for track in found if track.presence(shot) >= LEAST_PRESENCE]


def ordered(
    found: Sequence[Track], shot: Shot, speech: NDArray[np.float64] | None = None
) -> list[Track]:
    """The faces of a shot, the most important first.

    `speech` is how loud somebody speaks in each quarter of a second of the clip. Where no mouth moves as
    it does, and without it, the movement alone tells who speaks.
    """
    heard = None
    if speech is not None and len(found) > 1:
        heard = movements([track.mouth(shot) for track in found], speech[2 * shot.begin :])
    speaking = [track.speaking for track in found] if heard is None else heard
    by_weight = sorted(
        zip(found, speaking, strict=True), key=lambda each: -each[0].weight(shot, each[1])
    )
    return [track for track, _ in by_weight]


def _continue(found: list[Track], index: int, sample: Sample) -> None:
    """Give each face of a sample to the nearest track that it may belong to, or to a new one."""
    known = [track for track in found if index - track.seen_last <= LOST_AFTER]
    near = sorted(
        (distance, face_number, track_number)
        for face_number, face in enumerate(sample.faces)
        for track_number, track in enumerate(known)
        if (distance := _distance(face, track.faces[track.seen_last])) is not None
    )
    taken_faces: set[int] = set()
    taken_tracks: set[int] = set()
    for _, face_number, track_number in near:
        if face_number not in taken_faces and track_number not in taken_tracks:
            known[track_number].faces[index] = sample.faces[face_number]
            taken_faces.add(face_number)
            taken_tracks.add(track_number)
    found += [
        Track({index: face})
        for number, face in enumerate(sample.faces)
        if number not in taken_faces
    ]


def _distance(face: Face, last: Face) -> float | None:
    """How far apart two finds are, in sizes of the face; None if they are not the same face."""
    one, other = face.box, last.box
    if not 1 / ALIKE <= one.height / max(other.height, 1e-6) <= ALIKE:
        return None
    # Widths and heights are shares of different lengths, so each is compared with its own.
    apart = max(
        abs(one.x - other.x) / max(other.width, 1e-6),
        abs(one.y - other.y) / max(other.height, 1e-6),
    )
    return apart if apart <= REACH else None


def companions(found: Sequence[Track], shot: Shot) -> list[Track]:
    """The main face, which is the first, and those that matter beside it."""
    if not found:
        return []
    main = found[0]
    return [
        main,
        *(
            track
            for track in found[1:]
            if track.presence(shot) >= COMPANION_PRESENCE
            and track.area >= COMPANION_AREA * main.area
        ),
    ]


def together(group: Sequence[Track], shot: Shot) -> list[Box]:
    """The box around all of a group, in each sample of the shot."""
    return [
        Box(
            min(box.left for box in boxes),
            min(box.top for box in boxes),
            max(box.right for box in boxes),
            max(box.bottom for box in boxes),
        )
        for boxes in zip(*(track.boxes(shot) for track in group), strict=True)
    ]

"""The faces that are seen in a clip, and how high in its pictures: captions stay clear of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clipforge.media.contracts import FaceBox, Layout
from clipforge.media.reframing.looking import SAMPLE_RATE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clipforge.media.reframing.faces import Box
    from clipforge.media.reframing.framing import Crop, Framing
    from clipforge.media.reframing.looking import Seen

# A face is where it was found from the sample before to the sample after.
REACH_SECONDS = 1 / SAMPLE_RATE


def faces(
    seen: Seen, framing: Framing, rate: float, source: float, shape: float
) -> tuple[FaceBox, ...]:
    """The faces of a clip of `rate` pictures a second.

    `source` and `shape` are width by height of what is shown of the source, and of the clip.
    """
    return tuple(
        FaceBox(max(0.0, time - REACH_SECONDS), time + REACH_SECONDS, top, bottom)
        for number, sample in enumerate(seen.samples)
        for time in (number / SAMPLE_RATE,)
        for face in sample.faces
        for top, bottom in _places(face.box, framing, round(time * rate), source / shape)
    )


def _places(
    box: Box, framing: Framing, picture: int, wider: float
) -> Iterator[tuple[float, float]]:
    """Top and bottom of a face wherever it is seen; `wider` is how much the source is, by the clip."""
    if framing.layout is Layout.FIT:
        height = min(1.0, 1 / wider)
        offset = (1 - height) / 2
        yield offset + box.top * height, offset + box.bottom * height
        return
    part = 1 / max(1, len(framing.crops))
    for number, crop in enumerate(framing.crops):
        if found := _within(box, crop, picture):
            yield (number + found[0]) * part, (number + found[1]) * part


def _within(box: Box, crop: Crop, picture: int) -> tuple[float, float] | None:
    """Top and bottom as shares of the crop; None for a face that is outside."""
    x = float(crop.x[min(picture, len(crop.x) - 1)])
    y = float(crop.y[min(picture, len(crop.y) - 1)])
    if box.right <= x or box.left >= x + crop.width:
        return None
    top, bottom = (box.top - y) / crop.height, (box.bottom - y) / crop.height
    return (max(0.0, top), min(1.0, bottom)) if top < 1 and bottom > 0 else None

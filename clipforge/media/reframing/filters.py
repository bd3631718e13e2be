"""A framing as filters of ffmpeg, and the commands that move its crops."""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clipforge.media.contracts import Layout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from fractions import Fraction
    from pathlib import Path

    from numpy.typing import NDArray

    from clipforge.media.reframing.framing import Crop, Framing

NAMES = ("crop@first", "crop@second")
SMALL = (
    8  # the picture behind is blurred at an eighth of its size: it looks the same and costs nothing
)
BLUR = "gblur=sigma=5:steps=2"
STEP = 1e-5  # of the room that a crop has: less than a tenth of a pixel


@dataclass(frozen=True, slots=True)
class Moves:
    """An open file of commands without a name; none where nothing moves."""

    fd: int | None = None

    @property
    def url(self) -> str:
        return "" if self.fd is None else f"/proc/self/fd/{self.fd}"

    @property
    def pass_fds(self) -> tuple[int, ...]:
        return () if self.fd is None else (self.fd,)


@contextlib.contextmanager
def moving(
    framing: Framing | None, rate: Fraction, lead: Fraction, folder: Path
) -> Iterator[Moves]:
    """The commands of a framing in a file, on the disk of `folder`, for as long as the block lasts."""
    said = commands(framing, float(rate), float(lead)) if framing else ""
    if not said:
        yield Moves()
        return
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(said.encode())
        file.flush()
        yield Moves(file.fileno())


def commands(framing: Framing, rate: float, lead: float) -> str:
    """The commands of the filter `sendcmd` that move the crops.

    They come half a picture early, since the pictures are brought to their rate after they are cropped.
    """
    lines = [
        (picture, f"{name} {axis} {expression}")
        for name, crop in zip(NAMES, framing.crops, strict=False)
        for axis, size, place in (
            ("x", "(iw-ow)", _in_room(crop.x, crop.width)),
            ("y", "(ih-oh)", _in_room(crop.y, crop.height)),
        )
        for picture, expression in _changes(place, size)
    ]
    return "".join(
        f"{max(0.0, lead + (picture - 0.5) / rate):.5f} {command};\n"
        for picture, command in sorted(lines, key=lambda line: line[0])
    )


def _changes(place: NDArray[np.float64], size: str) -> Iterator[tuple[int, str]]:
    """Where a place changes, with the new one. The first is in the filter itself."""
    rounded = np.round(place / STEP)
    for picture in np.flatnonzero(np.diff(rounded)) + 1:
        yield int(picture), f"{size}*{place[picture]:.5f}"


def _in_room(begin: NDArray[np.float64], extent: float) -> NDArray[np.float64]:
    """The place of a crop as a share of the room that it has to move."""
    room = 1 - extent
    return np.clip(begin / room, 0, 1) if room > STEP else np.zeros_like(begin)


def steps(
    framing: Framing, source: tuple[int, int], size: tuple[int, int], moving: str
) -> list[str]:
    """The filters that make pictures of `size` from those of a source that is shown as `source`.

    `moving` names the file of the commands; empty: nothing moves.
    """
    begin = [f"sendcmd=f={moving}"] if moving else []
    if framing.layout is Layout.FIT:
        return [*begin, _fitted(source, size)]
    if framing.layout is Layout.SPLIT:
        return [*begin, _split(framing, size)]
    return [*begin, _crop(NAMES[0], framing.crops[0]), scaled(size)]


def scaled(size: tuple[int, int]) -> str:
    return f"scale={size[0]}:{size[1]}:flags=bicubic:out_range=tv,setsar=1"


def _crop(name: str, crop: Crop) -> str:
    x, y = _in_room(crop.x[:1], crop.width)[0], _in_room(crop.y[:1], crop.height)[0]
    return (
        f"{name}=w='iw*{crop.width:.6f}':h='ih*{crop.height:.6f}'"
        f":x='(iw-ow)*{x:.5f}':y='(ih-oh)*{y:.5f}'"
    )


def _split(framing: Framing, size: tuple[int, int]) -> str:
    width, height = size
    upper = height // 4 * 2  # even, as the pixels of colour need it
    first, second = (
        f"{_crop(name, crop)},{scaled((width, tall))}"
        for name, crop, tall in zip(NAMES, framing.crops, (upper, height - upper), strict=True)
    )
    return f"split[a][b];[a]{first}[upper];[b]{second}[lower];[upper][lower]vstack"


def _fitted(source: tuple[int, int], size: tuple[int, int]) -> str:
    """The whole picture in the middle, on itself, enlarged and blurred."""
    width, height = size
    scale = min(width / source[0], height / source[1])
    whole = tuple(max(2, round(side * scale / 2) * 2) for side in source)
    small = tuple(max(2, side // SMALL // 2 * 2) for side in size)
    shape = f"{width}/{height}"
    cover = (
        f"crop=w='min(iw,ih*{shape}/sar)':h='min(ih,iw*sar/({shape}))',"
        f"scale={small[0]}:{small[1]}:flags=fast_bilinear,{BLUR},"
        f"scale={width}:{height}:flags=bilinear:out_range=tv,setsar=1"
    )
    place = f"x={(width - whole[0]) // 4 * 2}:y={(height - whole[1]) // 4 * 2}:format=auto"
    return (
        f"split[a][b];[a]{cover}[back];"
        f"[b]{scaled((min(whole[0], width), min(whole[1], height)))}[front];[back][front]overlay={place}"
    )

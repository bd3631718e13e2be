"""Pictures with captions that libass has drawn."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clipforge.media import ffmpeg
from clipforge.media.captions import burning

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from clipforge.media.contracts import Captions, FaceBox

GREY = (128, 128, 128)


@dataclass(frozen=True)
class Picture:
    """A frame with captions on plain grey: RGB, and what ffmpeg said while it drew."""

    pixels: NDArray[np.int16]
    said: str

    @property
    def ink(self) -> NDArray[Any]:
        """Where it differs from the grey."""
        ink: NDArray[Any] = np.abs(self.pixels - np.array(GREY)).max(axis=2) > 24
        return ink

    @property
    def rows(self) -> tuple[float, float]:
        """The first and last row with ink, as shares of the height."""
        return _span(np.any(self.ink, axis=1))

    @property
    def columns(self) -> tuple[float, float]:
        return _span(np.any(self.ink, axis=0))

    def near(self, color: tuple[int, int, int]) -> NDArray[Any]:
        """Where it has about this colour."""
        near: NDArray[Any] = np.abs(self.pixels - np.array(color)).max(axis=2) < 60
        return near

    @property
    def lines(self) -> int:
        """Blocks of rows with ink, one above the other."""
        rows: NDArray[Any] = np.any(self.ink, axis=1)
        return int((rows[1:] & ~rows[:-1]).sum())


def _span(has: NDArray[Any]) -> tuple[float, float]:
    places = np.flatnonzero(has)
    return places[0] / has.size, (places[-1] + 1) / has.size


def drawn(
    captions: Captions,
    folder: Path,
    *,
    at: float,
    size: tuple[int, int] = (540, 960),
    seconds: float = 20,
    faces: tuple[FaceBox, ...] = (),
) -> Picture:
    """The frame at `at` seconds of a grey video into which the captions of the first `seconds` are drawn."""
    folder = folder / f"{size[0]}x{size[1]}-{at}-{len(list(folder.iterdir()))}"
    burned = burning.prepare(captions, 0, seconds, size, folder, faces=faces)
    width, height = size
    grey = f"color=c=0x808080:s={width}x{height}:r=50:d={at + 0.02:.2f}"
    last = f"trim=start={at - 0.005:.3f}"
    command = [
        *(ffmpeg.executable(), "-hide_banner", "-nostdin", "-v", "info"),
        *("-f", "lavfi", "-i", f"{grey},format=yuv420p"),
        *("-vf", f"{burned.filters[0]},{last},scale=out_range=pc", "-frames:v", "1"),
        *("-pix_fmt", "rgb24", "-f", "rawvideo", "pipe:1"),
    ]
    done = subprocess.run(
        command,
        cwd=burned.folder,
        env={**ffmpeg.ENVIRONMENT, **burned.environment},
        capture_output=True,
        check=True,
    )
    pixels = np.frombuffer(done.stdout, np.uint8).reshape(height, width, 3).astype(np.int16)
    return Picture(pixels, done.stderr.decode())

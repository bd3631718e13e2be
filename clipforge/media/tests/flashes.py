"""Videos whose picture flashes as their sound beeps, and by how much one comes after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
import numpy as np

from clipforge.media.tests.samples import AAC, H264, make_video

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def make_flashes(
    path: Path, *, seconds: float = 6, options: tuple[str, ...] = (*H264, *AAC)
) -> Path:
    """Write a video with a white flash and a beep that begin together, once a second."""
    return make_video(
        path,
        seconds=seconds,
        size="160x90",
        picture="color",
        picture_filter="drawbox=c=white:t=fill:enable='lt(mod(t,1),0.2)'",
        sound="aevalsrc='if(lt(mod(t,1),0.2),0.5*sin(2*PI*1000*t),0)':s=48000",
        options=options,
    )


def offsets(path: Path) -> NDArray[np.float64]:
    """By how many seconds each beep but the first comes after its flash."""
    beeps = np.array(beep_times(path))
    flashes = flash_times(path)[1:]
    return np.array([(beeps - flash)[np.abs(beeps - flash).argmin()] for flash in flashes])


def flash_times(path: Path) -> list[float]:
    """When the picture turns from black to white."""
    with av.open(str(path)) as container:
        shown = [
            (float(frame.time or 0), frame.reformat(format="gray").to_ndarray().mean() > 128)
            for frame in container.decode(video=0)
        ]
    before = [False, *(white for _, white in shown)]
    return [time for (time, white), was in zip(shown, before, strict=False) if white and not was]


def beep_times(path: Path) -> list[float]:
    """When sound sets in after silence."""
    with av.open(str(path)) as container:
        pieces = [
            (float(frame.time or 0), np.abs(frame.to_ndarray()).max(axis=0))
            for frame in container.decode(audio=0)
        ]
    level = np.concatenate([piece for _, piece in pieces])
    loud = np.flatnonzero(level > 0.1 * level.max())
    begins = [loud[0], *loud[1:][np.diff(loud) > 12_000]]  # a quarter of a second apart
    return [pieces[0][0] + float(sample) / 48_000 for sample in begins]

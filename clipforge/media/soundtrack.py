"""The sound of a clip: brought to the level of the platforms, encoded, and measured as it is encoded.

It is made before the pictures, and copied into the clip. That it is measured once more after it is
encoded matters: AAC takes the highest tones away, and adds as much as 3 dB to the peaks. Runs in the child.
"""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from clipforge.media import encoding, ffmpeg, loudness
from clipforge.media.encoding import THREADS, seconds_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from fractions import Fraction
    from pathlib import Path

    from clipforge.media.contracts import Limits

RATE = 48_000
# One clock and two channels before anything is measured: mixing down changes the level.
STEREO = (f"aresample={RATE}:async=1:first_pts=0", "aformat=channel_layouts=stereo")
AAC = ("-c:a", "aac", "-b:a", "128k", "-ar", str(RATE), "-ac", "2")
QUIET, SAYING = ("-v", "error"), ("-v", "info")


@dataclass(frozen=True, slots=True)
class Stretch:
    """The sound to make: `arguments` open the source, `track` is None where there is no sound.

    Of what is read, `lead` seconds are dropped; `cut` are filters that leave out parts of the rest; of that,
    `duration` seconds are kept.
    """

    arguments: list[str]
    container: str
    track: int | None
    lead: Fraction
    duration: Fraction
    cut: str = ""


@dataclass(frozen=True, slots=True)
class SoundFile:
    """An open file (MP4 with one track of AAC) without a name: gone when it is closed."""

    fd: int

    @property
    def url(self) -> str:
        """Names it for a program that was started with `pass_fds`."""
        return f"file:/proc/self/fd/{self.fd}"

    @property
    def pass_fds(self) -> tuple[int]:
        return (self.fd,)


@contextlib.contextmanager
def made(stretch: Stretch, folder: Path, limits: Limits) -> Iterator[SoundFile]:
    """The finished sound, on the disk of `folder`, for as long as the block lasts."""
    with tempfile.TemporaryFile(dir=folder) as file:
        sound = SoundFile(file.fileno())
        if stretch.track is None:
            encoding.run(silence(stretch, sound), limits, pass_fds=sound.pass_fds)
        else:
            _level(stretch, sound, limits)
        yield sound


def _level(stretch: Stretch, sound: SoundFile, limits: Limits) -> None:
    """Encode the sound with the correction that brings it to the level."""

    def encoded(correction: loudness.Correction) -> loudness.Level:
        encoding.run(_encoding(stretch, correction, sound), limits, pass_fds=sound.pass_fds)
        measuring = [*SAYING, "-f", "mp4", "-i", sound.url, "-af", loudness.METER, *ffmpeg.NOWHERE]
        return loudness.parse(encoding.run(measuring, limits, pass_fds=sound.pass_fds))

    found = loudness.parse(encoding.run(_measuring(stretch), limits))
    loudness.bring_to_level(found, encoded)


def heard(stretch: Stretch, seconds: float, rate: int) -> Callable[[str], list[str]]:
    """The arguments of an output of so many seconds of it, uncut, in mono at this rate, for a pipe."""
    whole = replace(stretch, cut="")
    return lambda pipe: [
        *_chosen(whole),
        *("-af", ",".join(_kept(whole)), "-ac", "1", "-ar", str(rate)),
        *("-c:a", "pcm_s16le", "-t", seconds_text(seconds), "-f", "s16le", pipe),
        *ffmpeg.same_clock(stretch.container, "0:V:0"),
    ]


def silence(stretch: Stretch, sound: SoundFile) -> list[str]:
    """The command line that makes silence as long as the stretch."""
    source = f"anullsrc=r={RATE}:cl=stereo"
    return [*QUIET, "-f", "lavfi", "-i", source, *_written(stretch, sound)]


def _measuring(stretch: Stretch) -> list[str]:
    chain = ",".join((*_kept(stretch), loudness.METER))
    return [
        *SAYING,
        *stretch.arguments,
        *_chosen(stretch),
        *("-af", chain, *ffmpeg.NOWHERE),
        *ffmpeg.same_clock(stretch.container, "0:V:0"),
    ]


def _encoding(stretch: Stretch, correction: loudness.Correction, sound: SoundFile) -> list[str]:
    chain = ",".join((*_kept(stretch), *correction.filters(), "apad"))
    return [
        *QUIET,
        *stretch.arguments,
        *_chosen(stretch),
        *("-af", chain),
        *_written(stretch, sound),
        *ffmpeg.same_clock(stretch.container, "0:V:0"),
    ]


def _chosen(stretch: Stretch) -> tuple[str, ...]:
    return ("-map", f"0:a:{stretch.track}", "-map_metadata", "-1", "-threads", THREADS)


def _kept(stretch: Stretch) -> tuple[str, ...]:
    """The filters that leave the stretch, beginning at 0 s."""
    late = (f"atrim=start={seconds_text(stretch.lead)}", "asetpts=PTS-STARTPTS")
    return (*STEREO, *(late if stretch.lead else ()), *((stretch.cut,) if stretch.cut else ()))


def _written(stretch: Stretch, sound: SoundFile) -> tuple[str, ...]:
    return (*AAC, "-t", seconds_text(stretch.duration), "-f", "mp4", sound.url)

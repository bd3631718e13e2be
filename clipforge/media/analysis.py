"""The analysis of one file, start to end. Runs in the child, never in the parent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from clipforge.media import decoding, probing
from clipforge.media.boundaries import Boundaries
from clipforge.media.contracts import Analysis, ErrorCode, MediaError
from clipforge.media.features import PictureExtractor, SoundExtractor, per_second
from clipforge.media.repeats import Repeats
from clipforge.media.scoring import SCORER_VERSION, Scorer
from clipforge.media.selection import select

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from clipforge.media.contracts import Limits, ScoredMoment, SourceInfo
    from clipforge.media.features import Picture, Sound

KEYFRAMES_SUFFIX: Final = "+keyframes"

# The missing end (seconds, or a share of the whole) up to which a file does not count as cut off:
# declared durations are rounded, and a decoder drops a last damaged picture.
MISSING_SECONDS: Final = 2.0
MISSING_SHARE: Final = 0.02


def analyse(path: Path, limits: Limits, on_progress: Callable[[str, float], None]) -> Analysis:
    """The analysis of a file, with its moments worth clipping; an empty list if there are none.

    Reports the stages "probing", "decoding" and "scoring", each 0..1. Sources over an hour
    are judged by their keyframes, and `scorer_version` then ends in `+keyframes`.
    Raises `MediaError` for a file that the probe refuses, for a file in which no picture decodes
    (NOT_A_VIDEO) and for one that ends well before its declared duration (TRUNCATED).
    """
    on_progress("probing", 0.0)
    source = probing.probe(path, limits)
    on_progress("probing", 1.0)
    sound, picture = _decode(path, source, limits, on_progress)
    check_complete(source, sound, picture)
    on_progress("scoring", 0.0)
    moments = _moments(source, sound, picture)
    on_progress("scoring", 1.0)
    return Analysis(source=source, moments=moments, scorer_version=_version(source))


def _decode(
    path: Path, source: SourceInfo, limits: Limits, on_progress: Callable[[str, float], None]
) -> tuple[Sound, Picture]:
    audio = SoundExtractor()
    video = PictureExtractor(keyframes_only=decoding.use_keyframes_only(source))
    decoding.decode(
        path,
        source,
        limits=limits,
        audio=audio,
        video=video,
        on_progress=lambda share: on_progress("decoding", share),
    )
    return audio.finish(), video.finish()


def check_complete(source: SourceInfo, sound: Sound, picture: Picture) -> None:
    """Raise `MediaError` if there are no pictures, or far fewer seconds than declared."""
    if not picture.seconds:
        raise MediaError(
            ErrorCode.NOT_A_VIDEO, "No picture in this file can be decoded. Export it again."
        )
    decoded = max(sound.seconds, picture.seconds)
    if source.duration - decoded > max(MISSING_SECONDS, MISSING_SHARE * source.duration):
        raise MediaError(
            ErrorCode.TRUNCATED,
            f"The file ends after {decoded:.0f} of {source.duration:.0f} seconds. "
            "The upload or the recording was cut off. Upload the whole file.",
        )


def _moments(source: SourceInfo, sound: Sound, picture: Picture) -> list[ScoredMoment]:
    duration = _usable(source, sound, picture)
    exact_cuts = not decoding.use_keyframes_only(source)
    boundaries = Boundaries(sound, picture, duration, exact_cuts=exact_cuts)
    seconds = per_second(sound, picture, duration)
    repeats = Repeats(sound, picture, audible=seconds.audible)
    return select(Scorer(seconds), boundaries, repeats=repeats)


def _usable(source: SourceInfo, sound: Sound, picture: Picture) -> float:
    """Seconds that can be clipped: no further than there are pictures.

    The last keyframe says little about where the pictures end; then the sound counts too.
    """
    if decoding.use_keyframes_only(source):
        return min(source.duration, max(sound.seconds, picture.seconds))
    return min(source.duration, picture.seconds)


def _version(source: SourceInfo) -> str:
    if decoding.use_keyframes_only(source):
        return SCORER_VERSION + KEYFRAMES_SUFFIX
    return SCORER_VERSION

"""The analysis of one file, start to end. Runs in the child, never in the parent."""

from __future__ import annotations

import base64
import contextlib
import sys
from typing import TYPE_CHECKING, Final

from clipforge.media import decoding, probing
from clipforge.media.choosing import choose
from clipforge.media.contracts import Analysis, Choice, ErrorCode, MediaError
from clipforge.media.damage import Complaints, warnings_of
from clipforge.media.features import PictureExtractor, SoundExtractor
from clipforge.media.kept import keep, unpack
from clipforge.media.speech.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from clipforge.media.contracts import Limits, SourceInfo
    from clipforge.media.features import Picture, Sound
    from clipforge.media.overview import Overview, Wanted
    from clipforge.media.probing import ExaminedSource
    from clipforge.media.speech.models import SpeechModel
    from clipforge.media.words.transcript import Transcript

    OnProgress = Callable[[str, float], None]

# The missing end (seconds, or a share of the whole) up to which a file does not count as cut off:
# declared durations are rounded, and a decoder drops a last damaged picture.
MISSING_SECONDS: Final = 2.0
MISSING_SHARE: Final = 0.02


def analyse(
    path: Path,
    limits: Limits,
    on_progress: OnProgress,
    speech_model: SpeechModel | None = None,
    wishes: Choice = Choice(),  # noqa: B008 - frozen
    audio_track: int | None = None,
    pictures: Wanted | None = None,
) -> Analysis:
    """The analysis of a file, with its moments worth clipping; an empty list if there are none.

    Reports the stages "probing", "decoding", where `pictures` are wanted "poster", where there is a model
    and somebody speaks "listening", and "scoring", each 0..1. Sources over an hour are judged by their keyframes, and
    `scorer_version` then ends in `+keyframes`.
    Raises `MediaError` for a file that the probe refuses, for a file in which no picture decodes
    (NOT_A_VIDEO) and for one that ends well before its declared duration (TRUNCATED).
    """
    on_progress("probing", 0.0)
    examined = probing.examine(path, limits, audio_track)
    source = examined.source
    overview = _overview(pictures, examined)
    complaints = Complaints()
    on_progress("probing", 1.0)
    with contextlib.ExitStack() as stack:
        audio = SoundExtractor()
        spool = stack.enter_context(Spool(audio)) if speech_model else None
        picture = _decode(path, source, spool or audio, limits, on_progress, complaints, overview)
        sound = audio.finish()
        check_complete(source, sound, picture)
        drawn = overview.draw(path, limits, on_progress) if overview else ()
        transcript = None
        if spool and speech_model:
            transcript = _listen(spool, sound, speech_model, on_progress)
    on_progress("scoring", 0.0)
    exact_cuts = not decoding.use_keyframes_only(source)
    features = keep(sound, picture, _usable(source, sound, picture), exact_cuts=exact_cuts)
    chosen = choose(unpack(features), transcript, wishes)
    on_progress("scoring", 1.0)
    return Analysis(
        source=source,
        moments=chosen.moments,
        scorer_version=chosen.scorer_version,
        transcript=transcript,
        others=chosen.others,
        features=base64.b64encode(features).decode(),
        warnings=warnings_of(source, complaints),
        pictures=list(drawn),
    )


def _overview(pictures: Wanted | None, examined: ExaminedSource) -> Overview | None:
    if pictures is None:
        return None
    from clipforge.media.overview import Overview  # loads what only pictures need

    return Overview(pictures, examined)


def _decode(
    path: Path,
    source: SourceInfo,
    audio: decoding.Sink,
    limits: Limits,
    on_progress: OnProgress,
    complaints: Complaints,
    overview: Overview | None,
) -> Picture:
    video = PictureExtractor(keyframes_only=decoding.use_keyframes_only(source))
    decoding.decode(
        path,
        source,
        limits=limits,
        audio=audio,
        video=video,
        on_progress=lambda share: on_progress("decoding", share),
        on_error=complaints.feed,
        beside=[overview.output()] if overview else [],
    )
    return video.finish()


def _listen(
    spool: Spool, sound: Sound, model: SpeechModel, on_progress: OnProgress
) -> Transcript | None:
    if not sound.speech.any():
        return None
    from clipforge.media.speech import listening  # loads what only listening needs

    on_progress("listening", 0.0)
    try:
        return listening.listen(
            spool, sound.speech, model, lambda share: on_progress("listening", share)
        )
    except listening.ModelUnusable as error:
        # A fault of the installation, not of the video, which can be analysed without words.
        sys.stderr.write(f"no transcript: {error}\n")
        return None


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


def _usable(source: SourceInfo, sound: Sound, picture: Picture) -> float:
    """Seconds that can be clipped: no further than there are pictures.

    The last keyframe says little about where the pictures end; then the sound counts too.
    """
    if decoding.use_keyframes_only(source):
        return min(source.duration, max(sound.seconds, picture.seconds))
    return min(source.duration, picture.seconds)

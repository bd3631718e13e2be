"""Probing: the properties of a video file, or its refusal. Runs in the child, never in the parent.

Everything is read from the file through libav, which is given the same lists of
protocols, containers and codecs as ffmpeg (`clipforge.media.ffmpeg`). One picture is
decoded: only then are the size, the rotation and the colours known for certain.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import av
import av.error
from av.stream import Disposition

from clipforge.media import ffmpeg, mpeg_streams, sound_tracks
from clipforge.media.contracts import (
    ADVICE,
    ErrorCode,
    Limits,
    MediaError,
    SourceInfo,
    WarningCode,
    not_a_video,
)

if TYPE_CHECKING:
    from pathlib import Path

MIN_DURATION = 0.5  # seconds
MIN_SIDE = 16  # pixels; nothing smaller can be cropped to 9:16
PACKETS_BEFORE_PICTURE = 1000  # more than a keyframe interval, far less than a file
IO_SECONDS = (15, 15)  # to open, to read
FALLBACK_FPS = 30.0
FPS_RANGE = (1.0, 1000.0)
HDR_TRANSFERS = {16: "smpte2084", 18: "arib-std-b67"}  # AVColorTransferCharacteristic


@dataclass(frozen=True, slots=True)
class ExaminedSource:
    """A source, with the properties that only the renderer needs."""

    source: SourceInfo
    hdr_transfer: str | None  # ffmpeg's name of the curve; None for ordinary video
    # False: the clock starts again somewhere, so that a time does not say where to seek.
    can_seek: bool = True


def probe(path: Path, limits: Limits, audio_track: int | None = None) -> SourceInfo:
    """Describe the first real video track of a file, or refuse the file.

    `audio_track` names the sound track to use, counted from 0; None: the one that people hear.
    """
    return examine(path, limits, audio_track).source


def examine(path: Path, limits: Limits, audio_track: int | None = None) -> ExaminedSource:
    """As `probe`, with the properties that the renderer needs besides."""
    if path.stat().st_size == 0:
        raise MediaError(ErrorCode.EMPTY_FILE, "The file is empty. Upload it again.")
    av.logging.set_level(None)
    try:
        with av.open(ffmpeg.url(path), options=_options(), timeout=IO_SECONDS) as container:
            return _examine(container, path, limits, audio_track)
    except MemoryError:
        raise  # libav's own is an FFmpegError too
    except (av.error.ExitError, av.error.TimeoutError) as error:
        raise MediaError(
            ErrorCode.TIMED_OUT, "Reading the file took too long. Try again later."
        ) from error
    except av.error.FFmpegError as error:
        raise not_a_video() from error


def _options() -> dict[str, str]:
    return {
        "protocol_whitelist": ffmpeg.PROTOCOLS,
        "format_whitelist": ffmpeg.FORMATS,
        "codec_whitelist": ffmpeg.CODECS,
        "max_streams": str(ffmpeg.MAX_STREAMS),
        "probesize": str(ffmpeg.PROBE_BYTES),
        "analyzeduration": str(ffmpeg.PROBE_MICROSECONDS),
    }


def _examine(
    container: av.container.InputContainer, path: Path, limits: Limits, audio_track: int | None
) -> ExaminedSource:
    video = _video_stream(container)
    video_codec = _codec(video, "picture")
    sound = _sound_tracks(container, audio_track)
    context = video.codec_context
    _check_size(context.width, context.height, limits)
    picture = _first_picture(container, video)
    width, height = _shown_size(video, picture)
    _check_size(width, height, limits)
    duration, can_seek = _duration(container, video)
    _check_duration(duration, limits)
    heard = sound_tracks.choose(container, sound, duration) if sound else None
    source = SourceInfo(
        container=container.format.name,
        duration=duration,
        size=path.stat().st_size,
        width=width,
        height=height,
        fps=_fps(video),
        video_codec=video_codec,
        audio_codec=_codec(heard, "sound") if heard else None,
        audio_track=list(container.streams.audio).index(heard) if heard else 0,
        warnings=(
            [WarningCode.SOUND_NOT_SUPPORTED] if container.streams.audio and not heard else []
        ),
    )
    return ExaminedSource(source, HDR_TRANSFERS.get(int(picture.color_trc)), can_seek)


def _video_stream(container: av.container.InputContainer) -> av.VideoStream:
    """The first video stream that is not an attached picture, which is a cover."""
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            return stream
    raise MediaError(
        ErrorCode.NO_VIDEO_STREAM, "There are no pictures in this file. Upload a video."
    )


def _sound_tracks(
    container: av.container.InputContainer, wanted: int | None
) -> list[av.AudioStream]:
    """The sound tracks that may be used: those that can be decoded, or the one that is wanted.

    Raises MediaError where that is not there, or in no format that is supported.
    """
    tracks = list(container.streams.audio)
    if wanted is None:
        return [track for track in tracks if _is_supported(track)]
    if wanted >= len(tracks):
        there = f"0 to {len(tracks) - 1}" if tracks else "none"
        raise MediaError(
            ErrorCode.NO_SUCH_TRACK,
            f"There is no sound track {wanted} in this file; there are: {there}.",
        )
    _codec(tracks[wanted], "sound")
    return [tracks[wanted]]


def _is_supported(stream: av.VideoStream | av.AudioStream) -> bool:
    # Without a decoder there is no context, whatever the stubs say.
    codec = stream.codec_context.codec if stream.codec_context else None
    return codec is not None and codec.name in ffmpeg.CODECS.split(",")


def _codec(stream: av.VideoStream | av.AudioStream, kind: str) -> str:
    """The name of a stream's codec. Raises MediaError for one that is not on the list."""
    if not _is_supported(stream):
        name = stream.codec_context.codec.name if stream.codec_context else "unknown"
        raise MediaError(
            ErrorCode.UNSUPPORTED_CODEC,
            f"The {kind} format of this video ({name}) is not supported. {ADVICE}",
        )
    return stream.codec_context.codec.canonical_name


def _first_picture(container: av.container.InputContainer, video: av.VideoStream) -> av.VideoFrame:
    """The first picture that decodes. Damaged packets before it are skipped."""
    video.codec_context.thread_count = 1
    for packet in itertools.islice(container.demux(video), PACKETS_BEFORE_PICTURE):
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            continue
        for frame in frames:
            if isinstance(frame, av.VideoFrame):
                return frame
    raise not_a_video()


def _shown_size(video: av.VideoStream, picture: av.VideoFrame) -> tuple[int, int]:
    """Pixels as a player shows them: made square, and turned upright."""
    aspect = float(video.sample_aspect_ratio or 1)
    width, height = round(picture.width * aspect), picture.height
    sideways = math.isclose(picture.rotation % 180, 90, abs_tol=1)
    return (height, width) if sideways else (width, height)


def _check_size(width: int, height: int, limits: Limits) -> None:
    if width * height > limits.max_pixels:
        raise MediaError(
            ErrorCode.BAD_DIMENSIONS,
            f"The picture is too large ({width}x{height}). "
            f"Scale it down to at most {limits.max_pixels / 1e6:.1f} megapixels.",
        )
    if min(width, height) < MIN_SIDE:
        raise MediaError(
            ErrorCode.BAD_DIMENSIONS,
            f"The picture is too small ({width}x{height}). "
            f"It needs at least {MIN_SIDE} pixels on each side.",
        )


def _duration(container: av.container.InputContainer, video: av.VideoStream) -> tuple[float, bool]:
    """Seconds from the start of the file to its last picture, and whether its clock runs through."""
    if container.format.name in ffmpeg.WITHOUT_INDEX:
        timeline = mpeg_streams.measure(container, video)
        if not timeline.is_continuous:
            return timeline.duration, False
    return _declared_duration(container, video), True


def _declared_duration(container: av.container.InputContainer, video: av.VideoStream) -> float:
    """Seconds to the last picture, as the file says.

    The sound often goes on a little longer, and nothing can be cut from there. The declared
    duration is believed: a file that breaks off early is found when it is decoded.
    """
    begin = (container.start_time or 0) / av.time_base
    whole = (container.duration or 0) / av.time_base
    if video.duration and video.time_base:
        pictures = float((video.duration + (video.start_time or 0)) * video.time_base) - begin
        return min(pictures, whole) if whole > 0 else pictures
    return whole if whole > 0 else _measured_duration(container, video) - begin


def _measured_duration(container: av.container.InputContainer, video: av.VideoStream) -> float:
    """The end of the last picture. Browsers record files that do not say how long they are.

    Reads on from the first picture to the end without decoding: as fast as the disk.
    """
    last = 0.0
    for packet in container.demux(video):
        if packet.pts is not None and packet.time_base:
            last = max(last, float((packet.pts + (packet.duration or 0)) * packet.time_base))
    return last


def _check_duration(duration: float, limits: Limits) -> None:
    if duration < MIN_DURATION:
        raise MediaError(
            ErrorCode.TOO_SHORT,
            f"The video is too short ({max(duration, 0):.2f} s). "
            f"Upload one of at least {MIN_DURATION} s.",
        )
    if duration > limits.max_duration:
        raise MediaError(
            ErrorCode.TOO_LONG,
            f"The video is too long ({duration / 60:.0f} min). "
            f"Cut it to at most {limits.max_duration / 60:.0f} min.",
        )


def _fps(video: av.VideoStream) -> float:
    """Pictures per second: the rate of the clock where the average confirms it.

    The average alone is a little off in short and fragmented files (29.77 for 30); the
    clock alone can be far off in files of varying rate (90000).
    """
    average, clock = float(video.average_rate or 0), float(video.guessed_rate or 0)
    rate = clock if math.isclose(average, clock, rel_tol=0.05) or not average else average
    return rate if FPS_RANGE[0] <= rate <= FPS_RANGE[1] else FALLBACK_FPS

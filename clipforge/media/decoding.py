"""Decoding in one pass: sound and pictures from one ffmpeg, reduced to what the features need.

ffmpeg scales inside its filter graph, so only 16 kHz mono sound and four tiny gray
pictures a second cross the pipes (52 kB per second of video). Nothing is kept here:
bytes go to the sinks as they arrive, and memory stays the same however long the file is.

Measured on a 720p file: `skip_loop_filter` saves a third of the CPU, and decoding only keyframes nine tenths.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
from typing import IO, TYPE_CHECKING, Protocol

from clipforge.media import ffmpeg, launcher, sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from clipforge.media.contracts import Limits, SourceInfo

SAMPLE_RATE = 16_000  # Hz; what the speech detector was trained on
FRAME_RATE = 4  # pictures per second: finds cuts and motion, and is cheap
FRAME_WIDTH, FRAME_HEIGHT = 96, 54  # pixels, whatever the shape of the source
FRAME_BYTES = FRAME_WIDTH * FRAME_HEIGHT
SAMPLE_BYTES = 2

# Sources longer than this (seconds) are judged by their keyframes: an hour and more of
# full decoding would hold a two-core worker for minutes.
KEYFRAMES_ONLY_ABOVE = 3600.0

# How much longer than declared (seconds) the streams may run before they are cut off. A
# gap in the timestamps makes ffmpeg fill hours with copies of one picture.
OVERRUN = 1.0

PIPE_BYTES = 1 << 20  # lets ffmpeg run ahead while features are computed
PROGRESS_STEP = 0.005


# The function that takes the bytes, and the one that gives the arguments for a pipe.
Output = tuple["Callable[[bytes], None]", "Callable[[str], list[str]]"]


class Sink(Protocol):
    """Takes raw bytes in order, cut anywhere."""

    def feed(self, data: bytes) -> None: ...


def use_keyframes_only(source: SourceInfo) -> bool:
    """True for sources so long that only keyframes are decoded."""
    return source.duration > KEYFRAMES_ONLY_ABOVE


def input_arguments(path: Path, source: SourceInfo, limits: Limits) -> list[str]:
    """Input arguments for the untrusted file; decoding that the analysis does not need is skipped."""
    skip = ("-skip_frame", "nokey") if use_keyframes_only(source) else ()
    options = ("-threads", "2", "-skip_loop_filter", "all", *skip)
    return ffmpeg.safe_input(path, limits=limits, options=options)


def audio_arguments(source: SourceInfo, limits: Limits, destination: str) -> list[str]:
    """Arguments for the chosen sound track as raw 16-bit mono.

    Gaps become silence, so that times stay true.
    """
    return [
        *("-map", f"0:a:{source.audio_track}"),
        *("-af", f"aresample={SAMPLE_RATE}:async=1:first_pts=0", "-ac", "1"),
        *("-c:a", "pcm_s16le", "-t", _bound(source, limits), "-f", "s16le", destination),
    ]


def video_arguments(source: SourceInfo, limits: Limits, destination: str) -> list[str]:
    """Arguments for the first picture track (`V`: no cover art) as raw gray frames, from 0 s on."""
    # `pass`: a last picture shorter than a quarter of a second is not left out; among
    # keyframes the last one always is that short.
    rate = f"fps={FRAME_RATE}:start_time=0:eof_action=pass"
    scale = f"scale={FRAME_WIDTH}:{FRAME_HEIGHT}:flags=fast_bilinear"
    return [
        *("-map", "0:V:0", "-vf", f"{rate},{scale},format=gray"),
        *("-c:v", "rawvideo", "-t", _bound(source, limits), "-f", "rawvideo", destination),
    ]


def decode(
    path: Path,
    source: SourceInfo,
    *,
    limits: Limits,
    audio: Sink,
    video: Sink,
    on_progress: Callable[[float], None],
    on_error: Callable[[bytes], None] | None = None,
    beside: Sequence[Output] = (),
) -> None:
    """Decode the whole file once, feeding `audio` (if the source has any), `video` and outputs `beside`.

    `on_progress` gets the decoded share of the declared duration, 0..1, rising. Errors
    inside the file are not failures: the sinks simply get less than was declared, and
    `on_error` what the decoders say of it.
    Raises `MediaError` if the decoder crashed or hit a limit.
    """
    report = _rising(on_progress, source.duration)
    outputs: list[Output] = [
        (
            _counted(video, FRAME_BYTES * FRAME_RATE, report),
            lambda pipe: video_arguments(source, limits, pipe),
        )
    ]
    if source.has_audio:
        outputs.append(
            (
                _counted(audio, SAMPLE_BYTES * SAMPLE_RATE, report),
                lambda pipe: audio_arguments(source, limits, pipe),
            )
        )
    stream(input_arguments(path, source, limits), [*outputs, *beside], on_error)
    on_progress(1.0)


def stream(
    command: list[str],
    outputs: Sequence[Output],
    on_error: Callable[[bytes], None] | None = None,
) -> None:
    """Run one ffmpeg that opens its input by `command`, until all its outputs have ended.

    Each output is the function that takes its bytes, and one that gives its arguments for the pipe
    that it is to be written to. Raises `MediaError` if the decoder crashed or hit a limit.
    """
    errors = sandbox.Tail()
    with contextlib.ExitStack() as read_ends, contextlib.ExitStack() as write_ends:
        reader, stderr = _pipe(read_ends, write_ends)

        def complain(data: bytes) -> None:
            errors.feed(data)
            if on_error is not None:
                on_error(data)

        streams: dict[IO[bytes], Callable[[bytes], None]] = {reader: complain}
        pass_fds = []
        for feed, arguments in outputs:
            reader, writer = _pipe(read_ends, write_ends)
            streams[reader] = feed
            pass_fds.append(writer)
            command = [*command, *arguments(f"pipe:{writer}")]
        with _running(command, stderr, pass_fds) as process:
            write_ends.close()  # or the pipes would never end
            sandbox.pump(streams)
            returncode = process.wait()
    _check(returncode, errors.text())


def _bound(source: SourceInfo, limits: Limits) -> str:
    return f"{min(source.duration + OVERRUN, limits.max_duration):.3f}"


def _counted(
    sink: Sink, bytes_per_second: int, report: Callable[[float], None]
) -> Callable[[bytes], None]:
    """A function that feeds the sink and reports how many seconds it has received."""
    received = 0

    def feed(data: bytes) -> None:
        nonlocal received
        received += len(data)
        sink.feed(data)
        report(received / bytes_per_second)

    return feed


def _rising(on_progress: Callable[[float], None], duration: float) -> Callable[[float], None]:
    """A function that reports a position in seconds as a share of `duration`, in steps of PROGRESS_STEP.

    Two streams report to it; the one that is ahead counts.
    """
    reported = 0.0

    def report(seconds: float) -> None:
        nonlocal reported
        share = min(seconds / duration, 1.0)
        if share >= reported + PROGRESS_STEP:
            reported = share
            on_progress(share)

    return report


def _pipe(
    read_ends: contextlib.ExitStack, write_ends: contextlib.ExitStack
) -> tuple[IO[bytes], int]:
    read_end, write_end = os.pipe()
    write_ends.callback(os.close, write_end)
    reader = read_ends.enter_context(os.fdopen(read_end, "rb", buffering=0))
    with contextlib.suppress(OSError):  # over the user's quota: slower, still right
        fcntl.fcntl(read_end, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return reader, write_end


@contextlib.contextmanager
def _running(
    arguments: list[str], stderr: int, pass_fds: list[int]
) -> Iterator[subprocess.Popen[bytes]]:
    """A running ffmpeg, which is killed when the block ends."""
    command = [ffmpeg.executable(), "-hide_banner", "-nostdin", "-v", "error", *arguments]
    with subprocess.Popen(
        launcher.wrap(command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        env=ffmpeg.ENVIRONMENT,
        pass_fds=pass_fds,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _check(returncode: int, errors: str) -> None:
    """Raise if ffmpeg was killed or ran out of something.

    Its other exit codes mean nothing: 0 for half a file, an error for one bad packet.
    """
    if returncode and (code := sandbox.exit_cause(returncode, errors)):
        raise sandbox.failure(code)

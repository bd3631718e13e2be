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
from typing import IO, TYPE_CHECKING, NamedTuple, Protocol

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

# Small gray frames, from 0 s on. `pass`: a last picture shorter than a quarter of a second is not left
# out; among keyframes the last one always is that short.
VIDEO_FILTERS = (
    f"fps={FRAME_RATE}:start_time=0:eof_action=pass,"
    f"scale={FRAME_WIDTH}:{FRAME_HEIGHT}:flags=fast_bilinear,format=gray"
)

PIPE_BYTES = 1 << 20  # lets ffmpeg run ahead while features are computed
PROGRESS_STEP = 0.005


class Output(NamedTuple):
    """An output of ffmpeg: what takes its bytes, and its arguments for the pipe that they come from.

    With `filters` it is made of the pictures of the first track by them, and the arguments map nothing.
    """

    feed: Callable[[bytes], None]
    arguments: Callable[[str], list[str]]
    filters: str = ""


# The filters of an output, as above, and its arguments.
Written = tuple[str, list[str]]


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
    """Arguments for the pictures that `VIDEO_FILTERS` made, as raw frames."""
    return ["-c:v", "rawvideo", "-t", _bound(source, limits), "-f", "rawvideo", destination]


def written(outputs: Sequence[Written]) -> list[str]:
    """The arguments of several outputs.

    Outputs of pictures share one graph. With a graph each, the scheduler of ffmpeg 9 comes to rest for
    ever where a gap in the time stamps puts one of them far ahead: one run in five.
    """
    graph = _Graph([filters for filters, _ in outputs if filters])
    arguments = [*graph.arguments]
    for filters, own in outputs:
        arguments += [*(graph.chosen() if filters else ()), *own]
    return arguments


class _Graph:
    """The filters of one output of pictures, or the one graph of several."""

    def __init__(self, chains: list[str]) -> None:
        self._chains, self._taken = chains, 0

    @property
    def arguments(self) -> list[str]:
        if len(self._chains) < 2:
            return []
        numbers = range(len(self._chains))
        copies = "".join(f"[copy{number}]" for number in numbers)
        steps = [f"[0:V:0]split={len(self._chains)}{copies}"]
        steps += [f"[copy{number}]{self._chains[number]}[shown{number}]" for number in numbers]
        return ["-filter_complex", ";".join(steps)]

    def chosen(self) -> list[str]:
        """The arguments by which the next output takes its pictures (`V`: no cover art)."""
        number, self._taken = self._taken, self._taken + 1
        if len(self._chains) < 2:
            return ["-map", "0:V:0", "-vf", self._chains[number]]
        return ["-map", f"[shown{number}]"]


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
    outputs = [
        Output(
            _counted(video, FRAME_BYTES * FRAME_RATE, report),
            lambda pipe: video_arguments(source, limits, pipe),
            VIDEO_FILTERS,
        )
    ]
    if source.has_audio:
        outputs.append(
            Output(
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
    files: Sequence[Written] = (),
) -> None:
    """Run one ffmpeg that opens its input by `command`, until all its outputs have ended.

    `files` are further outputs, which go where their arguments say.
    Raises `MediaError` if the decoder crashed or hit a limit.
    """
    errors = sandbox.Tail()
    with contextlib.ExitStack() as read_ends, contextlib.ExitStack() as write_ends:
        reader, stderr = _pipe(read_ends, write_ends)

        def complain(data: bytes) -> None:
            errors.feed(data)
            if on_error is not None:
                on_error(data)

        streams: dict[IO[bytes], Callable[[bytes], None]] = {reader: complain}
        pass_fds: list[int] = []
        all_outputs: list[Written] = []
        for output in outputs:
            reader, writer = _pipe(read_ends, write_ends)
            streams[reader] = output.feed
            pass_fds.append(writer)
            all_outputs.append((output.filters, output.arguments(f"pipe:{writer}")))
        all_outputs += files
        with _running([*command, *written(all_outputs)], stderr, pass_fds) as process:
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

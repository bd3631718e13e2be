"""Runs ffmpeg to write something, and tells why it failed. Runs in the child."""

from __future__ import annotations

import resource
import subprocess
import sys
from types import MappingProxyType
from typing import TYPE_CHECKING

from clipforge.media import ffmpeg, launcher
from clipforge.media.contracts import ErrorCode, Limits, MediaError
from clipforge.media.sandbox import LineSplitter, Tail, exit_cause, failure, pipe, pump

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from fractions import Fraction
    from pathlib import Path

THREADS = "2"  # each for decoder, filters and encoder; more would cost memory per clip


def seconds_text(value: Fraction | float) -> str:
    """Seconds as an argument of ffmpeg."""
    return f"{float(value):.6f}"


def encode(
    command: list[str],
    limits: Limits,
    on_seconds: Callable[[float], None],
    *,
    pass_fds: Sequence[int] = (),
    folder: Path | None = None,
    environment: Mapping[str, str] = MappingProxyType({}),
    on_error: Callable[[bytes], None] | None = None,
) -> None:
    """Run ffmpeg to its end. `on_seconds` gets the seconds written so far.

    It runs inside `folder`, with `environment` besides its own. `on_error` gets what it says.
    """

    def on_line(line: bytes) -> None:
        name, _, value = line.partition(b"=")
        if name == b"out_time_us" and value.strip().isdigit():  # "N/A" at first
            on_seconds(int(value) / 1e6)

    run(
        command,
        limits,
        on_line,
        pass_fds=pass_fds,
        folder=folder,
        environment=environment,
        on_error=on_error,
    )


def run(
    command: list[str],
    limits: Limits,
    on_line: Callable[[bytes], None] | None = None,
    *,
    pass_fds: Sequence[int] = (),
    folder: Path | None = None,
    environment: Mapping[str, str] = MappingProxyType({}),
    on_error: Callable[[bytes], None] | None = None,
) -> str:
    """Run ffmpeg to its end and return the end of what it said.

    `on_line` gets each line of its output. Raises MediaError if it fails.
    """
    stderr = Tail()
    process = subprocess.Popen(
        launcher.wrap(
            [ffmpeg.executable(), "-hide_banner", "-nostdin", "-nostats", "-y", *command]
        ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**ffmpeg.ENVIRONMENT, **environment},
        cwd=folder,
        pass_fds=pass_fds,
    )

    def complain(data: bytes) -> None:
        stderr.feed(data)
        if on_error is not None:
            on_error(data)

    lines = LineSplitter(on_line or (lambda _line: None))
    with process:
        pump({pipe(process.stdout): lines.feed, pipe(process.stderr): complain})
    if process.returncode != 0:
        raise _error(process.returncode, stderr.text(), limits)
    return stderr.text()


def _error(returncode: int, stderr: str, limits: Limits) -> MediaError:
    sys.stderr.write(stderr)  # for the parent's log
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    if used.ru_utime + used.ru_stime >= limits.cpu_seconds:
        return failure(ErrorCode.TIMED_OUT)  # ffmpeg catches SIGXCPU and just exits with 255
    if code := exit_cause(returncode, stderr):
        return failure(code)
    return broken_off()


def broken_off() -> MediaError:
    """The error for a source that ends or is damaged within the clip."""
    return MediaError(
        ErrorCode.VERIFY_FAILED,
        "The video is damaged or breaks off within this clip. "
        "Choose another part, or upload the whole file again.",
    )

"""Runs one media operation in a child process that cannot hurt the worker.

Video files are untrusted and decoders are large C programs. So the parent never
decodes: it starts `python -m clipforge.media`, hands it one JSON request, and reads
JSON lines back: `{"progress": [stage, fraction]}` any number of times, then one
`{"result": ...}` or `{"error": [code, message]}`. The response is not trusted either: its
size is bounded, and one that is malformed counts as a crashed decoder.

A child that stands still, with each of its threads waiting for another, is killed and its operation
begun once more: that is a race, which most runs win.

The child leads a session of its own. When `run` returns or raises, every process of that
session is dead. If the parent itself is killed, the kernel kills the child, and then
everything that the child started through `launcher.wrap`.
"""

from __future__ import annotations

import compileall
import contextlib
import functools
import json
import logging
import os
import re
import resource
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, Final

from clipforge.media import ffmpeg, isolation
from clipforge.media.contracts import ErrorCode, Limits, MediaError
from clipforge.media.stalling import Vigil

logger = logging.getLogger(__name__)

OnProgress = Callable[[str, float], None]
ShouldStop = Callable[[], bool]

POLL_SECONDS = 0.2  # between checks of the deadline and of `should_stop`
READ_BYTES = 1 << 16
MAX_LINE_BYTES = 8 << 20  # one line of the child; four hours of moments are far below it
STDERR_TAIL_BYTES = 8 << 10  # kept for the log
ATTEMPTS = 2  # at an operation whose child stands still
KILL_WAIT_SECONDS = 5.0  # for killed processes to disappear; later ones are left to init
NICE = 10
CPU_GRACE_SECONDS = 5  # between SIGXCPU, which names the cause, and SIGKILL
OPEN_FILES = 64

# The variables that the interpreter needs to find its parts. The rest of the parent's
# environment is withheld from the child, since it has the secrets of the whole service.
KEPT_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "PYTHONHOME", "TMPDIR")
PACKAGE_ROOT = Path(__file__).resolve().parents[2]

MESSAGES: Final[Mapping[ErrorCode, str]] = {
    ErrorCode.TIMED_OUT: "Processing took longer than allowed. Try a shorter video.",
    ErrorCode.OUT_OF_MEMORY: (
        "Processing needed more memory than allowed. Try a lower resolution."
    ),
    ErrorCode.OUTPUT_TOO_LARGE: (
        "The result is larger than allowed. Choose a shorter clip or a lower resolution."
    ),
    ErrorCode.STORAGE_FULL: "There is no room left to store the result. Try again later.",
    ErrorCode.DECODER_CRASHED: (
        "This video cannot be processed. Convert it to MP4 (H.264 and AAC) and upload it again."
    ),
    ErrorCode.CANCELLED: "The work was stopped before it finished.",
}

_SIGNAL_CAUSES: Final[Mapping[int, ErrorCode]] = {
    signal.SIGXCPU: ErrorCode.TIMED_OUT,
    signal.SIGXFSZ: ErrorCode.OUTPUT_TOO_LARGE,
    signal.SIGKILL: ErrorCode.OUT_OF_MEMORY,  # not sent by us, so by the kernel's OOM killer
}
# The messages of Python, the dynamic linker, OpenBLAS, C++, x264 and ffmpeg for these causes. An
# encoder that does not open had no memory for its threads, since its options are known to be valid.
_STDERR_CAUSES: Final[tuple[tuple[str, ErrorCode], ...]] = (
    ("No space left on device", ErrorCode.STORAGE_FULL),
    ("Disk quota exceeded", ErrorCode.STORAGE_FULL),
    ("File too large", ErrorCode.OUTPUT_TOO_LARGE),
    ("annot allocate memory", ErrorCode.OUT_OF_MEMORY),
    ("MemoryError", ErrorCode.OUT_OF_MEMORY),
    ("emory allocation", ErrorCode.OUT_OF_MEMORY),
    ("bad_alloc", ErrorCode.OUT_OF_MEMORY),
    ("alloc failed", ErrorCode.OUT_OF_MEMORY),
    ("failed to map segment", ErrorCode.OUT_OF_MEMORY),
    ("can't start new thread", ErrorCode.OUT_OF_MEMORY),
    ("Resource temporarily unavailable", ErrorCode.OUT_OF_MEMORY),
    ("malloc of size", ErrorCode.OUT_OF_MEMORY),
    ("Error while opening encoder", ErrorCode.OUT_OF_MEMORY),
)


def failure(code: ErrorCode) -> MediaError:
    """The error for a code whose sentence does not depend on the file."""
    return MediaError(code, MESSAGES[code])


def exit_cause(returncode: int, stderr: str) -> ErrorCode | None:
    """The error code for the end of a process. `returncode` as in `subprocess`: -N is signal N.

    None if it exited by itself and its stderr names no known cause.
    """
    if code := _SIGNAL_CAUSES.get(-returncode):
        return code
    for words, code in _STDERR_CAUSES:
        if words in stderr:
            return code
    return ErrorCode.DECODER_CRASHED if returncode < 0 else None


class Tail:
    """Keeps the last `STDERR_TAIL_BYTES` of a stream."""

    def __init__(self) -> None:
        self._kept = b""

    def feed(self, data: bytes) -> None:
        self._kept = (self._kept + data)[-STDERR_TAIL_BYTES:]

    def text(self) -> str:
        return self._kept.decode(errors="replace").strip()


class LineSplitter:
    """Splits a stream into lines and passes each to `take`.

    Raises for a line of over `MAX_LINE_BYTES`.
    """

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take
        self._rest = b""

    def feed(self, data: bytes) -> None:
        *whole, self._rest = (self._rest + data).split(b"\n")
        for line in whole:
            self._take(line)
        if len(self._rest) > MAX_LINE_BYTES:
            raise failure(ErrorCode.DECODER_CRASHED)


class Response:
    """The response of the child, from its lines: progress is reported, the last event is kept."""

    def __init__(self, on_progress: OnProgress | None) -> None:
        self._on_progress = on_progress
        self._last: dict[str, Any] = {}

    def take(self, line: bytes) -> None:
        try:
            event = dict(json.loads(line, parse_constant=_refuse))
            progress = event.get("progress")
            if progress is not None:
                stage, fraction = str(progress[0]), float(progress[1])
        except (ValueError, TypeError, LookupError, RecursionError) as error:
            raise failure(ErrorCode.DECODER_CRASHED) from error
        if progress is None:
            self._last = event
        elif self._on_progress is not None:
            self._on_progress(stage, fraction)

    def result(self, returncode: int, stderr: str) -> dict[str, Any]:
        """The result. Raises the MediaError that the child reported, or one for how it ended."""
        if isinstance(result := self._last.get("result"), dict):
            return result
        error = self._error(returncode, stderr)
        if stderr:
            error.add_note(f"child ended with {returncode}; the end of its stderr:\n{stderr}")
        raise error

    def _error(self, returncode: int, stderr: str) -> MediaError:
        with contextlib.suppress(ValueError, TypeError, KeyError):
            code, message = self._last["error"]
            return MediaError(ErrorCode(code), str(message))
        return failure(exit_cause(returncode, stderr) or ErrorCode.DECODER_CRASHED)


class Rising:
    """Passes on progress that is further than any before it, of an earlier attempt too."""

    def __init__(self, on_progress: OnProgress) -> None:
        self._on_progress = on_progress
        self._reached: dict[str, float] = {}

    def __call__(self, stage: str, fraction: float) -> None:
        if fraction > self._reached.get(stage, -1.0):
            self._reached[stage] = fraction
            self._on_progress(stage, fraction)


class Stalled(Exception):
    """The child stands still."""


class Deadline:
    """The wall-clock deadline of an operation, and the caller's `should_stop`."""

    def __init__(self, seconds: float, should_stop: ShouldStop | None) -> None:
        self._deadline = time.monotonic() + seconds
        self._should_stop = should_stop
        self._due = 0.0

    def check(self) -> None:
        """Raise if the deadline has passed or `should_stop` is true.

        Checks once in POLL_SECONDS at most.
        """
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + POLL_SECONDS
        if now >= self._deadline:
            raise failure(ErrorCode.TIMED_OUT)
        if self._should_stop is not None and self._should_stop():
            raise failure(ErrorCode.CANCELLED)


def run(
    operation: str,
    arguments: Mapping[str, Any],
    *,
    limits: Limits,
    reads: Sequence[str | Path] = (),
    writes: Sequence[str | Path] = (),
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> dict[str, Any]:
    """Run one operation of `clipforge.media.__main__` in a child and return its result.

    Of the files of this machine the child sees `reads` and `writes`, which are there already: files,
    or folders with all that is in them.
    `on_progress` and `should_stop` are called in this thread. Raises `MediaError`, and
    what the callbacks raise. No process that was started is alive afterwards.
    """
    request = {
        "operation": operation,
        "arguments": dict(arguments),
        "limits": asdict(limits),
        "reads": [str(Path(path).absolute()) for path in reads],
        "writes": [str(Path(path).absolute()) for path in writes],
    }
    check = Deadline(limits.wall_seconds, should_stop).check
    rising = Rising(on_progress) if on_progress is not None else None
    for _ in range(ATTEMPTS):
        try:
            return _attempt(request, check, rising)
        except Stalled:
            logger.warning("the media child stands still and is killed: %s", operation)
    raise failure(ErrorCode.DECODER_CRASHED)


def _attempt(
    request: Mapping[str, Any], check: Callable[[], None], on_progress: OnProgress | None
) -> dict[str, Any]:
    """The result of one child. Raises Stalled where it stands still."""
    response, stderr = Response(on_progress), Tail()
    _prepare()
    with _start() as process:
        vigil = Vigil(process.pid)

        def watch() -> None:
            check()
            if vigil.stands_still():
                raise Stalled

        try:
            _send(process, request)
            pump(
                {
                    pipe(process.stdout): LineSplitter(response.take).feed,
                    pipe(process.stderr): stderr.feed,
                },
                watch,
            )
            _await_exit(process.pid, watch)
        finally:
            _end_group(process)
    said = stderr.text()
    result = response.result(process.returncode, said)
    if said:
        logger.info("the media child said: %s", said)
    return result


def pump(
    streams: Mapping[IO[bytes], Callable[[bytes], None]], check: Callable[[], None] | None = None
) -> None:
    """Feed the data of each stream to its sink until all streams have ended.

    `check` is called at least once in `POLL_SECONDS`, and ends the work by raising. Without it nothing
    wakes this process up but data.
    """
    pause = None if check is None else POLL_SECONDS
    with selectors.DefaultSelector() as selector:
        for stream, sink in streams.items():
            selector.register(stream, selectors.EVENT_READ, sink)
        while selector.get_map():
            if check is not None:
                check()
            for key, _ in selector.select(pause):
                if data := os.read(key.fd, READ_BYTES):
                    key.data(data)
                else:
                    selector.unregister(key.fileobj)


def pipe(end: IO[bytes] | None) -> IO[bytes]:
    """The end of a pipe of a `Popen` that was started with it; never None."""
    if end is None:
        raise ValueError("the process was started without this pipe")
    return end


def confine(limits: Limits) -> None:
    """Put this process, and all that it will start, under the limits. For the child.

    The memory limit holds per process. The number of processes is limited by the launcher: the
    child and one ffmpeg.
    """
    os.nice(NICE)
    cpu = (limits.cpu_seconds, limits.cpu_seconds + CPU_GRACE_SECONDS)
    resource.setrlimit(resource.RLIMIT_CPU, cpu)
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits.output_bytes, limits.output_bytes))
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def environment() -> dict[str, str]:
    """The whole environment of the child."""
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    search = [str(PACKAGE_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join(search),
        "IMAGEIO_FFMPEG_EXE": ffmpeg.executable(),  # else every child would run it once to see
        "LC_ALL": "C.UTF-8",  # file names pass through undamaged
        "OPENBLAS_NUM_THREADS": "1",  # one stack per core would eat the memory limit
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",  # models are on this machine, or they are not
        "ORT_DISABLE_TELEMETRY": "1",  # onnxruntime would tell its maker of each model that it loads
    }


def _refuse(constant: str) -> float:
    raise ValueError(f"not JSON: {constant}")  # NaN would poison every comparison later


@functools.cache
def _prepare() -> None:
    """Once a process: say what children cannot be kept from, and write the bytecode that they may not."""
    for what in isolation.missing():
        logger.warning("this kernel cannot keep decoders from %s", what)
    tests = re.compile(r"/tests/")
    compileall.compile_dir(Path(__file__).parent, quiet=2, rx=tests)


def _start() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", "-s", "-m", "clipforge.media", str(os.getpid())]
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        start_new_session=True,
    )


def _send(process: subprocess.Popen[bytes], request: Mapping[str, Any]) -> None:
    # A child that died before it read the request is reported by its exit status.
    with contextlib.suppress(BrokenPipeError), pipe(process.stdin) as stdin:
        stdin.write(json.dumps(request).encode())


def _await_exit(pid: int, check: Callable[[], None]) -> None:
    """Wait until the child has ended, and leave it as a zombie.

    As long as it is not reaped, its process id cannot be reused, so that the kill which
    follows cannot hit an unrelated process group.
    """
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
        check()
        time.sleep(0.005)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Kill the remaining processes of the child's session and wait until they are gone."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + KILL_WAIT_SECONDS
    while _lives(process.pid) and time.monotonic() < deadline:
        time.sleep(0.005)


def _lives(group: int) -> bool:
    """Whether a process of the group still runs.

    Zombies that wait for init to reap them, which some inits do only every second or two,
    hold no file and no memory, and do not count.
    """
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return any(_runs_in(group, entry) for entry in Path("/proc").glob("[0-9]*/stat"))


def _runs_in(group: int, stat: Path) -> bool:
    # "pid (name) state ppid pgrp ...", and the name may contain anything.
    try:
        state, _, found = stat.read_bytes().rpartition(b")")[2].split()[:3]
    except (OSError, ValueError):  # it ended after it was listed
        return False
    return int(found) == group and state != b"Z"

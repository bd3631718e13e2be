"""Small real videos, made on the spot, and ways to look at files and processes."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import av
import pytest

from clipforge.media import ffmpeg, sandbox

if TYPE_CHECKING:
    from collections.abc import Callable

H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
AAC = ("-c:a", "aac", "-b:a", "96k")

COUNTER_BITS = 16
# Frame N shows N in binary, as black and white bars from left (lowest bit) to right.
COUNTER = "geq=lum='if(mod(floor(N/pow(2,floor(X*16/W))),2),235,16)':cb=128:cr=128"


def run_ffmpeg(*arguments: str | Path) -> str:
    """Run the plain ffmpeg, without any of our protections. Returns what it said."""
    command = [ffmpeg.executable(), "-hide_banner", "-nostdin", "-y", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stderr


def make_video(
    path: Path,
    *,
    seconds: float = 3,
    size: str = "320x180",
    rate: str = "30",
    picture: str = "testsrc2",
    picture_filter: str = "null",
    sound: str | None = "sine=f=440:b=4",
    options: tuple[str, ...] = (*H264, *AAC),
) -> Path:
    """Write a test picture with a counter in it, and a tone that beeps (`sound` None: none)."""
    inputs = ["-f", "lavfi", "-i", f"{picture}=s={size}:r={rate}:d={seconds}"]
    if sound is not None:
        joint = ":" if "=" in sound else "="
        inputs += ["-f", "lavfi", "-i", f"{sound}{joint}d={seconds}"]
    run_ffmpeg("-v", "error", *inputs, "-vf", picture_filter, *options, path)
    return path


def make_counter(path: Path, *, seconds: float, rate: str, options: tuple[str, ...]) -> Path:
    """Write a video in which frame N shows N; read it back with `counted`."""
    return make_video(
        path,
        seconds=seconds,
        size="160x90",
        rate=rate,
        picture="color",
        picture_filter=COUNTER,
        options=options,
    )


def counted(path: Path) -> list[int]:
    """The number shown by each frame of a `make_counter` video, or of a clip of one."""
    with av.open(str(path)) as container:
        return [_number(frame) for frame in container.decode(video=0)]


def _number(frame: av.VideoFrame) -> int:
    middle = frame.reformat(format="gray").to_ndarray()[frame.height // 2]
    bars = (int(middle[(2 * bit + 1) * frame.width // (2 * COUNTER_BITS)]) for bit in range(16))
    return sum((value > 128) << bit for bit, value in enumerate(bars))


def loudness(path: Path) -> float:
    """Integrated loudness of a file in LUFS."""
    said = run_ffmpeg("-i", path, "-vn", "-af", "ebur128", "-f", "null", "-")
    return float(re.findall(r"I:\s+(-?[\d.]+) LUFS", said)[-1])


def true_peak(path: Path) -> float:
    """The highest true peak of a file in dBTP."""
    said = run_ffmpeg("-i", path, "-vn", "-af", "ebur128=peak=true", "-f", "null", "-")
    return float(re.findall(r"Peak:\s+(-?[\d.]+) dBFS", said)[-1])


# Real footage, which is not part of this repository: tests of it run where it lies beside it.
FOOTAGE = Path(__file__).parents[4] / "shared" / "footage"


def footage(name: str) -> Path:
    """A file of real footage; skips the test where there is none."""
    path = FOOTAGE / name
    if not path.exists():
        pytest.skip(f"no footage: {path.name}")
    return path


def wait_until(condition: Callable[[], object], *, seconds: float = 60) -> None:
    """Return as soon as `condition` holds; fail if it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"still not so after {seconds} s"
        time.sleep(0.01)


def session_of(leader: int) -> dict[int, str]:
    """The living processes of a session: id and command line. Zombies do not live."""
    found = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if entry.name.isdigit() and _belongs(entry, leader):
                found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
    return found


def _belongs(entry: Path, leader: int) -> bool:
    # pid (name) state ppid pgrp session ...: the name may contain anything, even brackets
    state, _, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
    return state != "Z" and int(session) == leader


def children_of(pid: int) -> set[int]:
    """Ids of the child processes of all threads of a process."""
    has_ended = contextlib.suppress(FileNotFoundError, ProcessLookupError)
    tasks: list[Path] = []
    found: set[int] = set()
    with has_ended:
        tasks += Path(f"/proc/{pid}/task").iterdir()
    for task in tasks:
        with has_ended:  # one thread, which says nothing of the others
            found.update(map(int, (task / "children").read_text().split()))
    return found


def media_child(pid: int | None = None) -> int:
    """The one sandbox child of a process (this one if not told). Fails if it is not alone."""
    (child,) = media_children(os.getpid() if pid is None else pid)
    return child


def media_children(owner: int) -> list[int]:
    """The sandbox children of a process. One that is just being started has no command line yet."""
    return [
        child
        for child in children_of(owner)
        if "clipforge.media" in session_of(child).get(child, "")
    ]


def started_with(code: str) -> Callable[[], subprocess.Popen[bytes]]:
    """A `sandbox._start` whose child runs `code` inside `clipforge.media.ffmpeg` first."""
    planted = (
        "import runpy, sys; from clipforge.media import ffmpeg;"
        f"exec({code!r}, vars(ffmpeg));"
        "sys.argv = ['media', sys.argv[1]];"
        "runpy.run_module('clipforge.media', run_name='__main__')"
    )

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-P", "-s", "-c", planted, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=sandbox.environment(),
            start_new_session=True,
        )

    return start

"""Become another program that dies with the process that started it.

A worker can be killed at any moment, and a decoder that outlives it would hold a core
for an hour. Run as a script, with nothing but the standard library, because every
ffmpeg is started through it: `python -I -S launcher.py PARENT PROGRAM [ARGUMENT...]`.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def tied(argv: list[str]) -> list[str]:
    """The command that runs `argv` (an absolute program first) and dies with this thread.

    The kernel means the thread, not the process: start it from one that lives as long
    as the program has to, which for the media child is its main thread.
    """
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *argv]


def die_with(parent: int) -> None:
    """Have the kernel kill this process when `parent` (a process id) ends."""
    if sys.platform != "linux":
        return  # development elsewhere works; only Linux promises this
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the kernel knew of our wish
        os._exit(1)


def main() -> None:
    die_with(int(sys.argv[1]))
    # Python ignores these two, and what is ignored stays ignored across exec: ffmpeg
    # would report a broken pipe or a full file instead of ending at once.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - no shell is the point


if __name__ == "__main__":
    main()

"""Faults of one process: a wrong clock, a log that takes nothing, a disk that is full.

And `patient`, which spares it what a busy machine would do to it.

Each takes the command line of a process and returns one that starts the same process so. It keeps
its process id, and nothing outlives it.
"""

from __future__ import annotations

import functools
import runpy
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path


class NotPermitted(OSError):
    """This machine does not let us do that to a process."""


Injection = Callable[[list[str]], list[str]]


def none(argv: list[str]) -> list[str]:
    return argv


def clock_off_by(seconds: float) -> Injection:
    """Python's clock, in this process and what it forks, is ahead by so much (behind, if negative).

    Clocks that only measure (`time.monotonic`), PostgreSQL's, Redis's and the file system's are right.
    """
    return _altered("clock", seconds)


def patient(argv: list[str]) -> list[str]:
    """No fault, but more patience: Redis may be silent for ten seconds, where it is a busy machine
    that keeps it from answering. For tests of what is so as long as Redis answers."""
    return _altered("patience", 10)(argv)


def _altered(what: str, seconds: float) -> Injection:
    def start(argv: list[str]) -> list[str]:
        interpreter, *program = argv
        return [
            interpreter,
            "-m",
            "clipforge.devtools.testing.fault_injection",
            what,
            str(seconds),
            *program,
        ]

    return start


def log_full(argv: list[str]) -> list[str]:
    """Nothing that it prints can be written: the system says that no space is left."""
    return _shell('exec "$@" >/dev/full 2>&1', argv)


def disk_of(size: int, path: Path) -> Injection:
    """`path` is a disk of its own, empty, of so many bytes, which only this process sees."""

    def start(argv: list[str]) -> list[str]:
        mount = f'mount -t tmpfs -o size={size} tmpfs "{path}" && exec "$@"'
        return [*_private_mounts(), *_shell(mount, argv)]

    return start


@functools.cache
def _private_mounts() -> list[str]:
    """The command that lets another one mount what it likes. Raises NotPermitted where none may."""
    for options in (["--mount"], ["--mount", "--map-root-user"]):
        program = ["unshare", *options]
        attempt = [*program, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
        if subprocess.run(attempt, capture_output=True, check=False).returncode == 0:
            return program
    raise NotPermitted("only root, or who may unshare mounts, can have a small disk")


def _shell(script: str, argv: list[str]) -> list[str]:
    return ["/bin/sh", "-c", script, "sh", *argv]


def main() -> None:
    """Be the `python ARGUMENTS` that was asked for, altered."""
    what, seconds, *program = sys.argv[1:]
    {"clock": _travel, "patience": _be_patient}[what](float(seconds))
    if program[0] == "-m":
        sys.argv = program[1:]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = program
        runpy.run_path(sys.argv[0], run_name="__main__")


def _travel(seconds: float) -> None:
    import time_machine  # here: only a process with a wrong clock needs it

    time_machine.travel(time.time() + seconds, tick=True).start()


def _be_patient(seconds: float) -> None:
    from clipforge.common.cache import redis

    redis.CONNECT_SECONDS = redis.ANSWER_SECONDS = redis.BYPASS_SECONDS = seconds


if __name__ == "__main__":
    main()

"""Advisory file locks (flock) that survive the deletion of their file, with a deadline."""

import errno
import fcntl
import os
import time
from pathlib import Path

from clipforge.embedded.paths import EmbeddedError

SHARED, EXCLUSIVE = fcntl.LOCK_SH, fcntl.LOCK_EX
POLL_SECONDS = 0.02


def open_lock(path: Path) -> int:
    """The descriptor is not inherited by programs that this process starts."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)


def try_lock(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            raise
        return False
    return True


def wait_for_lock(fd: int, kind: int) -> None:
    """Without a deadline. A signal handler that raises ends the wait."""
    fcntl.flock(fd, kind)


def unlock(fd: int) -> None:
    """Also for processes forked with the descriptor: the lock is theirs as much as ours."""
    fcntl.flock(fd, fcntl.LOCK_UN)


def is_at(fd: int, path: Path) -> bool:
    """Whether the open file still has that name; another process may have deleted or replaced it."""
    try:
        return os.path.samestat(os.fstat(fd), path.lstat())
    except FileNotFoundError:
        return False


def acquire(path: Path, kind: int, deadline: float, complaint: str) -> int:
    """Make the file if need be and lock it; EmbeddedError(complaint) after the deadline."""
    while True:
        fd = open_lock(path)
        if try_lock(fd, kind) and is_at(fd, path):
            return fd
        os.close(fd)
        if time.monotonic() > deadline:
            raise EmbeddedError(complaint)
        time.sleep(POLL_SECONDS)


def is_held(path: Path) -> bool:
    """Whether some process has it exclusively. False if there is no such file."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return not try_lock(fd, SHARED)
    finally:
        os.close(fd)

"""The disk of this machine: what is being uploaded or rendered here, and whether there is room."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from django.conf import settings

from clipforge.common.errors import StorageFull
from clipforge.common.storage.stores import INCOMING

# Kept free, or a twentieth of the disk if that is less. Bytes.
MAX_RESERVE = 1 << 30

# What the operating system says when there is no room, or none left for this user.
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def path_of(key: str) -> Path:
    """Where the file with this key is on this machine. Raises ValueError for a key that leaves MEDIA_ROOT."""
    return path_below(Path(settings.MEDIA_ROOT).absolute(), key)


def path_below(root: Path, key: str) -> Path:
    path = root / key
    if not key or ".." in path.parts or not path.is_relative_to(root):
        raise ValueError(f"not a storage key: {key!r}")
    return path


def has_room(size: int) -> bool:
    """Whether `size` bytes fit and leave a reserve: the database may share the disk."""
    root = path_of(INCOMING).parent
    with full_disk_is_refused():
        root.mkdir(parents=True, exist_ok=True)
    usage = shutil.disk_usage(root)
    return usage.free - size >= min(MAX_RESERVE, usage.total // 20)


def require_room(size: int) -> None:
    """Raises StorageFull unless `has_room`."""
    if not has_room(size):
        raise storage_full()


def new_part() -> Path:
    """A fresh path in the incoming folder. The caller publishes it or unlinks it."""
    folder = path_of(INCOMING)
    with full_disk_is_refused():
        folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{uuid.uuid4().hex}.part"


@contextlib.contextmanager
def workspace(work_id: uuid.UUID, fence: int) -> Iterator[Path]:
    """A folder for one attempt at some work, gone afterwards.

    What a killed attempt at the same work left behind is removed first.
    """
    folder = path_of(f"{INCOMING}/{work_id}.{fence}")
    for left in folder.parent.glob(f"{work_id}.*"):
        shutil.rmtree(left, ignore_errors=True)
    with full_disk_is_refused():
        folder.mkdir(parents=True, exist_ok=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def second_name(path: Path) -> Path:
    """Another name of a file on this disk, in the incoming folder, to be published. It has both then."""
    part = new_part()
    os.link(path, part)
    return part


class PartWriter:
    """Writes one incoming file: counts bytes, hashes them, and leaves nothing unless kept."""

    def __init__(self) -> None:
        self.path = new_part()
        self.size = 0
        self._hash = hashlib.sha256()
        with full_disk_is_refused():
            self._file: IO[bytes] = self.path.open("xb")

    def write(self, chunk: bytes) -> None:
        """Raises StorageFull."""
        with full_disk_is_refused():
            self._file.write(chunk)
        self.size += len(chunk)
        self._hash.update(chunk)

    def close(self) -> None:
        """Close it, durably: gigabytes are flushed here, before any row is locked for them."""
        with full_disk_is_refused():
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()

    def discard(self) -> None:
        """Remove what was written, unless it was published meanwhile."""
        with contextlib.suppress(OSError):  # the last buffer did not fit; the file goes anyway
            self._file.close()
        self.path.unlink(missing_ok=True)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


def remove_old_incoming(*, older_than_seconds: float, now: float) -> int:
    """Remove uploads and workspaces that a crash left behind. Returns how many."""
    removed = 0
    for left in path_of(INCOMING).glob("*"):
        if age_of(left, now) <= older_than_seconds:
            continue
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)
        removed += 1
    return removed


def age_of(path: Path, now: float) -> float:
    try:
        return now - path.stat().st_mtime
    except FileNotFoundError:
        return 0


@contextlib.contextmanager
def full_disk_is_refused() -> Iterator[None]:
    """Turn the system's "no space" into StorageFull."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise storage_full() from error
        raise


def storage_full() -> StorageFull:
    return StorageFull(
        "There is no room for this file right now. Nothing was stored or charged.", retry_after=300
    )


def fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Files under MEDIA_ROOT: they become visible whole or not at all.

A file is written aside as `incoming/<random>.part`, fsynced, and renamed to its key. Keys
are made by us, never from a client's file name. Everything takes and gives keys; only the
media code, which runs on the same machine, asks for paths.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import IO, Any

from django.conf import settings

from clipforge.common.errors import StorageFull

logger = logging.getLogger(__name__)

INCOMING = "incoming"
# Files that no row names, on their way out.
ASIDE = "set_aside"

# Kept free, or a twentieth of the disk if that is less. Bytes.
MAX_RESERVE = 1 << 30

# What the operating system says when there is no room, or none left for this user.
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def path_of(key: str) -> Path:
    """Where the file with this key is. Raises ValueError for a key that leaves MEDIA_ROOT."""
    root = Path(settings.MEDIA_ROOT).absolute()
    path = root / key
    if not key or ".." in path.parts or not path.is_relative_to(root):
        raise ValueError(f"not a storage key: {key!r}")
    return path


def require_room(size: int) -> None:
    """Raises StorageFull unless `size` bytes fit and leave a reserve: the database may share the disk."""
    root = path_of(INCOMING).parent
    with full_disk_is_refused():
        root.mkdir(parents=True, exist_ok=True)
    usage = shutil.disk_usage(root)
    if usage.free - size < min(MAX_RESERVE, usage.total // 20):
        raise _storage_full()


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


def publish(part: Path, key: str) -> None:
    """Make a finished, closed file visible under `key`, durably. The part is gone afterwards."""
    target = path_of(key)
    with full_disk_is_refused():
        _fsync(part)
        try:
            _move(part, target)
        except FileNotFoundError:
            _move(part, target)  # the folder was empty, and another process just removed it
        _fsync(target.parent)


def companion_of(key: str, name: str) -> str:
    """The key of a file that belongs to another, and is deleted with it."""
    return str(PurePosixPath(key).with_suffix(f".{name}"))


def size_of(key: str) -> int:
    """The bytes of the file with its companions. What is not there takes none."""
    path = path_of(key)
    total = 0
    for each in {path, *path.parent.glob(f"{path.stem}.*")}:
        with contextlib.suppress(FileNotFoundError):
            total += each.stat().st_size
    return total


def delete(key: str) -> None:
    """Delete the file with its companions, and its folder if that is empty now. A missing file is fine."""
    if not key:
        return
    path = path_of(key)
    path.unlink(missing_ok=True)
    for companion in path.parent.glob(f"{path.stem}.*"):
        companion.unlink(missing_ok=True)
    try:
        path.parent.rmdir()
    except OSError:
        return


def key_of(path: Path) -> str:
    """The key of a path of MEDIA_ROOT."""
    return str(path.relative_to(Path(settings.MEDIA_ROOT).absolute()))


def belongs_to(path: Path, key: str) -> bool:
    """Whether it is the file with this key, or a companion of that."""
    file = path_of(key)
    return path == file or (path.parent == file.parent and path.name.startswith(f"{file.stem}."))


def job_folders(kind: str) -> Iterator[Path]:
    """The folders `<org>/<kind>/<id>`, one after the other: there may be a million."""
    for org in _entries(path_of(INCOMING).parent):
        yield from _entries(org / kind)


def _entries(folder: Path) -> Iterator[Path]:
    """The entries of a folder, read as it is asked for; nothing where it is none, or gone."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as found:
        for entry in found:
            yield Path(entry.path)


def files_in(folder: Path) -> Iterator[Path]:
    """The files of a folder and of those in it."""
    for entry in _entries(folder):
        if entry.is_dir():
            yield from files_in(entry)
        else:
            yield entry


def set_aside(key: str, *, now: float) -> None:
    """Take a file out of its place; `remove_set_aside` removes it later. Put back, it is as it was."""
    path = path_of(key)
    target = path_of(f"{ASIDE}/{key}")
    target.parent.mkdir(parents=True, exist_ok=True)
    path.replace(target)
    os.utime(target, (now, now))
    with contextlib.suppress(OSError):
        path.parent.rmdir()


def remove_set_aside(*, older_than_seconds: float, now: float) -> int:
    """Remove what was set aside for so long. Returns how many files."""
    removed = 0
    for file in files_in(path_of(ASIDE)):
        if _age(file, now) > older_than_seconds:
            file.unlink(missing_ok=True)
            removed += 1
            with contextlib.suppress(OSError):
                file.parent.rmdir()
    return removed


def delete_all(keys: Iterable[str]) -> None:
    for key in keys:
        delete(key)


def delete_others(key: str) -> None:
    """Delete what is beside the file and its companions: what earlier attempts left when they died."""
    path = path_of(key)
    with contextlib.suppress(FileNotFoundError):  # deleted meanwhile, all of it
        for other in path.parent.iterdir():
            if other != path and not other.name.startswith(f"{path.stem}."):
                other.unlink(missing_ok=True)


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
        if _age(left, now) <= older_than_seconds:
            continue
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)
        removed += 1
    return removed


def remove_orphans(
    kind: str,
    *,
    exists: Callable[[list[uuid.UUID]], Iterable[uuid.UUID]],
    older_than_seconds: float,
    now: float,
) -> int:
    """Remove folders `<org>/<kind>/<id>` whose row does not exist. Returns how many.

    `exists` is asked for at most a thousand ids at a time. Young folders are left: their
    transaction may not have committed yet.
    """
    old = (folder for folder in job_folders(kind) if _age(folder, now) > older_than_seconds)
    removed = 0
    while folders := list(islice(old, 1000)):
        ids = {folder: row_id for folder in folders if (row_id := _row_id(folder))}
        known = set(exists(list(ids.values())))
        for folder, row_id in ids.items():
            if row_id not in known:
                shutil.rmtree(folder, onerror=_left)
                removed += not folder.exists()
    return removed


def _left(_function: object, path: str, problem: Any) -> None:
    """Passed over: the next run tries it again."""
    logger.error("%s could not be removed: %s", path, problem[1])


def _row_id(folder: Path) -> uuid.UUID | None:
    """None for what we did not put there; it is left alone."""
    try:
        return uuid.UUID(folder.name) if folder.is_dir() else None
    except ValueError:
        return None


def _move(part: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    part.replace(target)


def _age(path: Path, now: float) -> float:
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
            raise _storage_full() from error
        raise


def _storage_full() -> StorageFull:
    return StorageFull(
        "There is no room for this file right now. Nothing was stored or charged.", retry_after=300
    )


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

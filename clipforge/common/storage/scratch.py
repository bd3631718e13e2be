"""Copies of stored files on the disk of this machine, for programs that need a path.

    MEDIA_ROOT/scratch/all.lock          held while room is made
    MEDIA_ROOT/scratch/<digest>          a copy
    MEDIA_ROOT/scratch/<digest>.part     one that is being fetched, as large as it will be
    MEDIA_ROOT/scratch/<digest>.lock     shared by whoever uses the copy, held by who fetches or removes it

All processes of a machine share them: a file is fetched once, and what is not in use goes when there is
no room for another, the longest unused first. Locks are those of the system, so that those of a process
that dies end with it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

from clipforge.common.errors import StorageUnavailable
from clipforge.common.storage import disk
from clipforge.common.storage.stores import (
    SCRATCH,
    Facts,
    ShouldStop,
    Stopped,
    Store,
    unless_stopped,
)

CHUNK = 1 << 20
# A copy that nobody used for so long goes at the next occasion: its file may have been deleted.
UNUSED_SECONDS = 6 * 3600


@contextlib.contextmanager
def copy_of(store: Store, key: str, *, should_stop: ShouldStop) -> Iterator[Path]:
    """A copy that stays while the block runs. It is the file as the store has it now.

    Raises FileNotFoundError, StorageFull where SCRATCH_BYTES are in use or the disk is short,
    StorageUnavailable, Stopped.
    """
    facts = store.facts(key)
    path = _path_of(key, facts)
    remove_unused(older_than_seconds=UNUSED_SECONDS, now=time.time())
    while True:
        with _locked(path, fcntl.LOCK_SH, should_stop):
            if path.exists():
                os.utime(path)
                yield path
                return
        with _locked(path, fcntl.LOCK_EX, should_stop):
            if not path.exists():
                _fetch(store, key, facts, path, should_stop)


def has_copy(store: Store, key: str) -> bool:
    return _path_of(key, store.facts(key)).exists()


def remove_unused(*, older_than_seconds: float, now: float) -> int:
    """Remove copies that nobody used for so long. Returns how many."""
    old = (path for path in _copies() if now - _used_at(path) > older_than_seconds)
    return sum(_removed(path) for path in old)


def _fetch(store: Store, key: str, facts: Facts, path: Path, should_stop: ShouldStop) -> None:
    part = path.with_name(f"{path.name}.part")
    try:
        _reserve(part, facts.size)

        def fetched(is_stopped: threading.Event) -> None:
            # By its name it is found no more once we stopped; the bytes go with this descriptor.
            with disk.full_disk_is_refused(), store.read(key) as source, part.open("r+b") as copy:
                digest = hashlib.sha256()
                while chunk := source.read(CHUNK):
                    if is_stopped.is_set():
                        raise Stopped
                    copy.write(chunk)
                    digest.update(chunk)
                if copy.tell() != facts.size or facts.sha256 not in {None, digest.hexdigest()}:
                    raise StorageUnavailable("The stored file came with other bytes than it has.")

        unless_stopped(fetched, should_stop)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _reserve(part: Path, size: int) -> None:
    """Make room and take it. Raises StorageFull."""
    folder = part.parent
    with _held(folder / "all.lock", fcntl.LOCK_EX):
        part.unlink(missing_ok=True)
        used = sizes(folder)
        for path in sorted(_copies(), key=_used_at):
            if sum(used.values()) + size <= settings.SCRATCH_BYTES and disk.has_room(size):
                break
            if _removed(path):
                used.pop(path, None)
        if sum(used.values()) + size > settings.SCRATCH_BYTES:
            raise disk.storage_full()
        disk.require_room(size)
        with disk.full_disk_is_refused(), part.open("xb") as file:
            if size:
                os.posix_fallocate(file.fileno(), 0, size)


def _removed(path: Path) -> bool:
    """Whether it was in nobody's use, and is removed."""
    with _locked_or_not(path) as is_ours:
        if is_ours:
            path.unlink(missing_ok=True)
            path.with_name(f"{path.name}.part").unlink(missing_ok=True)
            _lock_of(path).unlink(missing_ok=True)
    return is_ours


@contextlib.contextmanager
def _locked(path: Path, how: int, should_stop: ShouldStop) -> Iterator[None]:
    """Raises Stopped while it waits."""
    with contextlib.ExitStack() as stack:
        while not stack.enter_context(_held(_lock_of(path), how | fcntl.LOCK_NB)):
            stack.close()
            if should_stop():
                raise Stopped
            time.sleep(0.1)
        yield


@contextlib.contextmanager
def _locked_or_not(path: Path) -> Iterator[bool]:
    with _held(_lock_of(path), fcntl.LOCK_EX | fcntl.LOCK_NB) as is_ours:
        yield is_ours


@contextlib.contextmanager
def _held(lock: Path, how: int) -> Iterator[bool]:
    """Whether the lock is held while the block runs; without LOCK_NB it waits for that."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with disk.full_disk_is_refused():
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, how)
        except BlockingIOError:
            yield False
        else:
            # Of a name that somebody removed meanwhile, the next one makes another file.
            yield _is_same(descriptor, lock)
    finally:
        os.close(descriptor)


def _is_same(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _path_of(key: str, facts: Facts) -> Path:
    name = hashlib.sha256(f"{key}\n{facts.etag}\n{facts.size}".encode()).hexdigest()
    return disk.path_of(f"{SCRATCH}/{name}")


def _lock_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


def _copies() -> list[Path]:
    """Each copy, fetched or not, by the path that it has once it is fetched."""
    folder = disk.path_of(SCRATCH)
    return [lock.with_suffix("") for lock in folder.glob("*.lock") if lock.name != "all.lock"]


def sizes(folder: Path) -> dict[Path, int]:
    """The bytes of each copy. One that is being fetched counts whole, also while it gets its name."""
    copies = {path.with_suffix("") for path in folder.iterdir() if path.suffix != ".lock"}
    return {
        copy: _size_of(copy.with_name(f"{copy.name}.part")) or _size_of(copy) for copy in copies
    }


def _size_of(path: Path) -> int:
    """0 of what is not there."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _used_at(path: Path) -> float:
    """Of one that is not fetched: when somebody first wanted it."""
    for each in (path, _lock_of(path)):
        with contextlib.suppress(FileNotFoundError):
            return each.stat().st_mtime
    return time.time()

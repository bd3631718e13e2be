"""The files of this installation, by keys: in MEDIA_ROOT, or in a bucket of S3 (`STORAGE_URL`).

A file becomes visible under its key whole or not at all, and a key is never written twice with other
bytes. Keys are made by us (`<org>/projects/<id>/source`, `<org>/exports/<id>/<fence>.mp4`), never from a
client's text. This module is the whole of what other apps use:

    publish(part, key)                       a finished file of this machine, moved or put to its key
    brought(part, key) → Arrival             the same for a row of a transaction to come: what takes long is
                                             done before it, and undone where `land()` is not called in it
    local_copy(key) → path                   to read it as a file: itself, or a copy in the bounded scratch
    open_file(key), read_bytes(key)          to read it as a stream
    facts(key), is_there(key), size_of(key)  size, time, ETag and SHA-256; with companions
    beside(key)                              the file and its companions
    move(key, to)                            another key, without the bytes coming through here
    delete(key), remove(keys)                with companions; only these
    walk(area), job_folders(area)            all files and folders of rows, in constant memory
    PartWriter, new_part(), workspace()      unfinished files, always on the disk of this machine

What is missing is FileNotFoundError. A store that does not answer is StorageUnavailable, after a few
tries; a full disk, or a scratch in use, StorageFull. What takes long asks `should_stop` at least twice a second and raises
Stopped. `stores.Store` is what a back end has; `at(url)` makes one of an address.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO

from clipforge.common.storage import scratch
from clipforge.common.storage.disk import (
    PartWriter,
    full_disk_is_refused,
    new_part,
    path_of,
    remove_old_incoming,
    require_room,
    second_name,
    workspace,
)
from clipforge.common.storage.local import LocalStorage
from clipforge.common.storage.stores import (
    ASIDE,
    INCOMING,
    UPLOADS,
    Entry,
    Facts,
    Folder,
    IsWanted,
    PartStore,
    SentPart,
    ShouldStop,
    Stopped,
    Store,
    at,
    belongs_to,
    companion_of,
    content_type_of,
    current,
    folder_of,
    never,
    unwanted,
)

__all__ = [
    "ASIDE",
    "INCOMING",
    "UPLOADS",
    "Arrival",
    "Entry",
    "Facts",
    "Folder",
    "PartStore",
    "PartWriter",
    "SentPart",
    "ShouldStop",
    "Stopped",
    "Store",
    "at",
    "belongs_to",
    "companion_of",
    "content_type_of",
    "current",
    "full_disk_is_refused",
    "never",
    "new_part",
    "path_of",
    "remove_old_incoming",
    "require_room",
    "second_name",
    "workspace",
]

# Of so many bytes at most a copy is fetched while a client waits.
SMALL = 64 << 20


def is_local() -> bool:
    """Whether the files are on the disk of this machine."""
    return current().is_local


# --- writing ------------------------------------------------------------------------


def publish(part: Path, key: str, *, sha256: str = "", should_stop: ShouldStop = never) -> None:
    """Make a finished, closed file visible under `key`, durably. The part is gone afterwards."""
    store = current()
    if isinstance(store, LocalStorage):
        store.publish(part, key)
    else:
        store.put(part, key, sha256=sha256, should_stop=should_stop)
        part.unlink(missing_ok=True)


class Arrival:
    """A file on its way to its key. Nothing of it stays unless `land` is called.

    `part` is where it is on the disk; None of what the store has already.
    """

    def __init__(self, part: Path | None, key: str) -> None:
        self.key = key
        self.has_landed = False
        self._part = part

    @property
    def row_id(self) -> uuid.UUID:
        """The id of the row that is to name it."""
        return uuid.UUID(self.key.split("/")[2])

    def land(self) -> None:
        """Make it visible, as the last step of the transaction that names it. It takes no time.

        Should the commit fail after that, the removal of orphans finds the file.
        """
        if self._part is not None and is_local():
            publish(self._part, self.key)
        self.has_landed = True


@contextlib.contextmanager
def brought(
    part: Path, key: str, *, sha256: str = "", should_stop: ShouldStop = never
) -> Iterator[Arrival]:
    """Bring a finished file to the store for a row that does not name it yet. Call it outside a transaction."""
    arrival = Arrival(part, key)
    with _unless_landed(arrival):
        if not is_local():
            current().put(part, key, sha256=sha256, should_stop=should_stop)
        yield arrival


@contextlib.contextmanager
def copied(store: PartStore, key: str, to: str, *, sha256: str) -> Iterator[Arrival]:
    """As `brought`, of a file that the store has under another key. It stays there."""
    arrival = Arrival(None, to)
    with _unless_landed(arrival):
        store.copy(key, to, sha256=sha256)
        yield arrival


@contextlib.contextmanager
def _unless_landed(arrival: Arrival) -> Iterator[None]:
    try:
        yield
    finally:
        if not arrival.has_landed and not is_local():
            with contextlib.suppress(Exception):  # the removal of orphans finds it
                current().remove([arrival.key])


def move(key: str, to: str) -> None:
    """Give a file another key. One that is larger than 5 GB takes seconds where it is in a bucket."""
    current().move(key, to)


# --- reading ------------------------------------------------------------------------


@contextlib.contextmanager
def local_copy(key: str, *, should_stop: ShouldStop = never) -> Iterator[Path]:
    """The file as a path of this machine, to be read only while the block runs."""
    store = current()
    if isinstance(store, LocalStorage):
        path = store.path_of(key)
        if not path.is_file():
            raise FileNotFoundError(key)
        yield path
    else:
        with scratch.copy_of(store, key, should_stop=should_stop) as copy:
            yield copy


def is_at_hand(key: str) -> bool:
    """Whether `local_copy` takes no longer than a client would wait. False for what is missing."""
    try:
        found = facts(key)
        return is_local() or found.size <= SMALL or scratch.has_copy(current(), key)
    except FileNotFoundError:
        return False


def open_file(key: str) -> IO[bytes]:
    return current().read(key)


def read_bytes(key: str) -> bytes:
    """All of it: for small files."""
    with open_file(key) as file:
        return file.read()


def facts(key: str) -> Facts:
    return current().facts(key)


def is_there(key: str) -> bool:
    try:
        facts(key)
    except FileNotFoundError:
        return False
    return True


def beside(key: str) -> list[Entry]:
    """The file with this key, if it is there, and its companions."""
    return current().beside(key)


def size_of(key: str) -> int:
    """The bytes of the file with its companions. What is not there takes none."""
    return sum(entry.size for entry in beside(key))


def sizes_of(keys: list[str]) -> dict[str, int]:
    """`size_of` for each; files that are missing are not in it, whatever is left beside them."""
    return current().sizes(keys)


# --- removing -----------------------------------------------------------------------


def delete(key: str) -> None:
    """Delete the file with its companions, and its folder if that is empty now. A missing file is fine."""
    if key:
        current().remove([key, *(entry.key for entry in beside(key) if entry.key != key)])


def delete_all(keys: Iterable[str]) -> None:
    for key in keys:
        delete(key)


def delete_others(key: str) -> None:
    """Delete what is beside the file and its companions: what earlier attempts left when they died."""
    store = current()
    others = (each.key for each in store.in_folder(folder_of(key)) if not belongs_to(each.key, key))
    store.remove(others)


def remove(keys: Iterable[str]) -> None:
    """Delete these files alone."""
    current().remove(keys)


def set_aside(key: str, *, now: float) -> None:
    """Take a file out of its place; `remove_set_aside` removes it later. Put back, it is as it was."""
    aside = f"{ASIDE}/{key}"
    move(key, aside)
    if is_local():
        os.utime(path_of(aside), (now, now))


def remove_set_aside(*, older_than_seconds: float, now: float) -> int:
    """Remove what was set aside for so long. Returns how many files."""
    old = (each for each in current().in_folder(ASIDE) if now - each.modified > older_than_seconds)
    removed = 0
    while keys := [each.key for each in islice(old, 1000)]:
        remove(keys)
        removed += len(keys)
    return removed


def abort_uploads(*, older_than_seconds: float, now: float, is_wanted: IsWanted = unwanted) -> int:
    """Give up uploads in parts to a bucket that nobody has finished for so long, but for wanted keys. Returns how many."""
    return current().abort_uploads(
        older_than_seconds=older_than_seconds, now=now, is_wanted=is_wanted
    )


def part_store() -> PartStore | None:
    """The store, where others send parts to it; None where the files are here."""
    store = current()
    return store if isinstance(store, PartStore) else None


# --- everything that is there -------------------------------------------------------


def job_folders(area: str) -> Iterator[Folder]:
    """The folders `<org>/<area>/<id>`, one after the other: there may be a million."""
    return current().folders(area)


def walk(area: str) -> Iterator[Entry]:
    """The files in those folders."""
    return current().walk(area)


def remove_orphans(
    kind: str,
    *,
    exists: Callable[[list[uuid.UUID]], Iterable[uuid.UUID]],
    older_than_seconds: float,
    now: float,
    store: Store | None = None,
) -> int:
    """Remove folders `<org>/<kind>/<id>` whose row does not exist, of this store. Returns how many.

    `exists` is asked for at most a thousand ids at a time. Young folders are left: their
    transaction may not have committed yet.
    """
    store = store or current()
    old = (each for each in store.folders(kind) if now - each.modified > older_than_seconds)
    named = ((each.key, row_id) for each in old if (row_id := row_id_of(each.key)))
    removed = 0
    while batch := list(islice(named, 1000)):
        known = set(exists([row_id for _, row_id in batch]))
        gone = (folder for folder, row_id in batch if row_id not in known)
        removed += sum(store.remove_folder(folder) for folder in gone)
    return removed


def row_id_of(key: str) -> uuid.UUID | None:
    """The id of the row that a folder `<org>/<area>/<id>`, or a file in it, is of. None for what is not ours."""
    parts = key.split("/")
    try:
        return uuid.UUID(parts[2])
    except (IndexError, ValueError):
        return None

"""All files of one store into another. Run again, it goes on with what is missing.

A file is there once it was put and read back with the digest that it has where it came from. One that is
removed was read in both stores, in this run.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
import shutil
import uuid
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from clipforge.common.errors import DomainError, StorageUnavailable
from clipforge.common.storage.disk import full_disk_is_refused, new_part, require_room
from clipforge.common.storage.local import LocalStorage
from clipforge.common.storage.stores import Entry, Store

CHUNK = 1 << 20
# Files on their way at the same time: small ones wait for the network, not for us.
AT_ONCE = 4


class Moved(NamedTuple):
    """A file: copied, or there already, removed where it was, or a sentence about what went wrong."""

    key: str
    size: int
    is_copied: bool = False
    is_removed: bool = False
    problem: str = ""


@dataclass
class Totals:
    files: int = 0
    copied: int = 0
    copied_bytes: int = 0
    removed: int = 0
    failed: int = 0

    def add(self, moved: Moved) -> None:
        self.files += 1
        self.copied += moved.is_copied
        self.copied_bytes += moved.size if moved.is_copied else 0
        self.removed += moved.is_removed
        self.failed += bool(moved.problem)

    def as_dict(self) -> dict[str, int]:
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        there = self.files - self.copied - self.failed
        return (
            f"{self.files} files: {self.copied} copied ({self.copied_bytes / 1e6:.1f} MB), {there} were "
            f"there already, {self.removed} removed, {self.failed} failed."
        )


def are_one(one: Store, other: Store) -> bool:
    """Whether two addresses are of the same files: a file that is put by one is seen by the other."""
    probe, part = f"check/{uuid.uuid4()}", new_part()
    part.write_bytes(b"probe")
    try:
        one.put(part, probe)
        other.facts(probe)
    except FileNotFoundError:
        return False
    finally:
        part.unlink(missing_ok=True)
        one.remove([probe])
    return True


def migrate(
    source: Store, target: Store, *, removes: bool = False, is_dry_run: bool = False
) -> Generator[Moved, None, None]:
    """Copy every file, in constant memory. One that fails is passed over."""
    entries = source.everything()
    one = functools.partial(_migrated, source, target, removes=removes, is_dry_run=is_dry_run)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        while batch := list(itertools.islice(entries, 16 * AT_ONCE)):
            yield from pool.map(one, batch)


def _migrated(
    source: Store, target: Store, entry: Entry, *, removes: bool, is_dry_run: bool
) -> Moved:
    try:
        is_there = _is_there(source, target, entry, read=removes)
        if is_dry_run:
            return Moved(entry.key, entry.size, is_copied=not is_there)
        if not is_there:
            _copy(source, target, entry)
        if removes:
            source.remove([entry.key])
    except FileNotFoundError:  # deleted meanwhile, as its row
        return Moved(entry.key, entry.size)
    except (DomainError, OSError) as error:
        return Moved(entry.key, entry.size, problem=str(error))
    return Moved(entry.key, entry.size, is_copied=not is_there, is_removed=removes)


def _is_there(source: Store, target: Store, entry: Entry, *, read: bool) -> bool:
    """Whether the target has the same bytes; with `read`, by reading them."""
    try:
        found = target.facts(entry.key)
    except FileNotFoundError:
        return False
    if found.size != entry.size:
        return False
    noted = None if read else found.sha256
    return (noted or _digest(target, entry.key)) == _digest(source, entry.key)


def _copy(source: Store, target: Store, entry: Entry) -> None:
    if isinstance(source, LocalStorage):
        _put(source.path_of(entry.key), target, entry.key)
        return
    require_room(entry.size)
    part = new_part()
    try:
        with full_disk_is_refused(), source.read(entry.key) as file, part.open("xb") as copy:
            shutil.copyfileobj(file, copy, CHUNK)
        _put(part, target, entry.key, expected=source.facts(entry.key).sha256)
    finally:
        part.unlink(missing_ok=True)


def _put(path: Path, target: Store, key: str, *, expected: str | None = None) -> None:
    """Raises StorageUnavailable where other bytes come back than were put, or came."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if expected not in {None, digest}:
        raise StorageUnavailable("The file came with other bytes than it has.")
    target.put(path, key, sha256=digest)
    if _digest(target, key) != digest:
        target.remove([key])
        raise StorageUnavailable("Other bytes came back than were put.")


def _digest(store: Store, key: str) -> str:
    digest = hashlib.sha256()
    with store.read(key) as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()

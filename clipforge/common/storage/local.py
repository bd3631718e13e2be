"""The store that is a folder of this machine: MEDIA_ROOT, unless it is made with another."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from django.core.files.storage import FileSystemStorage

from clipforge.common.errors import StorageUnavailable
from clipforge.common.storage import disk
from clipforge.common.storage.stores import (
    INCOMING,
    OWN,
    Entry,
    Facts,
    Folder,
    ShouldStop,
    Stopped,
    Store,
    belongs_to,
    is_of_store,
    never,
)

logger = logging.getLogger(__name__)

CHUNK = 1 << 20


class LocalStorage(FileSystemStorage, Store):
    """Files are written aside, fsynced, and renamed to their keys."""

    is_local = True

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_overwrite": True, **options})

    def path_of(self, key: str) -> Path:
        """Raises ValueError for a key that leaves the folder."""
        return disk.path_below(Path(self.location), key)

    def facts(self, key: str) -> Facts:
        path = self.path_of(key)
        if not path.is_file():
            raise FileNotFoundError(key)
        found = path.stat()
        return Facts(found.st_size, found.st_mtime, f"{found.st_mtime_ns:x}-{found.st_size:x}")

    def read(self, key: str) -> IO[bytes]:
        return self.path_of(key).open("rb")

    def put(
        self, path: Path, key: str, *, sha256: str = "", should_stop: ShouldStop = never
    ) -> None:
        aside, digest = self._aside(), hashlib.sha256()
        try:
            with disk.full_disk_is_refused(), path.open("rb") as source, aside.open("xb") as copy:
                while chunk := source.read(CHUNK):
                    if should_stop():
                        raise Stopped
                    copy.write(chunk)
                    digest.update(chunk)
            if sha256 and digest.hexdigest() != sha256:
                raise StorageUnavailable("The file has other bytes than it should have.")
            self.publish(aside, key)
        finally:
            aside.unlink(missing_ok=True)

    def publish(self, part: Path, key: str) -> None:
        """As `put`, of a file on the same disk, which is gone afterwards."""
        target = self.path_of(key)
        with disk.full_disk_is_refused():
            disk.fsync(part)
            try:
                _move(part, target)
            except FileNotFoundError:
                _move(part, target)  # the folder was empty, and another process just removed it
            disk.fsync(target.parent)

    def remove(self, keys: Iterable[str]) -> None:
        """And the folders that are empty then."""
        for key in keys:
            path = self.path_of(key)
            path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                path.parent.rmdir()

    def move(self, key: str, to: str) -> None:
        path, target = self.path_of(key), self.path_of(to)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)
        disk.fsync(target.parent)
        with contextlib.suppress(OSError):
            path.parent.rmdir()

    def beside(self, key: str) -> list[Entry]:
        folder = self.path_of(key).parent
        paths = (path for path in _entries(folder) if belongs_to(self._key_of(path), key))
        return [entry for path in paths if (entry := self._entry_of(path))]

    def in_folder(self, folder: str) -> Iterator[Entry]:
        for path in _files_in(self.path_of(folder)):
            if entry := self._entry_of(path):
                yield entry

    def folders(self, area: str) -> Iterator[Folder]:
        for path in self._job_folders(area):
            with contextlib.suppress(FileNotFoundError):
                yield Folder(self._key_of(path), path.stat().st_mtime)

    def walk(self, area: str) -> Iterator[Entry]:
        for path in self._job_folders(area):
            yield from self.in_folder(self._key_of(path))

    def everything(self) -> Iterator[Entry]:
        for path in _entries(Path(self.location)):
            if path.name not in OWN:
                for file in _files_in(path) if path.is_dir() else [path]:
                    if is_of_store(self._key_of(file)) and (entry := self._entry_of(file)):
                        yield entry

    def remove_folder(self, folder: str) -> bool:
        path = self.path_of(folder)
        if not path.is_dir():  # a file of nobody's, which is left alone
            return False
        shutil.rmtree(path, onerror=_left)
        return not path.exists()

    def sizes(self, keys: list[str]) -> dict[str, int]:
        there = (key for key in keys if self.path_of(key).is_file())
        return {key: sum(each.size for each in self.beside(key)) for key in there}

    def link(self, *_: object, **__: object) -> str:
        raise NotImplementedError("the files are here")

    def cookies(self, *_: object, **__: object) -> tuple[str, dict[str, str]]:
        raise NotImplementedError("the files are here")

    def abort_uploads(self, **_: object) -> int:
        return 0  # what is left of them is in the incoming folder

    def _save(self, name: str, content: Any) -> str:
        """Django's way in, `save`, writes aside too."""
        aside = self._aside()
        try:
            with disk.full_disk_is_refused(), aside.open("xb") as copy:
                for chunk in content.chunks():
                    copy.write(chunk.encode() if isinstance(chunk, str) else chunk)
            self.publish(aside, name)
        finally:
            aside.unlink(missing_ok=True)
        return name

    def _aside(self) -> Path:
        folder = self.path_of(INCOMING)
        with disk.full_disk_is_refused():
            folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{uuid.uuid4().hex}.part"

    def _entry_of(self, path: Path) -> Entry | None:
        """None for what is gone meanwhile."""
        try:
            found = path.stat()
        except FileNotFoundError:
            return None
        return Entry(self._key_of(path), found.st_size, found.st_mtime, found.st_ctime)

    def _key_of(self, path: Path) -> str:
        return str(path.relative_to(self.location))

    def _job_folders(self, area: str) -> Iterator[Path]:
        for org in _entries(Path(self.location)):
            yield from _entries(org / area)


def _entries(folder: Path) -> Iterator[Path]:
    """The entries of a folder, read as it is asked for; nothing where it is none, or gone."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as found:
        for entry in found:
            yield Path(entry.path)


def _files_in(folder: Path) -> Iterator[Path]:
    for entry in _entries(folder):
        if entry.is_dir():
            yield from _files_in(entry)
        else:
            yield entry


def _move(part: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    part.replace(target)


def _left(_function: object, path: str, problem: Any) -> None:
    """Passed over: the next run tries it again."""
    logger.error("%s could not be removed: %s", path, problem[1])

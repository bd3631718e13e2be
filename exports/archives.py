"""The finished files of a project as one ZIP, made while it is sent.

Files are stored as they are, since video does not get smaller, and read as the client takes them: an
archive of any size needs the memory of one chunk. Everything is ZIP64 where it has to be.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterable, Iterator
from typing import IO, NamedTuple

from django.core import signing
from django.urls import reverse
from django.utils.text import slugify
from zipstream import ZIP_STORED, ZipStream

from clipforge.common import storage
from clipforge.common.errors import Conflict, NotFound, Unavailable
from clipforge.common.links import open_link
from exports import selectors
from projects.models import Project

SALT = "exports.archive"
# Files in one archive. Of more than that the list of names would be what takes memory.
MOST_FILES = 1000
CHUNK = 1 << 18
# That a process sends at the same time where each keeps a thread for as long as it is read: of four, which a
# process has by default, the others stay for the API.
MOST_AT_ONCE = 2
# And where it keeps none, but memory for a piece, and a file (`clipforge.common.sending_worker`).
MOST_HANDED_OVER = 50
MISSING = "missing.txt"

_slots = threading.BoundedSemaphore(MOST_AT_ONCE)
_slots_without_thread = threading.BoundedSemaphore(MOST_HANDED_OVER)


class Member(NamedTuple):
    """A file of an archive: its key in the storage, and its name in the archive."""

    key: str
    name: str


def signed_url(project: Project) -> str:
    """The path to the archive of the project, good for settings.DOWNLOAD_URL_SECONDS.

    Raises Conflict for a project without a file (`no_files`) or with too many (`too_many_files`).
    """
    members_of(project)
    token = signing.TimestampSigner(salt=SALT).sign_object(str(project.pk))
    name = slugify(project.title)[:80].strip("-") or "project"
    return reverse("download-archive", args=[token, f"{name}-exports.zip"])


def project_of(token: str) -> Project:
    """The project that the link is about. Raises Forbidden for a bad one, NotFound once it is deleted."""
    pk, _ = open_link(token, salt=SALT)
    project = Project.objects.filter(pk=uuid.UUID(pk)).first()
    if project is None:
        raise NotFound("The project is gone.")
    return project


def members_of(project: Project) -> list[Member]:
    """The files that there are now, the newest first, each under a name of its own. Raises Conflict."""
    exports = list(selectors.downloadable(project)[: MOST_FILES + 1])
    if not exports:
        raise Conflict("The project has no export that is READY.", code="no_files")
    if len(exports) > MOST_FILES:
        raise Conflict(
            f"The project has more than {MOST_FILES} files. Download them one by one.",
            code="too_many_files",
        )
    names = unique(f"{each.download_name or each.pk}.{each.extension}" for each in exports)
    return [Member(each.file_key, name) for each, name in zip(exports, names, strict=True)]


def unique(names: Iterable[str]) -> Iterator[str]:
    """The names, and those that came before with a number: `talk.mp4`, `talk-2.mp4`."""
    taken: set[str] = {MISSING}
    for name in names:
        stem, dot, ending = name.rpartition(".")
        given, number = name, 1
        while given in taken:
            number += 1
            given = f"{stem}-{number}{dot}{ending}"
        taken.add(given)
        yield given


class Archive:
    """The bytes of an archive. It has one of the process's places until it is closed.

    A file that is deleted before its turn is left out, and named in `missing.txt` at the end; one that
    is being read is sent to its end. Raises Unavailable where no place is free.
    """

    def __init__(self, members: list[Member], *, is_handed_over: bool = False) -> None:
        self._members = members
        self._slots = _slots_without_thread if is_handed_over else _slots
        if not self._slots.acquire(blocking=False):
            raise Unavailable(
                "Too many archives are being sent. Try again in a moment.",
                code="archives_busy",
                retry_after=10,
            )
        self._has_place = True

    def __iter__(self) -> Iterator[bytes]:
        archive = ZipStream(compress_type=ZIP_STORED)
        missing = []
        for member in self._members:
            try:
                size = storage.facts(member.key).size  # says whether it has to be ZIP64
                file = storage.open_file(member.key)
            except FileNotFoundError:
                missing.append(member.name)
                continue
            with file:
                archive.add(_chunks(file), member.name, size=size)
                yield from archive.file()
        if missing:
            text = "These files were deleted while the archive was made:\n" + "\n".join(missing)
            archive.add(f"{text}\n", MISSING)
            yield from archive.file()
        yield from archive.finalize()

    def close(self) -> None:
        """Give the place back. Also of an archive of which nothing was read."""
        if self._has_place:
            self._has_place = False
            self._slots.release()


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(CHUNK):
        yield chunk

"""The contract of a store: Django's storage API, and what it does not have.

Keys are the same in every store. A file appears under its key whole or not at all.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Any, ClassVar, NamedTuple, cast

from django.core.files.storage import storages
from django.utils.module_loading import import_string

from clipforge.storage_urls import backend_of

# What is being uploaded or rendered, always on the disk of the machine that does it.
INCOMING = "incoming"
# Files that no row names, on their way out.
ASIDE = "set_aside"
# Areas of no organization.
SCRATCH = "scratch"
OWN = {INCOMING, ASIDE, SCRATCH}
# Of an organization: what it sends in parts, to the store or, wherever that is, to the disk of the web processes.
UPLOADS = "uploads"

TYPES = {
    ".webm": "video/webm",
    ".jpg": "image/jpeg",
    ".webp": "image/webp",
    ".vtt": "text/vtt; charset=utf-8",
}

ShouldStop = Callable[[], bool]
# Of a key.
IsWanted = Callable[[str], bool]


class Stopped(Exception):
    """Whoever waited for a transfer said that it is to end."""


class Facts(NamedTuple):
    """A stored file. `sha256` is known where the store notes it; `etag` changes with the bytes."""

    size: int
    modified: float
    etag: str
    sha256: str | None = None


class Entry(NamedTuple):
    """A stored file in a listing."""

    key: str
    size: int
    modified: float
    # When it came to its place; a file can be older than that.
    placed: float


class Folder(NamedTuple):
    """The folder of a row: `<organization>/<area>/<id>`."""

    key: str
    modified: float


class SentPart(NamedTuple):
    """A part of a file that others send to the store."""

    number: int
    size: int
    etag: str


def never() -> bool:
    return False


def unwanted(_key: str) -> bool:
    return False


def unless_stopped(work: Callable[[threading.Event], None], should_stop: ShouldStop) -> None:
    """Do it in a thread, and ask meanwhile, in this one, whether to go on. Raises Stopped, and what it raises.

    A thread that waits for the network when it is stopped ends by itself.
    """
    is_stopped, problems = threading.Event(), list[BaseException]()

    def run() -> None:
        try:
            work(is_stopped)
        except BaseException as problem:
            problems.append(problem)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive():
        if should_stop():
            is_stopped.set()
            raise Stopped
        thread.join(0.25)
    if problems:
        raise problems[0]


class Store(ABC):
    """Files by keys. What is missing raises FileNotFoundError, a store that cannot be reached StorageUnavailable."""

    # Whether its files are files of this machine.
    is_local: ClassVar[bool]

    @abstractmethod
    def facts(self, key: str) -> Facts: ...

    @abstractmethod
    def read(self, key: str) -> IO[bytes]:
        """The file from its beginning, to be read in order. Close it."""

    @abstractmethod
    def put(
        self, path: Path, key: str, *, sha256: str = "", should_stop: ShouldStop = never
    ) -> None:
        """Store a copy of a closed file, durably. Raises Stopped, StorageFull."""

    @abstractmethod
    def remove(self, keys: Iterable[str]) -> None:
        """Remove files; one that is missing is fine."""

    @abstractmethod
    def move(self, key: str, to: str) -> None:
        """Give a file another key, without its bytes coming through this machine."""

    @abstractmethod
    def beside(self, key: str) -> list[Entry]:
        """The file with this key, if it is there, and its companions."""

    @abstractmethod
    def in_folder(self, folder: str) -> Iterator[Entry]:
        """The files of a folder and those in it, in constant memory."""

    @abstractmethod
    def folders(self, area: str) -> Iterator[Folder]:
        """The folders of all rows of an area, of whatever organization, in constant memory."""

    @abstractmethod
    def walk(self, area: str) -> Iterator[Entry]:
        """The files in those folders."""

    @abstractmethod
    def everything(self) -> Iterator[Entry]:
        """All files that `is_of_store`, in constant memory."""

    @abstractmethod
    def remove_folder(self, folder: str) -> bool:
        """Remove it with all that is in it. Whether it is gone; what stayed is logged."""

    @abstractmethod
    def sizes(self, keys: list[str]) -> dict[str, int]:
        """The bytes of each of these files with its companions; those that are missing are not in it."""

    @abstractmethod
    def link(
        self, key: str, headers: Mapping[str, str], *, seconds: int, is_head: bool = False
    ) -> str:
        """An address of the file for whoever has it, good for so many seconds, whose answer has these headers.

        Only of a store that is elsewhere.
        """

    @abstractmethod
    def cookies(self, key: str, *, seconds: int) -> tuple[str, dict[str, str]]:
        """A path, and the cookies with which all files of the folder of the key are fetched below it.

        Only of a store with an edge before it.
        """

    @abstractmethod
    def abort_uploads(
        self, *, older_than_seconds: float, now: float, is_wanted: IsWanted = unwanted
    ) -> int:
        """Give up uploads in parts that nobody has finished for so long, but for wanted keys. Returns how many."""


class PartStore(Store):
    """A store to which others send a file in parts, in any order, without its bytes coming through this machine."""

    @abstractmethod
    def begin_parts(self, key: str) -> str:
        """Begin a file; nothing is seen under its key before `join_parts`. Returns the id of its parts."""

    @abstractmethod
    def part_link(self, key: str, parts_id: str, number: int, *, size: int, seconds: int) -> str:
        """An address that takes the part with this number, from 1 on, by PUT. No other size is taken there."""

    @abstractmethod
    def parts(self, key: str, parts_id: str) -> list[SentPart]:
        """The parts that are there. Raises FileNotFoundError where they were joined or given up."""

    @abstractmethod
    def join_parts(self, key: str, parts_id: str, parts: Iterable[SentPart]) -> None:
        """Make the file of these, in the order that they are given in. Raises FileNotFoundError as `parts` does."""

    @abstractmethod
    def drop_parts(self, key: str) -> None:
        """Give up what comes in parts for this key, and remove the file that was made of them."""

    @abstractmethod
    def copy(self, key: str, to: str, *, sha256: str) -> None:
        """Copy a file to another key, and note its digest there."""


def at(url: str) -> Store:
    """The store at an address. Raises ValueError with a sentence."""
    return _made(backend_of(url))


def current() -> Store:
    """The store of this installation: Django's default storage."""
    return cast("Store", storages["default"])


def _made(backend: dict[str, Any]) -> Store:
    store: Store = import_string(backend["BACKEND"])(**backend.get("OPTIONS", {}))
    return store


def is_of_store(key: str) -> bool:
    """Whether it is a file that a row can name, or the marker, and not one of this machine alone."""
    first, *others = key.split("/")
    return first not in OWN and others[:1] != [UPLOADS]


def companion_of(key: str, name: str) -> str:
    """The key of a file that belongs to another, and is deleted with it."""
    return str(PurePosixPath(key).with_suffix(f".{name}"))


def belongs_to(file: str, key: str) -> bool:
    """Whether a file is the one with this key, or a companion of that."""
    if file == key:
        return True
    return folder_of(file) == folder_of(key) and file.startswith(f"{stem_of(key)}.")


def stem_of(key: str) -> str:
    """The key without its ending: how the keys of the file and its companions begin."""
    return str(PurePosixPath(key).with_suffix(""))


def folder_of(key: str) -> str:
    return str(PurePosixPath(key).parent)


def content_type_of(name: str) -> str:
    return TYPES.get(PurePosixPath(name).suffix, "video/mp4")

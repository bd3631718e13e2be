"""Whether a store allows what is done with it: each step leaves nothing behind."""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
from django.conf import settings

from clipforge.common.errors import DomainError
from clipforge.common.storage.disk import new_part
from clipforge.common.storage.stores import PartStore, Store

FOLDER = "check"
SECONDS = 60
FIRST, LAST = 1000, 1999


class Step(NamedTuple):
    """A thing that was tried, and a sentence where it did not do."""

    name: str
    problem: str = ""


class Front(NamedTuple):
    """Where clients ask for files: an address without a path, and the path that leads to a key."""

    origin: str
    link_to: Callable[[str], str]


class _Wrong(Exception):
    """The store answered, and not as it should."""


def check(store: Store, front: Front | None = None) -> Iterator[Step]:
    """Try everything, one after the other, until something does not do.

    Also that `front` sends files, where it is given; the store is that of this installation then.
    """
    key, part = f"{FOLDER}/{uuid.uuid4()}/1/1.mp4", new_part()
    content = os.urandom(5000)
    part.write_bytes(content)
    moved = f"{key}.moved"
    steps: list[tuple[str, Callable[[], None]]] = [
        ("put a file", lambda: store.put(part, key)),
        ("find its size and digest", lambda: _find(store, key, content)),
        ("read it", lambda: _same(store, key, content)),
        *([] if store.is_local else _links(store, key, content)),
        *([] if front is None else _fetched(store, front, key, content)),
        ("list its folder", lambda: _listed(store, key)),
        ("give it another key", lambda: _moved(store, key, moved, content)),
        ("list uploads in parts", lambda: _parts(store)),
        *_sent(store, f"{key}.sent", content),
        ("delete it", lambda: _deleted(store, moved)),
    ]
    try:
        for name, run in steps:
            problem = _problem(run)
            yield Step(name, problem)
            if problem:
                break
    finally:
        part.unlink(missing_ok=True)
        _problem(lambda: store.remove([key, moved]))


def _problem(run: Callable[[], None]) -> str:
    try:
        run()
    except DomainError as error:
        cause = error.__cause__
        return error.message if cause is None else f"{cause}"
    except (_Wrong, OSError, httpx.HTTPError, ValueError) as error:
        return f"{error}" or type(error).__name__
    return ""


def _links(store: Store, key: str, content: bytes) -> list[tuple[str, Callable[[], None]]]:
    steps = [("read a range by a signed address", lambda: _range(store, key, content))]
    if settings.DELIVERY_URL:
        steps.append(("have no file read without a signature", lambda: _refused(store, key)))
    return steps


def _fetched(
    store: Store, front: Front, key: str, content: bytes
) -> list[tuple[str, Callable[[], None]]]:
    steps = [(f"fetch a range from {front.origin}", lambda: _through(front, key, content))]
    if store.is_local and settings.ACCEL_REDIRECT_PREFIX:
        steps.append(("have no file sent past web", lambda: _not_past_web(front, key)))
    return steps


def _sent(store: Store, key: str, content: bytes) -> list[tuple[str, Callable[[], None]]]:
    if not isinstance(store, PartStore):
        return []

    def send() -> None:
        parts_id = store.begin_parts(key)
        try:
            address = store.part_link(key, parts_id, 1, size=len(content), seconds=SECONDS)
            answer = httpx.put(address, content=content)
            if answer.status_code != 200:
                raise _Wrong(f"the answer is {answer.status_code}")
            store.join_parts(key, parts_id, store.parts(key, parts_id))
            _same(store, key, content)
        finally:
            store.drop_parts(key)

    return [("take a part at a signed address", send)]


def _find(store: Store, key: str, content: bytes) -> None:
    found = store.facts(key)
    if found.size != len(content) or found.sha256 not in {
        None,
        hashlib.sha256(content).hexdigest(),
    }:
        raise _Wrong(f"it has {found.size} bytes, digest {found.sha256}")


def _same(store: Store, key: str, content: bytes) -> None:
    with store.read(key) as file:
        if file.read() != content:
            raise _Wrong("other bytes came back")


def _address(store: Store, key: str) -> str:
    wanted = {"Content-Disposition": "inline", "Content-Type": "video/mp4"}
    return store.link(key, wanted, seconds=SECONDS)


def _range(store: Store, key: str, content: bytes) -> None:
    answer = httpx.get(_address(store, key), headers={"Range": f"bytes={FIRST}-{LAST}"})
    if answer.status_code != 206 or answer.content != content[FIRST : LAST + 1]:
        raise _Wrong(f"the answer is {answer.status_code} with {len(answer.content)} bytes")


def _through(front: Front, key: str, content: bytes) -> None:
    answer = httpx.get(
        front.origin + front.link_to(key),
        headers={"Range": f"bytes={FIRST}-{LAST}"},
        follow_redirects=True,
    )
    if "X-Accel-Redirect" in answer.headers:
        raise _Wrong("nothing in front of web takes its X-Accel-Redirect: clients get no bytes")
    if answer.status_code != 206 or answer.content != content[FIRST : LAST + 1]:
        raise _Wrong(f"the answer is {answer.status_code} with {len(answer.content)} bytes")


def _not_past_web(front: Front, key: str) -> None:
    address = f"{front.origin}{settings.ACCEL_REDIRECT_PREFIX}{key}"
    answer = httpx.get(address, follow_redirects=True)
    if answer.status_code != 404:
        raise _Wrong(f"the answer is {answer.status_code}: whoever knows a key can fetch the file")


def _refused(store: Store, key: str) -> None:
    answer = httpx.get(_address(store, key).partition("&Expires=")[0])
    if answer.status_code != 403:
        raise _Wrong(f"the answer is {answer.status_code}: whoever knows a key can fetch the file")


def _listed(store: Store, key: str) -> None:
    if [entry.key for entry in store.in_folder(str(Path(key).parent))] != [key]:
        raise _Wrong("it is not listed")


def _moved(store: Store, key: str, moved: str, content: bytes) -> None:
    store.move(key, moved)
    _same(store, moved, content)


def _parts(store: Store) -> None:
    store.abort_uploads(older_than_seconds=10 * 365 * 86_400, now=time.time())


def _deleted(store: Store, key: str) -> None:
    store.remove([key])
    try:
        store.facts(key)
    except FileNotFoundError:
        return
    raise _Wrong("it is still there")

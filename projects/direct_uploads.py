"""Files whose parts go to the bucket itself, in any order, until a project is made of them.

The bucket says which parts are there, and the row only how many bytes that were when it was last asked.
The client sends each part to an address that is signed for it alone; what it says of them is never believed.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

from clipforge.common import storage
from clipforge.common.errors import Conflict, DomainError, Gone, NotFound
from clipforge.common.storage import PartStore, SentPart
from clipforge.media.signatures import HEAD_BYTES
from projects import sources
from projects.models import Upload
from projects.uploads import Locked, end, end_upload, require_usable

# For how long an address takes its part, from when it is asked for. Seconds.
LINK_SECONDS = 3600
# Addresses of one answer.
MOST_LINKS = 100


class Missing(NamedTuple):
    """A part that is to be sent, and where to."""

    number: int
    offset: int
    size: int
    url: str


class Parts(NamedTuple):
    """The numbers of the parts that are there, and the first of those that are missing."""

    received: list[int]
    missing: list[Missing]


def ask_for_parts(upload: Upload) -> Parts:
    """The parts that are there, and addresses of MOST_LINKS that are not. Parts that have come give it another day.

    Raises Conflict for an upload that became a project or goes another way; StorageUnavailable.
    """
    store = _store_of(upload)
    if upload.used_by is not None:
        require_usable(upload)
    if upload.is_complete:
        return Parts(list(_sizes(upload)), [])
    parts_id, here = _here(upload, store)
    _note(upload, parts_id, sum(part.size for part in here.values()))
    missing = ((number, size) for number, size in _sizes(upload).items() if number not in here)
    links = [
        _missing(upload, store, parts_id, number, size)
        for number, size in itertools.islice(missing, MOST_LINKS)
    ]
    return Parts(sorted(here), links)


def complete(upload: Upload) -> Upload:
    """Make one file of the parts; once is enough. Returns the row after it.

    Raises Conflict as `ask_for_parts` does, and where parts are missing; UnsupportedMedia, which ends the
    upload, for what is no video by its beginning; StorageUnavailable.
    """
    store = _store_of(upload)
    if upload.used_by is not None:
        require_usable(upload)
    if upload.is_complete:
        return upload
    if not upload.parts_id:
        raise _incomplete(upload, len(_sizes(upload)))
    try:
        here = _fitting(upload, store.parts(upload.file_key, upload.parts_id))
        if missing := len(_sizes(upload)) - len(here):
            raise _incomplete(upload, missing)
        store.join_parts(upload.file_key, upload.parts_id, (here[each] for each in sorted(here)))
    except FileNotFoundError:
        if not _is_joined(upload, store):
            raise _incomplete(upload, len(_sizes(upload))) from None
    _require_video(upload, store)
    values = {"received": upload.size, "parts_id": "", "expires_at": end()}
    if not Upload.objects.filter(pk=upload.pk).update(**values):
        raise NotFound  # ended meanwhile
    upload.refresh_from_db()
    return upload


def _store_of(upload: Upload) -> PartStore:
    if not upload.is_direct:
        raise Conflict("The parts of this upload are sent here, by PATCH.", code="wrong_protocol")
    store = storage.part_store()
    if store is None:
        raise Gone("The store is another one now. Begin another upload.", code="upload_expired")
    return store


def _sizes(upload: Upload) -> dict[int, int]:
    """The bytes that each part is to have, by its number."""
    step = upload.part_bytes
    offsets = range(0, upload.size, step)
    return {at // step + 1: min(step, upload.size - at) for at in offsets}


def _fitting(upload: Upload, parts: list[SentPart]) -> dict[int, SentPart]:
    """Those that are as large as they are to be, by number: another one is sent again."""
    sizes = _sizes(upload)
    return {part.number: part for part in parts if sizes.get(part.number) == part.size}


def _here(upload: Upload, store: PartStore) -> tuple[str, dict[int, SentPart]]:
    """The id of its parts, begun where there is none, and those that are there."""
    if upload.parts_id:
        try:
            return upload.parts_id, _fitting(upload, store.parts(upload.file_key, upload.parts_id))
        except FileNotFoundError:
            if _is_joined(upload, store):  # by a request that was killed then
                sizes = _sizes(upload).items()
                return upload.parts_id, {each: SentPart(each, size, "") for each, size in sizes}
    begun = store.begin_parts(upload.file_key)
    mine = Upload.objects.filter(pk=upload.pk, parts_id=upload.parts_id, used_by=None)
    if not mine.update(parts_id=begun, received=0):
        # What was begun here for nothing is swept with the upload.
        raise Locked("Another request began this upload just now. Ask again.", retry_after=1)
    upload.parts_id, upload.received = begun, 0
    return begun, {}


def _is_joined(upload: Upload, store: PartStore) -> bool:
    try:
        return store.facts(upload.file_key).size == upload.size
    except FileNotFoundError:
        return False


def _note(upload: Upload, parts_id: str, here: int) -> None:
    if here > upload.received:
        upload.received, upload.expires_at = here, end()
        Upload.objects.filter(pk=upload.pk, parts_id=parts_id).update(
            received=here, expires_at=upload.expires_at
        )


def _missing(upload: Upload, store: PartStore, parts_id: str, number: int, size: int) -> Missing:
    url = store.part_link(upload.file_key, parts_id, number, size=size, seconds=LINK_SECONDS)
    return Missing(number, (number - 1) * upload.part_bytes, size, url)


def _incomplete(upload: Upload, missing: int) -> Conflict:
    return Conflict(
        f"{missing} of {len(_sizes(upload))} parts are missing. Send them first.",
        code="upload_incomplete",
    )


def _require_video(upload: Upload, store: PartStore) -> None:
    try:
        with store.read(upload.file_key) as file:
            head = file.read(HEAD_BYTES)
    except FileNotFoundError:
        raise NotFound from None  # ended meanwhile
    try:
        sources.require_video(head)
    except DomainError:
        end_upload(upload)
        raise

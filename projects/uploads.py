"""Files that are sent in parts, each from where the last one ended, until a project is made of them.

The row says how much is here. It is written once a part is on the disk, so what it says is never lost, and
whatever a crash left behind that is written over. One request at a time writes: it has the file locked.
An upload counts with its whole size among what the organization stores, from its beginning to its end.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import hashlib
import logging
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple, Protocol

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from clipforge.common import storage
from clipforge.common.errors import (
    BadRequest,
    Conflict,
    DomainError,
    Gone,
    Invalid,
    NotFound,
    TooLarge,
    UnsupportedMedia,
)
from clipforge.common.storage import Arrival
from clipforge.common.storage.local import LocalStorage
from clipforge.jobs import store_markers
from clipforge.jobs.failures import DATABASE_FAULTS
from clipforge.media.signatures import HEAD_BYTES
from clipforge.orgs import stored
from clipforge.orgs.models import Organization
from projects import sources
from projects.models import Upload

logger = logging.getLogger(__name__)

# Read at a time, once the beginning was looked at. Bytes.
PIECE = 1 << 20
BATCH = 1000
# A folder that is as old and has no row was left by a crash. Seconds.
ORPHAN_SECONDS = 24 * 3600
# Of a file that goes to a bucket: parts of this size (of UPLOAD_PART_BYTES where that is less), or of what
# makes so many of them. S3 takes parts of 5 MiB to 5 GiB, and 10,000 of them.
DIRECT_PART_BYTES = 16 << 20
LEAST_PART_BYTES = 5 << 20
MOST_PARTS = 10_000


class Locked(DomainError):
    """Another request writes to it."""

    status, code, title = 423, "upload_locked", "Another request writes to it"


class ChecksumMismatch(DomainError):
    """The part is not the one that its checksum is of. The status is that of the tus protocol."""

    status, code, title = 460, "checksum_mismatch", "Checksum mismatch"


class Source(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Checksum(NamedTuple):
    """The digest that a part is said to have, by the name that hashlib knows its algorithm by."""

    algorithm: str
    digest: bytes


def create_upload(
    *, org: Organization, name: str, size: int, sha256: str = "", is_tus: bool = False
) -> Upload:
    """Take the room for a file of `size` bytes. No credits are reserved.

    Where the store is a bucket its parts go there, unless the client speaks only tus.
    Raises TooLarge, Invalid for a file without a byte, StorageFull and StorageLimitReached.
    """
    if size > settings.MAX_UPLOAD_BYTES:
        raise TooLarge(
            f"The file is larger than the {settings.MAX_UPLOAD_BYTES} bytes that are accepted.",
            limit=settings.MAX_UPLOAD_BYTES,
        )
    if size < 1:
        raise Invalid("The file is empty.", code="empty_file")
    is_direct = storage.part_store() is not None and not is_tus
    if not is_direct:
        storage.require_room(size)
    upload = Upload(
        org=org,
        name=sources.shown_name(name),
        size=size,
        sha256=sha256.lower(),
        part_bytes=direct_part_bytes(size) if is_direct else 0,
        stored_bytes=size,
        expires_at=end(),
    )
    with transaction.atomic():
        upload.save(force_insert=True)
        stored.require_within_limit(org)
    return upload


def direct_part_bytes(size: int) -> int:
    """How large the parts of a file are that go to a bucket; the last one has the rest."""
    wanted = min(DIRECT_PART_BYTES, settings.UPLOAD_PART_BYTES)
    return max(wanted, LEAST_PART_BYTES, -(-size // MOST_PARTS))


def get_upload(org: Organization, upload_id: uuid.UUID, *, lock: bool = False) -> Upload:
    """Raises NotFound, the same for an unknown id and another organization's, and Gone after its end."""
    found = Upload.objects.for_org(org).filter(pk=upload_id)
    upload = (found.select_for_update(of=("self",), no_key=True) if lock else found).first()
    if upload is None:
        raise NotFound
    if upload.expires_at <= timezone.now() and upload.used_by is None:
        raise Gone("The upload was not finished in time. Begin another one.", code="upload_expired")
    return upload


def append(
    upload: Upload, source: Source, *, offset: int, length: int, checksum: Checksum | None = None
) -> Upload:
    """Write a part of `length` bytes at `offset`, which is where the last one ended. Returns the row after it.

    What has come of a part that breaks off is kept, unless it has a checksum. Raises Locked; Conflict for
    another offset and for an upload that is used; TooLarge for more than it was said to have;
    ChecksumMismatch; BadRequest for a part that broke off; and UnsupportedMedia, which ends the upload,
    for the beginning of what is no video.
    """
    _require_fit(upload, offset, length)
    with _locked(upload) as file:
        upload = get_upload(upload.org, upload.pk)
        _note_loss(upload, file)
        _require_fit(upload, offset, length)
        written, failure = _write(upload, file, source, length, checksum)
        if failure and (checksum or isinstance(failure, UnsupportedMedia)):
            raise failure
        if written:
            # What is said to be here survives a loss of power.
            with storage.full_disk_is_refused():
                os.fdatasync(file.fileno())
            upload.received, upload.expires_at = offset + written, end()
            here = Upload.objects.filter(pk=upload.pk, received=offset)
            if not here.update(received=upload.received, expires_at=upload.expires_at):
                raise NotFound  # ended meanwhile
    if failure is not None:
        raise failure
    return upload


def end_upload(upload: Upload) -> None:
    """Remove it with all that is here of it. Of one that became a project the project stays."""
    with transaction.atomic():
        Upload.objects.filter(pk=upload.pk).delete()
        stored.settle(upload.org_id)
        transaction.on_commit(lambda: _remove(upload), robust=True)


def take(org: Organization, upload_id: uuid.UUID) -> Upload:
    """Lock an upload and let go of its room, in the caller's transaction, which makes a project of it.

    Raises NotFound, Gone and Conflict where that cannot be.
    """
    upload = get_upload(org, upload_id, lock=True)
    require_usable(upload)
    Upload.objects.filter(pk=upload.pk).update(stored_bytes=0)
    return upload


def taken(upload: Upload, *, project_id: uuid.UUID) -> None:
    """Say what became of a locked upload; its own file goes with the commit."""
    Upload.objects.filter(pk=upload.pk).update(used_by=project_id)
    transaction.on_commit(lambda: _remove(upload), robust=True)


def require_usable(upload: Upload) -> None:
    """Raises Conflict for one that is not whole, or became a project."""
    if upload.used_by is not None:
        raise Conflict(
            "A project was made of this upload already.",
            code="upload_used",
            existing=str(upload.used_by),
        )
    if not upload.is_complete:
        raise Conflict(
            f"{upload.received} of {upload.size} bytes are here. Send the rest first.",
            code="upload_incomplete",
        )


@contextlib.contextmanager
def at_hand(upload: Upload) -> Iterator[Path]:
    """Its file as a path of this machine, whoever else uses or ends the upload meanwhile.

    Of one in the bucket, a copy in the scratch.

    Raises Conflict where a project was just made of it, and NotFound where it has ended.
    """
    with contextlib.ExitStack() as stack:
        with _says_what_became_of(upload):
            if upload.is_direct:
                path = stack.enter_context(storage.local_copy(upload.file_key))
            else:
                path = storage.second_name(path_of(upload))
                stack.callback(path.unlink, missing_ok=True)
        yield path


@contextlib.contextmanager
def brought(upload: Upload, path: Path, key: str, *, sha256: str) -> Iterator[Arrival]:
    """Bring its file, which is at this path, to the key of a project to come, as `storage.brought` does.

    Raises what `at_hand` does.
    """
    store = storage.part_store() if upload.is_direct else None
    if store is None:
        bringing = storage.brought(path, key, sha256=sha256)
    else:
        bringing = storage.copied(store, upload.file_key, key, sha256=sha256)
    with contextlib.ExitStack() as stack:
        with _says_what_became_of(upload):
            arrival = stack.enter_context(bringing)
        yield arrival


@contextlib.contextmanager
def _says_what_became_of(upload: Upload) -> Iterator[None]:
    """Where the block finds no file: Conflict where a project was just made of it, NotFound where it has ended."""
    try:
        yield
    except FileNotFoundError:
        require_usable(get_upload(upload.org, upload.pk))
        raise NotFound from None


def digest_of(upload: Upload, path: Path | None = None) -> str:
    """The SHA-256 of a whole upload, read at another name of its file if that is given, and once. Raises Invalid, and ends it, where it was to be another one."""
    if upload.is_digested:
        return upload.sha256
    with (path or path_of(upload)).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if upload.sha256 not in {"", digest}:
        end_upload(upload)
        raise Invalid(
            f"The file has the SHA-256 {digest}, and was to have {upload.sha256}. The upload was removed; "
            "nothing was charged.",
            code="digest_mismatch",
            received=digest,
        )
    Upload.objects.filter(pk=upload.pk).update(sha256=digest, is_digested=True)
    return digest


def remove_expired() -> int:
    """Remove uploads whose time is over, and folders without a row. Returns how many uploads.

    One that cannot be removed is passed over, and tried again by the next run.
    """
    if not store_markers.is_known():
        return 0
    removed, last = 0, None
    due = Upload.objects.filter(expires_at__lt=Now()).order_by("expires_at", "pk")
    while batch := list((due if last is None else due.filter(expires_at__gt=last))[:BATCH]):
        last = batch[-1].expires_at
        for upload in batch:
            try:
                _remove(upload)
                end_upload(upload)
                removed += 1
            except DATABASE_FAULTS:
                raise
            except Exception:
                logger.exception("an upload could not be removed", extra={"row": str(upload.pk)})
    return removed


def remove_orphans(now: float) -> int:
    """Remove the folders of uploads that do not exist, here and in the bucket. Returns how many."""
    if not store_markers.is_known():
        return 0
    return sum(
        storage.remove_orphans(
            storage.UPLOADS,
            exists=lambda ids: Upload.objects.filter(pk__in=ids).values_list("pk", flat=True),
            older_than_seconds=ORPHAN_SECONDS,
            now=now,
            store=store,
        )
        for store in (LocalStorage(), storage.part_store())
        if store is not None
    )


def is_awaited(key: str) -> bool:
    """Whether parts for this key of the bucket are those of an upload that has not ended."""
    row_id = storage.row_id_of(key)
    if row_id is None or key.split("/")[1] != storage.UPLOADS:
        return False
    return Upload.objects.filter(pk=row_id, expires_at__gt=Now()).exists()


def path_of(upload: Upload) -> Path:
    """Where the parts are that come here: on a disk that all web processes have, wherever the store is."""
    return storage.path_of(upload.file_key)


def _remove(upload: Upload) -> None:
    store = storage.part_store() if upload.is_direct else None
    if store is None:
        LocalStorage().remove([upload.file_key])
    else:
        store.drop_parts(upload.file_key)


@contextlib.contextmanager
def _locked(upload: Upload) -> Iterator[IO[bytes]]:
    """Its file, which nobody else writes to meanwhile. Raises Locked."""
    path = path_of(upload)
    with storage.full_disk_is_refused():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    with path.open("r+b", buffering=0) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Locked("Another request is writing to this upload.", retry_after=1) from None
        yield file


def _require_fit(upload: Upload, offset: int, length: int) -> None:
    if upload.used_by is not None:
        require_usable(upload)
    if upload.is_direct:
        raise Conflict("The parts of this upload go to the bucket itself.", code="wrong_protocol")
    if offset != upload.received:
        raise Conflict(
            f"The next part begins at {upload.received}, and this one at {offset}.",
            code="wrong_offset",
        )
    if offset + length > upload.size:
        raise TooLarge(
            f"The upload was to have {upload.size} bytes; with this part it would have more.",
            code="upload_too_long",
            limit=upload.size,
        )


def _note_loss(upload: Upload, file: IO[bytes]) -> None:
    """Let the row say no more than the file has: of a lost disk, and of one that is not shared, zeros would follow."""
    here = os.fstat(file.fileno()).st_size
    if here < upload.received:
        logger.error("an upload has lost bytes", extra={"row": str(upload.pk)})
        Upload.objects.filter(pk=upload.pk, received=upload.received).update(received=here)
        upload.received = here


def _write(
    upload: Upload, file: IO[bytes], source: Source, length: int, checksum: Checksum | None
) -> tuple[int, Exception | None]:
    """Write what comes. Returns how many bytes that were, and what went wrong after them."""
    offset, written, failure = upload.received, 0, None
    head = min(HEAD_BYTES, upload.size)
    head_is_open = offset < head
    file.seek(offset)
    file.truncate()
    hashed = hashlib.new(checksum.algorithm) if checksum else None
    try:
        while written < length:
            to_head = head - offset - written
            piece = source.read(min(to_head if to_head > 0 else PIECE, length - written))
            if not piece:
                raise BadRequest(
                    "The part broke off before its end. Ask where to go on.",
                    code="upload_interrupted",
                )
            written += _put(file, piece)
            if hashed is not None:
                hashed.update(piece)
            elif head_is_open and offset + written >= head:
                head_is_open = False
                _require_video(upload, file)
        if checksum and hashed:
            if hashed.digest() != checksum.digest:
                raise ChecksumMismatch(
                    "The part has another checksum. It was not kept; send it again."
                )
            if head_is_open and offset + written >= head:
                _require_video(upload, file)
    except (DomainError, OSError) as error:  # what a client does that goes away is an OSError
        failure = error
    return written, failure


def _put(file: IO[bytes], piece: bytes) -> int:
    """Write all of it. Raises StorageFull."""
    left = memoryview(piece)
    with storage.full_disk_is_refused():
        while left:
            left = left[file.write(left) :]
    return len(piece)


def _require_video(upload: Upload, file: IO[bytes]) -> None:
    """Raises UnsupportedMedia, and ends the upload, for the beginning of what is no video."""
    head = os.pread(file.fileno(), HEAD_BYTES, 0)
    try:
        sources.require_video(head)
    except DomainError:
        end_upload(upload)
        raise


def end() -> datetime.datetime:
    """Until when an upload stays to which something came just now."""
    return timezone.now() + datetime.timedelta(seconds=settings.UPLOAD_SECONDS)

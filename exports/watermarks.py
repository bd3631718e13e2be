"""Writes to the watermark of an organization: one image at most, kept as it was written anew in a child process."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import threading
from collections.abc import Iterator

from django.db import transaction

from clipforge.audit.actor import Actor
from clipforge.audit.services import write_entry
from clipforge.common import storage
from clipforge.common.errors import NotFound, Unavailable, UnsupportedMedia
from clipforge.common.models import uuid7
from clipforge.media import ErrorCode, MediaError, redraw
from clipforge.orgs.models import Organization
from exports import selectors
from exports.models import Watermark
from exports.rules import require_watermarks

# Images that a process writes anew at the same time. Each keeps a thread, of which a process has four by
# default: a fifth of a second as a rule, but fifteen seconds of one that was made to take long.
MOST_AT_ONCE = 2
PATIENCE = 1.0  # seconds that a request waits for its turn

_slots = threading.BoundedSemaphore(MOST_AT_ONCE)


def replace_watermark(*, org: Organization, image: bytes, reason: str, actor: Actor) -> Watermark:
    """Keep an image as the organization's watermark, in the place of the one before.

    Clips that are rendered from now on have it. Raises Forbidden where the tier has no watermarks,
    UnsupportedMedia for what is no image that we accept, Unavailable where others are in turn, StorageFull.
    """
    require_watermarks(org)
    pk = uuid7()
    key = f"{org.pk}/watermarks/{pk}/image.png"
    with _turn(), storage.full_disk_is_refused(), storage.workspace(pk, 0) as folder:
        given, kept = folder / "given", folder / "kept.png"
        given.write_bytes(image)
        try:
            width, height = redraw(given, kept)
        except MediaError as error:
            raise UnsupportedMedia(error.message, code=ErrorCode.NOT_AN_IMAGE) from error
        content = kept.read_bytes()
        with storage.brought(kept, key) as arrival, transaction.atomic():
            before = _locked(org)
            if before is not None:
                before.delete()
            made = Watermark.objects.create(
                id=pk,
                org=org,
                file_key=key,
                width=width,
                height=height,
                size=len(content),
                sha256=hashlib.sha256(content).hexdigest(),
            )
            _write(made, before, made, reason, actor)
            arrival.land()
            if before is not None:
                transaction.on_commit(
                    functools.partial(storage.delete, before.file_key), robust=True
                )
    return made


def remove_watermark(*, org: Organization, reason: str, actor: Actor) -> None:
    """Exports that wait for it fail, and cost nothing. Raises NotFound where there is none."""
    with transaction.atomic():
        before = _locked(org)
        if before is None:
            raise NotFound
        _write(before, before, None, reason, actor)
        key = before.file_key
        before.delete()
        transaction.on_commit(functools.partial(storage.delete, key), robust=True)


@contextlib.contextmanager
def _turn() -> Iterator[None]:
    if not _slots.acquire(timeout=PATIENCE):
        raise Unavailable(
            "Other images are being written. Send it again.", code="watermarks_busy", retry_after=5
        )
    try:
        yield
    finally:
        _slots.release()


def _locked(org: Organization) -> Watermark | None:
    """The watermark that is there; nobody else replaces it before the transaction ends."""
    Organization.objects.select_for_update(no_key=True).get(pk=org.pk)
    return selectors.watermark(org)


def _write(
    subject: Watermark,
    before: Watermark | None,
    after: Watermark | None,
    reason: str,
    actor: Actor,
) -> None:
    write_entry(
        actor=actor,
        verb="change" if before and after else "add" if after else "delete",
        subject=subject,
        org=subject.org,
        before={"sha256": before.sha256} if before else None,
        after={"sha256": after.sha256} if after else None,
        reason=reason,
    )

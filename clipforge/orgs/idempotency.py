"""One effect per `Idempotency-Key`, and the first answer for every repetition.

The record is written in the transaction of the effect: a crash before the commit leaves
neither, a crash after it leaves both. A refused request (402, 422, ...) rolls back and is
not remembered, so that the client may put it right and send it again under the same key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from django.db import connection, transaction

from clipforge.common.errors import Conflict, Invalid
from clipforge.orgs.models import IdempotencyRecord, Organization

MAX_KEY_LENGTH = 255


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to the client. `body` is rendered JSON, so that a replay is the same to the byte."""

    status: int
    body: str
    location: str = ""
    replayed: bool = False


def once(
    *, org: Organization, key: str | None, fingerprint: str, effect: Callable[[], Answer]
) -> Answer:
    """Run `effect` in a transaction of its own, unless the organization used `key` before.

    Without a key the effect simply runs. Raises Conflict (`request_in_progress`) while another
    request with the same key runs, and Invalid (`idempotency_key_reused`) when the key was used
    for a request with another fingerprint.
    """
    if key is not None:
        _require_valid(key)
    with transaction.atomic(durable=True):
        if key is None:
            return effect()
        if (record := _claim(org, key)) is not None:
            return _replay(record, fingerprint)
        answer = effect()
        IdempotencyRecord.objects.create(
            org=org,
            key=key,
            fingerprint=fingerprint,
            status=answer.status,
            body=answer.body,
            location=answer.location,
        )
        return answer


def is_answered(*, org: Organization, key: str | None) -> bool:
    """Whether the organization used the key already: its effect is there, and is not repeated."""
    return key is not None and IdempotencyRecord.objects.for_org(org).filter(key=key).exists()


class _Record(NamedTuple):
    fingerprint: str
    status: int
    body: str
    location: str


def _claim(org: Organization, key: str) -> _Record | None:
    """Take the key until the transaction ends, or refuse at once. Returns what it was used for.

    An advisory lock rather than a row: a crashed process gives it up by itself, and no
    request waits. Two keys that share a 64-bit number only ever delay one another.
    """
    digest = hashlib.sha256(f"{org.pk}:{key}".encode()).digest()
    number = int.from_bytes(digest[:8], "big", signed=True)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT claimed, fingerprint, status, body, location FROM orgs_claim_key(%s, %s, %s)",
            [number, org.pk, key],
        )
        claimed, *known = cursor.fetchone()
    if not claimed:
        raise Conflict(
            "A request with this Idempotency-Key is still running. Ask again in a second.",
            code="request_in_progress",
            retry_after=1,
        )
    return None if known[0] is None else _Record(*known)


def _replay(record: _Record, fingerprint: str) -> Answer:
    if record.fingerprint != fingerprint:
        raise Invalid(
            "This Idempotency-Key was used for a different request. Choose a new key.",
            code="idempotency_key_reused",
        )
    return Answer(record.status, record.body, record.location, replayed=True)


def _require_valid(key: str) -> None:
    if not (0 < len(key) <= MAX_KEY_LENGTH and key.isascii() and key.isprintable()):
        raise Invalid(
            f"Idempotency-Key must be 1 to {MAX_KEY_LENGTH} printable ASCII characters.",
            code="invalid_idempotency_key",
        )

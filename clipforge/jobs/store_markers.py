"""Whether the store and the database belong together: nothing is removed while they do not.

A marker is written every few minutes, into the database first and then, as the file `marker`, into the
store. So the database knows the marker of the store, unless it was restored to an older moment: then
files are there of which it knows no row any more, and which may be all that is left of them. Sweeps
stop until an operator decides (`manage.py storage accept`).
"""

from __future__ import annotations

import datetime
import functools
import logging
import uuid

from django.db import transaction
from django.db.models.functions import Now

from clipforge.audit.actor import Actor
from clipforge.audit.services import write_entry
from clipforge.common import storage
from clipforge.common.errors import Conflict
from clipforge.jobs.models import StoreMarker

logger = logging.getLogger(__name__)

KEY = "marker"
# A store that was away for longer is a case for an operator too.
KEPT = datetime.timedelta(days=90)


class StoreIsUnknown(Conflict):
    """The store has a marker that the database does not know."""

    code = "store_unknown"


def require_known() -> None:
    """Raises StoreIsUnknown where the database was restored to before the marker of the store."""
    token = stored_token()
    if token is None:
        if StoreMarker.objects.exists():
            raise StoreIsUnknown(
                "The store has no marker, and the database knows some: it is another store, or an empty "
                "one. Nothing is removed until that is put right, or accepted (`storage accept`)."
            )
    elif not StoreMarker.objects.filter(pk=token).exists():
        raise StoreIsUnknown(
            "The store has a marker that the database does not know: the database was restored to an "
            "older moment, or it is the store of another one. Nothing is removed until `storage audit` "
            "was read and the store accepted (`storage accept`)."
        )


def is_known() -> bool:
    """As `require_known`, for a sweep: what is wrong is logged."""
    try:
        require_known()
    except StoreIsUnknown as unknown:
        logger.error("nothing is removed: %s", unknown.message)
        return False
    return True


def advance() -> None:
    """Write a new marker. Raises StoreIsUnknown where that would hide what `require_known` finds."""
    require_known()
    write()


def write() -> StoreMarker:
    """Write a marker, whatever the store has. The database has it before the store does."""
    marker = StoreMarker.objects.create()
    StoreMarker.objects.filter(created_at__lt=Now() - KEPT).delete()
    transaction.on_commit(functools.partial(_publish, marker))
    return marker


def _publish(marker: StoreMarker) -> None:
    part = storage.new_part()
    part.write_text(str(marker.pk))
    storage.publish(part, KEY)


def accept(*, actor: Actor, reason: str) -> StoreMarker:
    """Declare that store and database belong together, whatever their markers say: sweeps go on."""
    with transaction.atomic():
        marker = write()
        write_entry(
            actor=actor,
            verb="accept_store",
            subject=marker,
            after={"marker": str(marker.pk)},
            reason=reason,
        )
    return marker


def stored_token() -> uuid.UUID | None:
    """The marker of the store; None where it has none. One that cannot be read is one of nobody."""
    try:
        return uuid.UUID(storage.read_bytes(KEY).decode())
    except FileNotFoundError:
        return None
    except ValueError:
        return uuid.UUID(int=0)

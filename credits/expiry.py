"""Expiry by the clock: of holds that were not extended, and of lots.

Safe to run concurrently and repeatedly.
"""

from __future__ import annotations

import datetime
import logging
import uuid
from collections.abc import Callable, Iterable
from typing import TypeVar

from django.db import DatabaseError, transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from clipforge.common.models import OrgQuerySet
from clipforge.orgs.models import Organization
from credits import ledger
from credits.models import CreditGrant, CreditHold, CreditReversal, HoldStatus

logger = logging.getLogger(__name__)

ACTOR = "system:expiry"
# A run stops here; the next one, a minute later, goes on.
BATCH = 1000

T = TypeVar("T")


def expire_holds(*, now: datetime.datetime | None = None, failed: set[str] | None = None) -> int:
    """Give back the credits of holds past their `expires_at`. Returns how many holds.

    Here as in the functions below, the keys of rows that could not be processed are added to `failed`.
    """
    due = due_holds(now)

    def expire(hold_id: uuid.UUID) -> int:
        # A hold that is being settled or extended at this moment is locked, and skipped.
        if not due.select_for_update(skip_locked=True, no_key=True).filter(pk=hold_id).exists():
            return 0
        return ledger.release_hold(hold_id, status=HoldStatus.EXPIRED, fence=None, actor=ACTOR)

    holds = due.order_by("expires_at").values_list("pk", flat=True)
    return _sum_each(expire, holds[:BATCH], failed)


def expire_grants(
    *,
    now: datetime.datetime | None = None,
    org: Organization | None = None,
    failed: set[str] | None = None,
) -> int:
    """Expire the free credits of lots past their `expires_at`. Returns how many lots.

    Held credits stay until their hold is settled; those that it returns expire then. Debt about
    a lot is settled out of it before it expires.
    """
    due = due_grants(now)
    if org is not None:
        due = due.for_org(org)

    def expire(org_id: uuid.UUID) -> int:
        ledger.lock_account(org_id)
        lots = list(due.filter(org=org_id).order_by("pk"))
        for lot in lots:
            ledger.expire_lot(lot, actor=ACTOR)
        return len(lots)

    orgs = due.order_by("org").values_list("org", flat=True).distinct()
    return _sum_each(expire, orgs[:BATCH], failed)


def due_holds(now: datetime.datetime | None = None) -> QuerySet[CreditHold]:
    return CreditHold.objects.filter(status=HoldStatus.HELD, expires_at__lte=now or Now())


def due_grants(now: datetime.datetime | None = None) -> OrgQuerySet[CreditGrant]:
    return CreditGrant.objects.filter(
        Q(remaining__gt=0),  # the condition of the index
        Q(remaining__gt=F("held")),
        expires_at__lte=now or Now(),
    )


def settle_returned(*, failed: set[str] | None = None) -> int:
    """Settle debts out of the lots that they are about, where a hold gave credits back to these.

    Credits that were reserved when their payment was reversed became debt; once the hold is
    released they lie in the lot again, unpaid. Returns how many credits.
    """
    open_debts = CreditReversal.objects.filter(owed__gt=F("settled"))
    returned = open_debts.filter(grant__remaining__gt=F("grant__held"))

    def settle(reversal: CreditReversal) -> int:
        ledger.lock_account(reversal.org_id)
        lot = CreditGrant.objects.get(pk=reversal.grant_id)
        return ledger.settle_debt(lot, own=True, actor=ACTOR)

    return _sum_each(settle, returned.order_by("pk")[:BATCH], failed)


def _sum_each(act: Callable[[T], int], keys: Iterable[T], failed: set[str] | None) -> int:
    """The sum of `act(key)` over the keys, each in a transaction of its own.

    A key that fails is logged and skipped, so that one organization's broken ledger does not stop
    expiry for the others.
    """
    total = 0
    for key in list(keys):
        try:
            with transaction.atomic():
                total += act(key)
        except (DatabaseError, ledger.LedgerBroken):
            logger.exception("expiry failed", extra={"key": str(key)})
            if failed is not None:
                failed.add(str(key))
    return total

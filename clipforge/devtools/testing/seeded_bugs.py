"""Bugs that are seeded on purpose: a harness that does not find them proves nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from django.apps import apps
from django.db import connection
from django.db.models import F, Q
from django.db.models.functions import Now
from django.db.transaction import atomic

from clipforge.orgs.models import Organization
from credits import ledger, services
from credits.models import (
    CreditAccount,
    CreditGrant,
    CreditHold,
    HoldAllocation,
)
from credits.pricing import Charge

# The backstops, which would turn an overspend into an error before anything could see it.
CHECKS = {
    "credits_creditaccount": ("credits_account_not_overspent", "posted >= held"),
    "credits_creditgrant": (
        "credits_grant_parts_fit",
        "held >= 0 AND remaining >= held AND amount >= remaining",
    ),
}


@contextmanager
def sum_then_insert() -> Iterator[None]:
    """Reserve without a lock: add up the ledger, see that it is enough, insert."""
    with mock.patch.object(services, "reserve", _reserve):
        yield


@contextmanager
def without_checks() -> Iterator[None]:
    """Take the CHECK constraints away; afterwards the tables are empty and have them again."""
    for table, (name, _) in CHECKS.items():
        _execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    try:
        yield
    finally:
        tables = [model._meta.db_table for model in apps.get_app_config("credits").get_models()]
        _execute(f"TRUNCATE {', '.join(tables)} CASCADE")
        for table, (name, condition) in CHECKS.items():
            _execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({condition})")


def _reserve(
    *,
    org: Organization,
    charge: Charge,
    idempotency_key: str,
    fence: int = 0,
    max_open_holds: int | None = None,  # noqa: ARG001 - none is seen to
    **fields: Any,
) -> CreditHold:
    """Right only as long as no other transaction does it at the same moment."""
    amount = charge.credits
    with atomic():
        earlier = CreditHold.objects.filter(org=org, idempotency_key=idempotency_key).first()
        if earlier is not None:
            return earlier
        lots = _spendable(org)
        if sum(lot.remaining - lot.held for lot in lots) < amount:
            raise ledger.refusal(org.pk, amount)
        _execute("SELECT pg_sleep(0.02)")  # in which another transaction adds up the same
        hold = CreditHold.objects.create(
            org=org,
            amount=amount,
            fence=fence,
            idempotency_key=idempotency_key,
            expires_at=services._hold_end(),
            **fields,
        )
        account = CreditAccount.objects.filter(pk=org.pk)
        account.update(
            held=F("held") + amount,
            open_holds=F("open_holds") + 1,
            version=F("version") + 1,
        )
        # All else is done rightly, or something else would be found before the bug that is meant.
        ledger._announce(org.pk, account.values_list("version", flat=True).get())
        _draw(hold, lots)
    return hold


def _spendable(org: Organization) -> list[CreditGrant]:
    ended = Q(expires_at__lte=Now())
    order = ("priority", F("expires_at").asc(nulls_last=True), "pk")
    return list(CreditGrant.objects.for_org(org).exclude(ended).order_by(*order))


def _draw(hold: CreditHold, lots: list[CreditGrant]) -> None:
    needed = hold.amount
    for lot in lots:
        if part := min(needed, lot.remaining - lot.held):
            CreditGrant.objects.filter(pk=lot.pk).update(held=F("held") + part)
            HoldAllocation.objects.create(hold=hold, grant=lot, amount=part)
            needed -= part


def _execute(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)

"""Receivers that invalidate the cached balance when credits move."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

from django.db.models.signals import post_save
from django.dispatch import receiver

from credits import caching
from credits.events import credits_changed
from credits.models import CreditTransaction, transactions_created


@receiver(credits_changed)
def forget_balance(sender: Any, org_id: uuid.UUID, version: int, **kwargs: Any) -> None:
    caching.account_moved(org_id, version)


# `credits_changed` covers the rows that the ledger writes. This covers rows from any other path.
@receiver(post_save, sender=CreditTransaction)
def forget_balance_of_row(sender: Any, instance: CreditTransaction, **kwargs: Any) -> None:
    caching.account_moved(instance.org_id, instance.org_seq)


@receiver(transactions_created)
def forget_balances(sender: Any, rows: Iterable[CreditTransaction], **kwargs: Any) -> None:
    for row in rows:
        caching.account_moved(row.org_id, row.org_seq)

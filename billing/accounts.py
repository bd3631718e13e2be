"""The lock of one organization's billing account."""

from __future__ import annotations

import uuid

from billing.models import BillingAccount


def lock_account(org_id: uuid.UUID) -> BillingAccount:
    """Lock billing's row of the organization until the transaction ends; made on first use.

    Taken before any payment, subscription or credit account is touched: every writer of them
    queues up here, and nothing behind it can deadlock.
    """
    BillingAccount.objects.bulk_create([BillingAccount(org_id=org_id)], ignore_conflicts=True)
    return BillingAccount.objects.select_for_update(no_key=True, of=("self",)).get(pk=org_id)

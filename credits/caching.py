"""The cached balance of an organization: `credits:balance:<organization>`, for one minute.

A display value: no spending ever reads it. It is stored under the version of the account, which
every change raises, so it is never older than the last commit.
"""

from __future__ import annotations

import functools
import uuid
from typing import NamedTuple

from clipforge.common.cache.backend import default_cache
from clipforge.common.cache.versioned_cache import Versioned
from credits.models import CreditAccount

SECONDS = 60
FAMILY = "credits:balance"


class Balance(NamedTuple):
    """Credits. `available` can be spent: it is `posted` less `held`, which open holds reserve.

    `debt` was spent although its payment went back; the next credits settle it.
    """

    available: int
    held: int
    posted: int
    debt: int = 0


def balance(org_id: uuid.UUID, *, found: bytes | None = None) -> Balance:
    """The balance; zeros for an organization that never had a credit.

    `found` is as for `get_or_load`.
    """
    load = functools.partial(stored_balance, org_id)
    key = balance_key(org_id)
    return Balance(*default_cache().get_or_load(key, load, seconds=SECONDS, found=found))


def stored_balance(org_id: uuid.UUID) -> Versioned:
    """The balance in the database, with the version of the account."""
    account = CreditAccount.objects.filter(pk=org_id).first()
    if account is None:
        return Versioned(Balance(0, 0, 0), 0)
    balance = Balance(account.available, account.held, account.posted, account.debt)
    return Versioned(balance, account.version)


def balance_key(org_id: uuid.UUID) -> str:
    return f"{FAMILY}:{org_id}"


def account_moved(org_id: uuid.UUID, version: int) -> None:
    """Invalidate balances older than `version`.

    Call in the transaction that changed the account.
    """
    default_cache().invalidate(balance_key(org_id), version)

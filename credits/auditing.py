"""The audit row of credits that are moved by hand."""

from __future__ import annotations

from typing import Any

from clipforge.audit.actor import Actor
from clipforge.audit.services import write_entry
from clipforge.orgs.models import Organization
from credits.models import CreditReversal, CreditTransaction
from credits.rules import Funds, funds_of


def write_transaction_entry(
    verb: str,
    made: CreditTransaction | CreditReversal,
    org: Organization,
    *,
    before: Funds,
    actor: Actor,
    **facts: Any,
) -> None:
    """Leave the row of `made`. Requires the account's lock since `before` was read."""
    known = {"amount": made.amount, **facts, made.reference_type: made.reference_id}
    write_entry(
        actor=actor,
        verb=verb,
        subject=made,
        org=org,
        before=before.as_facts(),
        after={
            **funds_of(org.pk).as_facts(),
            **{name: value for name, value in known.items() if value},
        },
        reason=made.reason,
    )

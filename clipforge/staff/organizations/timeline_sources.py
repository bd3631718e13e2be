"""The sources of the timeline: each table that knows of something, and how its rows are told."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from django.db.models import Case, QuerySet, TextField, Value, When
from django.db.models.functions import Cast, Concat

from billing import selectors as billing_selectors
from billing.models import PaymentMethod, PaymentStatus, SubscriptionStatus
from clipforge.audit import selectors as audit_selectors
from clipforge.common.money import money
from clipforge.jobs import selectors as job_selectors
from clipforge.jobs.kinds import JobKind, all_kinds
from clipforge.orgs import keys
from clipforge.orgs import selectors as org_selectors
from clipforge.orgs.models import Organization
from clipforge.staff import formatting
from clipforge.staff.organizations.job_texts import sources_of, text_of
from credits import selectors as credit_selectors
from credits.models import TransactionType


class Change(NamedTuple):
    """The value of a thing before and after; empty where one side says nothing of it."""

    name: str
    before: str
    after: str


@dataclass(frozen=True)
class Source:
    """A table with entries of the timeline: its rows, their time, their fields, and their text."""

    name: str
    kind: str
    at: str
    rows: Callable[[Organization], QuerySet[Any]]
    shown: dict[str, Any]
    said: Callable[[dict[str, Any]], dict[str, Any]]
    page: str  # of the admin, where the object is
    key: Callable[[str], int | uuid.UUID] = uuid.UUID


def _bigint(text: str) -> int:
    number = int(text)
    if not 0 <= number < 2**63:
        raise ValueError(text)
    return number


MOVED = {
    TransactionType.GRANT: "Granted",
    TransactionType.PURCHASE: "Bought",
    TransactionType.SPEND: "Spent",
    TransactionType.REFUND: "Gave back",
    TransactionType.EXPIRE: "Ended unused:",
}
# The verbs of staff actions in words; the object is said next.
DONE = {
    "add": "Added",
    "change": "Changed",
    "delete": "Deleted",
    "grant_credits": "Granted credits:",
    "adjust_credits": "Adjusted credits:",
    "request_credits": "Asked somebody to confirm:",
    "confirm_credits": "Confirmed, for who had asked:",
    "refuse_credits": "Refused:",
    "change_tier": "Changed the tier of",
    "override_limit": "Changed the rate limit of",
    "suspend": "Suspended",
    "restore": "Restored",
    "issue_key": "Issued the API key",
    "revoke_key": "Revoked the API key",
    "retry_work": "Retried",
    "requeue_work": "Queued again:",
    "cancel_work": "Cancelled",
    "release_hold": "Released the hold",
    "write_note": "Wrote a note:",
    "pin_note": "Pinned a note, or no longer:",
    "reverse_payment": "Noted that the money went back of",
}


def _transaction(row: dict[str, Any]) -> dict[str, Any]:
    amount, type_ = row["amount"], row["type"]
    if type_ == TransactionType.ADJUST:
        what = f"{'Added' if amount > 0 else 'Took away'} {formatting.count(abs(amount), 'credit')}"
    else:
        what = f"{MOVED.get(type_, type_)} {formatting.count(abs(amount), 'credit')}"
    return {
        "what": f"{what}: {formatting.short(row['reason'])}",
        "status": f"{formatting.number(row['balance'])} left",
    }


def _job(kind: JobKind[Any], row: dict[str, Any]) -> dict[str, Any]:
    status = formatting.status_in_words(kind.model, row["status"])
    if row["error_code"]:
        status = f"{status}: {row['error_code']}"
    return {
        "what": text_of(kind, kind.staff.event, row),
        "status": status,
        "state": formatting.state_of(row["status"]),
    }


def _key(did: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda row: {"what": f"{did} the API key ‘{row['name']}’ ({keys.label(row['prefix'])})"}


def _payment(row: dict[str, Any]) -> dict[str, Any]:
    sum_ = money(row["amount"], row["currency"])
    status, state = str(PaymentStatus(row["status"]).label), formatting.state_of(row["status"])
    if row["reversed"]:
        back = money(row["reversed"], row["currency"])
        status, state = f"{status}, {back} went back", "bad"
    began = "Paid" if row["status"] == PaymentStatus.PAID else "Was asked to pay"
    return {"what": f"{began} {sum_} for {row['price']}", "status": status, "state": state}


def _subscription(row: dict[str, Any]) -> dict[str, Any]:
    by = "Stripe" if row["method"] == PaymentMethod.STRIPE else "transfer"
    return {
        "what": f"Began the plan {row['price']}, paid by {by}",
        "status": str(SubscriptionStatus(row["status"]).label),
        "state": formatting.state_of(row["status"]),
        # The payer began it.
        "actor": "stripe" if row["method"] == PaymentMethod.STRIPE else "",
    }


def _action(row: dict[str, Any]) -> dict[str, Any]:
    verb = DONE.get(row["verb"]) or f"{row['verb'].replace('_', ' ').capitalize()}:"
    before, after = row["before"], row["after"]
    changes = [
        Change(name.replace("_", " "), _value(before, name), _value(after, name))
        for name in dict.fromkeys([*before, *after])
        if name not in before or name not in after or before[name] != after[name]
    ]
    return {
        "what": f"{verb} {row['label']}",
        "changes": changes,
        "reason": row["reason"],
    }


def _value(side: dict[str, Any], name: str) -> str:
    """In words; empty where this side does not speak of it."""
    if name not in side:
        return ""
    value = side[name]
    if value is None or value in ("", []):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return formatting.number(value)
    return formatting.short(", ".join(map(str, value)) if isinstance(value, list) else str(value))


# Of one moment, the first comes first; the jobs of each kind stand between the two.
_BEFORE_JOBS = [
    Source(
        "staff",
        "staff",
        "created_at",
        audit_selectors.entries,
        {
            "verb": "verb",
            "label": "object_label",
            "before": "before",
            "after": "after",
            "reason": "reason",
            "actor": Case(
                When(actor=None, then=Concat("actor_kind", Value(":"), "actor_name")),
                default=Concat(Value("user:"), Cast("actor_id", TextField())),
                output_field=TextField(),
            ),
        },
        _action,
        "audit_auditentry_change",
        _bigint,
    ),
    Source(
        "payment",
        "payments",
        "created_at",
        billing_selectors.payments,
        {
            "price": "price__name",
            "amount": "amount",
            "currency": "currency",
            "reversed": "reversed_amount",
            "status": "status",
            "actor": "actor",
        },
        _payment,
        "billing_payment_change",
    ),
    Source(
        "subscription",
        "payments",
        "created_at",
        billing_selectors.subscriptions,
        {"price": "price__name", "method": "method", "status": "status"},
        _subscription,
        "billing_subscription_change",
    ),
    Source(
        "ledger",
        "credits",
        "created_at",
        credit_selectors.transactions,
        {
            "type": "type",
            "amount": "amount",
            "balance": "balance_after",
            "reason": "reason",
            "actor": "actor",
        },
        _transaction,
        "credits_credittransaction_change",
        _bigint,
    ),
]
_AFTER_JOBS = [
    Source(
        "revoked",
        "keys",
        "revoked_at",
        lambda org: org_selectors.api_keys(org).filter(revoked_at__isnull=False),
        {"name": "name", "prefix": "prefix"},
        _key("Revoked"),
        "orgs_apikey_change",
    ),
    Source(
        "issued",
        "keys",
        "created_at",
        org_selectors.api_keys,
        {
            "name": "name",
            "prefix": "prefix",
            "actor": Concat(Value("user:"), Cast("created_by_id", TextField())),
        },
        _key("Issued"),
        "orgs_apikey_change",
    ),
]


def _source_of(kind: JobKind[Any]) -> Source:
    meta = kind.model._meta
    return Source(
        kind.name,
        kind.plural,
        "created_at",
        lambda org: job_selectors.jobs_of(kind.model, org),
        {
            **sources_of(kind),
            "status": "status",
            "error_code": "error_code",
            "actor": "hold__actor",
        },
        partial(_job, kind),
        f"{meta.app_label}_{meta.model_name}_change",
    )


def sources() -> list[Source]:
    """All sources, in order. A job made of another comes before it, as its kind is registered later."""
    jobs = [_source_of(kind) for kind in reversed(all_kinds())]
    return [*_BEFORE_JOBS, *jobs, *_AFTER_JOBS]


def sources_by_name() -> dict[str, Source]:
    return {source.name: source for source in sources()}

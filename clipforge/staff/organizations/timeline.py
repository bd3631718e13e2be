"""Everything that happened to an organization, in one order, whichever table knows of it.

The order is time, newest first; of one time, the order of `sources`, then the newest row. It is total,
so that a page can begin after any entry: each source is asked for the rows that follow, through an
index of its own, in one statement for all of them. That costs the same at any depth.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, cast

from django.db.models import Case, CharField, F, QuerySet, TextField, Value, When
from django.db.models.functions import Cast, Coalesce, Concat, JSONObject, NullIf, Trim
from django.urls import reverse

from billing.models import Payment, PaymentMethod, PaymentStatus, Subscription, SubscriptionStatus
from clipforge.audit.models import AuditEntry
from clipforge.common.lists.keyset import beyond
from clipforge.jobs.kinds import JobKind, all_kinds
from clipforge.orgs import keys
from clipforge.orgs.models import APIKey, Organization, User
from clipforge.staff import formatting
from clipforge.staff.organizations.job_texts import sources_of, status_of, text_of
from credits.models import CreditTransaction, TransactionType

SIZE = 30


def filters() -> dict[str, str]:
    """The label of each sort of entry that a timeline can be narrowed to, by its name."""
    return {
        "credits": "Credits",
        **{kind.plural: kind.plural.capitalize() for kind in all_kinds()},
        "keys": "API keys",
        "payments": "Payments",
        "staff": "Staff",
    }


class Change(NamedTuple):
    """The value of a thing before and after; empty where one side says nothing of it."""

    name: str
    before: str
    after: str


@dataclass(frozen=True)
class Entry:
    """One thing that happened. `who` is empty where that was not recorded."""

    place: TimelinePosition
    kind: str
    what: str
    who: str
    url: str
    status: str = ""  # in words
    state: str = ""  # of the badge that the status is in, if it is in one
    changes: Sequence[Change] = ()
    reason: str = ""

    @property
    def at(self) -> datetime.datetime:
        return self.place.at

    @property
    def note(self) -> str:
        """The small print beside it: a status that is in no badge, and who did it."""
        said = ["" if self.state else self.status, f"by {self.who}" if self.who else ""]
        return " · ".join(filter(None, said))


class TimelinePosition(NamedTuple):
    """The position of an entry, after which a page begins."""

    at: datetime.datetime
    source: str
    key: int | uuid.UUID

    @property
    def text(self) -> str:
        return f"{self.at.isoformat()}~{self.source}~{self.key}"


def position_of(text: str) -> TimelinePosition | None:
    """The position that `TimelinePosition.text` wrote. None for anything else."""
    try:
        at, name, key = text.split("~")
        parsed = datetime.datetime.fromisoformat(at)
        if parsed.tzinfo is None:
            return None
        return TimelinePosition(parsed, name, _sources()[name].key(key))
    except (ValueError, KeyError, OverflowError):
        return None


class TimelinePage(NamedTuple):
    """Entries, and where the next page begins in each direction; None where there is none."""

    entries: list[Entry]
    newer: TimelinePosition | None
    older: TimelinePosition | None


def timeline_page(
    org: Organization,
    *,
    kind: str = "",
    before: TimelinePosition | None = None,
    after: TimelinePosition | None = None,
    size: int = SIZE,
) -> TimelinePage:
    """The `size` entries that follow `before`, or precede `after`, or the newest; of one kind or all.

    Two statements: one for the rows, one for the names of who did it.
    """
    up = after is not None
    rows = _merged(org, kind, after if up else before, size=size + 1, up=up)
    more, rows = len(rows) > size, rows[:size]
    if up:
        rows.reverse()
    entries = _entries(org, rows)
    if not entries:
        return TimelinePage([], None, None)
    first, last = entries[0].place, entries[-1].place
    if up:
        return TimelinePage(entries, first if more else None, last)
    return TimelinePage(entries, first if before else None, last if more else None)


# --- the sources -----------------------------------------------------------------------


@dataclass(frozen=True)
class Source:
    """A table that knows of something: which rows, when it was, what of each, and how to say it."""

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
    "reverse_payment": "Noted that the money went back of",
}


def _movement(row: dict[str, Any]) -> dict[str, Any]:
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
    status = status_of(kind, row["status"])
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
    sum_ = formatting.money(row["amount"], row["currency"])
    status, state = str(PaymentStatus(row["status"]).label), formatting.state_of(row["status"])
    if row["reversed"]:
        back = formatting.money(row["reversed"], row["currency"])
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


_NAME = Coalesce(
    NullIf(Trim(Concat("first_name", Value(" "), "last_name")), Value("")),
    "username",
    output_field=CharField(),
)

# Of one moment, the first comes first; the jobs of each kind stand between the two.
_BEFORE_JOBS = [
    Source(
        "staff",
        "staff",
        "created_at",
        lambda org: AuditEntry.objects.filter(org=org),
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
        lambda org: Payment.objects.for_org(org),
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
        lambda org: Subscription.objects.for_org(org),
        {"price": "price__name", "method": "method", "status": "status"},
        _subscription,
        "billing_subscription_change",
    ),
    Source(
        "ledger",
        "credits",
        "created_at",
        lambda org: CreditTransaction.objects.for_org(org),
        {
            "type": "type",
            "amount": "amount",
            "balance": "balance_after",
            "reason": "reason",
            "actor": "actor",
        },
        _movement,
        "credits_credittransaction_change",
        _bigint,
    ),
]
_AFTER_JOBS = [
    Source(
        "revoked",
        "keys",
        "revoked_at",
        lambda org: APIKey.objects.filter(organization=org, revoked_at__isnull=False),
        {"name": "name", "prefix": "prefix"},
        _key("Revoked"),
        "orgs_apikey_change",
    ),
    Source(
        "issued",
        "keys",
        "created_at",
        lambda org: APIKey.objects.filter(organization=org),
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
        lambda org: kind.model._default_manager.filter(org=org),
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
    """All of them. A job that is made of another comes before it, as its kind is registered later."""
    jobs = [_source_of(kind) for kind in reversed(all_kinds())]
    return [*_BEFORE_JOBS, *jobs, *_AFTER_JOBS]


def _sources() -> dict[str, Source]:
    return {source.name: source for source in sources()}


# --- merging ---------------------------------------------------------------------------


class SourceRow(NamedTuple):
    place: TimelinePosition
    facts: dict[str, Any]


def _merged(
    org: Organization, kind: str, place: TimelinePosition | None, *, size: int, up: bool
) -> list[SourceRow]:
    """The `size` rows that follow the place downwards, or upwards: the nearest first."""
    every = _sources()
    ranks = {name: rank for rank, name in enumerate(every)}
    arms = [
        _arm(org, source, place, ranks, size=size, up=up)
        for source in every.values()
        if kind in {"", source.kind}
    ]
    first, *others = arms
    found = first.union(*others, all=True) if others else first
    rows = [
        SourceRow(TimelinePosition(at, name, every[name].key(key)), facts)
        for name, at, key, facts in found
    ]
    # As the sources are in order and the times are not: the later the entry, the larger.
    rows.sort(
        key=lambda row: (row.place.at, -ranks[row.place.source], row.place.key), reverse=not up
    )
    return rows[:size]


def _arm(
    org: Organization,
    source: Source,
    place: TimelinePosition | None,
    ranks: dict[str, int],
    *,
    size: int,
    up: bool,
) -> QuerySet[Any]:
    rows = source.rows(org)
    if place is not None:
        rows = _beyond(rows, source, place, ranks, up=up)
    sign = "" if up else "-"
    named: QuerySet[Any] = rows.order_by(f"{sign}{source.at}", f"{sign}id").annotate(
        source_=Value(source.name, TextField()),
        at_=F(source.at),
        key_=Cast("id", TextField()),
        facts_=JSONObject(**source.shown),
    )
    return named.values_list("source_", "at_", "key_", "facts_")[:size]


def _beyond(
    rows: QuerySet[Any],
    source: Source,
    place: TimelinePosition,
    ranks: dict[str, int],
    *,
    up: bool,
) -> QuerySet[Any]:
    """The rows of one source after the place: a range of its index, ties included."""
    if source.name == place.source:
        return beyond(rows, (source.at, "id"), (place.at, place.key), above=up)
    # Of the same moment, the sources further on are still to come; those before have been.
    to_come = (ranks[source.name] > ranks[place.source]) is not up
    lookup = ("gt" if up else "lt") + ("e" if to_come else "")
    return rows.filter(**{f"{source.at}__{lookup}": place.at})


def _entries(org: Organization, rows: list[SourceRow]) -> list[Entry]:
    every = _sources()
    said = [(row, every[row.place.source], _said(every, row)) for row in rows]
    names = _names(org, [each.get("actor") or "" for _, _, each in said])
    return [
        Entry(
            place=row.place,
            kind=source.kind,
            url=reverse(f"admin:{source.page}", args=[row.place.key]),
            who=_who(each.pop("actor", None) or "", names),
            **each,
        )
        for row, source, each in said
    ]


def _said(every: dict[str, Source], row: SourceRow) -> dict[str, Any]:
    return {"actor": row.facts.get("actor"), **every[row.place.source].said(row.facts)}


# --- who -------------------------------------------------------------------------------

SYSTEM = {
    "system:worker": "a worker",
    "system:sweeper": "the sweeper",
    "system:expiry": "the clock",
    "system:billing": "billing",
}


def _names(org: Organization, actors: Iterable[str]) -> dict[str, str]:
    """The names of the people and the keys among the actors, by what the rows call them."""
    parts = {actor.partition(":")[::2] for actor in actors}
    people = [int(rest) for kind, rest in parts if kind == "user" and rest.isdecimal()]
    keys = [rest for kind, rest in parts if kind == "key"]
    if not people and not keys:
        return {}
    found = User.objects.filter(pk__in=people).values_list(
        Concat(Value("user:"), Cast("pk", TextField()), output_field=TextField()),
        Cast(_NAME, TextField()),
    )
    of_keys = APIKey.objects.filter(organization=org, prefix__in=keys).values_list(
        Concat(Value("key:"), Cast("prefix", TextField()), output_field=TextField()),
        Cast("name", TextField()),
    )
    return dict(cast("Any", found.union(cast("Any", of_keys), all=True)))


def _who(actor: str, names: dict[str, str]) -> str:
    kind, _, rest = actor.partition(":")
    if kind == "user":
        return names.get(actor, f"user {rest}") if rest else ""
    if kind == "key":
        return f"API key ‘{names[actor]}’" if actor in names else f"API key {rest}"
    if kind == "command":
        return f"manage.py {rest}"
    if kind == "stripe":
        return "Stripe"
    return SYSTEM.get(actor, actor)

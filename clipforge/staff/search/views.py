"""One box for everything: a text whose shape says what it is leads straight there.

An id, a key, a number of Stripe's, an address: each is looked up where such a thing can be, all of
that in one query. Any other text is looked for in names. One match is gone to; several are listed.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator
from enum import Enum, auto
from typing import Any, NamedTuple

from django.contrib import admin, messages
from django.contrib.admin.utils import quote
from django.db.models import (
    Case,
    CharField,
    IntegerField,
    Model,
    Q,
    QuerySet,
    TextField,
    Value,
    When,
)
from django.db.models.functions import Cast, Length, Lower
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from billing.models import Alert, BillingAccount, Payment, PlanPeriod, StripeEvent, Subscription
from billing.selectors import SAME_TRANSFER, without_blanks
from clipforge.audit.models import AuditEntry
from clipforge.common import secret_formats
from clipforge.common.lists import search
from clipforge.jobs import selectors as job_selectors
from clipforge.jobs.kinds import all_kinds
from clipforge.jobs.queue import QueueEntry
from clipforge.orgs import keys, trigrams
from clipforge.orgs import selectors as org_selectors
from clipforge.orgs.models import APIKey, Organization, User
from clipforge.staff import formatting
from clipforge.staff.pages import page
from clipforge.staff.search import refusals
from clipforge.staff.search.pasted import is_domain, meant, range_of
from clipforge.staff.search.reasons import why_of
from credits.models import CreditGrant, CreditHold, CreditReversal, CreditTransaction
from projects.models import Moment

# Rows of a group that are shown.
SHOWN = 20
# Of several texts that were pasted together, those that are looked for.
MOST_PARTS = 4
# Rows that are put in order, the likest first; a text that more are called by says nothing yet.
CANDIDATES = 500

_FIRST_TITLES: dict[type[Model], str] = {
    Organization: "Organizations",
    User: "People",
    APIKey: "API keys",
}
_LAST_TITLES: dict[type[Model], str] = {
    Moment: "Moments",
    Payment: "Payments",
    Subscription: "Subscriptions",
    PlanPeriod: "Paid periods",
    StripeEvent: "Events of Stripe",
    Alert: "Alerts",
    CreditTransaction: "Credit transactions",
    CreditHold: "Holds",
    CreditGrant: "Grants",
    CreditReversal: "Reversals",
    QueueEntry: "Queue entries",
    AuditEntry: "What staff did",
}
# Each has an id of its own, as jobs have.
WITH_UUID: list[type[Model]] = [
    *(Organization, APIKey, Moment),
    *(CreditHold, Payment, Subscription, PlanPeriod),
]
# Several can have the same number; a word before it says which is meant.
NUMBERED: dict[str, type[Model]] = {
    "ledger": CreditTransaction,
    "entry": QueueEntry,
    # The word of the log of the worker.
    "job": QueueEntry,
    "grant": CreditGrant,
    "reversal": CreditReversal,
    "action": AuditEntry,
    "alert": Alert,
}
NUMBER = re.compile(rf"(?:({'|'.join(NUMBERED)})[ :#]*)?#?([0-9]+)", re.IGNORECASE)
# What Stripe's ids begin with. Its customers are organizations of ours.
STRIPE: dict[str, tuple[type[Model], str, str]] = {
    "cs_": (Payment, "checkout_id", "pk"),
    "in_": (Payment, "invoice_id", "pk"),
    "pi_": (Payment, "payment_intent_id", "pk"),
    "sub_": (Subscription, "stripe_id", "pk"),
    "cus_": (BillingAccount, "stripe_customer_id", "org_id"),
    "evt_": (StripeEvent, "pk", "pk"),
}


def titles() -> dict[type[Model], str]:
    """The title of each group of hits, in the order of the page."""
    jobs = {kind.model: kind.plural.capitalize() for kind in all_kinds()}
    return {**_FIRST_TITLES, **jobs, **_LAST_TITLES}


class Way(NamedTuple):
    """A column that may have exactly this value, in a row that leads to `target`."""

    model: type[Model]
    column: str
    value: Any
    target: type[Model]
    pk: str = "pk"


class Hit(NamedTuple):
    url: str
    name: str
    about: str
    # What of it is what was typed.
    why: str


class Group(NamedTuple):
    title: str
    hits: list[Hit]
    # Where the rest is, when there is more than is shown.
    more: str | None


class How(Enum):
    """In which way what was typed is what was found: only the whole of it says that one thing is meant."""

    WHOLE = auto()
    NEARLY = auto()
    IN_PARTS = auto()


# Rows that were found, by their model, the best first.
Found = dict[type[Model], list[Any]]


@require_safe
def find(request: HttpRequest) -> HttpResponse:
    """Redirects to what is called so, when it is one; a page of groups else."""
    text, warning = secret_formats.public_part(request.GET.get("q", ""))
    if warning:
        # The secret does not stay in the address, which a browser remembers.
        messages.warning(request, warning)
        return redirect(f"{reverse('admin:find')}?{urlencode({'q': text})}")
    term = search.term_of(meant(text))
    if term is None:
        messages.warning(request, "That is too long, or no text: nothing here is called so.")
    found, how = _found(request, term) if term else {}, How.WHOLE
    refused = [] if found else refusals.of(request, term or "")
    if refused:
        return page(
            request,
            "staff/search/refused.html",
            title="A request that was refused",
            refused=refused,
        )
    if term and not found:
        found, how = _nearly(request, term), How.NEARLY
    if term and not found:
        found, how = _found_apart(request, term), How.IN_PARTS
    if how is How.WHOLE and (url := _only(found)) is not None:
        return redirect(url)
    return page(
        request,
        "staff/search/results.html",
        title="Find",
        term=term or "",
        key_prefix=keys.PREFIX,
        is_near=how is How.NEARLY,
        is_in_parts=how is How.IN_PARTS,
        groups=[_group(model, rows, term or "") for model, rows in found.items()],
        made_at=refusals.made_at(term or ""),
    )


def _found(request: HttpRequest, term: str) -> Found:
    ways, certain = _shape(term)
    if found := _rows_of(_exactly(request, ways)):
        return found
    if certain:
        return _rows_of(_exactly(request, _mentions(term)))
    if (ends := range_of(term)) and (begun := _rows_of(_exactly(request, _beginning(ends)))):
        return begun
    if is_domain(term) and (rows := _at_domain(request, term)):
        return {Organization: rows}
    return _by_address(request, term) if "@" in term else _by_text(request, term)


def _found_apart(request: HttpRequest, term: str) -> Found:
    """Results of each of several ids, addresses or names that were pasted together."""
    parts = [meant(part) for part in re.split(r"[\s,;]+", term)]
    parts = list(dict.fromkeys(part for part in parts if len(part) > 2))[:MOST_PARTS]
    if len(parts) < 2:
        return {}
    # Parts of a name are found by the whole of it: here only what a text certainly is, in one query.
    ways = [way for part in parts for way in [*_shape(part)[0], *_named(part)]]
    together = _rows_of(_exactly(request, ways))
    for part in parts:
        for model, rows in _by_address(request, part).items() if "@" in part else ():
            known = together.setdefault(model, [])
            known += [row for row in rows if row not in known]
    return together


def _nearly(request: HttpRequest, term: str) -> Found:
    """Organizations and people that are called so but for one slip of the fingers."""
    found: Found = {}
    if _may_see(request, Organization):
        every = org_selectors.all_organizations()
        found[Organization] = trigrams.nearly(every, "name", term, most=CANDIDATES)[:SHOWN]
    if _may_see(request, User):
        people = org_selectors.all_users()
        found[User] = trigrams.nearly(people, "email", term, most=CANDIDATES)[:SHOWN]
    return _some(found)


def _shape(term: str) -> tuple[list[Way], bool]:
    """Where a text of this shape can be, and whether it can be nothing else."""
    if pk := search.uuid_of(term):
        identified = [*WITH_UUID, *(kind.model for kind in all_kinds())]
        return [Way(model, "pk", pk, model) for model in identified], True
    if match := NUMBER.fullmatch(term):
        number = search.number_of(match[2])
        every = dict.fromkeys(NUMBERED.values())
        models = [NUMBERED[match[1].lower()]] if match[1] else [*every]
        ways = [Way(model, "pk", number, model) for model in models if number is not None]
        return ways, bool(match[1])
    prefix = keys.without_prefix(term)
    if prefix and prefix != term:
        return [Way(APIKey, "prefix__startswith", prefix, APIKey)], True
    for start, (model, column, pk_name) in STRIPE.items():
        if re.fullmatch(rf"{start}[A-Za-z0-9_]{{3,}}", term):
            target = Organization if pk_name == "org_id" else model
            return [Way(model, column, term, target, pk_name)], False
    return [], False


def _beginning(ends: tuple[uuid.UUID, uuid.UUID]) -> list[Way]:
    """Ids that begin with some digits, of which a person reads out the first."""
    identified = [*WITH_UUID, *(kind.model for kind in all_kinds())]
    return [Way(model, "pk__range", ends, model) for model in identified]


def _at_domain(request: HttpRequest, domain: str) -> list[Any]:
    """The organizations of the people whose addresses are at the domain."""
    if not (_may_see(request, Organization) and _may_see(request, User)):
        return []
    at = f"@{domain.lower()}"
    people = trigrams.containing(org_selectors.all_users(), "email", at).values("pk")[:CANDIDATES]
    theirs = org_selectors.all_organizations().filter(members__in=people).distinct()
    return list(theirs.order_by(Lower("name"), "pk")[: SHOWN + 1])


def _mentions(term: str) -> list[Way]:
    """Rows that name an id that nothing has, or no more: the ledger, and the audit of a request."""
    pk = search.uuid_of(term)
    if pk is None:
        return []
    return [
        Way(CreditTransaction, "reference_id", str(pk), CreditTransaction),
        Way(AuditEntry, "request_id", str(pk), AuditEntry),
    ]


def _by_address(request: HttpRequest, term: str) -> Found:
    """The organizations of the person with the address; else the people whose address is like it."""
    people = _people(request, term)
    exactly = [person for person in people if person.email.lower() == term.lower()]
    if exactly and _may_see(request, Organization):
        theirs = org_selectors.all_organizations().filter(members__in=exactly).distinct()
        if rows := list(theirs.order_by(Lower("name"), "pk")[: SHOWN + 1]):
            return {Organization: rows}
    return _some({User: people})


def _named(term: str) -> list[Way]:
    """Where a text without a shape of its own can be exactly."""
    return [
        Way(Organization, "slug", term.lower(), Organization),
        Way(APIKey, "prefix", term, APIKey),
        Way(Payment, SAME_TRANSFER, without_blanks(term), Payment),
        Way(AuditEntry, "request_id", term, AuditEntry),
    ]


def _by_text(request: HttpRequest, term: str) -> Found:
    found = _rows_of(_exactly(request, _named(term)))
    like: Found = {
        Organization: _organizations(request, term),
        User: _people(request, term),
        **_jobs(request, term),
    }
    for model, rows in like.items():
        first = found.pop(model, [])
        like[model] = [*first, *(row for row in rows if row not in first)]
    return _some({**like, **found})


def _organizations(request: HttpRequest, term: str) -> list[Any]:
    if not _may_see(request, Organization):
        return []
    every = org_selectors.all_organizations()
    like = trigrams.containing(every, "name", term).values("pk")[:CANDIDATES]
    begins = every.filter(slug__startswith=term.lower()).order_by("slug").values("pk")
    rank = Case(
        When(slug=term.lower(), then=0),
        When(slug__startswith=term.lower(), then=1),
        When(name__istartswith=term, then=2),
        default=3,
        output_field=IntegerField(),
    )
    # Each half through its index: an OR of the two would be asked of every row.
    wanted = every.filter(pk__in=like.union(begins[:CANDIDATES], all=True))
    return list(wanted.order_by(rank, Lower("name"), "pk")[: SHOWN + 1])


def _people(request: HttpRequest, term: str) -> list[Any]:
    if not _may_see(request, User):
        return []
    like = trigrams.containing(org_selectors.all_users(), "email", term).values("pk")[:CANDIDATES]
    # The shortest is the likest.
    wanted = org_selectors.all_users().filter(pk__in=like).order_by(Length("email"), "email")
    return list(wanted[: SHOWN + 1])


def _jobs(request: HttpRequest, term: str) -> Found:
    """By how the title begins: a part of a title is in too many of them to say anything."""
    found: Found = {}
    for kind in all_kinds():
        field = kind.staff.search_field
        if field and _may_see(request, kind.model):
            every = job_selectors.all_jobs(kind.model).select_related("org")
            found[kind.model] = list(search.beginning(every, field, term)[: SHOWN + 1])
    return found


# --- what is exactly so ----------------------------------------------------------------


def _exactly(request: HttpRequest, ways: Iterable[Way]) -> dict[type[Model], list[str]]:
    """The primary keys of what the ways lead to, as text, all found in one query."""
    asked = [
        _label_and_key(way)
        for way in ways
        if _may_see(request, way.target) and _may_see(request, way.model)
    ]
    found: dict[type[Model], list[str]] = {}
    if asked:
        first, *others = asked
        named = {model._meta.label_lower: model for model in titles()}
        for label, pk in first.union(*others, all=True) if others else first:
            keys = found.setdefault(named[label], [])
            if pk not in keys:
                keys.append(pk)
    return found


def _label_and_key(way: Way) -> QuerySet[Any, Any]:
    rows = way.model._default_manager.filter(Q((way.column, way.value))).order_by()
    label = Value(way.target._meta.label_lower, output_field=CharField())
    return rows.values_list(label, Cast(way.pk, TextField()))[: SHOWN + 1]


def _rows_of(found: dict[type[Model], list[str]]) -> Found:
    """The rows, with whose they are."""
    rows: Found = {}
    for model, pks in found.items():
        owner = _owner_of(model)
        named = model._default_manager.filter(pk__in=pks)
        rows[model] = list(named.select_related(owner) if owner else named)
    return _some(rows)


def _owner_of(model: type[Model]) -> str | None:
    names = {field.name for field in model._meta.get_fields()} & {"org", "organization"}
    return next(iter(names), None)


def _may_see(request: HttpRequest, model: type[Model]) -> bool:
    """A person finds here only what that person may open."""
    model_admin = admin.site._registry.get(model)
    return model_admin is not None and model_admin.has_view_permission(request)


def _some(found: Found) -> Found:
    return {model: rows for model, rows in found.items() if rows}


# --- what is shown ---------------------------------------------------------------------


def _only(found: Found) -> str | None:
    """The address of what was found, when it is one."""
    every = [row for rows in found.values() for row in rows]
    return _url(every[0]) if len(every) == 1 else None


def _group(model: type[Model], rows: list[Any], term: str) -> Group:
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"
    more = f"{reverse(name)}?{urlencode({'q': term})}" if len(rows) > SHOWN else None
    hits = [
        Hit(_url(row), _name(row), " · ".join(_about(row)), why_of(row, term))
        for row in rows[:SHOWN]
    ]
    return Group(titles()[model], hits, more)


def _url(row: Model) -> str:
    name = f"admin:{row._meta.app_label}_{row._meta.model_name}_change"
    return reverse(name, args=[quote(row.pk)])


def _name(row: Model) -> str:
    return str(row) if str(row) else f"{row._meta.verbose_name} {row.pk}"


def _about(row: Any) -> Iterator[str]:
    """The details that tell it from the others that are called so."""
    if isinstance(row, Organization):
        yield row.slug
        yield row.get_tier_display()
        if not row.is_active:
            yield "suspended"
    owner = _owner_of(type(row))
    if owner and getattr(row, owner):
        yield str(getattr(row, owner))
    if isinstance(row.pk, int):
        yield f"number {row.pk}"
    if status := getattr(row, "status", ""):
        yield str(status)
    if made := getattr(row, "created_at", None):
        yield formatting.moment(made)

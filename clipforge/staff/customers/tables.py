"""The figures of customers as tables: each leads to its rows, or to what helps."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from django.urls import reverse
from django.utils.http import urlencode

from clipforge.common.money import money
from clipforge.jobs.kinds import all_kinds, find_kind
from clipforge.orgs import keys
from clipforge.orgs.models import Organization, Tier
from clipforge.staff import formatting
from clipforge.staff.customers import selectors as customer_selectors
from clipforge.staff.customers.advice import after_failure, after_refusal
from clipforge.staff.customers.selectors import HOURS, MONTH, TODAY, WEEK, Span
from clipforge.staff.tables import Cell, Table, number, word

# Of the tables about one organization, the longest last.
COLUMNS = [HOURS, TODAY, WEEK, MONTH]
OF_FAILURES = [TODAY, WEEK, MONTH]


# --- of all organizations ------------------------------------------------------------------


def throttled(span: Span, now: datetime.datetime) -> Table:
    return _refused(
        customer_selectors.most_refused(span.since(now), throttled=True),
        span,
        now,
        "Most throttled",
        "By requests that did not fit a limit a minute (429). The name leads to their keys and limits.",
    )


def refused(span: Span, now: datetime.datetime) -> Table:
    return _refused(
        customer_selectors.most_refused(span.since(now), throttled=False),
        span,
        now,
        "Most refused for other reasons",
        "By requests that were refused, but for a limit a minute.",
    )


def _refused(
    found: list[customer_selectors.Refused],
    span: Span,
    now: datetime.datetime,
    title: str,
    note: str,
) -> Table:
    rows = []
    for line in found:
        of = {"of": line.org, **_since("hour", span, now)}
        others = line.refused - line.throttled - line.no_credits - line.not_allowed
        rows.append(
            [
                *_whose(line.org, line.name, line.tier),
                number(line.throttled, _refusals({**of, "status__exact": 429})),
                number(line.no_credits, _refusals({**of, "status__exact": 402})),
                number(line.not_allowed, _refusals({**of, "status__exact": 403})),
                number(others),
                number(line.refused, _refusals(of)),
            ]
        )
    headings = ["Throttled", "No credits", "Not allowed", "Others", "All"]
    return Table(title, note, ["Organization", "Tier", *headings], rows)


def failing(span: Span, now: datetime.datetime) -> Table:
    rows = []
    for line in customer_selectors.most_failing(span.since(now)):
        counts = [
            number(count, _jobs(kind.name, {"of": line.org}, span, now))
            for kind in all_kinds()
            for count in [line.failed.get(kind.name, 0)]
        ]
        rows.append([*_whose(line.org, line.name, line.tier), *counts])
    headings = [kind.staff.title for kind in all_kinds()]
    return Table(
        "Most failing",
        "By jobs that failed.",
        ["Organization", "Tier", *headings],
        rows,
    )


def codes(span: Span, now: datetime.datetime) -> Table:
    rows = []
    for line in customer_selectors.failures(span.since(now)):
        url = _jobs(line.kind, {"error_code__exact": line.code}, span, now)
        rows.append(
            [
                word(line.code, _rescue(line.code, line.kind)),
                word(_kind(line.kind)),
                number(line.failed, url),
                number(line.orgs),
                word(after_failure(line.code).retry),
                word(after_failure(line.code).todo),
            ]
        )
    return Table(
        "Failures by code",
        "The code leads to Rescue, where what may succeed can be tried again.",
        ["Code", "Work", "Failed", "Organizations", "Retry", "What to do"],
        rows,
    )


def work(span: Span, now: datetime.datetime) -> Table:
    return _costs(
        customer_selectors.most_work(span.since(now)),
        span,
        now,
        "Most work",
        "By the time for which workers had the jobs that were asked for and have ended; beside it, what that brought.",
    )


def storage(span: Span, now: datetime.datetime) -> Table:
    return _costs(
        customer_selectors.most_stored(span.since(now)),
        span,
        now,
        "Most storage",
        "By the bytes of all files, as of now.",
    )


def spending(span: Span, now: datetime.datetime) -> Table:
    return _costs(
        customer_selectors.most_spent(span.since(now)),
        span,
        now,
        "Most spent",
        "By credits spent, less those that were given back.",
    )


COSTS = ["Worker time", "Jobs", "Stored", "Credits spent", "Paid"]


def _costs(
    found: list[customer_selectors.Cost], span: Span, now: datetime.datetime, title: str, note: str
) -> Table:
    rows = [[*_whose(line.org, line.name, line.tier), *_cost(line, span, now)] for line in found]
    return Table(title, note, ["Organization", "Tier", *COSTS], rows)


def _cost(line: customer_selectors.Cost, span: Span, now: datetime.datetime) -> list[Cell]:
    def of(model: str, field: str, **also: str) -> str:
        asked = {"of": str(line.org), **_since(field, span, now), **also}
        return f"{reverse(f'admin:{model}_changelist')}?{urlencode(asked)}"

    ledger = of("credits_credittransaction", "created_at", type__in="SPEND,REFUND")
    payments = of("billing_payment", "paid_at")
    paid = " and ".join(money(amount, currency) for currency, amount in sorted(line.paid.items()))
    return [
        Cell(formatting.length(line.seconds), round(line.seconds, 1)),
        number(line.jobs),
        Cell(formatting.size(line.stored), line.stored),
        number(line.spent, ledger),
        word(paid or "nothing", payments),
    ]


# By the names of the files, in the order of the page.
TABLES: dict[str, Callable[[Span, datetime.datetime], Table]] = {
    "throttled": throttled,
    "refused": refused,
    "failing": failing,
    "codes": codes,
    "work": work,
    "storage": storage,
    "spending": spending,
}


# --- of one -------------------------------------------------------------------------------


def refusals_of(org: Organization, now: datetime.datetime, may: Callable[[str], bool]) -> Table:
    rows = []
    for line in customer_selectors.refusals(org, COLUMNS, now):
        of = {"of": org.pk, "key__exact": line.key, "status__exact": line.status}
        of |= {"code__exact": line.code, "limit_name__exact": line.limit_name}
        counts = [
            number(count, _refusals({**of, **_since("hour", span, now)}) if count else "")
            for span, count in zip(COLUMNS, line.counts, strict=True)
        ]
        help_ = after_refusal(line.status, line.code, line.limit_name)
        url = ""
        if help_.page and may(help_.permission) and not (help_.of_key and line.is_revoked):
            url = reverse(f"admin:{help_.page}", args=[line.key if help_.of_key else org.pk])
        rows.append(
            [
                word(f"{line.status} {line.code}"),
                word(line.limit_name or "–"),
                _key(line),
                *counts,
                word(help_.todo, url),
            ]
        )
    headings = [span.label for span in COLUMNS]
    return Table(
        "Refused requests",
        "By code, limit and key. Days are those of UTC.",
        ["Refused", "Limit", "Key", *headings, "What helps"],
        rows,
    )


def failures_of(org: Organization, now: datetime.datetime) -> Table:
    counted: dict[tuple[str, str], dict[str, int]] = {}
    for span in reversed(OF_FAILURES):
        for line in customer_selectors.failures(span.since(now), org):
            counted.setdefault((line.kind, line.code), {})[span.name] = line.failed
    rows = []
    for (kind, code), counts in counted.items():
        of = {"of": org.pk, "error_code__exact": code}
        advice = after_failure(code)
        rows.append(
            [
                word(code, _rescue(code, kind, org.pk)),
                word(_kind(kind)),
                *(
                    number(counts.get(span.name, 0), _jobs(kind, of, span, now))
                    for span in OF_FAILURES
                ),
                word(advice.retry),
                word(advice.todo),
            ]
        )
    headings = [span.label for span in OF_FAILURES]
    return Table(
        "Failures by code",
        "The code leads to Rescue, where what may succeed can be tried again.",
        ["Code", "Work", *headings, "Retry", "What to do"],
        rows,
    )


def cost_of(org: Organization, now: datetime.datetime) -> Table:
    rows = []
    for span in (WEEK, MONTH):
        if found := customer_selectors.cost(org, span.since(now)):
            rows.append([word(span.label), *_cost(found, span, now)])
    return Table(
        "Cost and revenue",
        "Worker time of the jobs that were asked for and have ended; stored as of now; paid less what went back.",
        ["Time", *COSTS],
        rows,
    )


def _key(line: customer_selectors.Refusals) -> Cell:
    if not line.prefix:
        return word("gone")
    url = reverse("admin:orgs_apikey_change", args=[line.key])
    revoked = " (revoked)" if line.is_revoked else ""
    return word(f"{line.key_name} {keys.label(line.prefix)}{revoked}", url)


def _whose(org: uuid.UUID, name: str, tier: str) -> Sequence[Cell]:
    return [
        word(name, reverse("admin:organization-health", args=[org])),
        word(str(Tier(tier).label)),
    ]


def _kind(name: str) -> str:
    kind = find_kind(name)
    return kind.staff.title if kind else name


def _since(field: str, span: Span, now: datetime.datetime) -> dict[str, str]:
    """The parameters of a list that choose the span."""
    since = span.since(now)
    if span.days:
        today = now.astimezone(datetime.UTC).date()
        return {f"{field}_from": since.date().isoformat(), f"{field}_to": today.isoformat()}
    return {f"{field}__gte": since.isoformat()}


def _refusals(of: dict[str, Any]) -> str:
    return f"{reverse('admin:orgs_refusedrequests_changelist')}?{urlencode(of)}"


def _jobs(name: str, of: dict[str, Any], span: Span, now: datetime.datetime) -> str:
    kind = find_kind(name)
    if kind is None:
        return ""
    meta = kind.model._meta
    asked = {**of, "status__exact": "FAILED", **_since("finished_at", span, now)}
    return f"{reverse(f'admin:{meta.app_label}_{meta.model_name}_changelist')}?{urlencode(asked)}"


def _rescue(code: str, kind: str, org: uuid.UUID | None = None) -> str:
    asked = {"kind": kind, "code": code, **({"org": str(org)} if org else {})}
    return f"{reverse('admin:rescue')}?{urlencode(asked)}"

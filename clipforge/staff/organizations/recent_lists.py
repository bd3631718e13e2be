"""The lists on the page of an organization: the newest rows of each, and the way to all of them."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any, NamedTuple

from django.urls import reverse
from django.utils import timezone

from billing.models import PaymentStatus
from clipforge.common.money import money
from clipforge.jobs.kinds import JobKind, all_kinds
from clipforge.orgs import keys
from clipforge.orgs.models import Organization, Role
from clipforge.staff import formatting
from clipforge.staff.organizations.job_texts import text_of
from credits.models import TransactionType

Row = dict[str, Any]


class Cell(NamedTuple):
    """A cell of a list: a text, which may be of a time or a state."""

    text: str
    at: datetime.datetime | None = None
    state: str = ""


class Line(NamedTuple):
    url: str
    name: Cell  # what the link is on
    cells: list[Cell]


class Panel(NamedTuple):
    name: str
    title: str
    headings: list[str]
    lines: list[Line]
    all_label: str
    all_url: str
    add_label: str = ""
    add_url: str = ""


class ListFormat(NamedTuple):
    """The presentation of the rows of one list. `model` names the pages of the admin, `filter_` its lists."""

    title: str
    all_label: str
    model: str
    filter_: str
    headings: list[str]
    cells: Callable[[Row], list[Cell]]


def _state(status: str, label: str) -> Cell:
    return Cell(label, state=formatting.state_of(status))


def _time(at: datetime.datetime) -> Cell:
    return Cell(formatting.moment(at), at=at)


def _key_state(row: Row) -> Cell:
    if row["revoked_at"]:
        return Cell("Revoked", state="idle")
    ended = row["expires_at"] and row["expires_at"] <= timezone.now()
    return Cell("Expired", state="idle") if ended else Cell("Usable", state="ok")


def _payment_state(row: Row) -> Cell:
    if row["reversed"]:
        whole = row["reversed"] == row["amount"]
        return Cell("Went back" if whole else "Went back in part", state="bad")
    return _state(row["status"], str(PaymentStatus(row["status"]).label))


_FORMATS = {
    "ledger": ListFormat(
        "Ledger",
        "The whole ledger",
        "credits_credittransaction",
        "org__id__exact",
        ["Transaction", "Balance", "Reason", "Time"],
        lambda row: [
            Cell(f"{TransactionType(row['type']).label} {row['amount']:+,}"),
            Cell(formatting.number(row["balance"])),
            Cell(formatting.short(row["reason"], 60)),
            _time(row["at"]),
        ],
    ),
    "payments": ListFormat(
        "Payments",
        "All payments",
        "billing_payment",
        "org__id__exact",
        ["For", "Amount", "State", "Time"],
        lambda row: [
            Cell(row["price"]),
            Cell(money(row["amount"], row["currency"])),
            _payment_state(row),
            _time(row["at"]),
        ],
    ),
    "keys": ListFormat(
        "API keys",
        "All API keys",
        "orgs_apikey",
        "organization__id__exact",
        ["Name", "Key", "State", "Last used"],
        lambda row: [
            Cell(row["name"]),
            Cell(keys.label(row["prefix"])),
            _key_state(row),
            _time(row["used_at"]) if row["used_at"] else Cell("never"),
        ],
    ),
    "members": ListFormat(
        "Members",
        "All members",
        "orgs_membership",
        "organization__id__exact",
        ["Person", "Role", "Since"],
        lambda row: [Cell(row["user"]), Cell(str(Role(row["role"]).label)), _time(row["at"])],
    ),
}


def _format_of(kind: JobKind[Any]) -> ListFormat:
    """Of jobs: their state stands second, and when they were made last."""
    meta = kind.model._meta
    first, *others = kind.staff.columns

    def cells(row: Row) -> list[Cell]:
        texts = [text_of(kind, text, row, most=40) for text in kind.staff.columns.values()]
        state = _state(row["status"], formatting.status_in_words(kind.model, row["status"]))
        return [Cell(texts[0]), state, *map(Cell, texts[1:]), _time(row["at"])]

    return ListFormat(
        kind.plural.capitalize(),
        f"All {kind.plural}",
        f"{meta.app_label}_{meta.model_name}",
        "org__id__exact",
        [first, "State", *others, "Created"],
        cells,
    )


def panels_of(org: Organization, newest: dict[str, list[Row]], user: Any) -> list[Panel]:
    """A panel for each list that the person may look at, with what `overview.newest` found."""
    formats = {**{kind.plural: _format_of(kind) for kind in all_kinds()}, **_FORMATS}
    return [
        _panel(name, format_, org, newest[name], user)
        for name, format_ in formats.items()
        if user.has_perm(_permission("view", format_))
    ]


def _panel(name: str, format_: ListFormat, org: Organization, rows: list[Row], user: Any) -> Panel:
    lines = []
    for row in rows:
        first, *cells = format_.cells(row)
        lines.append(Line(reverse(f"admin:{format_.model}_change", args=[row["id"]]), first, cells))
    found = Panel(
        name,
        format_.title,
        format_.headings,
        lines,
        format_.all_label,
        f"{reverse(f'admin:{format_.model}_changelist')}?{format_.filter_}={org.pk}",
    )
    if name == "members" and user.has_perm(_permission("add", format_)):
        add = f"{reverse(f'admin:{format_.model}_add')}?organization={org.pk}"
        return found._replace(add_label="Add a member", add_url=add)
    return found


def _permission(verb: str, format_: ListFormat) -> str:
    app, _, model = format_.model.partition("_")
    return f"{app}.{verb}_{model}"

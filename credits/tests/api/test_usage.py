"""GET /usage"""

from __future__ import annotations

import csv
import datetime
import io
import random
from collections import Counter
from typing import Any

import pytest
from django.utils import timezone

from clipforge.devtools.testing.api import assert_problem
from clipforge.devtools.testing.factories import (
    REASON,
    TESTER,
    make_grant,
    make_organization,
    make_transactions,
)
from clipforge.devtools.testing.queries import statements
from credits import services
from credits.api import usage
from credits.models import CreditTransaction
from credits.tests.makers import make_hold, make_spend

pytestmark = pytest.mark.django_db

URL = "/api/v1/usage"
UTC = datetime.UTC
MONTH = {"from": "2026-05-01", "to": "2026-05-31"}


def at(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=UTC)


def today() -> dict[str, str]:
    """A range with room on both sides: a test may begin before midnight and end after it."""
    now, day = timezone.now().astimezone(UTC).date(), datetime.timedelta(days=1)
    return {"from": str(now - day), "to": str(now + day)}


def rows(api: Any, **asked: str) -> dict[Any, tuple[int, int, int, int]]:
    """The figures that are shown, by group; the sums of the document are those of its rows."""
    body = api.get(URL, asked).json()
    for name in ("charges", "spent", "refunded", "credits"):
        assert body[name] == sum(row[name] for row in body["rows"])
    return {
        row["group"]: (row["charges"], row["spent"], row["refunded"], row["credits"])
        for row in body["rows"]
    }


def lines(response: Any) -> list[list[str]]:
    return list(csv.reader(io.StringIO(b"".join(response.streaming_content).decode())))


def test_days_are_of_utc_and_the_first_and_the_last_are_included(api, organization):
    make_transactions(organization, (at("2026-04-01"), "GRANT", 1000))
    spends = [
        ("2026-04-30T23:59:59.999999", -1),
        ("2026-05-01T00:00:00", -2),
        ("2026-05-01T23:59:59.999999", -4),
        ("2026-05-31T23:59:59.999999", -8),
        ("2026-06-01T00:00:00", -16),
    ]
    make_transactions(organization, *((at(when), "SPEND", amount) for when, amount in spends))
    assert rows(api, **MONTH) == {"2026-05-01": (2, 6, 0, 6), "2026-05-31": (1, 8, 0, 8)}
    assert rows(api, **{**MONTH, "to": "2026-05-30"}) == {"2026-05-01": (2, 6, 0, 6)}
    only = {"from": "2026-04-30", "to": "2026-04-30"}
    assert rows(api, **only) == {"2026-04-30": (1, 1, 0, 1)}


def test_only_spends_and_refunds_are_usage_and_only_the_callers(api, organization):
    when = at("2026-05-05T12:00:00")
    types = [("GRANT", 50), ("PURCHASE", 50), ("SPEND", -7), ("ADJUST", -5), ("EXPIRE", -3)]
    make_transactions(organization, *((when, type_, amount) for type_, amount in types))
    make_transactions(organization, (when, "REFUND", 2))
    make_transactions(make_organization(), (when, "GRANT", 50), (when, "SPEND", -9))
    assert rows(api, **MONTH) == {"2026-05-05": (1, 7, 2, 5)}


def test_a_refund_counts_on_its_own_day(api, organization):
    make_transactions(
        organization, (at("2026-05-01"), "GRANT", 50), (at("2026-05-02"), "SPEND", -7)
    )
    make_transactions(organization, (at("2026-05-09"), "REFUND", 7))
    assert rows(api, **MONTH) == {"2026-05-02": (1, 7, 0, 7), "2026-05-09": (0, 0, 7, -7)}


def test_it_is_what_a_model_of_the_ledger_says_of_holds_captures_releases_and_refunds(
    api, organization
):
    draw = random.Random(7)
    make_grant(organization, 10_000)
    actors = {"key:aaaaaaaa": "aaaaaaaa", "key:bbbbbbbb": "bbbbbbbb", "user:5": None}
    model: dict[str, Counter[Any]] = {name: Counter() for name in ("charges", "spent", "refunded")}
    for number in range(60):
        actor, kind = draw.choice([*actors]), draw.choice(["project", "export"])
        hold = make_hold(organization, draw.randint(1, 9), actor=actor, reference_type=kind)
        if draw.random() < 0.25:
            services.release(hold_id=hold.pk, actor="system:worker")
            continue
        taken = draw.randint(1, hold.amount)
        spend = services.capture(hold_id=hold.pk, fence=0, actor="system:worker", amount=taken)
        assert spend is not None
        given = draw.randint(1, taken) if draw.random() < 0.4 else 0
        if given:
            services.refund(
                transaction=spend,
                amount=given,
                reason=REASON,
                actor=TESTER,
                idempotency_key=f"refund:{number}",
            )
        for group in (actors[actor], kind):
            model["charges"][group] += 1
            model["spent"][group] += taken
            model["refunded"][group] += given
    make_hold(organization, 3, actor="key:aaaaaaaa")  # open still
    for group_by, groups in (("key", actors.values()), ("kind", ["project", "export"])):
        found = rows(api, **today(), group_by=group_by)
        assert found == {
            group: (
                model["charges"][group],
                model["spent"][group],
                model["refunded"][group],
                model["spent"][group] - model["refunded"][group],
            )
            for group in groups
        }
    by_day = rows(api, **today(), group_by="day")
    sums = [sum(each) for each in zip(*by_day.values(), strict=True)]
    assert sums[0] == sum(model["charges"][kind] for kind in ("project", "export"))
    ledger = CreditTransaction.objects.for_org(organization).filter(type__in=["SPEND", "REFUND"])
    assert sums[3] == -sum(ledger.values_list("amount", flat=True))


def test_an_export_that_a_key_ordered_is_of_that_key(api, organization):
    make_grant(organization, 5)
    prefix = api.get("/api/v1/me").json()["api_key"]["prefix"]
    spend = services.capture(
        hold_id=make_hold(organization, 2, actor=f"key:{prefix}").pk, fence=0, actor="system:worker"
    )
    assert spend is not None
    assert (spend.actor, spend.ordered_by) == ("system:worker", f"key:{prefix}")
    assert rows(api, **today(), group_by="key") == {prefix: (1, 2, 0, 2)}


@pytest.mark.parametrize("how", ["format", "accept"])
@pytest.mark.parametrize("group_by", ["day", "key", "kind"])
def test_as_csv_it_says_the_same(api, organization, how, group_by):
    make_grant(organization, 9)
    make_spend(organization, 4)
    asked = {**today(), "group_by": group_by}
    shown = api.get(URL, asked).json()["rows"]
    if how == "format":
        response = api.get(URL, {**asked, "format": "csv"})
    else:
        response = api.get(URL, asked, HTTP_ACCEPT="text/csv")
    name = f"usage-{asked['from']}-{asked['to']}-by-{group_by}.csv"
    assert response["Content-Disposition"] == f'attachment; filename="{name}"'
    header, *said = lines(response)
    assert header == ["group", "charges", "spent", "refunded", "credits"]
    assert said == [
        ["" if each is None else str(each) for each in (row[name] for name in header)]
        for row in shown
    ]


def test_more_groups_than_a_document_shows_are_409_and_come_as_csv(api, organization, monkeypatch):
    monkeypatch.setattr(usage, "MAX_JSON_ROWS", 2)
    make_grant(organization, 9)
    for actor in ("key:a", "key:b"):
        services.capture(hold_id=make_hold(organization, 1, actor=actor).pk, fence=0, actor="x")
    assert len(rows(api, **today(), group_by="key")) == 2
    services.capture(hold_id=make_hold(organization, 1, actor="key:c").pk, fence=0, actor="x")
    assert_problem(api.get(URL, {**today(), "group_by": "key"}), 409, "usage_too_long")
    asked = {**today(), "group_by": "key", "format": "csv"}
    assert len(lines(api.get(URL, asked))) == 4


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({}, "invalid_day"),
        ({"from": "2026-05-01"}, "invalid_day"),
        ({"from": "2026-05", "to": "2026-05-31"}, "invalid_day"),
        ({"from": "2026-05-32", "to": "2026-05-31"}, "invalid_day"),
        ({"from": "20260501", "to": "2026-05-31"}, "invalid_day"),
        ({"from": "1999-12-31", "to": "2000-01-01"}, "invalid_day"),
        ({"from": "2026-05-02", "to": "2026-05-01"}, "invalid_range"),
        ({"from": "2026-01-01", "to": "2027-01-02"}, "invalid_range"),
        ({**MONTH, "group_by": "week"}, "invalid_group"),
        ({**MONTH, "group_by": ""}, "invalid_group"),
        ({**MONTH, "org": "x"}, "unknown_parameter"),
    ],
)
def test_what_is_no_range_of_days_is_422(api, asked, code):
    assert_problem(api.get(URL, asked), 422, code)


def test_a_leap_year_is_the_longest_range(api):
    assert rows(api, **{"from": "2026-01-01", "to": "2027-01-01"}) == {}


def test_it_is_one_statement_and_needs_a_key(api, anonymous):
    with statements() as said:
        assert api.get(URL, MONTH).status_code == 200
    assert said == ["SELECT credits_credittransaction"]
    assert_problem(anonymous.get(URL, MONTH), 401, "not_authenticated")

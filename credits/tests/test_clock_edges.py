"""When lots and holds begin and end: before, on and after the microsecond."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from clipforge.devtools.testing.clocks import MICROSECOND, around, clocks_at, refuses
from clipforge.devtools.testing.factories import (
    TESTER,
    make_grant,
    make_organization,
    make_transactions,
)
from clipforge.orgs.models import Organization
from credits import expiry, services
from credits import selectors as credit_selectors
from credits.models import CreditGrant, CreditHold, GrantKind
from credits.tests.makers import make_hold, make_spend

pytestmark = pytest.mark.django_db

EDGE = datetime.datetime(2026, 12, 1, 12, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)


@pytest.fixture
def org() -> Organization:
    """With a lot of 10 that ends at the edge."""
    org = make_organization(credits_=10)
    CreditGrant.objects.update(expires_at=EDGE, effective_at=EDGE - DAY)
    return org


def end_of(hold: CreditHold) -> datetime.datetime:
    hold.refresh_from_db()
    return hold.expires_at


def test_a_grant_that_ends_now_is_refused():
    org = make_organization()
    granting = around(EDGE, lambda: refuses(lambda: make_grant(org, 5, expires_at=EDGE)))
    assert granting == [False, True, True]


def test_a_lot_can_be_reserved_until_it_ends(org):
    assert around(EDGE, lambda: refuses(lambda: make_hold(org, 10))) == [False, True, True]


def test_a_lot_can_be_taken_from_until_it_ends(org):
    def adjust() -> Any:
        return services.adjust(
            org=org, amount=-10, reason="wrong", actor=TESTER, audit=False, idempotency_key="adjust"
        )

    assert around(EDGE, lambda: refuses(adjust)) == [False, True, True]


def test_a_lot_can_be_reserved_from_when_it_takes_effect(org):
    CreditGrant.objects.update(effective_at=EDGE, expires_at=None)
    assert around(EDGE, lambda: refuses(lambda: make_hold(org, 10))) == [True, False, False]


def test_a_lot_is_due_from_its_end_on(org):
    assert around(EDGE, services.expire_grants) == [0, 1, 1]
    ends = [EDGE - MICROSECOND, EDGE, EDGE + MICROSECOND]
    assert [expiry.due_grants(now).count() for now in ends] == [0, 1, 1]


def test_a_hold_is_due_from_its_end_on(org):
    with clocks_at(EDGE - DAY):
        make_hold(org, 3)
    CreditHold.objects.update(expires_at=EDGE)
    assert around(EDGE, services.expire_holds) == [0, 1, 1]
    ends = [EDGE - MICROSECOND, EDGE, EDGE + MICROSECOND]
    assert [expiry.due_holds(now).count() for now in ends] == [0, 1, 1]


def test_what_comes_back_to_a_lot_ends_with_it(org):
    with clocks_at(EDGE - DAY):
        hold = make_hold(org, 10)

    def release() -> int:
        assert services.release(hold_id=hold.pk, actor="test")
        return CreditGrant.objects.get().remaining

    assert around(EDGE, release) == [10, 0, 0]


def test_what_is_refunded_to_a_lot_that_ended_is_good_for_thirty_days(org):
    with clocks_at(EDGE - DAY):
        spend = make_spend(org, 10)

    def refund() -> list[tuple[str, int, datetime.datetime | None]]:
        services.refund(
            transaction=spend, reason="bad", actor=TESTER, audit=False, idempotency_key="refund"
        )
        lots = CreditGrant.objects.filter(remaining__gt=0)
        return list(lots.values_list("kind", "remaining", "expires_at"))

    month = datetime.timedelta(days=30)
    assert around(EDGE, refund) == [
        [(GrantKind.PROMO, 10, EDGE)],
        [(GrantKind.REFUND, 10, EDGE + month)],
        [(GrantKind.REFUND, 10, EDGE + MICROSECOND + month)],
    ]


def test_a_hold_lasts_its_seconds_from_when_it_is_made_extended_or_transferred(org, settings):
    settings.HOLD_SECONDS = 100
    life = datetime.timedelta(seconds=100)
    CreditGrant.objects.update(expires_at=None)
    with clocks_at(EDGE):
        hold = make_hold(org, 3)
        assert end_of(hold) == EDGE + life
    with clocks_at(EDGE + DAY):
        assert services.extend_holds(hold_ids=[hold.pk]) == 1
        assert end_of(hold) == EDGE + DAY + life
    with clocks_at(EDGE + 2 * DAY):
        assert services.transfer_hold(hold_id=hold.pk, from_fence=0, to_fence=1)
        assert end_of(hold) == EDGE + 2 * DAY + life


def test_a_statement_has_the_whole_month_and_nothing_of_the_next():
    org = make_organization()
    begins = datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)
    ends = datetime.datetime(2026, 12, 1, tzinfo=datetime.UTC)
    moments = [begins - MICROSECOND, begins, ends - MICROSECOND, ends]
    make_transactions(org, *[(moment, "GRANT", 1) for moment in moments])
    month, opening, rows = credit_selectors.statement(org, datetime.date(2026, 11, 17))
    assert (month, opening) == (datetime.date(2026, 11, 1), 1)
    assert [row.created_at for row in rows] == [begins, ends - MICROSECOND]


@pytest.mark.parametrize(("month", "days"), [(1, 31), (2, 28), (4, 30), (12, 31)])
def test_a_statement_is_as_long_as_its_month(month: int, days: int):
    org = make_organization()
    begins = datetime.datetime(2025, month, 1, tzinfo=datetime.UTC)
    ends = begins + days * DAY
    make_transactions(org, (ends - MICROSECOND, "GRANT", 1), (ends, "GRANT", 1))
    rows = credit_selectors.statement(org, begins.date()).rows
    assert [row.created_at for row in rows] == [ends - MICROSECOND]


def test_a_lot_that_is_held_whole_is_not_due(org):
    with clocks_at(EDGE - DAY):
        make_hold(org, 10)
    assert expiry.due_grants(EDGE).count() == 0
    assert expiry.expire_grants(now=EDGE) == 0


def test_the_last_credit_of_a_lot_ends_too():
    org = make_organization(credits_=1)
    CreditGrant.objects.update(expires_at=EDGE)
    assert around(EDGE, services.expire_grants) == [0, 1, 1]
    assert credit_selectors.balance(org).posted == 1  # what was tried was taken back

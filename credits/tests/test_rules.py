"""The rules that a page asks before a service: exact figures at their edges."""

from __future__ import annotations

import time

import pytest

from clipforge.common.errors import Invalid
from clipforge.devtools.testing.factories import make_grant, make_organization
from credits import ledger, reconciling, services
from credits.errors import InsufficientCredits, TooManyOpenHolds
from credits.invariants import Breach
from credits.rules import (
    MAX_AMOUNT,
    Funds,
    funds_of,
    require_adjustable,
    require_amount,
    why_not_hold,
)
from credits.tests.makers import make_hold, make_spend


def test_what_is_available_is_what_is_posted_less_what_is_held():
    assert Funds(10, 4, 0).available == 6
    assert Funds(10, 4, 3).as_facts() == {"available": 6, "posted": 10, "held": 4, "debt": 3}


def test_a_grant_settles_what_is_owed_first():
    assert Funds(10, 4, 30).after_grant(50) == Funds(30, 4, 0)
    assert Funds(10, 4, 30).after_grant(20) == Funds(10, 4, 10)


def test_an_adjustment_leaves_what_is_owed():
    assert Funds(10, 4, 30).after_adjustment(5) == Funds(15, 4, 30)
    assert Funds(10, 4, 30).after_adjustment(-5) == Funds(5, 4, 30)


def test_all_that_is_available_can_be_taken_and_not_one_credit_more():
    require_adjustable(-6, Funds(10, 4, 0))
    with pytest.raises(InsufficientCredits) as refused:
        require_adjustable(-7, Funds(10, 4, 0))
    assert refused.value.extra == {"needed": 7, "available": 6}
    with pytest.raises(InsufficientCredits) as refused:
        require_adjustable(-1, Funds(0, 0, 0))
    assert refused.value.extra == {"needed": 1, "available": 0}


def test_a_trillion_credits_is_the_most_in_one_transaction():
    assert MAX_AMOUNT == 1_000_000_000_000
    require_amount(1)
    require_amount(1_000_000_000_000)
    for amount in (0, 1_000_000_000_001):
        with pytest.raises(Invalid):
            require_amount(amount)


def test_a_hold_is_refused_for_credits_or_for_places():
    def ask(needed: int, open_holds: int) -> object:
        return why_not_hold(needed, available=5, open_holds=open_holds, max_open_holds=3)

    assert ask(5, 2) is None
    assert isinstance(ask(6, 2), InsufficientCredits)
    assert isinstance(ask(5, 3), TooManyOpenHolds)
    assert why_not_hold(5, available=5, open_holds=99, max_open_holds=None) is None


def test_gifts_go_first_and_what_was_paid_for_last():
    assert services.PRIORITIES == {
        "PROMO": 10,
        "PLAN": 20,
        "REFUND": 30,
        "ADJUST": 40,
        "PURCHASE": 50,
    }


@pytest.mark.django_db
def test_the_funds_are_those_of_the_organization():
    make_organization(credits_=7)
    second = make_organization(credits_=5)
    assert funds_of(second.pk) == Funds(5, 0, 0)


@pytest.mark.django_db
def test_the_places_of_an_organization_are_counted_to_the_last(organization):
    make_grant(organization, 10)
    make_hold(organization, 1, max_open_holds=2)
    make_hold(organization, 1, max_open_holds=2)
    with pytest.raises(TooManyOpenHolds) as refused:
        make_hold(organization, 1, max_open_holds=2)
    assert (refused.value.open_holds, refused.value.limit) == (2, 2)
    assert funds_of(organization.pk) == Funds(10, 2, 0)
    assert make_hold(organization, 1, max_open_holds=3).status == "HELD"


@pytest.mark.django_db
def test_a_refusal_whose_cause_is_gone_meanwhile_names_the_limit(organization):
    make_grant(organization, 10)
    refused = ledger.refusal(organization.pk, 5, max_open_holds=3)
    assert isinstance(refused, TooManyOpenHolds)
    assert (refused.open_holds, refused.limit) == (3, 3)


@pytest.mark.django_db
def test_a_check_that_an_app_registers_is_part_of_the_breaches(organization):
    found = Breach(99, organization.pk, "a row without a hold")

    def check(_: object) -> list[Breach]:
        return [found]

    before = list(reconciling._registered)
    assert reconciling.register_check(check) is check
    try:
        assert found in reconciling.breaches()
    finally:
        reconciling._registered[:] = before
    assert found not in reconciling.breaches()


def test_a_statement_has_a_millisecond_where_no_time_is_left():
    assert reconciling.milliseconds_until(time.monotonic() - 5) == 1
    assert 1 <= reconciling.milliseconds_until(time.monotonic() + 5) <= 5000


@pytest.mark.django_db
def test_the_record_of_a_check_says_how_long_it_took(organization):
    make_grant(organization, 1)
    make_spend(organization, 1)
    started = time.monotonic()
    check, broken = reconciling.check_ledger(actor="test")
    assert 0 <= check.seconds <= time.monotonic() - started
    assert (check.breaches, broken) == (0, [])

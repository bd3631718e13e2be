"""The credits that a key may spend in a month: exact at the edge, at the same moment and at the turn of the month."""

from __future__ import annotations

import datetime
from collections import Counter
from typing import Any

import pytest
from django.db import transaction

from clipforge.devtools.testing.clocks import MICROSECOND, clocks_at
from clipforge.devtools.testing.factories import (
    REASON,
    TESTER,
    make_api_key,
    make_organization,
)
from clipforge.devtools.testing.queries import statements
from clipforge.devtools.testing.races import run_together
from clipforge.orgs import services as org_services
from clipforge.orgs.models import APIKey, KeySpending, Organization
from credits import services
from credits.errors import InsufficientCredits, KeyCapReached
from credits.models import CreditHold, CreditTransaction
from credits.selectors import Balance, balance
from credits.tests.makers import lapse, make_hold

pytestmark = pytest.mark.django_db

JANUARY = datetime.datetime(2027, 1, 1, tzinfo=datetime.UTC)


@pytest.fixture
def org() -> Organization:
    return make_organization(credits_=100)


def capped(org: Organization, cap: int | None, **overrides: Any) -> APIKey:
    return make_api_key(org, monthly_cap=cap, **overrides).api_key


def hold_by(key: APIKey, amount: int, **overrides: Any) -> CreditHold:
    return make_hold(key.organization, amount, actor=f"key:{key.prefix}", **overrides)


def spent(key: APIKey) -> dict[str, int]:
    rows = KeySpending.objects.filter(family=key.family_id)
    return {f"{row.month:%Y-%m}": row.used for row in rows}


def used(key: APIKey) -> int:
    return sum(spent(key).values())


def capture(hold: CreditHold, amount: int | None = None) -> CreditTransaction:
    done = services.capture(hold_id=hold.pk, fence=0, actor="worker", amount=amount)
    assert done is not None
    return done


def test_a_cap_lets_its_last_credit_be_spent_and_not_one_more(org):
    key = capped(org, 10)
    hold_by(key, 9)
    with pytest.raises(KeyCapReached) as refused:
        hold_by(key, 2)
    assert (refused.value.status, refused.value.error_code) == (402, "key_cap_reached")
    said = refused.value.extra
    assert (said["needed"], said["available"], said["cap"]) == (2, 1, 10)
    assert datetime.datetime.fromisoformat(said["resets_at"]).day == 1
    hold_by(key, 1)
    with pytest.raises(KeyCapReached):
        hold_by(key, 1)
    assert used(key) == 10
    assert balance(org) == Balance(available=90, held=10, posted=100)


def test_each_key_is_counted_by_itself_whatever_others_spend_in_the_same_month(org):
    keys = [capped(org, 10), capped(org, 10), capped(make_organization(credits_=100), 10)]
    holds = [hold_by(key, amount) for key, amount in zip(keys, (9, 2, 3), strict=True)]
    assert [used(key) for key in keys] == [9, 2, 3]
    capture(holds[0], 4)
    services.release(hold_id=holds[2].pk, actor="test")
    assert [used(key) for key in keys] == [4, 2, 0]
    assert hold_by(keys[1], 8).amount == 8


def test_who_is_no_key_counts_for_none_and_has_no_cap(org):
    key = capped(org, 0)
    for actor in (f"user:{key.prefix}", f"cap:{key.prefix}", "worker"):
        assert make_hold(org, 1, actor=actor).family is None
    free = capped(org, None)
    hold = make_hold(org, 1, actor=f"key:{free.prefix}")
    assert hold.family == (free.family_id or free.pk)


@pytest.mark.breaks_ledger  # months without their holds
def test_what_is_left_is_that_of_the_key_its_organization_and_the_month(org):
    other = make_organization(credits_=100)
    key, neighbour, foreign = capped(org, 10), capped(org, 10), capped(other, 10)
    this_month = datetime.datetime.now(datetime.UTC).date().replace(day=1)
    for each, month, used_ in (
        (key, datetime.date(2025, 1, 1), 1),
        (neighbour, this_month, 2),
        (foreign, this_month, 3),
    ):
        KeySpending.objects.create(
            org=each.organization, family=each.family_id, month=month, used=used_
        )
    hold_by(key, 6)
    for each, left in ((key, 4), (neighbour, 8), (foreign, 7)):
        with pytest.raises(KeyCapReached) as refused:
            hold_by(each, left + 1)
        assert refused.value.extra["available"] == left
    rows = KeySpending.objects.values_list("family", "month", "used")
    assert set(rows) == {
        (key.family_id, datetime.date(2025, 1, 1), 1),
        (key.family_id, this_month, 6),
        (neighbour.family_id, this_month, 2),
        (foreign.family_id, this_month, 3),
    }


@pytest.mark.breaks_ledger  # a month without its holds
def test_what_is_left_of_a_cap_is_that_of_this_month(org):
    key = capped(org, 10)
    KeySpending.objects.create(
        org=org, family=key.family_id, month=datetime.date(2026, 1, 1), used=3
    )
    hold_by(key, 9)
    with pytest.raises(KeyCapReached) as refused:
        hold_by(key, 2)
    assert refused.value.extra["available"] == 1
    assert sorted(spent(key).values()) == [3, 9]


def test_of_a_cap_that_was_lowered_below_what_is_spent_nothing_is_left(org):
    key = capped(org, 10)
    hold_by(key, 9)
    APIKey.objects.filter(pk=key.pk).update(monthly_cap=5)
    with pytest.raises(KeyCapReached) as refused:
        hold_by(key, 1)
    assert refused.value.extra["available"] == 0


def test_a_cap_of_nothing_lets_nothing_be_spent_and_no_cap_counts_all_the_same(org):
    with pytest.raises(KeyCapReached):
        hold_by(capped(org, 0), 1)
    free = capped(org, None)
    hold_by(free, 60)
    assert used(free) == 60


def test_a_cap_that_is_set_in_a_month_counts_what_was_spent_in_it_before(org):
    key = capped(org, None)
    hold_by(key, 5)
    org_services.limit_api_key(
        api_key=key, scopes="", allowed_addresses=[], monthly_cap=7, reason=REASON, actor=TESTER
    )
    with pytest.raises(KeyCapReached):
        hold_by(key, 3)
    hold_by(key, 2)


def test_credits_that_the_organization_has_not_are_refused_as_such(org):
    with pytest.raises(InsufficientCredits):
        hold_by(capped(org, 1000), 101)
    assert not KeySpending.objects.exists()


def test_what_comes_back_may_be_spent_again(org):
    key = capped(org, 10)
    released, part, lapsed, kept = (hold_by(key, amount) for amount in (1, 4, 2, 3))
    assert used(key) == 10
    services.release(hold_id=released.pk, actor="worker")
    assert used(key) == 9
    capture(part, 1)
    assert used(key) == 6
    lapse(lapsed)
    services.expire_holds()
    assert used(key) == 4
    spend = capture(kept)
    assert used(key) == 4
    services.refund(
        transaction=spend, amount=2, reason="the file was broken", actor=TESTER, idempotency_key="a"
    )
    assert used(key) == 2
    services.refund(
        transaction=spend, reason="the file was broken", actor=TESTER, idempotency_key="b"
    )
    assert used(key) == 1
    hold_by(key, 9)


def test_what_is_refunded_comes_back_to_the_key_that_spent_it_and_to_no_other(org):
    key, other = capped(org, 10), capped(org, 10)
    spend, _ = capture(hold_by(key, 3)), capture(hold_by(other, 4))
    services.refund(
        transaction=spend, reason="the file was broken", actor=TESTER, idempotency_key="a"
    )
    assert (used(key), used(other)) == (0, 4)


def test_the_same_reservation_again_counts_once(org):
    key = capped(org, 5)
    first = hold_by(key, 5, idempotency_key="same", reference_id="1")
    again = hold_by(key, 5, idempotency_key="same", reference_id="1")
    assert (first.pk, used(key)) == (again.pk, 5)


def test_keys_of_a_family_share_their_cap_and_others_do_not(org):
    key = capped(org, 10)
    successor = org_services.rotate_api_key(api_key=key, reason=REASON, actor=TESTER).api_key
    token = org_services.create_token(
        created_with=successor,
        scopes="read write",
        expires_at=JANUARY + datetime.timedelta(days=3650),
        reason=REASON,
        actor=TESTER,
    ).api_key
    for each in (key, successor, token):
        hold_by(each, 3)
    assert used(key) == 9
    for each in (key, successor, token):
        with pytest.raises(KeyCapReached):
            hold_by(each, 2)
    hold_by(capped(org, 2), 2)


def test_a_key_of_another_organization_counts_for_nothing(org):
    other = capped(make_organization(), 1)
    hold = make_hold(org, 5, actor=f"key:{other.prefix}")
    assert (hold.family, KeySpending.objects.count()) == (None, 0)


def test_a_month_ends_on_the_microsecond_in_utc(org):
    key = capped(org, 10)
    with clocks_at(JANUARY - MICROSECOND):
        hold_by(key, 10)
        with pytest.raises(KeyCapReached) as refused:
            hold_by(key, 1)
    assert refused.value.extra["resets_at"] == "2027-01-01T00:00:00Z"
    with clocks_at(JANUARY):
        hold_by(key, 10)
        with pytest.raises(KeyCapReached) as refused:
            hold_by(key, 1)
    assert refused.value.extra["resets_at"] == "2027-02-01T00:00:00Z"
    assert spent(key) == {"2026-12": 10, "2027-01": 10}


def test_what_comes_back_in_the_next_month_comes_back_to_the_month_it_was_reserved_in(org):
    key = capped(org, 10)
    with clocks_at(JANUARY - MICROSECOND):
        released, captured = hold_by(key, 4), hold_by(key, 6)
    with clocks_at(JANUARY):
        hold_by(key, 10)
        services.release(hold_id=released.pk, actor="worker")
        spend = capture(captured, 5)
        services.refund(
            transaction=spend,
            amount=2,
            reason="the file was broken",
            actor=TESTER,
            idempotency_key="r",
        )
        assert spent(key) == {"2026-12": 3, "2027-01": 10}
        with pytest.raises(KeyCapReached):
            hold_by(key, 1)


def test_the_zone_of_the_connection_moves_no_month(org):
    key = capped(org, 10)
    with transaction.atomic(), clocks_at(JANUARY - MICROSECOND):
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL TIME ZONE 'Pacific/Kiritimati'")
        hold_by(key, 1)
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL TIME ZONE 'UTC'")
    assert spent(key) == {"2026-12": 1}


@pytest.mark.django_db(transaction=True)
def test_a_cap_costs_a_reservation_no_statement():
    org = make_organization(credits_=100)
    key = capped(org, 10)
    make_hold(org, 1)
    with statements() as without:
        make_hold(org, 1)
    with statements() as with_cap:
        hold_by(key, 1)
    assert len(with_cap) == len(without)


@pytest.mark.django_db(transaction=True)
def test_of_twenty_at_once_exactly_as_many_succeed_as_the_cap_has_credits():
    org = make_organization(credits_=100)
    key = capped(org, 7)
    results = run_together(20, lambda _: hold_by(key, 1))
    kinds = Counter(type(result).__name__ for result in results)
    assert kinds == {"CreditHold": 7, "KeyCapReached": 13}
    assert (used(key), balance(org)) == (7, Balance(available=93, held=7, posted=100))


@pytest.mark.django_db(transaction=True)
def test_reservations_and_their_ends_at_once_leave_exact_counts_and_no_deadlock():
    org = make_organization(credits_=1000)
    key = capped(org, 12)
    holds = [hold_by(key, 1) for _ in range(12)]

    def act(number: int) -> object:
        if number < 4:
            return services.release(hold_id=holds[number].pk, actor="worker")
        if number < 8:
            return capture(holds[number])
        try:
            return hold_by(key, 1)
        except KeyCapReached:
            return None

    results = run_together(20, act)
    assert not [each for each in results if isinstance(each, Exception)]
    placed = sum(isinstance(each, CreditHold) for each in results)
    assert placed <= 4
    assert used(key) == 8 + placed
    for _ in range(4 - placed):
        hold_by(key, 1)
    with pytest.raises(KeyCapReached):
        hold_by(key, 1)


def test_the_functions_go_back_to_what_they_were_and_forth_again():
    """The migration is taken back and applied anew: what was counted stays."""
    import importlib

    from django.db import connection

    migration = importlib.import_module("credits.migrations.0010_keys_spend")
    org = make_organization(credits_=20)
    key = capped(org, 5)
    with connection.schema_editor(atomic=False) as editor:
        migration.before(None, editor)
        hold_by(key, 6)  # as before: no cap
        assert not KeySpending.objects.exists()
        migration.now(None, editor)
    with pytest.raises(KeyCapReached):
        hold_by(key, 6)

from __future__ import annotations

import datetime

import pytest
from django.db import transaction
from django.utils import timezone

from clipforge.common.errors import Conflict, Invalid
from clipforge.devtools.testing.factories import make_grant, make_organization
from credits import ledger, rules, services
from credits.errors import InsufficientCredits, TooManyOpenHolds
from credits.models import CreditAccount, CreditGrant, CreditHold, GrantKind, HoldAllocation
from credits.pricing import Charge
from credits.selectors import Balance, balance
from credits.tests.makers import end, lots, make_hold

pytestmark = pytest.mark.django_db

DAY = datetime.timedelta(days=1)


def drawn_from(hold: CreditHold) -> list[tuple[int, int]]:
    """(grant, amount) in the order drawn."""
    allocations = HoldAllocation.objects.filter(hold=hold).order_by("id")
    return list(allocations.values_list("grant_id", "amount"))


def make_lot(org, amount, **overrides) -> CreditGrant:
    make_grant(org, amount, **overrides)
    return CreditGrant.objects.latest("pk")


def test_a_reservation_holds_credits_without_spending_them(organization, settings):
    settings.HOLD_SECONDS = 3600
    make_grant(organization, 10)
    charge = Charge(4, 2, "2026-11", {"minutes": 2})
    before = timezone.now()
    hold = make_hold(
        organization,
        0,
        charge=charge,
        reason="export",
        reference_type="export",
        reference_id="e1",
        actor="key:abc",
        fence=3,
    )
    assert balance(organization) == Balance(available=6, held=4, posted=10)
    assert lots(organization) == [(10, 4)]
    stored = CreditHold.objects.get()
    assert (stored.amount, stored.captured, stored.status, stored.fence) == (4, 0, "HELD", 3)
    assert (stored.reason, stored.reference_type, stored.reference_id, stored.actor) == (
        "export",
        "export",
        "e1",
        "key:abc",
    )
    assert (stored.unit_price, stored.price_version, stored.inputs) == (
        2,
        "2026-11",
        {"minutes": 2},
    )
    assert stored.expires_at - stored.created_at == datetime.timedelta(hours=1)
    assert before - DAY < stored.created_at < before + DAY
    assert (hold, hold.org, hold.inputs) == (stored, organization, {"minutes": 2})


def test_the_last_credit_can_be_reserved(organization):
    make_grant(organization, 10)
    make_hold(organization, 10)
    assert balance(organization) == Balance(available=0, held=10, posted=10)


def test_one_credit_too_few_is_refused_and_changes_nothing(organization):
    make_grant(organization, 10)
    make_hold(organization, 4)
    version = CreditAccount.objects.get().version
    with pytest.raises(InsufficientCredits) as refused:
        make_hold(organization, 7)
    assert refused.value.extra == {"needed": 7, "available": 6}
    assert balance(organization) == Balance(available=6, held=4, posted=10)
    assert CreditHold.objects.count() == 1
    assert CreditAccount.objects.get().version == version


def test_an_organization_that_never_had_credits_is_refused(organization):
    with pytest.raises(InsufficientCredits) as refused:
        make_hold(organization, 1)
    assert refused.value.extra == {"needed": 1, "available": 0}
    assert not CreditHold.objects.exists()


def test_another_organizations_credits_are_not_touched(organization):
    make_grant(make_organization(), 100)
    with pytest.raises(InsufficientCredits):
        make_hold(organization, 1)


def test_grants_are_drawn_by_priority_then_soonest_end_then_oldest(organization):
    now = timezone.now()
    never = make_lot(organization, 10)
    late = make_lot(organization, 10, expires_at=now + 9 * DAY)
    soon = make_lot(organization, 10, expires_at=now + DAY)
    never_younger = make_lot(organization, 10)
    bought = make_lot(organization, 10, kind=GrantKind.PURCHASE, expires_at=now + DAY)
    plan = make_lot(organization, 10, kind=GrantKind.PLAN)
    first = make_lot(organization, 10, kind=GrantKind.PURCHASE, priority=1)
    hold = make_hold(organization, 63)
    assert drawn_from(hold) == [
        (first.pk, 10),
        (soon.pk, 10),
        (late.pk, 10),
        (never.pk, 10),
        (never_younger.pk, 10),
        (plan.pk, 10),
        (bought.pk, 3),
    ]


def test_a_second_hold_draws_what_the_first_left(organization):
    one, two = make_lot(organization, 10), make_lot(organization, 10)
    first, second = make_hold(organization, 7), make_hold(organization, 7)
    assert drawn_from(first) == [(one.pk, 7)]
    assert drawn_from(second) == [(one.pk, 3), (two.pk, 4)]


def test_credits_that_ended_but_were_not_swept_are_never_drawn(organization):
    ended, good = make_lot(organization, 10), make_lot(organization, 5)
    end(ended)
    hold = make_hold(organization, 5)
    assert drawn_from(hold) == [(good.pk, 5)]
    with pytest.raises(InsufficientCredits) as refused:
        make_hold(organization, 1)
    assert refused.value.extra == {"needed": 1, "available": 0}
    assert balance(organization) == Balance(available=10, held=5, posted=15)
    assert lots(organization) == [(10, 0), (5, 5)]
    assert CreditHold.objects.count() == 1


def test_credits_that_begin_later_are_not_drawn_yet(organization):
    later = make_lot(organization, 10)
    CreditGrant.objects.filter(pk=later.pk).update(effective_at=timezone.now() + DAY)
    with pytest.raises(InsufficientCredits):
        make_hold(organization, 1)


def test_the_same_key_twice_reserves_once(organization):
    make_grant(organization, 10)
    make_hold(organization, 1)
    same = {"idempotency_key": "k", "reference_id": "e1"}
    first = make_hold(organization, 4, **same)
    again = make_hold(organization, 4, **same)
    assert again == first
    assert balance(organization).held == 1 + 4
    services.release(hold_id=first.pk, actor="test")
    assert make_hold(organization, 4, **same).status == "RELEASED"
    assert balance(organization).held == 1


@pytest.mark.parametrize(("amount", "reference_id"), [(5, "e1"), (4, "e2")])
def test_the_same_key_for_something_else_is_a_conflict(organization, amount, reference_id):
    make_grant(organization, 10)
    make_hold(organization, 4, idempotency_key="k", reference_id="e1")
    with pytest.raises(Conflict) as refused:
        make_hold(organization, amount, idempotency_key="k", reference_id=reference_id)
    assert refused.value.error_code == "idempotency_key_reused"
    assert balance(organization).held == 4


@pytest.mark.parametrize("amount", [0, -1, 2**63, 1.5])
def test_a_bad_amount_is_invalid_and_changes_nothing(organization, amount):
    make_grant(organization, 10)
    with pytest.raises(Invalid):
        make_hold(organization, amount)
    assert not CreditHold.objects.exists()


def test_a_rolled_back_job_leaves_no_hold(organization):
    make_grant(organization, 10)
    with transaction.atomic():
        make_hold(organization, 4)
        transaction.set_rollback(True)
    assert balance(organization) == Balance(available=10, held=0, posted=10)
    assert not CreditHold.objects.exists()


def test_the_transaction_around_a_refusal_goes_on(organization):
    with transaction.atomic():
        with pytest.raises(InsufficientCredits):
            make_hold(organization, 1)
        make_grant(organization, 1)
        make_hold(organization, 1)
    assert balance(organization) == Balance(available=0, held=1, posted=1)


def test_a_reservation_is_one_statement_at_any_number_of_grants(
    organization, django_assert_num_queries
):
    for _ in range(30):
        make_grant(organization, 1)
    with django_assert_num_queries(1):
        make_hold(organization, 30)


def test_a_repetition_is_one_statement_and_a_refusal_one_more(
    organization, django_assert_num_queries
):
    make_grant(organization, 10)
    same = {"idempotency_key": "k", "reference_id": "e1"}
    first = make_hold(organization, 4, **same)
    with django_assert_num_queries(1):
        assert make_hold(organization, 4, **same) == first
    with django_assert_num_queries(2), pytest.raises(InsufficientCredits):
        make_hold(organization, 7)


def test_a_hold_goes_to_a_new_attempt_once(organization):
    make_grant(organization, 10)
    hold = make_hold(organization, 4, fence=1)
    assert services.transfer_hold(hold_id=hold.pk, from_fence=1, to_fence=2)
    assert not services.transfer_hold(hold_id=hold.pk, from_fence=1, to_fence=3)
    assert CreditHold.objects.get().fence == 2


def test_a_settled_hold_is_not_handed_over(organization):
    make_grant(organization, 10)
    hold = make_hold(organization, 4)
    services.release(hold_id=hold.pk, actor="test")
    assert not services.transfer_hold(hold_id=hold.pk, from_fence=0, to_fence=1)


def test_handing_over_and_keeping_alive_renew_the_hold(organization):
    make_grant(organization, 10)
    old = timezone.now() - DAY
    handed, kept, settled = (make_hold(organization, 1) for _ in range(3))
    services.release(hold_id=settled.pk, actor="test")
    CreditHold.objects.update(expires_at=old)
    services.transfer_hold(hold_id=handed.pk, from_fence=0, to_fence=1)
    assert services.extend_holds(hold_ids=[kept.pk, settled.pk]) == 1
    for hold in (handed, kept, settled):
        hold.refresh_from_db()
    assert handed.expires_at > timezone.now()
    assert kept.expires_at > timezone.now()
    assert settled.expires_at == old


def test_a_refusal_tells_of_no_credits_that_came_since(organization):
    """Who is refused 5 credits is not told that 9 are available."""
    make_grant(organization, 9)
    refusals = [ledger.refusal(organization.pk, needed) for needed in (5, 9, 10, 12)]
    assert [refusal.extra["available"] for refusal in refusals] == [4, 8, 9, 9]
    assert ledger.refusal(make_organization().pk, 5).extra["available"] == 0


@pytest.mark.parametrize("missing", ["reason", "actor", "idempotency_key"])
def test_a_hold_says_who_reserves_it_why_and_once(organization, missing: str):
    make_grant(organization, 9)
    with pytest.raises(Invalid):
        make_hold(organization, 5, **{missing: ""})
    assert not CreditHold.objects.exists()


def test_a_refusal_says_whether_credits_or_places_are_missing(organization):
    make_grant(organization, 9)
    refusals = [ledger.refusal(organization.pk, n, max_open_holds=0) for n in (9, 10)]
    assert isinstance(refusals[0], TooManyOpenHolds)
    assert isinstance(refusals[1], InsufficientCredits)
    nothing = ledger.refusal(make_organization().pk, 1, max_open_holds=0)
    assert isinstance(nothing, InsufficientCredits)


def test_an_organization_that_never_had_a_credit_has_and_owes_nothing(organization):
    assert rules.funds_of(organization.pk) == rules.Funds(posted=0, held=0, debt=0)

from __future__ import annotations

import datetime

import pytest
from django.utils import timezone

from clipforge.common.errors import Conflict, Invalid
from clipforge.devtools.testing.factories import TESTER, make_grant
from credits import services
from credits.models import CreditGrant, CreditTransaction
from credits.selectors import Balance, balance
from credits.tests.makers import end, lots, make_hold, make_spend

pytestmark = pytest.mark.django_db


def refund(
    spend: CreditTransaction, amount: int | None = None, key: str = "r"
) -> CreditTransaction:
    return services.refund(
        transaction=spend,
        amount=amount,
        reason="the file was broken",
        actor=TESTER,
        audit=False,
        idempotency_key=key,
    )


def test_a_refund_gives_back_all_that_was_spent(organization):
    make_grant(organization, 10)
    spend = make_spend(organization, 4)
    back = refund(spend)
    assert (back.type, back.amount, back.balance_after) == ("REFUND", 4, 10)
    assert (back.hold_id, back.reference_id) == (spend.hold_id, spend.reference_id)
    assert (back.reason, back.actor) == ("the file was broken", "system:test")
    assert balance(organization) == Balance(available=10, held=0, posted=10)
    assert lots(organization) == [(10, 0)]


def test_parts_go_back_to_the_grants_they_came_from_the_last_drawn_first(organization):
    for amount in (3, 3, 3):
        make_grant(organization, amount)
    spend = make_spend(organization, 8)
    assert lots(organization) == [(0, 0), (0, 0), (1, 0)]
    back = refund(spend, 4, "one")
    assert lots(organization) == [(0, 0), (2, 0), (3, 0)]
    _, middle, youngest = CreditGrant.objects.order_by("pk")
    assert back.inputs == {"grants": {str(youngest.pk): 2, str(middle.pk): 2}}
    refund(spend, None, "two")
    assert lots(organization) == [(3, 0), (3, 0), (3, 0)]


def test_never_more_than_was_spent(organization):
    make_grant(organization, 10)
    spend = make_spend(organization, 4)
    with pytest.raises(Conflict):
        refund(spend, 5)
    refund(spend, 3, "one")
    with pytest.raises(Conflict) as refused:
        refund(spend, 2, "two")
    assert refused.value.error_code == "already_refunded"
    refund(spend, None, "three")
    with pytest.raises(Conflict):
        refund(spend, None, "four")
    assert balance(organization) == Balance(available=10, held=0, posted=10)


def test_only_the_captured_part_of_a_hold_is_refunded(organization):
    make_grant(organization, 10)
    hold = make_hold(organization, 9)
    spend = services.capture(hold_id=hold.pk, fence=0, actor="worker", amount=2)
    assert spend is not None
    assert refund(spend).amount == 2
    assert balance(organization).available == 10


def test_the_same_key_twice_refunds_once(organization):
    make_grant(organization, 10)
    spend = make_spend(organization, 4)
    assert refund(spend, 2) == refund(spend, 2) == refund(spend)
    assert balance(organization).available == 8
    with pytest.raises(Conflict):
        refund(spend, 1)
    with pytest.raises(Conflict):
        refund(make_spend(organization, 1), 2)
    assert balance(organization).available == 7


def test_credits_whose_grant_has_ended_come_back_for_thirty_days(organization):
    make_grant(organization, 10, priority=5)
    make_grant(organization, 10, priority=6)
    spend = make_spend(organization, 14)
    end(CreditGrant.objects.earliest("pk"))
    refund(spend)
    assert lots(organization) == [(0, 0), (10, 0), (10, 0)]
    new = CreditGrant.objects.latest("pk")
    assert (new.kind, new.amount, new.priority) == ("REFUND", 10, 5)
    assert new.expires_at is not None
    life = new.expires_at - timezone.now()
    assert datetime.timedelta(days=29, hours=23) < life <= datetime.timedelta(days=30)
    assert balance(organization) == Balance(available=20, held=0, posted=20)


def test_only_a_spend_can_be_refunded(organization):
    with pytest.raises(Invalid):
        refund(make_grant(organization, 10))
    assert balance(organization).posted == 10


@pytest.mark.parametrize("amount", [0, -1, 2**63])
def test_a_bad_amount_is_invalid(organization, amount):
    make_grant(organization, 10)
    spend = make_spend(organization, 4)
    with pytest.raises(Invalid):
        refund(spend, amount)
    assert balance(organization).posted == 6

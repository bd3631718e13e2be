from __future__ import annotations

import pytest

from clipforge.common.errors import Conflict, Invalid
from clipforge.devtools.testing.factories import TESTER, make_grant
from credits import services
from credits.errors import InsufficientCredits
from credits.models import CreditGrant, CreditTransaction
from credits.selectors import Balance, balance
from credits.tests.makers import end, lots, make_hold

pytestmark = pytest.mark.django_db


def adjust(org, amount, **overrides) -> CreditTransaction:
    return services.adjust(
        **{
            "org": org,
            "amount": amount,
            "reason": "counted wrongly",
            "actor": TESTER,
            "audit": False,
            "idempotency_key": f"adjust:{amount}",
            **overrides,
        }
    )


def test_an_adjustment_upward_is_a_lot_of_its_own(organization):
    up = adjust(organization, 5)
    assert (up.type, up.amount, up.balance_after) == ("ADJUST", 5, 5)
    assert (up.reason, up.actor) == ("counted wrongly", "system:test")
    lot = CreditGrant.objects.get()
    assert (lot.kind, lot.remaining) == ("ADJUST", 5)


def test_an_adjustment_downward_is_taken_in_draw_order(organization):
    make_grant(organization, 3)
    make_grant(organization, 10)
    down = adjust(organization, -5)
    assert (down.type, down.amount, down.balance_after) == ("ADJUST", -5, 8)
    assert lots(organization) == [(0, 0), (8, 0)]
    one, two = CreditGrant.objects.order_by("pk")
    assert down.inputs == {"grants": {str(one.pk): 3, str(two.pk): 2}}


def test_what_is_held_or_has_ended_cannot_be_taken(organization):
    make_grant(organization, 10)
    make_hold(organization, 8)
    make_grant(organization, 10)
    end(CreditGrant.objects.latest("pk"))
    with pytest.raises(InsufficientCredits) as refused:
        adjust(organization, -3)
    assert refused.value.extra == {"needed": 3, "available": 2}
    assert balance(organization) == Balance(available=12, held=8, posted=20)
    adjust(organization, -2)
    assert lots(organization) == [(8, 8), (10, 0)]


def test_an_organization_without_an_account_has_nothing_to_take(organization):
    with pytest.raises(InsufficientCredits):
        adjust(organization, -1)


def test_the_same_key_twice_adjusts_once(organization):
    make_grant(organization, 10)
    assert adjust(organization, -3, idempotency_key="k") == adjust(
        organization, -3, idempotency_key="k"
    )
    with pytest.raises(Conflict):
        adjust(organization, 3, idempotency_key="k")
    assert balance(organization).posted == 7


@pytest.mark.parametrize("amount", [0, 2**63, -(2**63), -1.5, True])
def test_a_bad_amount_is_invalid(organization, amount):
    make_grant(organization, 10)
    with pytest.raises(Invalid):
        adjust(organization, amount)
    assert balance(organization).posted == 10


@pytest.mark.parametrize("missing", ["reason", "actor", "idempotency_key"])
def test_nothing_is_adjusted_without_a_trace(organization, missing):
    with pytest.raises(Invalid):
        adjust(organization, 5, **{missing: " " if missing == "reason" else ""})
    assert not CreditTransaction.objects.exists()

"""A crash after every statement of every service: the change happens once, whole or not at all.

Each case is run again and again, dying one statement later each time, until it gets to its end.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from clipforge.devtools.testing.factories import TESTER, make_grant, make_organization
from clipforge.devtools.testing.faults import crash_at
from clipforge.orgs.models import Organization
from credits import services
from credits.invariants import broken_invariants
from credits.models import CreditGrant, CreditHold, CreditTransaction, GrantKind
from credits.selectors import balance
from credits.tests.makers import end, lapse, lots, make_charge, make_hold, make_spend

pytestmark = pytest.mark.django_db(transaction=True)

Act = Callable[[], object]
# More statements than any service runs.
MANY = 60


def granting(org: Organization) -> Act:
    return lambda: services.grant(
        org=org,
        amount=5,
        kind=GrantKind.PURCHASE,
        reason="r",
        actor=TESTER,
        audit=False,
        idempotency_key="k",
    )


def reserving(org: Organization) -> Act:
    return lambda: services.reserve(
        org=org,
        charge=make_charge(12),
        reason="r",
        reference_type="export",
        reference_id="1",
        idempotency_key="k",
        actor="a",
    )


def capturing(org: Organization) -> Act:
    hold = make_hold(org, 12)
    return lambda: services.capture(hold_id=hold.pk, fence=0, actor="a")


def capturing_a_part(org: Organization) -> Act:
    hold = make_hold(org, 12)
    return lambda: services.capture(hold_id=hold.pk, fence=0, actor="a", amount=11)


def capturing_from_a_lot_that_ended(org: Organization) -> Act:
    hold = make_hold(org, 12)
    end(*CreditGrant.objects.for_org(org))
    return lambda: services.capture(hold_id=hold.pk, fence=0, actor="a", amount=3)


def releasing(org: Organization) -> Act:
    hold = make_hold(org, 12)
    return lambda: services.release(hold_id=hold.pk, actor="a")


def handing_over(org: Organization) -> Act:
    hold = make_hold(org, 12)
    return lambda: services.transfer_hold(hold_id=hold.pk, from_fence=0, to_fence=1)


def refunding(org: Organization) -> Act:
    spend = make_spend(org, 12)
    return lambda: services.refund(
        transaction=spend, amount=11, reason="r", actor=TESTER, audit=False, idempotency_key="k"
    )


def refunding_to_a_lot_that_ended(org: Organization) -> Act:
    spend = make_spend(org, 12)
    end(*CreditGrant.objects.for_org(org))
    return lambda: services.refund(
        transaction=spend, reason="r", actor=TESTER, audit=False, idempotency_key="k"
    )


def adjusting_up(org: Organization) -> Act:
    return lambda: services.adjust(
        org=org, amount=3, reason="r", actor=TESTER, audit=False, idempotency_key="k"
    )


def adjusting_down(org: Organization) -> Act:
    return lambda: services.adjust(
        org=org, amount=-12, reason="r", actor=TESTER, audit=False, idempotency_key="k"
    )


def expiring_holds(org: Organization) -> Act:
    lapse(make_hold(org, 12))
    return services.expire_holds


def expiring_grants(org: Organization) -> Act:
    make_hold(org, 3)
    end(*CreditGrant.objects.for_org(org))
    return lambda: services.expire_grants(org=org)


CHANGES = [
    *[granting, reserving, capturing, capturing_a_part, capturing_from_a_lot_that_ended],
    *[releasing, handing_over, refunding, refunding_to_a_lot_that_ended],
    *[adjusting_up, adjusting_down, expiring_holds, expiring_grants],
]


def stand(org: Organization) -> dict[str, Any]:
    """The state of an organization: all that a service may change."""
    holds = CreditHold.objects.for_org(org).order_by("pk")
    rows = CreditTransaction.objects.for_org(org).order_by("org_seq")
    return {
        "balance": balance(org),
        "lots": lots(org),
        "holds": list(holds.values_list("amount", "captured", "status", "fence")),
        "ledger": list(rows.values_list("type", "amount", "balance_after")),
    }


def make_customer() -> Organization:
    """Two lots, so that a hold draws on both."""
    org = make_organization()
    make_grant(org, 10, expires_at=timezone.now() + datetime.timedelta(days=1))
    make_grant(org, 10)
    return org


@pytest.mark.parametrize("change", CHANGES)
def test_a_crash_anywhere_leaves_all_or_nothing_and_repeating_it_makes_it_once(change):
    done = make_customer()
    change(done)()
    after = stand(done)
    for nth in range(1, MANY):
        org = make_customer()
        act = change(org)
        before = stand(org)
        crashed = crash_at(nth, act)
        assert stand(org) in ([before, after] if crashed else [after]), f"after statement {nth}"
        assert broken_invariants(org) == [], f"after statement {nth}"
        act()
        assert stand(org) == after, f"repeated after statement {nth}"
        assert broken_invariants(org) == []
        if not crashed:
            assert nth > 1, "nothing was interrupted"
            return
    raise AssertionError(f"not at its end after {MANY} statements")

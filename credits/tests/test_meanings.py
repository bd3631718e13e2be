"""The meaning of a ledger row to the business."""

from __future__ import annotations

from typing import Any

import pytest

from clipforge.devtools.testing.factories import TESTER, make_grant
from clipforge.orgs.models import Organization
from credits import expiry, services
from credits.models import CreditGrant, GrantKind
from credits.selectors import Meaning, transactions
from credits.tests.makers import end, make_spend

pytestmark = pytest.mark.django_db

OF_PAYMENT: dict[str, Any] = {"reference_type": "payment", "reference_id": "1"}


def adjust(organization: Organization, amount: int, **reference: Any) -> None:
    services.adjust(
        org=organization,
        amount=amount,
        reason="corrected by hand",
        actor=TESTER,
        idempotency_key=f"adjust:{amount}",
        **reference,
    )


def test_every_row_has_the_one_meaning_that_its_type_and_its_payment_give_it(organization):
    make_grant(organization, 1)
    end(CreditGrant.objects.get())
    expiry.expire_grants()
    make_grant(organization, 20, kind=GrantKind.PURCHASE, **OF_PAYMENT)
    make_grant(organization, 30, kind=GrantKind.PURCHASE)
    make_grant(organization, 40, kind=GrantKind.PLAN, **OF_PAYMENT)
    make_grant(organization, 50, kind=GrantKind.PROMO)
    adjust(organization, -6, **OF_PAYMENT)
    adjust(organization, -7)
    spend = make_spend(organization, 8)
    services.refund(
        transaction=spend,
        amount=3,
        reason="the file was damaged",
        actor=TESTER,
        idempotency_key="refund",
    )
    rows = transactions(organization).order_by("id")
    found = {each: [row.amount for row in rows.filter(each.condition)] for each in Meaning}
    assert found == {
        Meaning.SOLD: [20, 30, 40],
        Meaning.RETURNED: [-6],
        Meaning.GIVEN: [1, 50],
        Meaning.ADJUSTED: [-7],
        Meaning.SPENT: [-8],
        Meaning.GIVEN_BACK: [3],
        Meaning.EXPIRED: [-1],
    }

"""Each move of credits announces the version that the account has then: a balance from before it
is not cached any more.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from clipforge.devtools.testing.factories import TESTER, make_grant
from clipforge.devtools.testing.state import announced_versions
from clipforge.orgs.models import Organization
from credits import expiry, services
from credits.models import CreditAccount, CreditGrant, CreditTransaction, GrantKind
from credits.tests.makers import end, make_hold, make_spend

pytestmark = pytest.mark.django_db


@pytest.fixture
def heard() -> Iterator[list[int]]:
    with announced_versions() as versions:
        yield versions


def purchase(organization: Organization) -> CreditTransaction:
    bought: CreditTransaction = make_grant(organization, 10, kind=GrantKind.PURCHASE)
    return bought


def reverse(bought: CreditTransaction, amount: int) -> None:
    services.reverse_grant(
        transaction=bought,
        amount=amount,
        reason="refund of 9.00 usd",
        actor=TESTER,
        audit=False,
        idempotency_key="back",
    )


def version() -> int:
    return CreditAccount.objects.get().version


@pytest.mark.parametrize("how", ["captured", "released"])
def test_a_hold_and_its_end_which_comes_once(organization, heard: list[int], how: str):
    make_grant(organization, 10)
    heard.clear()
    hold = make_hold(organization, 4)
    assert heard == [2] == [version()]
    for _ in range(2):
        if how == "captured":
            services.capture(hold_id=hold.pk, fence=0, actor="test")
        else:
            services.release(hold_id=hold.pk, actor="test")
        assert heard == [2, 3]
    assert version() == 3


def test_a_reversal_that_takes_what_is_free(organization, heard: list[int]):
    bought = purchase(organization)
    heard.clear()
    reverse(bought, 4)
    assert heard == [2] == [version()]


def test_a_reversal_of_what_was_spent(organization, heard: list[int]):
    bought = purchase(organization)
    make_spend(organization, 10)
    before = version()
    heard.clear()
    reverse(bought, 4)
    assert heard == [before + 1] == [version()]


def test_a_grant_that_settles_a_debt(organization, heard: list[int]):
    bought = purchase(organization)
    make_spend(organization, 10)
    reverse(bought, 4)
    before = version()
    heard.clear()
    make_grant(organization, 10)
    # The grant, then the two changes of settling: the row, and the debt.
    assert heard == [before + 1, before + 3]
    assert version() == before + 3


def test_a_grant_of_which_a_part_has_ended(organization, heard: list[int]):
    services.grant(
        org=organization,
        amount=10,
        kind=GrantKind.PLAN,
        reason="back again",
        actor=TESTER,
        audit=False,
        idempotency_key="g",
        ended=4,
    )
    assert heard == [1, 2]
    assert version() == 2


def test_a_lot_that_ends(organization, heard: list[int]):
    make_grant(organization, 10)
    end(CreditGrant.objects.get())
    heard.clear()
    assert expiry.expire_grants() == 1
    assert heard == [2] == [version()]


def test_a_debt_that_is_settled_out_of_what_a_hold_gave_back(organization, heard: list[int]):
    bought = purchase(organization)
    hold = make_hold(organization, 10)
    reverse(bought, 4)
    services.release(hold_id=hold.pk, actor="test")
    before = version()
    heard.clear()
    assert expiry.settle_returned() == 4
    assert heard == [before + 2] == [version()]
    heard.clear()
    assert expiry.settle_returned() == 0
    assert heard == []

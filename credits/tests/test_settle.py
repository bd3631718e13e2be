from __future__ import annotations

import uuid

import pytest
from django.db import DatabaseError, connection, transaction

from clipforge.common.errors import Invalid
from clipforge.devtools.testing.factories import make_grant
from credits import ledger, services
from credits.events import credits_changed
from credits.models import (
    CreditAccount,
    CreditHold,
    CreditTransaction,
    HoldAllocation,
    TransactionType,
)
from credits.pricing import Charge
from credits.selectors import Balance, balance
from credits.tests.makers import end, lots, make_hold

pytestmark = pytest.mark.django_db


def spends() -> int:
    return CreditTransaction.objects.filter(type=TransactionType.SPEND).count()


def test_a_capture_spends_what_was_held(organization):
    make_grant(organization, 10)
    charge = Charge(4, 2, "2026-11", {"minutes": 2})
    hold = make_hold(organization, 0, charge=charge, reason="export", reference_id="e1", fence=7)
    spend = services.capture(hold_id=hold.pk, fence=7, actor="worker")
    assert spend is not None
    assert (spend.type, spend.amount, spend.balance_after, spend.org_seq) == ("SPEND", -4, 6, 3)
    assert (spend.hold_id, spend.reason, spend.actor) == (hold.pk, "export", "worker")
    assert (spend.reference_type, spend.reference_id) == ("export", "e1")
    assert (spend.unit_price, spend.price_version, spend.inputs) == (2, "2026-11", {"minutes": 2})
    assert balance(organization) == Balance(available=6, held=0, posted=6)
    assert lots(organization) == [(6, 0)]
    hold.refresh_from_db()
    assert (hold.status, hold.captured, hold.resolved_by) == ("CAPTURED", 4, "worker")
    assert hold.resolved_at is not None


def test_a_part_capture_gives_the_rest_back_to_the_grants_it_came_from(organization):
    for amount in (3, 3, 3):
        make_grant(organization, amount)
    hold = make_hold(organization, 8)
    assert lots(organization) == [(3, 3), (3, 3), (3, 2)]
    spend = services.capture(hold_id=hold.pk, fence=0, actor="worker", amount=4)
    assert spend is not None
    assert (spend.amount, spend.balance_after) == (-4, 5)
    assert lots(organization) == [(0, 0), (2, 0), (3, 0)]
    assert balance(organization) == Balance(available=5, held=0, posted=5)
    parts = HoldAllocation.objects.order_by("id").values_list("amount", "captured")
    assert list(parts) == [(3, 3), (3, 1), (2, 0)]


def test_more_than_was_held_cannot_be_captured(organization):
    make_grant(organization, 10)
    hold = make_hold(organization, 4)
    with pytest.raises(Invalid):
        services.capture(hold_id=hold.pk, fence=0, actor="worker", amount=5)
    assert balance(organization) == Balance(available=6, held=4, posted=10)
    assert spends() == 0


@pytest.mark.parametrize("amount", [0, -1, 2**63])
def test_a_bad_amount_cannot_be_captured(organization, amount):
    make_grant(organization, 10)
    hold = make_hold(organization, 4)
    with pytest.raises(Invalid):
        services.capture(hold_id=hold.pk, fence=0, actor="worker", amount=amount)
    assert balance(organization).held == 4


def test_a_second_capture_does_nothing(organization):
    make_grant(organization, 10)
    hold = make_hold(organization, 4)
    services.capture(hold_id=hold.pk, fence=0, actor="worker")
    assert services.capture(hold_id=hold.pk, fence=0, actor="worker") is None
    assert services.capture(hold_id=hold.pk, fence=0, actor="worker", amount=9) is None
    assert balance(organization) == Balance(available=6, held=0, posted=6)
    assert spends() == 1


def test_more_than_was_held_of_what_is_settled_already_is_a_second_capture(organization):
    """And none that asks too much, though another hold is open."""
    make_grant(organization, 10)
    hold, _other = make_hold(organization, 4), make_hold(organization, 3)
    services.capture(hold_id=hold.pk, fence=0, actor="worker")
    assert services.capture(hold_id=hold.pk, fence=0, actor="worker", amount=9) is None


def test_a_worker_with_an_old_fence_changes_nothing(organization):
    make_grant(organization, 10)
    hold = make_hold(organization, 4, fence=1)
    services.transfer_hold(hold_id=hold.pk, from_fence=1, to_fence=2)
    assert services.capture(hold_id=hold.pk, fence=1, actor="zombie") is None
    assert not services.release(hold_id=hold.pk, fence=1, actor="zombie")
    assert balance(organization) == Balance(available=6, held=4, posted=10)
    assert services.capture(hold_id=hold.pk, fence=2, actor="worker")


def test_a_hold_that_does_not_exist_is_not_captured():
    assert services.capture(hold_id=uuid.uuid4(), fence=0, actor="worker") is None
    assert not services.release(hold_id=uuid.uuid4(), actor="worker")


def test_a_release_gives_back_to_the_grants_it_came_from(organization):
    make_grant(organization, 3)
    make_grant(organization, 10)
    hold = make_hold(organization, 5, fence=2)
    other = make_hold(organization, 1)
    assert lots(organization) == [(3, 3), (10, 3)]
    assert services.release(hold_id=hold.pk, fence=2, actor="worker")
    assert lots(organization) == [(3, 0), (10, 1)]
    assert balance(organization) == Balance(available=12, held=1, posted=13)
    assert not services.release(hold_id=hold.pk, actor="worker")
    hold.refresh_from_db()
    other.refresh_from_db()
    assert (hold.status, hold.captured, hold.resolved_by) == ("RELEASED", 0, "worker")
    assert other.status == "HELD"
    assert spends() == 0


def test_a_released_hold_cannot_be_captured(organization):
    make_grant(organization, 10)
    hold = make_hold(organization, 4)
    services.release(hold_id=hold.pk, actor="worker")
    assert services.capture(hold_id=hold.pk, fence=0, actor="worker") is None
    assert balance(organization) == Balance(available=10, held=0, posted=10)


@pytest.mark.parametrize("status", ["HELD", "CAPTURED"])
def test_a_hold_is_released_as_released_or_expired_only(organization, status):
    make_grant(organization, 10)
    hold = make_hold(organization, 4)
    with pytest.raises(Invalid):
        services.release(hold_id=hold.pk, actor="worker", status=status)
    assert CreditHold.objects.get().status == "HELD"


def test_what_returns_to_a_grant_that_has_ended_expires_at_once(organization):
    make_grant(organization, 10)
    make_grant(organization, 10)
    hold = make_hold(organization, 14)
    end(hold.allocations.order_by("id")[0].grant)
    services.release(hold_id=hold.pk, actor="worker")
    assert lots(organization) == [(0, 0), (10, 0)]
    assert balance(organization) == Balance(available=10, held=0, posted=10)
    expired = CreditTransaction.objects.get(type=TransactionType.EXPIRE)
    assert (expired.amount, expired.balance_after, expired.actor) == (-10, 10, "worker")


def test_a_part_capture_expires_the_rest_when_the_grant_has_ended(organization):
    make_grant(organization, 10)
    hold = make_hold(organization, 10)
    end(hold.allocations.get().grant)
    services.capture(hold_id=hold.pk, fence=0, actor="worker", amount=4)
    amounts = CreditTransaction.objects.order_by("org_seq").values_list("type", "amount")
    assert list(amounts) == [("GRANT", 10), ("SPEND", -4), ("EXPIRE", -6)]
    assert balance(organization) == Balance(available=0, held=0, posted=0)


def test_a_capture_and_a_release_are_one_statement_each(organization, django_assert_num_queries):
    for _ in range(30):
        make_grant(organization, 2)
    captured, released = make_hold(organization, 30), make_hold(organization, 30)
    with django_assert_num_queries(1):
        services.capture(hold_id=captured.pk, fence=0, actor="worker", amount=20)
    with django_assert_num_queries(1):
        services.release(hold_id=released.pk, actor="worker")
    assert balance(organization) == Balance(available=40, held=0, posted=40)


@pytest.mark.breaks_ledger
def test_an_account_without_what_is_held_is_a_broken_ledger_and_nothing_changes(organization):
    make_grant(organization, 10)
    hold = make_hold(organization, 4)
    with connection.cursor() as cursor:  # behind which this cannot happen
        cursor.execute(
            "SET CONSTRAINTS ALL IMMEDIATE;"
            " ALTER TABLE credits_creditaccount DROP CONSTRAINT credits_account_not_overspent"
        )
    CreditAccount.objects.update(posted=3)
    broken = pytest.raises(ledger.LedgerBroken, match=f"hold {hold.pk} cannot be settled")
    with broken, transaction.atomic():
        services.capture(hold_id=hold.pk, fence=0, actor="worker")
    hold.refresh_from_db()
    assert (hold.status, lots(organization), spends()) == ("HELD", [(10, 4)], 0)


@pytest.mark.parametrize("what", ["reserve", "capture", "release"])
def test_a_failure_at_the_last_step_undoes_the_steps_before_it(organization, what: str):
    """The lots are the last that each of the functions writes."""
    make_grant(organization, 10)
    hold = make_hold(organization, 4)
    version = CreditAccount.objects.get().version
    acts = {
        "reserve": lambda: make_hold(organization, 2),
        "capture": lambda: services.capture(hold_id=hold.pk, fence=0, actor="worker"),
        "release": lambda: services.release(hold_id=hold.pk, actor="worker"),
    }
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'refused'; END $$;"
            "CREATE TRIGGER refuse BEFORE UPDATE ON credits_creditgrant"
            " FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
    with pytest.raises(DatabaseError, match="refused"), transaction.atomic():
        acts[what]()
    assert CreditAccount.objects.get().version == version
    assert list(CreditHold.objects.values_list("pk", "status")) == [(hold.pk, "HELD")]
    assert (lots(organization), spends()) == ([(10, 4)], 0)


def test_a_capture_of_a_lot_that_ended_tells_the_version_after_its_expiry(organization):
    """It is what readers of the cached balance are told of."""
    make_grant(organization, 10)
    hold = make_hold(organization, 10)
    end(hold.allocations.get().grant)
    heard: list[int] = []

    def listen(*, version: int, **_: object) -> None:
        heard.append(version)

    credits_changed.connect(listen)
    try:
        services.capture(hold_id=hold.pk, fence=0, actor="worker", amount=4)
    finally:
        credits_changed.disconnect(listen)
    assert heard == [4] == [CreditAccount.objects.get().version]

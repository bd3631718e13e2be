"""Refusals of the database itself, and its indexes."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import ProtectedError
from django.utils import timezone

from clipforge.devtools.testing.factories import TESTER, make_grant
from credits import services
from credits.events import credits_changed
from credits.models import (
    CreditAccount,
    CreditGrant,
    CreditHold,
    CreditTransaction,
    HoldAllocation,
    TransactionType,
)
from credits.tests.makers import make_hold, make_spend

pytestmark = pytest.mark.django_db


def refused(sql: str, match: str) -> None:
    with (
        pytest.raises(IntegrityError, match=match),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE credits_credittransaction SET reason = 'better'",
        "UPDATE credits_credittransaction SET amount = amount",
        "DELETE FROM credits_credittransaction",
        """
        INSERT INTO credits_credittransaction SELECT * FROM credits_credittransaction
        ON CONFLICT (id) DO UPDATE SET amount = 1000
        """,
    ],
)
def test_the_database_refuses_to_change_the_ledger(organization, sql):
    make_grant(organization, 10)
    refused(sql, "the ledger is append-only")
    assert CreditTransaction.objects.get().amount == 10


def test_django_cannot_change_the_ledger_either(organization):
    row = make_grant(organization, 10)
    for change in (
        row.delete,
        row.save,
        CreditTransaction.objects.all().delete,
        lambda: CreditTransaction.objects.update(amount=1),
    ):
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
            change()
    assert CreditTransaction.objects.get().amount == 10


@pytest.mark.parametrize(
    "sql",
    [
        *(
            f"DELETE FROM credits_{table}"  # noqa: S608 - our own text
            for table in (
                "creditaccount",
                "creditgrant",
                "credithold",
                "holdallocation",
                "creditreversal",
            )
        ),
        "UPDATE credits_creditaccount SET org_id = gen_random_uuid()",
        "UPDATE credits_creditgrant SET amount = 1000, remaining = 1000",
        "UPDATE credits_creditgrant SET kind = 'PURCHASE'",
        "UPDATE credits_credithold SET amount = 1",
        "UPDATE credits_holdallocation SET amount = 1",
        "UPDATE credits_creditreversal SET owed = 0",
    ],
)
def test_the_database_refuses_to_delete_or_rewrite_what_the_ledger_is_made_of(organization, sql):
    bought = make_grant(organization, 10)
    make_hold(organization, 4)
    services.reverse_grant(
        transaction=bought,
        amount=10,
        reason="money back",
        actor=TESTER,
        audit=False,
        idempotency_key="back",
    )
    refused(sql, "what the ledger is made of stands")


def test_a_lot_and_a_hold_of_nothing_are_refused(organization):
    with pytest.raises(IntegrityError, match="grant_amount_positive"), transaction.atomic():
        CreditGrant.objects.create(
            org=organization, kind="PROMO", amount=0, remaining=0, priority=10
        )
    with pytest.raises(IntegrityError, match="hold_amount_positive"), transaction.atomic():
        CreditHold.objects.create(
            org=organization,
            amount=0,
            reason="x",
            actor="test",
            idempotency_key="x",
            expires_at=timezone.now(),
        )


def test_an_organization_with_a_ledger_cannot_be_deleted(organization):
    make_grant(organization, 10)
    with pytest.raises(ProtectedError):
        organization.delete()


@pytest.mark.parametrize(
    ("type_", "amount"),
    [
        ("GRANT", -1),
        ("PURCHASE", -1),
        ("REFUND", -1),
        ("SPEND", 1),
        ("EXPIRE", 1),
        ("ADJUST", 0),
        ("GRANT", 0),
    ],
)
def test_a_row_whose_sign_contradicts_its_type_is_refused(organization, type_, amount):
    with (
        pytest.raises(IntegrityError, match="credits_transaction_sign"),
        transaction.atomic(),
    ):
        insert(organization, type=type_, amount=amount)


@pytest.mark.parametrize(
    ("fields", "constraint"),
    [
        ({"actor": ""}, "credits_transaction_explained"),
        ({"reason": ""}, "credits_transaction_explained"),
        ({"balance_after": -1}, "credits_transaction_not_overspent"),
        ({"idempotency_key": "first"}, "credits_transaction_once_per_key"),
        ({"org_seq": 1}, "credits_transaction_once_per_seq"),
    ],
)
def test_a_row_that_breaks_a_rule_is_refused(organization, fields, constraint):
    make_grant(organization, 10, idempotency_key="first")
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        insert(organization, **fields)


def test_a_second_spend_of_a_hold_is_refused(organization):
    make_grant(organization, 10)
    spend = make_spend(organization, 4)
    with (
        pytest.raises(IntegrityError, match="credits_transaction_one_capture"),
        transaction.atomic(),
    ):
        insert(organization, type="SPEND", amount=-4, hold_id=spend.hold_id)


def insert(organization, **fields) -> None:
    CreditTransaction.objects.create(
        **{
            "org": organization,
            "type": TransactionType.GRANT,
            "amount": 1,
            "balance_after": 11,
            "org_seq": 99,
            "reason": "by hand",
            "actor": "test",
            "idempotency_key": "by hand",
            **fields,
        }
    )


@pytest.mark.parametrize(
    ("model", "fields", "constraint"),
    [
        (CreditGrant, {"remaining": 11}, "credits_grant_parts_fit"),
        (CreditGrant, {"held": 11}, "credits_grant_parts_fit"),
        (CreditGrant, {"held": -1}, "credits_grant_parts_fit"),
        (CreditHold, {"captured": 1}, "credits_hold_captured_fits"),
        (CreditHold, {"status": "RELEASED"}, "credits_hold_resolved_fits"),
        (HoldAllocation, {"captured": 5}, "credits_allocation_parts_fit"),
        (HoldAllocation, {"refunded": 1}, "credits_allocation_parts_fit"),
    ],
)
def test_numbers_that_do_not_fit_together_are_refused(organization, model, fields, constraint):
    make_grant(organization, 10)
    make_hold(organization, 4)
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        model.objects.update(**fields)


def test_the_ledger_has_the_indexes_of_its_lists():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename LIKE 'credits\\_%%'"
        )
        found = {name: definition.partition("USING ")[2] for name, definition in cursor.fetchall()}
    wanted = {
        "credits_transaction_newest": "btree (org_id, created_at DESC, id DESC)",
        "credits_transaction_amounts": (
            "btree (org_id, type, created_at DESC, id DESC) INCLUDE (amount)"
        ),
        "credits_hold_newest": "btree (org_id, created_at DESC, id DESC)",
        "credits_hold_status_newest": "btree (org_id, status, created_at DESC, id DESC)",
    }
    assert {name: found[name] for name in wanted} == wanted
    assert "WHERE ((status)::text = 'HELD'::text)" in found["credits_hold_expiry"]
    assert "WHERE (remaining > 0)" in found["credits_grant_draw_order"]


def test_every_transaction_is_announced_with_the_version_of_the_account(organization):
    heard: list[tuple[object, int]] = []

    def listen(*, org_id, version, **_):
        heard.append((org_id, version))
        assert connection.in_atomic_block

    credits_changed.connect(listen)
    try:
        make_grant(organization, 10)
        hold = make_hold(organization, 4)
        services.capture(hold_id=hold.pk, fence=0, actor="worker")
        services.release(hold_id=make_hold(organization, 1).pk, actor="worker")
        services.release(hold_id=hold.pk, actor="worker")  # too late: nothing moves
    finally:
        credits_changed.disconnect(listen)
    assert heard == [(organization.pk, version) for version in (1, 2, 3, 4, 5)]
    assert CreditAccount.objects.get().version == 5


def test_a_receiver_that_fails_does_not_undo_the_transaction(organization, caplog):
    def fail(**_):
        raise ZeroDivisionError

    credits_changed.connect(fail)
    try:
        make_grant(organization, 10)
    finally:
        credits_changed.disconnect(fail)
    assert CreditAccount.objects.get().posted == 10
    assert "ZeroDivisionError" in caplog.text

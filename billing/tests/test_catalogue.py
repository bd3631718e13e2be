from __future__ import annotations

import importlib

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.utils import Error

from billing import services
from billing.caching import catalogue_version
from billing.events import pricing_changed
from billing.models import Price
from billing.selectors import price_for_sale
from clipforge.audit.models import AuditEntry
from clipforge.common.errors import Conflict, Invalid
from clipforge.devtools.testing.factories import REASON, TESTER
from clipforge.orgs.models import TierLimits

pytestmark = pytest.mark.django_db


@pytest.fixture
def heard():
    """The versions that were announced."""
    versions = []

    def hear(version, **kwargs):
        versions.append(version)

    pricing_changed.connect(hear)
    yield versions
    pricing_changed.disconnect(hear)


def price(code="pack-100"):
    return Price.objects.get(code=code, is_active=True)


def test_the_seeded_plans_bring_the_monthly_credits_of_their_tiers():
    plans = dict(Price.objects.filter(kind="PLAN").values_list("tier", "credits"))
    assert plans == dict(TierLimits.objects.values_list("tier", "monthly_credits"))
    assert plans == {
        "FREE": 60,
        "STARTER": 300,
        "PRO": 1000,
        "BUSINESS": 4000,
        "ENTERPRISE": 20000,
    }


def test_the_migration_can_run_again_and_adds_nothing():
    from django.apps import apps

    importlib.import_module("billing.migrations.0002_catalogue").seed(apps, None)
    assert Price.objects.count() == 8


# --- revising -------------------------------------------------------------------------


def test_a_price_that_was_never_offered_is_revised_in_place():
    before = price()
    after = services.revise_price(price=before, amount=1000, reason=REASON, actor=TESTER)
    assert (after.pk, after.version, after.amount) == (before.pk, 1, 1000)
    assert price().amount == 1000


def test_a_price_that_was_sold_stays_and_its_next_version_is_sold():
    before = price()
    Price.objects.filter(pk=before.pk).freeze()
    after = services.revise_price(
        price=before, amount=1000, credits=120, reason=REASON, actor=TESTER
    )
    assert (after.code, after.version, after.amount, after.credits) == ("pack-100", 2, 1000, 120)
    assert (after.validity_days, after.frozen_at, after.is_active) == (365, None, True)
    before.refresh_from_db()
    assert (before.amount, before.credits, before.is_active) == (900, 100, False)
    assert price_for_sale("pack-100") == after


def test_the_same_terms_make_no_version_and_announce_nothing(heard):
    Price.objects.filter(pk=price().pk).freeze()
    assert (
        services.revise_price(price=price(), amount=900, reason=REASON, actor=TESTER).version == 1
    )
    assert heard == []


def test_only_the_version_being_sold_can_be_revised():
    old = price()
    Price.objects.filter(pk=old.pk).freeze()
    services.revise_price(price=old, amount=1000, reason=REASON, actor=TESTER)
    with pytest.raises(Conflict, match="not sold any more"):
        services.revise_price(price=old, amount=1, reason=REASON, actor=TESTER)
    assert Price.objects.filter(code="pack-100").count() == 2


@pytest.mark.parametrize(
    "terms",
    [{"amount": -1}, {"amount": 0}, {"credits": 0}, {"currency": "EUR"}, {"tier": "PRO"}, {"x": 1}],
)
def test_what_makes_no_price_is_refused_and_nothing_changes(terms):
    with pytest.raises(Invalid):
        services.revise_price(price=price(), reason=REASON, actor=TESTER, **terms)
    assert (price().amount, price().credits, price().currency) == (900, 100, "usd")


@pytest.mark.parametrize("change", ["amount = 1", "credits = 1", "code = 'x'", "frozen_at = NULL"])
def test_not_even_raw_sql_changes_what_was_sold(change):
    Price.objects.filter(code="pack-100").freeze()
    with pytest.raises(Error, match="was sold"), transaction.atomic():
        execute(f"UPDATE billing_price SET {change} WHERE code = 'pack-100'")  # noqa: S608
    with pytest.raises(Error, match="was sold"), transaction.atomic():
        price().delete()
    assert price().amount == 900


def execute(sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)


def test_a_code_has_one_active_version():
    with pytest.raises(IntegrityError), transaction.atomic():
        Price.objects.create(code="pack-100", version=2, kind="PACK", credits=1, amount=1)


def test_a_withdrawn_price_is_not_for_sale_and_is_withdrawn_once():
    assert services.withdraw_price(price=price(), reason=REASON, actor=TESTER) is True
    assert (
        services.withdraw_price(
            price=Price.objects.get(code="pack-100"), reason=REASON, actor=TESTER
        )
        is False
    )
    with pytest.raises(Invalid) as refused:
        price_for_sale("pack-100")
    assert refused.value.error_code == "price_inactive"


@pytest.mark.parametrize(
    ("code", "currency", "refusal"),
    [
        ("pack-1", None, "unknown_price"),
        ("pack-100", "eur", "wrong_currency"),
        ("plan-free", None, "not_for_sale"),
    ],
)
def test_what_cannot_be_bought_has_a_code(code, currency, refusal):
    with pytest.raises(Invalid) as refused:
        price_for_sale(code, currency=currency)
    assert refused.value.error_code == refusal


# --- the version of the catalogue -----------------------------------------------------


def by_service():
    services.revise_price(price=price(), amount=1000, reason=REASON, actor=TESTER)


def by_save():
    one = price()
    one.amount = 1000
    one.save()


def by_delete():
    price().delete()


def by_update():
    Price.objects.filter(code="pack-100").update(amount=1000)


def by_bulk_delete():
    Price.objects.filter(code="pack-100").delete()


def by_bulk_create():
    Price.objects.bulk_create([Price(code="pack-1", kind="PACK", credits=1, amount=1)])


def by_bulk_update():
    one = price()
    one.amount = 1000
    Price.objects.bulk_update([one], ["amount"])


def by_create():
    Price.objects.create(code="pack-1", kind="PACK", credits=1, amount=1)


@pytest.mark.parametrize(
    "write",
    [
        by_service,
        by_save,
        by_delete,
        by_update,
        by_bulk_delete,
        by_bulk_create,
        by_bulk_update,
        by_create,
    ],
)
def test_every_write_raises_the_version_once_and_says_so(write, heard):
    before = catalogue_version()
    write()
    assert catalogue_version() == before + 1
    assert heard == [before + 1]


def test_a_change_that_is_rolled_back_leaves_the_version():
    before = catalogue_version()
    with transaction.atomic():
        by_save()
        transaction.set_rollback(True)
    assert catalogue_version() == before


def test_a_receiver_that_fails_does_not_undo_the_change(heard):
    def fail(**kwargs):
        raise RuntimeError

    pricing_changed.connect(fail)
    try:
        by_save()
    finally:
        pricing_changed.disconnect(fail)
    assert price().amount == 1000


def test_freezing_changes_nothing_that_the_list_shows(heard):
    assert Price.objects.filter(code="pack-100").freeze() == 1
    assert Price.objects.filter(code="pack-100").freeze() == 0
    assert heard == []


# --- the admin ------------------------------------------------------------------------


def test_staff_revise_a_sold_price_into_its_next_version(staff):
    old = price()
    Price.objects.filter(pk=old.pk).freeze()
    form = {
        "name": "100 credits",
        "tier": "",
        "credits": 100,
        "amount": "9.50",
        "currency": "usd",
        "validity_days": 365,
    }
    assert staff.post(f"/admin/billing/price/{old.pk}/change/", form).status_code == 200
    assert price().version == 1  # no reason, no change
    form["audit_reason"] = "the new price list"
    answer = staff.post(f"/admin/billing/price/{old.pk}/change/", form)
    assert answer.status_code == 302
    assert (price().version, price().amount) == (2, 950)
    old.refresh_from_db()
    assert (old.amount, old.is_active) == (900, False)
    action = AuditEntry.objects.get()
    assert (action.object_id, action.object_label) == (str(price().pk), "pack-100 v2")
    assert (action.before["amount"], action.after["amount"]) == ("$9.00", "$9.50")


def test_terms_that_make_no_price_are_said_beside_what_was_typed(staff):
    form = {
        "name": "100 credits",
        "tier": "PRO",
        "credits": 100,
        "amount": "9.50",
        "currency": "usd",
        "audit_reason": "the new price list",
    }
    answer = staff.post(f"/admin/billing/price/{price().pk}/change/", form)
    assert (answer.status_code, b'value="9.50"' in answer.content) == (200, True)
    assert price().amount == 900
    assert not AuditEntry.objects.exists()


def test_staff_withdraw_a_price_and_can_neither_add_nor_delete_one(staff):
    chosen = {"action": "withdraw", "_selected_action": [str(price().pk)]}
    asked = staff.post("/admin/billing/price/", chosen)
    assert (asked.status_code, b"pack-100 v1" in asked.content) == (200, True)
    short = staff.post(
        "/admin/billing/price/", {**chosen, "confirmed": "yes", "audit_reason": "no"}
    )
    assert (short.status_code, price().is_active) == (200, True)
    confirmed = {**chosen, "confirmed": "yes", "audit_reason": "nobody buys it"}
    for _ in range(2):
        assert staff.post("/admin/billing/price/", confirmed).status_code == 302
    action = AuditEntry.objects.get()
    assert (action.verb, action.object_label, action.reason) == (
        "withdraw",
        "pack-100 v1",
        "nobody buys it",
    )
    old = Price.objects.get(code="pack-100")
    assert old.is_active is False
    assert staff.get("/admin/billing/price/add/").status_code == 403
    assert staff.post(f"/admin/billing/price/{old.pk}/delete/", {"post": "y"}).status_code == 403
    assert staff.get(f"/admin/billing/price/{old.pk}/change/").status_code == 200

from __future__ import annotations

import datetime
import io
import json

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.utils import timezone

from billing import services
from billing.models import Payment, PlanPeriod, Price, Subscription
from billing.selectors import mismatches
from billing.tests.makers import age, deliver, make_catalogue, make_payment, start_checkout
from clipforge.common.errors import Conflict, Invalid
from clipforge.devtools.testing.factories import REASON, TESTER, make_grant, make_organization
from clipforge.devtools.testing.races import run_together
from clipforge.devtools.testing.state import nothing_changes
from clipforge.orgs import services as org_services
from clipforge.orgs.models import Organization
from credits import services as credit_services
from credits.ledger import LedgerBroken
from credits.models import CreditGrant, CreditTransaction
from credits.selectors import balance
from credits.tests.makers import make_spend

pytestmark = pytest.mark.django_db


@pytest.fixture
def org(db):
    return make_organization(tier="FREE")


def tier(org):
    return Organization.objects.get(pk=org.pk).tier


def ledger_rows(org):
    rows = CreditTransaction.objects.for_org(org).order_by("org_seq")
    return [(row.type, row.amount) for row in rows]


# --- packs -----------------------------------------------------------------------------


def test_a_pack_is_granted_at_once_and_traced_both_ways(org):
    payment = make_payment(org, "pack-100", reference="SEPA 1")
    row = CreditTransaction.objects.get()
    assert (row.type, row.amount, row.reason) == ("PURCHASE", 100, "100 credits bought")
    assert (row.reference_type, row.reference_id) == ("payment", str(payment.pk))
    assert row.idempotency_key == payment.ledger_key
    assert (payment.status, payment.amount, payment.currency) == ("PAID", 900, "usd")
    lot = CreditGrant.objects.get()
    assert (lot.kind, lot.priority) == ("PURCHASE", 50)
    assert lot.expires_at is not None
    assert (lot.expires_at - timezone.now()).days in {364, 365}
    assert tier(org) == "FREE"


def test_the_same_reference_again_returns_the_first_and_changes_nothing(org):
    first = make_payment(org, reference="SEPA 1")
    with nothing_changes():
        assert make_payment(org, reference="SEPA 1") == first
        assert make_payment(org, reference=" SEPA\t 1\u00a0") == first
        assert make_payment(org, reference="SEPA1") == first
        assert make_payment(org, reference="SE PA 1") == first
    assert first.reference == "SEPA 1"


def test_a_reference_stands_for_one_payment(org):
    make_payment(org, reference="SEPA 1")
    other = make_organization()
    for who, code in [(org, "pack-500"), (other, "pack-100")]:
        with nothing_changes(), pytest.raises(Conflict) as refused:
            make_payment(who, code, reference="SEPA 1")
        assert refused.value.error_code == "reference_used"


@pytest.mark.parametrize(
    ("overrides", "code"),
    [
        ({"code": "pack-1"}, "unknown_price"),
        ({"code": "plan-free"}, "not_for_sale"),
        ({"reference": " "}, "invalid"),
        ({"reason": ""}, "invalid"),
        ({"reference": "x" * 101}, "invalid"),
        ({"paid_on": datetime.date(2999, 1, 1)}, "invalid"),
    ],
)
def test_bad_input_has_a_code_and_grants_nothing(org, overrides, code):
    with nothing_changes(), pytest.raises(Invalid) as refused:
        make_payment(org, **overrides)
    assert refused.value.error_code == code


def test_a_price_that_is_not_sold_any_more_cannot_be_paid(org):
    services.withdraw_price(price=Price.objects.get(code="pack-100"), reason=REASON, actor=TESTER)
    with nothing_changes(), pytest.raises(Invalid) as refused:
        make_payment(org)
    assert refused.value.error_code == "price_inactive"


def test_paying_freezes_the_price(org):
    make_payment(org)
    assert Price.objects.get(code="pack-100").frozen_at is not None
    services.revise_price(
        price=Price.objects.get(code="pack-100"), amount=1000, reason=REASON, actor=TESTER
    )
    assert make_payment(org).amount == 1000
    assert list(Payment.objects.order_by("pk").values_list("amount", flat=True)) == [900, 1000]


@pytest.mark.django_db(transaction=True)
def test_submitted_twenty_times_at_once_it_is_one_payment():
    make_catalogue()
    org = make_organization(tier="FREE")
    results = run_together(20, lambda _: make_payment(org, reference="SEPA 1").pk)
    assert len({str(each) for each in results}) == 1
    assert ledger_rows(org) == [("PURCHASE", 100)]


@pytest.mark.django_db(transaction=True)
def test_recorded_at_once_with_and_without_blanks_for_two_payers_it_is_one_payment():
    make_catalogue()
    orgs = [make_organization(tier="FREE") for _ in range(2)]

    def record(number: int) -> bool:
        try:
            make_payment(orgs[number % 2], reference="SEPA 1" if number % 2 else "SEPA1")
        except Conflict:
            return False
        return True

    assert run_together(10, record).count(True) == 5  # the first, and its repetitions
    assert Payment.objects.count() == 1
    assert sum(balance(org).posted for org in orgs) == 100


# --- plans -----------------------------------------------------------------------------


def test_a_plan_sets_the_tier_and_brings_its_credits_until_its_end(org):
    payment = make_payment(org, "plan-pro")
    assert tier(org) == "PRO"
    assert ledger_rows(org) == [("GRANT", 1000)]
    period = PlanPeriod.objects.get()
    assert (period.payment, period.credits, period.granted_at is not None) == (payment, 1000, True)
    lot = CreditGrant.objects.get()
    assert (lot.kind, lot.priority, lot.expires_at) == ("PLAN", 20, period.ends_at)
    assert 28 <= (period.ends_at - period.starts_at).days <= 31


def test_plan_credits_are_drawn_before_packs(org):
    make_payment(org, "pack-100")
    make_payment(org, "plan-starter")
    make_spend(org, 310)
    left = dict(CreditGrant.objects.values_list("kind", "remaining"))
    assert left == {"PLAN": 0, "PURCHASE": 90}


def test_an_upgrade_is_at_once_for_the_difference_until_the_same_end(org):
    make_payment(org, "plan-starter")
    payment = make_payment(org, "plan-pro")
    assert (payment.amount, payment.credits) == (3000, 700)
    assert tier(org) == "PRO"
    assert ledger_rows(org) == [("GRANT", 300), ("GRANT", 700)]
    assert PlanPeriod.objects.values("ends_at").distinct().count() == 1
    assert Subscription.objects.get().price.code == "plan-pro"


def test_the_same_plan_again_is_the_next_month(org):
    make_payment(org, "plan-pro")
    make_payment(org, "plan-pro")
    first, second = PlanPeriod.objects.order_by("starts_at")
    assert (second.starts_at, second.granted_at) == (first.ends_at, None)
    assert balance(org).available == 1000


def test_months_that_began_on_the_31st_end_on_the_last_day_or_the_31st(org):
    with time_machine.travel("2027-01-31 12:00Z", tick=False):
        for _ in range(3):
            make_payment(org, "plan-pro")
    ends = PlanPeriod.objects.order_by("starts_at").values_list("ends_at", flat=True)
    assert [f"{end:%m-%d}" for end in ends] == ["02-28", "03-31", "04-30"]


def test_a_downgrade_begins_when_what_is_paid_for_ends(org):
    make_payment(org, "plan-pro")
    make_payment(org, "plan-starter")
    assert (tier(org), balance(org).available) == ("PRO", 1000)
    age(org, 32)
    assert run("grant_monthly_credits") == (
        "Granted 1 paid periods and 0 free months; 0 plans ended.\n"
    )
    assert (tier(org), ledger_rows(org)) == ("STARTER", [("GRANT", 1000), ("GRANT", 300)])
    assert Subscription.objects.get().price.code == "plan-starter"


def test_a_month_paid_ahead_comes_after_an_upgrade_and_the_next_one_after_that(org):
    make_payment(org, "plan-starter")
    make_payment(org, "plan-starter")
    make_payment(org, "plan-pro")
    make_payment(org, "plan-starter")
    starter = PlanPeriod.objects.filter(price__code="plan-starter").order_by("starts_at")
    first, ahead, last = starter
    assert (ahead.starts_at, last.starts_at) == (first.ends_at, ahead.ends_at)
    assert Subscription.objects.get().period_end == last.ends_at


def test_a_plan_that_is_not_renewed_keeps_what_was_paid_for_and_then_ends(org):
    make_payment(org, "plan-pro")
    age(org, 27)
    run("grant_monthly_credits")
    assert tier(org) == "PRO"
    age(org, 5)
    assert run("grant_monthly_credits").endswith("1 free months; 1 plans ended.\n")
    assert (tier(org), Subscription.objects.get().status) == ("FREE", "ENDED")
    make_payment(org, "plan-pro")
    assert (tier(org), Subscription.objects.count()) == ("PRO", 2)


def test_a_tier_that_staff_set_meanwhile_stays_until_payments_change(org):
    make_payment(org, "plan-starter")
    org_services.change_tier(organization=org, tier="ENTERPRISE", reason=REASON, actor=TESTER)
    run("grant_monthly_credits")
    assert tier(org) == "ENTERPRISE"
    age(org, 32)
    run("grant_monthly_credits")
    assert tier(org) == "FREE"


# --- the free month --------------------------------------------------------------------


def run(*argv):
    out = io.StringIO()
    call_command(*argv, stdout=out)
    return out.getvalue()


@pytest.fixture
def no_month_ends():
    """It is the 15th of the next month, and stays so. Not of the running one: that may be over by the
    clock of PostgreSQL, which refuses what has ended."""
    next_month = timezone.now().replace(day=1) + datetime.timedelta(days=32)
    with time_machine.travel(next_month.replace(day=15), tick=False):
        yield


@pytest.mark.usefixtures("no_month_ends")
def test_the_free_plan_brings_sixty_credits_a_calendar_month_without_a_payment(org):
    make_organization(tier="PRO")
    printed = json.loads(run("grant_monthly_credits", "--json"))
    assert printed == {"paid": 0, "free": 1, "ended": 0, "failed": 0}
    assert json.loads(run("grant_monthly_credits", "--json"))["free"] == 0
    assert ledger_rows(org) == [("GRANT", 60)]
    lot, now = CreditGrant.objects.get(), timezone.now()
    assert lot.expires_at is not None
    assert (lot.expires_at.day, lot.expires_at.hour, lot.kind) == (1, 0, "PLAN")
    assert now < lot.expires_at <= now + datetime.timedelta(days=31)


def test_the_next_month_brings_the_next_credits(org):
    run("grant_monthly_credits")
    age(org, 31)
    CreditGrant.objects.update(expires_at=timezone.now() - datetime.timedelta(days=1))
    assert json.loads(run("grant_monthly_credits", "--json"))["free"] == 1
    assert run("expire_credits") == "Gave back 0 reservations and ended 1 lots of credits.\n"
    assert balance(org).available == 60


def test_a_suspended_organization_gets_no_free_month(db):
    make_organization(tier="FREE", is_active=False)
    assert json.loads(run("grant_monthly_credits", "--json"))["free"] == 0


def test_one_organization_that_fails_does_not_stop_the_month_of_others(org, monkeypatch, caplog):
    other = make_organization(tier="FREE")
    grant = credit_services.grant

    def fail_for_one(**options):
        if options["org"] == org:
            raise LedgerBroken("broken")
        return grant(**options)

    monkeypatch.setattr(credit_services, "grant", fail_for_one)
    out = io.StringIO()
    with pytest.raises(CommandError, match="1 plans were not moved on"):
        call_command("grant_monthly_credits", "--json", stdout=out)
    printed = json.loads(out.getvalue())
    assert printed == {"paid": 0, "free": 1, "ended": 0, "failed": 1}
    assert (ledger_rows(org), ledger_rows(other)) == ([], [("GRANT", 60)])
    assert "plan was not moved on" in caplog.text
    monkeypatch.undo()
    run("grant_monthly_credits")
    assert ledger_rows(org) == [("GRANT", 60)]


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("no_month_ends")
def test_ten_commands_at_once_grant_each_period_once():
    make_catalogue()
    free, paid = make_organization(tier="FREE"), make_organization(tier="FREE")
    make_payment(paid, "plan-pro")
    make_payment(paid, "plan-pro")
    age(paid, 32)
    printed = [str(each) for each in run_together(10, lambda _: run("grant_monthly_credits"))]
    assert all(each.startswith("Granted") for each in printed)
    assert ledger_rows(free) == [("GRANT", 60)]
    assert ledger_rows(paid) == [("GRANT", 1000), ("GRANT", 1000)]


@pytest.mark.django_db(transaction=True)
def test_ten_expire_commands_at_once_end_each_lot_once():
    org = make_organization()
    make_grant(org, 10)
    CreditGrant.objects.update(expires_at=timezone.now() - datetime.timedelta(days=1))
    results = run_together(10, lambda _: json.loads(run("expire_credits", "--json"))["grants"])
    assert sum(int(str(each)) for each in results) == 1
    assert ledger_rows(org) == [("GRANT", 10), ("EXPIRE", -10)]


# --- the commands ----------------------------------------------------------------------


def test_record_payment_says_what_it_did(org):
    argv = ["record_payment", org.slug, "pack-500", "--reference", "S1", "--paid-on", "2026-01-31"]
    assert run(*argv) == (f"{org.name}: $39.00 for pack-500 v1; 500 credits are available.\n")
    assert run(*argv) == (
        f"{org.name}: $39.00 for pack-500 v1 was recorded before, and nothing was changed; "
        "500 credits are available.\n"
    )
    printed = json.loads(run(*argv, "--json"))
    payment = Payment.objects.get()
    assert printed == {
        "org": str(org.pk),
        "payment": str(payment.pk),
        "recorded_before": True,
        "amount": 3900,
        "currency": "usd",
        "credits": 500,
        "available": 500,
    }
    assert payment.paid_at == datetime.datetime(2026, 1, 31, tzinfo=datetime.UTC)
    assert payment.actor == "command:record_payment"


@pytest.mark.parametrize(
    "argv",
    [
        ["nobody", "pack-100", "--reference", "S1", "--paid-on", "2026-01-31"],
        ["acme", "pack-1", "--reference", "S1", "--paid-on", "2026-01-31"],
        ["acme", "pack-100", "--reference", "S1", "--paid-on", "31.1.2026"],
        ["acme", "pack-100", "--paid-on", "2026-01-31"],
    ],
)
def test_record_payment_refuses_what_makes_no_sense(argv):
    make_organization(name="Acme")
    with pytest.raises(CommandError):
        run("record_payment", *argv)
    assert not Payment.objects.exists()


# --- money that went back --------------------------------------------------------------


def test_a_transfer_that_bounced_takes_its_credits_back_or_leaves_them_owed(org):
    payment = make_payment(org, "pack-100", reference="SEPA 1")
    make_spend(org, 70)
    argv = ["reverse_payment", " SEPA  1", "--reason", "the transfer bounced"]
    assert run(*argv, "--amount", "450") == (
        f"{org.name}: of $9.00 for pack-100 v1, $4.50 went back; "
        "0 credits are available and 20 are owed.\n"
    )
    assert json.loads(run(*argv, "--json")) == {
        "org": str(org.pk),
        "payment": str(payment.pk),
        "changed": True,
        "reversed_amount": 900,
        "available": 0,
        "debt": 70,
    }
    with nothing_changes():
        assert run(*argv) == (
            f"{org.name}: of $9.00 for pack-100 v1, $9.00 went back already, and nothing was "
            "changed; 0 credits are available and 70 are owed.\n"
        )
    taken = org.credit_reversals.order_by("pk").values_list("reason", "actor", "reference_id")
    assert set(taken) == {
        ("the transfer bounced", "command:reverse_payment", str(payment.pk)),
    }


@pytest.mark.django_db(transaction=True)
def test_reversed_eight_times_at_once_it_goes_back_once():
    make_catalogue()
    org = make_organization(tier="FREE")
    payment = make_payment(org, "plan-pro")
    results = run_together(
        8,
        lambda _: services.reverse_payment(
            payment=payment, reason="the transfer bounced", actor=TESTER
        ),
    )
    assert sorted(type(each).__name__ for each in results) == ["NoneType"] * 7 + ["Payment"]
    assert (ledger_rows(org), tier(org)) == ([("GRANT", 1000), ("ADJUST", -1000)], "FREE")


def test_what_cannot_have_gone_back_is_refused(org, stripe):
    make_payment(org, reference="SEPA 1")
    services.reverse_payment(
        payment=Payment.objects.get(), amount=450, reason="the transfer bounced", actor=TESTER
    )
    bought = start_checkout(org, "pack-500")
    stripe.pay(bought.checkout_id)
    deliver(stripe)
    with nothing_changes():
        for argv in (
            ["SEPA 2", "--reason", "the transfer bounced"],
            ["SEPA 1", "--reason", "the transfer bounced", "--amount", "449"],
            ["SEPA 1", "--reason", "the transfer bounced", "--amount", "901"],
            ["SEPA 1", "--reason", "the transfer bounced", "--amount", "0"],
            ["SEPA 1", "--reason", " "],
            ["", "--reason", "the transfer bounced"],
        ):
            with pytest.raises(CommandError):
                run("reverse_payment", *argv)
        with pytest.raises(Invalid):
            services.reverse_payment(payment=bought, reason="the transfer bounced", actor=TESTER)


def test_a_plan_whose_transfer_bounced_ends_and_can_be_paid_again_at_once(org):
    for amount in (4900, 4900):
        payment = make_payment(org, "plan-pro")
        assert (tier(org), payment.amount) == ("PRO", amount)
        services.reverse_payment(payment=payment, reason="the transfer bounced", actor=TESTER)
        assert (tier(org), balance(org).posted) == ("FREE", 0)
        assert set(Subscription.objects.values_list("status", flat=True)) == {"ENDED"}


def test_an_upgrade_that_bounced_leaves_the_plan_before_it_and_costs_the_same_again(org):
    make_payment(org, "plan-starter")
    upgrade = make_payment(org, "plan-pro")
    services.reverse_payment(payment=upgrade, reason="the transfer bounced", actor=TESTER)
    assert (tier(org), balance(org).posted) == ("STARTER", 300)
    assert Subscription.objects.get().price.code == "plan-starter"
    again = make_payment(org, "plan-pro")
    assert (again.amount, again.credits, tier(org)) == (3000, 700, "PRO")


def test_a_month_paid_ahead_that_bounced_does_not_come(org):
    make_payment(org, "plan-pro")
    ahead = make_payment(org, "plan-pro")
    services.reverse_payment(payment=ahead, reason="the transfer bounced", actor=TESTER)
    (first, second) = PlanPeriod.objects.order_by("starts_at")
    assert Subscription.objects.get().period_end == first.ends_at == second.starts_at
    age(org, 32)
    printed = json.loads(run("grant_monthly_credits", "--json"))
    assert (printed["ended"], printed["failed"], tier(org)) == (1, 0, "FREE")
    assert ledger_rows(org) == [("GRANT", 1000), ("GRANT", 60)]
    assert Subscription.objects.get().status == "ENDED"


# --- the proof -------------------------------------------------------------------------


@pytest.mark.breaks_ledger
def test_every_kind_of_mismatch_is_found(org):
    payment = make_payment(org)
    make_grant(org, 5, kind="PURCHASE")
    Payment.objects.filter(pk=payment.pk).update(credits=99)
    plan = make_payment(org, "plan-pro")
    Payment.objects.filter(pk=plan.pk).update(credits=1)
    found = sorted(each.message for each in mismatches())
    rows = CreditTransaction.objects.filter(type="PURCHASE").order_by("pk")
    assert found == sorted(
        [
            f"payment {payment.pk} is worth 99 credits, but the ledger gave and kept 100",
            f"payment {plan.pk} is worth 1 credits, but the ledger gave and kept 1000",
            f"ledger row {rows[0].pk} is a purchase of 100 credits that no payment stands behind",
            f"ledger row {rows[1].pk} is a purchase of 5 credits that no payment stands behind",
        ]
    )

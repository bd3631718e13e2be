"""`manage.py grant_credits`, `record_payment` and `create_org`, under the limit of one person."""

from __future__ import annotations

import datetime
import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from clipforge.audit.models import AuditEntry
from clipforge.devtools.testing.factories import make_organization
from clipforge.devtools.testing.staff import make_staff, signed_in
from clipforge.devtools.testing.staff_client import REASON
from clipforge.devtools.testing.state import nothing_changes
from clipforge.orgs.models import Organization, User
from clipforge.staff.models import ApprovalRequest
from credits.models import CreditGrant, CreditTransaction
from credits.selectors import balance

pytestmark = pytest.mark.django_db

WHY = ("--reason", "asked for in writing")


def run(*argv: str) -> str:
    out = io.StringIO()
    call_command(*argv, stdout=out)
    return out.getvalue()


@pytest.fixture(autouse=True)
def low_limits(settings: Any) -> None:
    settings.STAFF_GRANT_CONFIRM_CREDITS = 1000
    settings.STAFF_DAY_CONFIRM_CREDITS = 2500


@pytest.fixture
def acme(db: None) -> Organization:
    return make_organization(name="Acme")


@pytest.fixture
def ada(db: None) -> User:
    return make_staff("finance", email="ada@example.com")


BY_ADA = ("--operator", "ada@example.com")


def test_grant_credits_says_what_is_available_now():
    org = make_organization(name="Acme", credits_=5)
    assert run("grant_credits", "acme", "40", "--reason", "sorry for Monday") == (
        "Granted 40 credits to Acme; 45 are available.\n"
    )
    row = CreditTransaction.objects.latest("pk")
    assert (row.amount, row.reason, row.actor) == (40, "sorry for Monday", "command:grant_credits")
    assert balance(org).available == 45


def test_granted_credits_last_through_the_day_they_expire(organization):
    run(
        "grant_credits",
        organization.slug,
        "40",
        "--reason",
        "a promotion",
        "--expires",
        "2999-12-31",
    )
    ends = CreditGrant.objects.get().expires_at
    assert ends == datetime.datetime(2999, 12, 31, 23, 59, 59, 999999, tzinfo=datetime.UTC)


def test_the_same_key_grants_once(organization):
    for _ in range(2):
        run("grant_credits", organization.slug, "40", "--reason", "a promotion", "--key", "monday")
    assert balance(organization).available == 40


def test_without_a_key_it_grants_each_time(organization):
    for _ in range(2):
        run("grant_credits", organization.slug, "40", "--reason", "a promotion")
    assert balance(organization).available == 80


def test_grant_credits_prints_json(organization):
    printed = json.loads(
        run(
            "grant_credits",
            organization.slug,
            "40",
            "--reason",
            "a promotion",
            "--key",
            "k",
            "--json",
        )
    )
    assert printed == {
        "org": str(organization.pk),
        "transaction": CreditTransaction.objects.get().pk,
        "key": "k",
        "amount": 40,
        "expires_at": None,
        "available": 40,
    }


@pytest.mark.parametrize(
    "argv",
    [
        ["nobody", "40", "--reason", "a promotion"],
        ["acme", "0", "--reason", "a promotion"],
        ["acme", "99999999999999999999", "--reason", "a promotion"],
        ["acme", "many", "--reason", "a promotion"],
        ["acme", "40", "--reason", " "],
        ["acme", "40"],
        ["acme", "40", "--reason", "a promotion", "--expires", "31.12.2999"],
        ["acme", "40", "--reason", "a promotion", "--expires", "2001-01-01"],
    ],
)
def test_grant_credits_refuses_what_makes_no_sense(argv):
    make_organization(name="Acme")
    with pytest.raises(CommandError):
        run("grant_credits", *argv)
    assert not CreditTransaction.objects.exists()


# --- the limit of one person -----------------------------------------------------------


def test_the_limit_itself_is_granted_with_one_row_in_the_audit(acme):
    run("grant_credits", "acme", "1000", *WHY)
    assert balance(acme).available == 1000
    entry = AuditEntry.objects.get()
    assert (entry.verb, entry.org, entry.actor, entry.actor_name) == (
        "grant_credits",
        acme,
        None,
        "grant_credits",
    )
    assert (entry.before["available"], entry.after["available"]) == (0, 1000)
    assert (entry.after["amount"], entry.reason) == (1000, WHY[1])


def test_more_than_the_limit_needs_an_operator_who_asks(acme):
    with nothing_changes(), pytest.raises(CommandError, match="--operator EMAIL"):
        run("grant_credits", "acme", "1001", *WHY)


def test_small_grants_without_an_operator_count_together(acme):
    run("grant_credits", "acme", "600", *WHY)
    with pytest.raises(CommandError, match="without a second person"):
        run("grant_credits", "acme", "401", *WHY)
    assert balance(acme).available == 600


def test_an_operator_asks_and_a_second_person_confirms(acme, ada):
    said = run("grant_credits", "acme", "1001", *WHY, *BY_ADA)
    asked = ApprovalRequest.objects.get()
    page = reverse("admin:approval", args=[asked.pk])
    assert said.splitlines() == [
        "Nothing has moved yet: Grant of 1,001 credits for Acme is more than one person may move.",
        f"A second person confirms it within 7 days, in the admin: {page}",
    ]
    assert (asked.requested_by, asked.amount, asked.reason) == (ada, 1001, WHY[1])
    assert balance(acme).available == 0
    entry = AuditEntry.objects.get()
    assert (entry.verb, entry.actor, entry.actor_kind) == ("request_credits", ada, "command")
    assert signed_in(ada).post(page, {"confirm": "yes", "reason": REASON}).status_code == 200
    assert balance(acme).available == 0
    bob = signed_in(make_staff("finance"))
    assert bob.post(page, {"confirm": "yes", "reason": REASON}).status_code == 302
    assert balance(acme).available == 1001


def test_pages_and_commands_of_one_person_count_together(acme, ada):
    AuditEntry.objects.create(
        actor=ada, org=acme, verb="grant_credits", reason=REASON, after={"amount": 600}
    )
    run("grant_credits", "acme", "401", *WHY, *BY_ADA)
    assert ApprovalRequest.objects.get().amount == 401


def test_the_same_key_asks_once(acme, ada):
    said = {
        run("grant_credits", "acme", "1001", *WHY, *BY_ADA, "--key", "k", "--json")
        for _ in range(2)
    }
    assert len(said) == 1
    asked = ApprovalRequest.objects.get()
    assert json.loads(said.pop()) == {
        "org": str(acme.pk),
        "request": asked.pk,
        "approve_at": reverse("admin:approval", args=[asked.pk]),
    }


def test_an_operator_needs_the_permission_of_the_page(acme):
    make_staff("support", email="eve@example.com")
    with nothing_changes(), pytest.raises(CommandError, match=r"staff\.grant_credits is missing"):
        run("grant_credits", "acme", "1", *WHY, "--operator", "eve@example.com")


def test_a_payment_above_the_limit_waits_for_a_second_person(acme, ada):
    argv = ["record_payment", "acme", "pack-2000", "--reference", "S 1", "--paid-on", "2026-01-31"]
    with nothing_changes(), pytest.raises(CommandError, match="--operator EMAIL"):
        run(*argv)
    for _ in range(2):
        assert "Nothing has moved yet: Payment of 2,000 credits for Acme" in run(*argv, *BY_ADA)
    asked = ApprovalRequest.objects.get()
    assert (asked.ticket, asked.requested_by) == ("S 1", ada)
    assert AuditEntry.objects.get().verb == "request_credits"


def test_credits_to_start_with_are_under_the_same_limit(ada):
    with nothing_changes(), pytest.raises(CommandError, match="--operator EMAIL"):
        run("create_org", "Globex", "--credits", "1001")
    assert not Organization.objects.exists()
    said = run("create_org", "Globex", "--credits", "1001", *BY_ADA)
    assert "created with 0 credits" in said
    assert "Nothing has moved yet" in said
    assert ApprovalRequest.objects.get().org == Organization.objects.get()


@pytest.mark.parametrize(("amount", "more"), [("5", ()), ("5", BY_ADA), ("1001", BY_ADA)])
def test_a_dry_run_changes_nothing(acme, ada, amount, more):
    with nothing_changes():
        assert "Dry run: nothing was changed." in run(
            "grant_credits", "acme", amount, *WHY, *more, "--dry-run"
        )
    assert not AuditEntry.objects.exists()
    assert not ApprovalRequest.objects.exists()

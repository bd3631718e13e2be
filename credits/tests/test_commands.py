from __future__ import annotations

import datetime
import io
import json

import pytest
from django.core.management import CommandError, call_command

from clipforge.devtools.testing.factories import make_grant, make_organization
from credits.models import CreditAccount, CreditGrant, CreditTransaction
from credits.selectors import balance

pytestmark = pytest.mark.django_db


def run(*argv: str) -> str:
    out = io.StringIO()
    call_command(*argv, stdout=out)
    return out.getvalue()


def test_grant_credits_says_what_is_available_now():
    org = make_organization(name="Acme", credits_=5)
    assert run("grant_credits", "acme", "40", "--reason", "sorry for Monday") == (
        "Granted 40 credits to Acme; 45 are available.\n"
    )
    row = CreditTransaction.objects.latest("pk")
    assert (row.amount, row.reason, row.actor) == (40, "sorry for Monday", "command:grant_credits")
    assert balance(org).available == 45


def test_granted_credits_last_through_the_day_they_expire(organization):
    run("grant_credits", organization.slug, "40", "--reason", "promo", "--expires", "2999-12-31")
    ends = CreditGrant.objects.get().expires_at
    assert ends == datetime.datetime(2999, 12, 31, 23, 59, 59, 999999, tzinfo=datetime.UTC)


def test_the_same_key_grants_once(organization):
    for _ in range(2):
        run("grant_credits", organization.slug, "40", "--reason", "promo", "--key", "monday")
    assert balance(organization).available == 40


def test_without_a_key_it_grants_each_time(organization):
    for _ in range(2):
        run("grant_credits", organization.slug, "40", "--reason", "promo")
    assert balance(organization).available == 80


def test_grant_credits_prints_json(organization):
    printed = json.loads(
        run("grant_credits", organization.slug, "40", "--reason", "promo", "--key", "k", "--json")
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
        ["nobody", "40", "--reason", "promo"],
        ["acme", "0", "--reason", "promo"],
        ["acme", "99999999999999999999", "--reason", "promo"],
        ["acme", "many", "--reason", "promo"],
        ["acme", "40", "--reason", " "],
        ["acme", "40"],
        ["acme", "40", "--reason", "promo", "--expires", "31.12.2999"],
        ["acme", "40", "--reason", "promo", "--expires", "2001-01-01"],
    ],
)
def test_grant_credits_refuses_what_makes_no_sense(argv):
    make_organization(name="Acme")
    with pytest.raises(CommandError):
        run("grant_credits", *argv)
    assert not CreditTransaction.objects.exists()


def test_reconcile_credits_says_that_all_is_well(organization):
    make_grant(organization, 40)
    assert run("reconcile_credits") == "The ledger adds up: every invariant holds.\n"
    assert json.loads(run("reconcile_credits", "--org", organization.slug, "--json")) == {
        "ok": True,
        "breaches": [],
    }


@pytest.mark.breaks_ledger
def test_reconcile_credits_prints_each_breach_and_fails_and_repairs_nothing():
    org = make_organization(name="Acme", credits_=40)
    CreditAccount.objects.update(posted=41)
    out = io.StringIO()
    with pytest.raises(CommandError, match="does not add up: 2 breaches") as failed:
        call_command("reconcile_credits", stdout=out)
    assert failed.value.returncode == 1
    assert out.getvalue().splitlines() == [
        "#  organization  what",
        "1  acme          posted is 41 but the transactions add up to 40",
        "3  acme          posted is 41 but 40 remain in the grants",
    ]
    assert balance(org).posted == 41


@pytest.mark.breaks_ledger
def test_reconcile_credits_of_another_organization_does_not_fail():
    make_organization(name="Acme", credits_=40)
    CreditAccount.objects.update(posted=41)
    make_organization(name="Fine", credits_=40)
    assert run("reconcile_credits", "--org", "fine").startswith("The ledger adds up")


@pytest.mark.breaks_ledger
def test_reconcile_credits_prints_json_and_fails():
    org = make_organization(credits_=40)
    CreditAccount.objects.update(posted=41)
    out = io.StringIO()
    with pytest.raises(CommandError):
        call_command("reconcile_credits", "--json", stdout=out)
    printed = json.loads(out.getvalue())
    assert printed["ok"] is False
    assert printed["breaches"][0] == {
        "invariant": 1,
        "org_id": str(org.pk),
        "message": "posted is 41 but the transactions add up to 40",
    }

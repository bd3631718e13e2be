from __future__ import annotations

import io
import json

import pytest
from django.core.management import CommandError, call_command

from clipforge.devtools.testing.factories import make_grant, make_organization
from credits.models import CreditAccount
from credits.selectors import balance

pytestmark = pytest.mark.django_db


def run(*argv: str) -> str:
    out = io.StringIO()
    call_command(*argv, stdout=out)
    return out.getvalue()


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

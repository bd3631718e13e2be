"""`manage.py create_org`: a customer with an owner and credits, or nothing at all."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from clipforge.orgs.models import Membership, Organization, User
from credits.models import CreditTransaction
from credits.selectors import Balance, balance

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> list[str]:
    """The lines that the command printed."""
    out = io.StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue().splitlines()


def run_json(*arguments: str) -> dict[str, Any]:
    """The output of the command under --json, which is one object on one line, parsed."""
    (line,) = run(*arguments, "--json")
    result: dict[str, Any] = json.loads(line)
    return result


def test_create_org_says_what_it_made_and_what_to_do_next():
    lines = run("create_org", "Acme Films", "--tier", "PRO", "--credits", "500")
    organization = Organization.objects.get()
    assert lines == [
        f"Acme Films (PRO) created with 500 credits: {organization.pk}",
        "Next: manage.py create_api_key acme-films",
    ]
    assert balance(organization) == Balance(available=500, held=0, posted=500)
    assert CreditTransaction.objects.get().actor == "command:create_org"


def test_create_org_prints_one_json_object():
    result = run_json("create_org", "Acme", "--owner", "ada@example.com")
    assert result == {
        "id": str(Organization.objects.get().pk),
        "slug": "acme",
        "tier": "FREE",
        "owner": "ada@example.com",
        "credits": 0,
    }
    assert Membership.objects.get().user.email == "ada@example.com"


def test_create_org_refuses_a_duplicate_and_grants_nothing():
    run("create_org", "Acme")
    with pytest.raises(CommandError, match='There is an organization "acme" already'):
        run("create_org", "Acme", "--credits", "10", "--owner", "ada@example.com")
    assert Organization.objects.count() == 1
    assert (User.objects.count(), CreditTransaction.objects.count()) == (0, 0)


@pytest.mark.parametrize("credits_", ["-1", "-1000000"])
def test_create_org_with_credits_that_cannot_be_granted_leaves_no_organization(credits_):
    with pytest.raises(CommandError):
        run("create_org", "Acme", f"--credits={credits_}")
    assert Organization.objects.count() == 0


@pytest.mark.parametrize(
    "arguments",
    [["Acme", "--tier", "GOLD"], ["Acme", "--credits", "many"], []],
    ids=["tier", "credits", "no name"],
)
def test_create_org_refuses_arguments_that_make_no_sense(arguments):
    with pytest.raises(CommandError):
        run("create_org", *arguments)
    assert Organization.objects.count() == 0

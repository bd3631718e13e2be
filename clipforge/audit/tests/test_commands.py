"""A command leaves the same row as the page that does the same, and can be tried without an effect."""

from __future__ import annotations

import getpass
import io
import json
from typing import Any

import pytest
from django.apps import apps
from django.core.management import (
    CommandError,
    call_command,
    get_commands,
    load_command_class,
)
from django.utils import timezone

from billing.tests.makers import make_payment
from clipforge.audit.models import AuditEntry
from clipforge.common.commands import DryRunCommand
from clipforge.devtools.testing.factories import (
    make_api_key,
    make_grant,
    make_organization,
    make_user,
)
from clipforge.devtools.testing.staff import make_staff
from clipforge.orgs.models import Organization, User
from credits.models import CreditGrant

pytestmark = pytest.mark.django_db

WHY = ("--reason", "contract 7 was signed")


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def stored() -> dict[str, Any]:
    """Every row that a command can change."""
    labels = ("audit", "orgs", "credits", "billing", "staff", "otp_totp", "otp_static")
    models = [model for label in labels for model in apps.get_app_config(label).get_models()]
    return {
        model._meta.label: list(model._default_manager.order_by("pk").values())
        for model in models
        if model._meta.managed
    }


@pytest.fixture
def acme(db: None) -> Organization:
    return make_organization(name="Acme", tier="FREE")


@pytest.fixture
def ada(db: None) -> User:
    return make_staff(email="ada@example.com")


def test_the_row_names_command_operator_and_reason(acme, ada):
    run("set_tier", "acme", "PRO", "--operator", "ADA@example.com", *WHY)
    entry = AuditEntry.objects.get()
    assert (entry.verb, entry.org, entry.before, entry.after, entry.reason) == (
        "change_tier",
        acme,
        {"tier": "FREE"},
        {"tier": "PRO"},
        WHY[1],
    )
    assert (entry.actor, entry.actor_kind, entry.actor_name, entry.actor_label) == (
        ada,
        "command",
        "set_tier",
        "ada@example.com",
    )


def test_without_an_operator_the_row_names_the_os_user(acme):
    run("set_tier", "acme", "PRO", *WHY)
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.actor_label) == (None, getpass.getuser())


@pytest.mark.parametrize("rights", [{}, {"is_staff": True, "is_active": False}])
def test_an_operator_is_one_of_the_active_staff(acme, rights):
    make_user(email="bob@example.com", **rights)
    before = stored()
    with pytest.raises(CommandError, match="no active member of staff with the address"):
        run("set_tier", "acme", "PRO", "--operator", "bob@example.com", *WHY)
    assert stored() == before


COMMANDS: dict[str, list[str]] = {
    "set_tier": ["acme", "PRO", *WHY],
    "create_api_key": ["acme"],
    "revoke_api_key": ["{key}"],
    "create_org": ["Globex", "--owner", "bob@example.com", "--credits", "50"],
    "reset_second_factor": ["ada@example.com", *WHY],
    "throttle": ["reset", "acme"],
    "grant_credits": ["acme", "5", *WHY],
    "record_payment": ["acme", "pack-100", "--reference", "S 2", "--paid-on", "2026-01-31"],
    "reverse_payment": ["S 1", *WHY],
}
# By the clock: what they do is no act of a person, and leaves its trail in the ledger.
BY_THE_CLOCK: dict[str, list[str]] = {"grant_monthly_credits": [], "expire_credits": []}


def arguments_of(command: str, org: Organization) -> list[str]:
    """The arguments, with a key, a payment and credits that have ended to work on."""
    key = make_api_key(org).api_key.prefix
    make_payment(org, reference="S 1")
    make_grant(org, 5)
    CreditGrant.objects.filter(amount=5).update(expires_at=timezone.now())
    return [each.format(key=key) for each in (COMMANDS | BY_THE_CLOCK)[command]]


@pytest.mark.parametrize("command", [*COMMANDS, *BY_THE_CLOCK])
@pytest.mark.usefixtures("ada")
def test_a_dry_run_says_so_and_changes_nothing(command, acme):
    arguments = arguments_of(command, acme)
    before = stored()
    assert "Dry run: nothing was changed." in run(command, *arguments, "--dry-run")
    assert json.loads(run(command, *arguments, "--dry-run", "--json"))["dry_run"] is True
    assert stored() == before


@pytest.mark.parametrize("command", sorted(COMMANDS.keys() - {"create_org"}))
@pytest.mark.usefixtures("ada")
def test_each_leaves_one_row_in_its_name(command, acme):
    run(command, *arguments_of(command, acme))
    entry = AuditEntry.objects.get()
    assert (entry.actor_kind, entry.actor_name) == ("command", command)


def test_a_new_organization_is_one_row(acme):
    run("create_org", "Globex")
    assert AuditEntry.objects.get().after == {"name": "Globex", "tier": "FREE"}


# Commands without `--dry-run`, each with the reason.
NO_DRY_RUN = {
    "up": "starts the service, and fills a database that is empty",
    "demo": "makes an organization of its own to show what the service does",
    "worker": "is the service",
    "watch": "looks, and tells people",
    "preflight": "only reads",
    "backup": "only reads, and writes files that are new",
    "restore": "fills a database that is empty, or nothing",
    "reconcile_credits": "only reads; notes that it did",
    "check_indexes": "only reads",
    "export_feedback": "only reads",
    "generate_sdk": "writes source files, which git shows",
    "lint_migrations": "only reads",
    "faultdrill": "breaks a service of its own, started for it",
    "loadtest": "is load, with keys that it revokes itself",
    "soak": "is load, with keys that it revokes itself",
    "seed_load": "fills a database that is there to be filled",
}


def test_every_command_that_changes_something_can_be_tried():
    ours = {
        name: load_command_class(app, name)
        for name, app in get_commands().items()
        if app.partition(".")[0] in {"clipforge", "credits", "projects", "exports", "billing"}
    }
    without = {name for name, command in ours.items() if not isinstance(command, DryRunCommand)}
    assert without == set(NO_DRY_RUN)

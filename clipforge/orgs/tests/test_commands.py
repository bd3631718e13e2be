"""The commands about organizations and keys: their arguments and output."""

from __future__ import annotations

import argparse
import datetime
import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command, execute_from_command_line

from clipforge.common.commands import day
from clipforge.devtools.testing.factories import make_api_key, make_organization
from clipforge.orgs import keys
from clipforge.orgs.models import APIKey, Organization

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


# --- create_api_key --------------------------------------------------------------------


def test_create_api_key_shows_the_key_once_and_how_to_revoke_it():
    make_organization(name="Acme")
    lines = run("create_api_key", "acme", "--name", "ci")
    api_key = APIKey.objects.get()
    assert lines[0] == "API key of Acme, shown only now:"
    assert lines[-1] == f"Revoke it with: manage.py revoke_api_key {api_key.prefix}"
    (secret,) = [line.strip() for line in lines if line.startswith("  cf_live_")]
    assert keys.matches(secret, api_key.digest)
    assert (api_key.name, api_key.expires_at, api_key.created_by) == ("ci", None, None)


def test_create_api_key_prints_one_json_object():
    organization = make_organization()
    result = run_json("create_api_key", str(organization.pk), "--expires", "2999-12-31")
    api_key = APIKey.objects.get()
    assert result.pop("key").startswith(f"cf_live_{api_key.prefix}_")
    assert result == {
        "org": str(organization.pk),
        "id": str(api_key.pk),
        "prefix": api_key.prefix,
        "expires_at": "2999-12-31 23:59:59.999999+00:00",
    }
    assert api_key.name == "created by an operator"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nobody"], 'No organization has the id, slug or name "nobody"'),
        (["acme", "--name", ""], "A key needs a name"),
        (["acme", "--expires", "2020-01-01"], "would have expired already"),
        (["acme", "--expires", "31.12.2999"], '"31.12.2999" is not a date like 2026-12-31'),
        (["acme", "--expires", "2999-02-30"], "is not a date"),
    ],
)
def test_create_api_key_refuses_and_makes_nothing(arguments, sentence):
    make_organization(name="Acme")
    with pytest.raises(CommandError, match=sentence):
        run("create_api_key", *arguments)
    assert APIKey.objects.count() == 0


# --- revoke_api_key --------------------------------------------------------------------


def test_revoke_api_key_says_whose_key_it_was():
    organization = make_organization(name="Acme")
    api_key = make_api_key(organization, name="ci").api_key
    assert run("revoke_api_key", api_key.prefix) == [
        f"ci (cf_live_{api_key.prefix}_…) of Acme revoked."
    ]
    api_key.refresh_from_db()
    assert api_key.revoked_at is not None


def test_revoking_again_is_no_error_and_says_so():
    new = make_api_key(make_organization(name="Acme"), name="ci")
    first = run_json("revoke_api_key", new.secret)
    assert first == {"id": str(new.api_key.pk), "prefix": new.api_key.prefix, "revoked": True}
    revoked_at = APIKey.objects.get().revoked_at
    assert run("revoke_api_key", str(new.api_key.pk)) == [
        f"ci (cf_live_{new.api_key.prefix}_…) of Acme was revoked already."
    ]
    assert run_json("revoke_api_key", str(new.api_key.pk))["revoked"] is False
    assert APIKey.objects.get().revoked_at == revoked_at


def test_revoking_an_unknown_key_is_refused_and_leaves_the_others():
    make_api_key(make_organization())
    with pytest.raises(CommandError, match='No API key has the id or prefix "nonsense"'):
        run("revoke_api_key", "nonsense")
    assert APIKey.objects.filter(revoked_at=None).count() == 1


# --- set_tier --------------------------------------------------------------------------


def test_set_tier_says_from_what_to_what():
    organization = make_organization(name="Acme", tier="FREE")
    assert run("set_tier", "acme", "BUSINESS", "--reason", "contract 7") == [
        "Acme: FREE → BUSINESS."
    ]
    assert run_json("set_tier", "acme", "FREE", "--reason", "contract ended") == {
        "org": str(organization.pk),
        "before": "BUSINESS",
        "after": "FREE",
    }


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["acme", "PRO"], "--reason"),
        (["acme", "PRO", "--reason", "because"], "a reason of at least 10 characters"),
        (["acme", "GOLD", "--reason", "why"], "invalid choice: 'GOLD'"),
        (["nobody", "PRO", "--reason", "why"], 'No organization has the id, slug or name "nobody"'),
    ],
)
def test_set_tier_refuses_and_changes_nothing(arguments, sentence):
    make_organization(name="Acme", tier="FREE")
    with pytest.raises(CommandError, match=sentence):
        run("set_tier", *arguments)
    assert Organization.objects.get().tier == "FREE"


# --- all of them -----------------------------------------------------------------------


def test_a_day_lasts_until_its_last_microsecond_in_utc():
    assert day("2026-12-31") == datetime.datetime(
        2026, 12, 31, 23, 59, 59, 999999, tzinfo=datetime.UTC
    )
    with pytest.raises(argparse.ArgumentTypeError, match='"tomorrow" is not a date'):
        day("tomorrow")


@pytest.mark.django_db(transaction=True)  # the command line closes its connection at the end
def test_a_refusal_is_one_sentence_on_stderr_and_exit_code_1(capsys, settings):
    # Else the handlers of all later tests would write where this one's output is captured.
    settings.LOGGING_CONFIG = None
    with pytest.raises(SystemExit) as end:
        execute_from_command_line(["manage.py", "set_tier", "nobody", "PRO", "--reason", "why"])
    printed = capsys.readouterr()
    assert (end.value.code, printed.out) == (1, "")
    assert printed.err == ('CommandError: No organization has the id, slug or name "nobody".\n')


# --- keys with limits ------------------------------------------------------------------


def test_a_key_is_made_with_scopes_addresses_and_a_cap():
    make_organization(name="Acme")
    run(
        *("create_api_key", "acme", "--scope", "write", "--scope", "read"),
        *("--address", "203.0.113.0/24", "--cap", "9"),
    )
    key = APIKey.objects.get()
    assert (key.scopes, key.allowed_addresses, key.monthly_cap) == (
        "read write",
        "203.0.113.0/24",
        9,
    )


def test_a_test_key_is_one_of_the_sandbox_which_is_made_once():
    acme = make_organization(name="Acme")
    first = run_json("create_api_key", "acme", "--test")
    second = run_json("create_api_key", "acme", "--test")
    sandbox = Organization.objects.get(sandbox_of=acme)
    assert {first["org"], second["org"]} == {str(sandbox.pk)}
    assert first["key"].startswith(f"cf_test_{first['prefix']}_")


def test_rotate_api_key_shows_the_new_one_and_until_when_the_other_works():
    old = make_api_key(make_organization(), scopes="read").api_key
    result = run_json("rotate_api_key", old.prefix, "--hours", "3")
    new = APIKey.objects.get(replaces=old)
    old.refresh_from_db()
    assert keys.matches(result.pop("key"), new.digest)
    assert result == {
        "id": str(new.pk),
        "prefix": new.prefix,
        "replaces": old.prefix,
        "ends": str(old.expires_at),
    }
    assert new.scopes == "read"
    with pytest.raises(CommandError, match="rotated already"):
        run("rotate_api_key", old.prefix)


def test_limit_api_key_changes_what_is_given_and_leaves_the_rest():
    key = make_api_key(make_organization(), monthly_cap=5, name="ci").api_key
    assert run("limit_api_key", key.prefix, "--scope", "read", "--address", "10.0.0.0/8") == [
        f"ci (cf_live_{key.prefix}_…): read; from 10.0.0.0/8; 5 credits a month."
    ]
    assert run("limit_api_key", key.prefix, "--anywhere", "--no-cap") == [
        f"ci (cf_live_{key.prefix}_…): read; from anywhere; no cap."
    ]
    assert run_json("limit_api_key", key.prefix, "--cap", "0")["monthly_cap"] == 0
    assert run_json("limit_api_key", key.prefix, "--cap", "0")["changed"] is False
    with pytest.raises(CommandError, match="is no network"):
        run("limit_api_key", key.prefix, "--address", "here")

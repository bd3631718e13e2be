"""`manage.py throttle`."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from clipforge.devtools.testing.factories import make_client, make_organization
from clipforge.devtools.testing.state import lasting_breaker
from clipforge.orgs.models import Organization

pytestmark = pytest.mark.django_db(transaction=True)


def throttle(*arguments: str) -> Any:
    out = io.StringIO()
    call_command("throttle", *arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


def test_it_shows_what_was_used_of_which_limit_and_charges_nothing():
    org = make_organization(name="Acme", tier="FREE")
    client = make_client(org)
    for _ in range(3):
        client.get("/api/v1/me")
    for _ in range(2):
        assert throttle("show", "acme")["scopes"] == {
            "api": {"used": 3, "limit": 50},
            "uploads": {"used": 0, "limit": 5},
            "exports": {"used": 0, "limit": 10},
        }


def test_reset_lets_it_begin_anew_at_once():
    org = make_organization(name="Acme", tier="FREE")
    Organization.objects.filter(pk=org.pk).update(rate_limit_override=1)
    client = make_client(org)
    assert [client.get("/api/v1/me").status_code for _ in range(2)] == [200, 429]
    assert throttle("reset", "acme")["reset"] is True
    assert client.get("/api/v1/me").status_code == 200


def test_an_organization_that_is_not_there_is_said():
    with pytest.raises(CommandError, match="nobody"):
        throttle("show", "nobody")


def test_without_redis_it_says_who_counts_meanwhile():
    make_organization(name="Acme")
    lasting_breaker().failed()
    with pytest.raises(CommandError, match="each web process counts"):
        throttle("show", "acme")

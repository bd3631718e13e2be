"""`manage.py cache`."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.test import Client

from clipforge.common.cache.backend import default_cache
from clipforge.common.cache.metrics import metrics
from clipforge.common.cache.versioned_cache import FLOOR_SUFFIX
from clipforge.devtools.testing.factories import make_api_key, make_organization
from clipforge.devtools.testing.queries import statements
from clipforge.devtools.testing.state import lasting_breaker
from clipforge.management.commands.cache import STATE
from clipforge.orgs import windows
from clipforge.orgs.models import TierLimits
from credits import caching as credit_caching

pytestmark = pytest.mark.django_db(transaction=True)


def cache(*arguments: str) -> Any:
    """The output of the command under --json, parsed."""
    out = io.StringIO()
    call_command("cache", *arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


def told(*arguments: str) -> str:
    out = io.StringIO()
    call_command("cache", *arguments, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def test_stats_say_how_often_each_family_was_found():
    org = make_organization(credits_=5)
    for _ in range(4):
        credit_caching.balance(org.pk)
    metrics.flush(at_once=True)
    family = cache("stats")["families"]["credits:balance"]
    assert (family["hits"], family["misses"], family["hit_rate"]) == (3, 1, 0.75)
    assert (family["errors"], family["refused"]) == (0, 0)
    assert family["fill_ms"] > 0
    assert "75.0%" in told("stats")


@time_machine.travel("2026-11-25 12:30Z", tick=False)  # no hour ends meanwhile
def test_stats_of_nothing_are_no_rate():
    metrics.count("cache|things:a|error")
    metrics.flush(at_once=True)
    assert cache("stats", "--hours", "1")["families"]["things:a"]["hit_rate"] is None


def test_get_and_ttl_show_a_key():
    org = make_organization(credits_=5)
    credit_caching.balance(org.pk)
    key = f"credits:balance:{org.pk}"
    assert cache("get", key) == {"key": key, "value": [5, 0, 5, 0]}
    assert 30 <= cache("ttl", key)["seconds"] <= 63
    assert "seconds are left" in told("ttl", key)


@pytest.mark.parametrize("action", ["get", "ttl"])
def test_a_key_that_is_not_there_is_said(action: str):
    with pytest.raises(CommandError, match='no key "nonsense"'):
        cache(action, "nonsense")


def test_purge_deletes_what_matches():
    for org in (make_organization(credits_=1), make_organization(credits_=1)):
        credit_caching.balance(org.pk)
    assert cache("purge", f"credits:balance:*{FLOOR_SUFFIX}")["purged"] == 2
    assert cache("purge", "credits:balance:*")["purged"] == 2
    assert default_cache().redis.keys("credits:*") == []


def every_key() -> set[str]:
    return set(default_cache().client.iter_keys("*"))


def test_a_purge_of_everything_leaves_limits_and_counters_unless_told():
    org = make_organization(credits_=1)
    credit_caching.balance(org.pk)
    redis = default_cache().redis
    limits = TierLimits.objects.get(tier=org.tier)
    windows.charge(redis, org, limits, {"api": 3})
    Client().get("/api/v1/pricing")  # counted by address
    metrics.flush(at_once=True)
    before = {name for name in every_key() if name.startswith(STATE)}
    assert {name.partition(":")[0] for name in before} == {"limit", "ratelimit", "metrics"}
    said = told("purge", "*", "--dry-run")
    assert "would be deleted" in said
    assert redis.exists(f"credits:balance:{org.pk}")
    assert "--including-state takes them too" in told("purge", "*")
    assert every_key() >= before
    assert not redis.exists(f"credits:balance:{org.pk}")
    assert windows.used(redis, org)["api"] == 3
    assert cache("purge", "*", "--including-state")["left"] == 0
    assert windows.used(redis, org)["api"] == 0


def test_warm_loads_what_requests_ask_for():
    org = make_organization(credits_=3)
    new = make_api_key(org)
    make_organization(is_active=False)
    assert cache("warm") == {"keys": 1, "organizations": 1}
    from clipforge.orgs.admission import admit

    with statements(access=True) as said:
        assert admit(new.secret, costs={"api": 1}) is not None
        assert credit_caching.balance(org.pk).available == 3
    assert said == []


@pytest.mark.parametrize("arguments", [("get",), ("stats", "key"), ("warm", "key")])
def test_a_key_too_few_or_too_many_is_said(arguments: tuple[str, ...]):
    with pytest.raises(CommandError, match="takes"):
        cache(*arguments)


@pytest.mark.parametrize("hours", ["0", "49"])
def test_hours_beyond_what_is_kept_are_said(hours: str):
    with pytest.raises(CommandError, match="from 1 to 48"):
        cache("stats", "--hours", hours)


def test_without_redis_it_says_so_and_fails():
    lasting_breaker().failed()
    with pytest.raises(CommandError, match="Redis cannot be reached"):
        cache("stats")

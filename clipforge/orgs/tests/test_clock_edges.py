"""When a key, a window and a record end: before, on and after the edge."""

from __future__ import annotations

import datetime
import json
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from clipforge.common.cache.backend import default_cache
from clipforge.common.cache.redis import Client
from clipforge.common.cache.scripts import Script
from clipforge.common.models import CachedRow
from clipforge.devtools.testing.clocks import MICROSECOND, around, clocks_at, refuses
from clipforge.devtools.testing.factories import REASON, TESTER, make_api_key, make_organization
from clipforge.orgs import api_keys, caching, keys, services, tasks, windows
from clipforge.orgs.models import APIKey, IdempotencyRecord, Organization, TierLimits
from clipforge.orgs.windows import LocalWindows

EDGE = datetime.datetime(2026, 12, 1, 12, tzinfo=datetime.UTC)


@pytest.mark.django_db
def test_a_key_works_until_its_end():
    key = make_api_key(make_organization()).api_key
    key.expires_at = EDGE
    usable = [key.is_usable(EDGE + after) for after in (-MICROSECOND, 0 * MICROSECOND, MICROSECOND)]
    assert usable == [True, False, False]


@pytest.mark.django_db
def test_a_key_that_ends_now_is_not_made():
    org = make_organization()
    make = partial(
        services.create_api_key,
        organization=org,
        name="test",
        expires_at=EDGE,
        reason=REASON,
        actor=TESTER,
    )
    making = around(EDGE, lambda: refuses(make))
    assert making == [False, True, True]


@pytest.mark.django_db
@pytest.mark.parametrize(("after", "outcome"), [(-1, "admitted"), (0, "refused"), (1, "refused")])
def test_a_cached_key_works_until_its_end_by_the_clock_of_redis(
    tmp_path: Path, after: int, outcome: str
):
    clock = tmp_path / "clock.lua"
    clock.write_text("local function clock() return tonumber(redis.call('GET', 'test:clock')) end")
    admit = Script(clock, windows.LUA / "window.lua", windows.LUA / "admit.lua")
    new = make_api_key(make_organization())
    new.api_key.expires_at = EDGE
    new.api_key.save()
    redis = default_cache().redis
    redis.set("test:clock", int(EDGE.timestamp() * 1000) + after)
    organization = new.api_key.organization
    rows: dict[str, CachedRow] = {
        f"orgs:key:{new.api_key.prefix}": APIKey.objects.get(),
        f"orgs:organization:{organization.pk}": Organization.objects.get(),
        f"orgs:limits:{organization.tier}": TierLimits.objects.get(tier=organization.tier),
    }
    for name, row in rows.items():
        redis.set(name, json.dumps(caching.to_json(row)))
    arguments = [keys.digest(new.secret), "", 0, "", "api", windows.SCOPES["api"], 1]
    answer = admit.run(redis, [f"orgs:key:{new.api_key.prefix}"], arguments)
    assert answer[0].decode() == outcome


@pytest.mark.django_db
def test_a_use_of_a_key_is_written_once_an_hour_has_passed():
    key = make_api_key(make_organization()).api_key
    hour = datetime.timedelta(hours=1)

    def writes(*, known: bool) -> bool:
        """`known` is whether the copy at hand knows of the last use."""
        APIKey.objects.filter(pk=key.pk).update(last_used_at=EDGE - hour)
        key.last_used_at = EDGE - hour if known else None
        services.record_key_use(api_key=key)
        return APIKey.objects.get().last_used_at != EDGE - hour

    assert around(EDGE, lambda: writes(known=True)) == [False, True, True]
    assert around(EDGE, lambda: writes(known=False)) == [False, True, True]


@pytest.mark.django_db
def test_a_key_is_rotated_and_counted_until_its_end(monkeypatch):
    monkeypatch.setattr(api_keys, "MAX_KEYS", 1)
    organization = make_organization()
    key = make_api_key(organization, expires_at=EDGE).api_key
    because: dict[str, Any] = {"reason": REASON, "actor": TESTER}

    def rotate() -> object:
        return services.rotate_api_key(api_key=key, **because)

    def another() -> object:
        return services.create_api_key(organization=organization, name="another", **because)

    def token() -> object:
        ends = EDGE + datetime.timedelta(hours=1)
        made = services.create_token(created_with=key, scopes="read", expires_at=ends, **because)
        assert made.api_key.expires_at == EDGE
        return made

    assert around(EDGE, lambda: refuses(rotate)) == [False, True, True]
    assert around(EDGE, lambda: refuses(token)) == [False, True, True]
    assert around(EDGE, lambda: refuses(another)) == [True, False, False]


@pytest.mark.django_db
def test_a_record_is_kept_for_thirty_days():
    IdempotencyRecord.objects.create(
        org=make_organization(), key="key", fingerprint="", status=201, body="{}"
    )
    IdempotencyRecord.objects.update(created_at=EDGE - datetime.timedelta(days=30))

    def is_kept() -> bool:
        tasks.forget_old_idempotency_records(0)
        return IdempotencyRecord.objects.exists()

    assert around(EDGE, is_kept) == [True, True, False]


@pytest.mark.django_db
def test_a_token_is_kept_for_a_day_after_its_end():
    ended = EDGE - datetime.timedelta(days=1)
    organization = make_organization()
    token, key = (make_api_key(organization).api_key for _ in range(2))
    APIKey.objects.update(expires_at=ended)
    APIKey.objects.filter(pk=token.pk).update(is_publishable=True)

    def is_kept() -> bool:
        tasks.forget_ended_tokens(0)
        assert APIKey.objects.filter(pk=key.pk).exists()
        return APIKey.objects.filter(pk=token.pk).exists()

    assert around(EDGE, is_kept) == [True, True, False]


@pytest.mark.django_db
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_one_run_forgets_all_tokens_that_ended_however_many(count: int, monkeypatch):
    monkeypatch.setattr(tasks, "TOKENS_AT_ONCE", 2)
    organization = make_organization()
    for _ in range(count):
        make_api_key(organization)
    APIKey.objects.update(is_publishable=True, expires_at=EDGE)
    with clocks_at(EDGE + datetime.timedelta(days=2)):
        tasks.forget_ended_tokens(0)
    assert not APIKey.objects.exists()


# --- windows ------------------------------------------------------------------------------


class ClientAt(Client):
    """Asks Redis for everything but the time."""

    def time(self, **_: Any) -> tuple[int, int]:
        return int(EDGE.timestamp()), 999_999


@pytest.mark.parametrize(("age", "count"), [(59_999, 1), (60_000, 0), (60_001, 0)])
def test_what_passed_is_shown_for_a_minute(age: int, count: int):
    redis = default_cache().redis
    organization = Organization(name="Acme", tier="FREE")
    passed = int(EDGE.timestamp()) * 1000 + 999 - age
    redis.lpush(windows.window_key(organization.pk, "api"), passed)
    asked = cast("Client", ClientAt(connection_pool=redis.connection_pool))
    assert windows.used(asked, organization) == {"api": count, "uploads": 0, "exports": 0}


@pytest.mark.parametrize(("seconds", "passes"), [(59.999, False), (60.0, True), (60.001, True)])
def test_a_process_alone_counts_for_a_minute(seconds: float, passes: bool, settings):
    settings.WEB_PROCESSES = 1
    now = [1000.0]
    local = LocalWindows(clock=lambda: now[0])
    organization = Organization(name="Acme", tier="FREE")
    limits = TierLimits(tier="FREE", requests_per_minute=1)
    assert local.charge(organization, limits, {"api": 1})[0].passed
    now[0] += seconds
    assert local.charge(organization, limits, {"api": 1})[0].passed is passes


@pytest.mark.django_db
def test_the_end_of_a_key_is_cached_to_the_millisecond():
    key = make_api_key(make_organization()).api_key
    assert caching.to_json(key)["expires_ms"] is None
    key.expires_at = EDGE + datetime.timedelta(microseconds=1999)
    assert caching.to_json(key)["expires_ms"] == int(EDGE.timestamp() * 1000) + 1
    with clocks_at(EDGE):
        assert key.is_usable(EDGE)

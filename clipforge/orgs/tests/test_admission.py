"""Who comes in once the rows are cached, and what it costs whom."""

from __future__ import annotations

import copy
import datetime
import json
from typing import Any, cast

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from clipforge.common.cache import versioned_cache
from clipforge.common.cache.backend import default_cache
from clipforge.common.cache.metrics import metrics
from clipforge.devtools.testing.factories import REASON, TESTER, make_api_key, make_organization
from clipforge.devtools.testing.queries import round_trips, statements
from clipforge.devtools.testing.races import run_together
from clipforge.devtools.testing.state import lasting_breaker
from clipforge.orgs import caching, keys, services, windows
from clipforge.orgs.admission import Admission, _networks_of, admit, charge_more
from clipforge.orgs.models import APIKey, Organization, TierLimits
from clipforge.orgs.principal import Principal
from clipforge.orgs.selectors import with_override

pytestmark = pytest.mark.django_db(transaction=True)

ONE = {"api": 1}


def warm(secret: str) -> Admission:
    """Admit twice: the second time from the cache alone."""
    admit(secret, costs=ONE)
    with statements(access=True) as said:
        admission = admit(secret, costs=ONE)
    assert said == []
    assert admission is not None
    return admission


def used(organization: Organization) -> int:
    return windows.used(default_cache().redis, organization)["api"]


def test_the_cached_rows_are_the_rows():
    organization = make_organization(tier="PRO")
    Organization.objects.filter(pk=organization.pk).update(rate_limit_override=7)
    new = make_api_key(organization, expires_at=timezone.now() + datetime.timedelta(days=1))
    principal = warm(new.secret).principal
    for cached, stored in [
        (principal.api_key, APIKey.objects.get()),
        (principal.organization, Organization.objects.get()),
        (principal.limits, TierLimits.objects.get(tier="PRO")),
    ]:
        assert type(cached) is type(stored)
        for field in stored._meta.concrete_fields:
            assert getattr(cached, field.attname) == getattr(stored, field.attname), field


def test_an_override_is_shown_and_the_rows_that_requests_share_stay_as_they_are():
    organization = make_organization(tier="PRO")
    Organization.objects.filter(pk=organization.pk).update(rate_limit_override=7)
    principal = warm((new := make_api_key(organization)).secret).principal
    assert with_override(principal.organization, principal.limits).requests_per_minute == 7
    assert warm(new.secret).principal.limits.requests_per_minute == 200


def test_the_limits_of_a_request_are_asked_for_once_unless_its_tier_is_another():
    new = make_api_key(make_organization(tier="PRO"))
    for admission in (admit(new.secret, costs=ONE), warm(new.secret)):
        assert admission is not None
        principal = admission.principal
        with statements() as said, round_trips() as trips:
            assert caching.limits_of(principal.organization) is principal.limits
        assert (said, trips) == ([], [])
        moved = copy.copy(principal.organization)
        moved.tier = "FREE"
        assert caching.limits_of(moved).tier == "FREE"
    read = Organization.objects.get()
    assert caching.limits_of(read).tier == "PRO"


def test_a_right_id_with_a_wrong_secret_is_refused_from_the_cache_and_uses_up_no_limit():
    organization = make_organization()
    new = make_api_key(organization)
    warm(new.secret)
    body = f"cf_live_{new.api_key.prefix}_{'x' * 43}"
    guess = body + keys._checksum(body)
    before = used(organization)
    with statements(access=True) as said, round_trips() as trips:
        assert admit(guess, costs=ONE) is None
    assert (said, trips) == ([], ["EVALSHA orgs:key"])
    assert used(organization) == before


def test_a_cached_key_ends_when_its_time_has_come():
    organization = make_organization()
    ends = timezone.now() + datetime.timedelta(hours=1)
    new = make_api_key(organization, expires_at=ends)
    warm(new.secret)
    cached = default_cache().redis.get(f"orgs:key:{new.api_key.prefix}")
    assert isinstance(cached, bytes)
    # The clock is Redis's: let its row have ended instead.
    past = str(int(ends.timestamp() * 1000)).encode()
    assert past in cached
    default_cache().redis.set(
        f"orgs:key:{new.api_key.prefix}", cached.replace(past, b"1000000000000")
    )
    before = used(organization)
    assert admit(new.secret, costs=ONE) is None
    assert used(organization) == before


def test_a_key_that_is_not_cached_is_refused_once_it_has_expired():
    new = make_api_key(make_organization(), expires_at=timezone.now() + datetime.timedelta(hours=1))
    with time_machine.travel(timezone.now() + datetime.timedelta(hours=2)):
        assert admit(new.secret, costs=ONE) is None


def test_revoking_suspending_and_restoring_hold_on_the_next_request():
    organization = make_organization()
    new = make_api_key(organization)
    warm(new.secret)
    Organization.objects.filter(pk=organization.pk).update(is_active=False)
    suspended = admit(new.secret, costs=ONE)
    assert suspended is not None
    assert (suspended.principal.organization.is_active, suspended.results) == (False, [])
    Organization.objects.filter(pk=organization.pk).update(is_active=True)
    assert warm(new.secret).refusal is None
    services.revoke_api_key(api_key=new.api_key, reason=REASON, actor=TESTER)
    assert admit(new.secret, costs=ONE) is None


def refusal_of(*retries: int) -> int | None:
    """The wait of the window that refuses, of windows with these waits; 0 is one that passes."""
    results = [
        windows.WindowResult(str(number), retry == 0, 5, 0, retry, 0)
        for number, retry in enumerate(retries)
    ]
    admission = Admission(Principal(APIKey(), TierLimits()), results)
    return None if admission.refusal is None else admission.refusal.retry_ms


def test_of_the_windows_that_refuse_the_one_that_takes_longest_is_told():
    assert refusal_of(0, 0) is None
    assert refusal_of(0, 7, 900, 30) == 900
    assert refusal_of(900, -1, 30) == -1  # never is longer than any wait


def test_requests_are_counted_by_tier_as_passed_or_limited():
    organization = make_organization(tier="PRO")
    Organization.objects.filter(pk=organization.pk).update(rate_limit_override=2)
    secret = make_api_key(organization).secret
    for _ in range(5):
        admit(secret, costs=ONE)
    counted = [metrics.pending(f"requests|PRO|{outcome}") for outcome in ("passed", "limited")]
    assert counted == [2, 3]


def test_an_invalidation_that_redis_has_missed_is_sent_before_a_key_is_admitted():
    organization = make_organization()
    new = make_api_key(organization)
    warm(new.secret)
    versioned_cache._pending[f"orgs:organization:{organization.pk}"] = 1000
    with statements(access=True) as said:
        assert admit(new.secret, costs=ONE) is not None
    assert said == ["SELECT orgs_organization"]
    assert versioned_cache._pending == {}


def test_what_is_changed_is_forgotten_and_nothing_else():
    changed, other = make_organization(), make_organization()
    secret = make_api_key(other).secret
    warm(secret)
    Organization.objects.filter(pk=changed.pk).update(name="Other")
    with statements(access=True) as said:
        admit(secret, costs=ONE)
    assert said == []


def test_what_was_changed_is_cached_again_by_the_next_request():
    organization = make_organization(tier="PRO")
    new = make_api_key(organization)
    for row in (organization, new.api_key, TierLimits.objects.get(tier="PRO")):
        warm(new.secret)
        row.save()
        warm(new.secret)


@pytest.mark.parametrize("way", ["save", "update", "bulk_update", "raw", "delete"])
def test_whichever_way_a_row_changes_the_cache_hears_of_it(way: str):
    organization = make_organization(tier="PRO")
    new = make_api_key(organization)
    warm(new.secret)
    limits = TierLimits.objects.get(tier="PRO")
    match way:
        case "save":
            limits.requests_per_minute = 7
            limits.save()
        case "update":
            TierLimits.objects.filter(tier="PRO").update(requests_per_minute=7)
        case "bulk_update":
            limits.requests_per_minute = 7
            TierLimits.objects.bulk_update([limits], ["requests_per_minute"])
        case "raw":  # without an invalidation, but with another version: the next one is news
            from django.db import connection

            with connection.cursor() as cursor:
                cursor.execute(
                    "UPDATE orgs_tierlimits SET requests_per_minute = 7 WHERE tier = 'PRO'"
                )
            assert TierLimits.objects.get(tier="PRO").version == limits.version + 1
            caching.changed(limits)
        case "delete":
            new.api_key.delete()
            assert admit(new.secret, costs=ONE) is None
            return
    admission = admit(new.secret, costs=ONE)
    assert admission is not None
    assert admission.results[0].limit == 7


def test_a_value_of_the_organization_is_prefetched_and_no_other():
    organization, other = make_organization(), make_organization()
    new = make_api_key(organization)
    cache = default_cache()

    def prefetched() -> bytes | None:
        with round_trips() as trips:
            admission = admit(new.secret, costs=ONE, prefetch="tests:thing")
        assert admission is not None
        assert trips == ["EVALSHA orgs:key"]
        return admission.prefetched

    warm(new.secret)
    cache.set(f"tests:thing:{other.pk}", "theirs")
    assert prefetched() is None
    cache.set(f"tests:thing:{organization.pk}", "ours")
    assert prefetched() == b'"ours"'
    cache.delete(f"tests:thing:{organization.pk}")
    assert prefetched() is None
    assert warm(new.secret).prefetched is None  # which asked for nothing


@pytest.mark.parametrize(
    ("life_ms", "asked", "found"),
    [
        (None, 0, True),  # without an end, and none is asked for
        (None, 1, False),
        (70_000_000, 0, True),
        (70_000_000, 69_960, True),  # forty seconds less: a thousandth of it would be more
        (70_000_000, 70_035, False),
    ],
)
def test_a_value_is_prefetched_if_it_lives_so_long(life_ms: int | None, asked: float, found: bool):
    organization = make_organization()
    new = make_api_key(organization)
    warm(new.secret)
    cache = default_cache()
    cache.set(key := f"tests:thing:{organization.pk}", "ours")
    cache.redis.persist(key) if life_ms is None else cache.redis.pexpire(key, life_ms)
    admission = admit(new.secret, costs=ONE, prefetch="tests:thing", prefetch_life=asked)
    assert admission is not None
    assert (admission.prefetched is not None) is found


def test_without_a_life_a_value_without_an_end_is_prefetched_too():
    organization = make_organization()
    new = make_api_key(organization)
    warm(new.secret)
    cache = default_cache()
    cache.set(key := f"tests:thing:{organization.pk}", "ours")
    cache.redis.persist(key)
    admission = admit(new.secret, costs=ONE, prefetch="tests:thing")
    assert admission is not None
    assert admission.prefetched == b'"ours"'


def test_without_redis_the_database_says_who_and_this_process_how_often(settings: Any):
    settings.WEB_PROCESSES = 2
    new = make_api_key(make_organization(tier="FREE"))
    lasting_breaker().failed()
    passed = []
    for _ in range(30):
        admission = admit(new.secret, costs=ONE)
        assert admission is not None
        assert not admission.shared
        passed.append(admission.refusal is None)
    assert passed == [True] * 25 + [False] * 5  # half of 50


def test_what_a_request_costs_besides_is_shared_as_long_as_redis_is_there():
    new = make_api_key(make_organization(tier="FREE"))
    admission = warm(new.secret)
    more = charge_more(admission, {"exports": 2})
    assert [each.scope for each in more.results] == ["api", "exports"]
    assert (more.shared, more.refusal, more.principal) == (True, None, admission.principal)
    assert windows.used(default_cache().redis, more.principal.organization)["exports"] == 2
    lasting_breaker().failed()
    alone = charge_more(admission, {"exports": 2})
    assert [each.scope for each in alone.results] == ["api", "exports"]
    assert (admission.shared, alone.shared, alone.refusal) == (True, False, None)


@pytest.mark.parametrize("row", ["key", "organization"])
def test_a_row_that_another_release_cached_without_a_column_is_read_from_the_database(row: str):
    organization = make_organization()
    new = make_api_key(organization, allowed_addresses="127.0.0.0/8")

    def admitted() -> Admission | None:
        return admit(new.secret, costs=ONE, address=lambda: "127.0.0.1")

    admitted()
    _networks_of.clear()
    cache = default_cache()
    key = f"orgs:{row}:{new.api_key.prefix if row == 'key' else organization.pk}"
    cached = json.loads(cast(bytes, cache.redis.get(key)))
    del cached["allowed_addresses" if row == "key" else "name"]
    cache.redis.set(key, json.dumps(cached))
    admission = admitted()
    assert admission is not None
    assert admission.principal.api_key == new.api_key
    assert admission.principal.organization.name == organization.name


def test_of_so_many_keys_the_networks_are_remembered_and_then_forgotten_at_once(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("clipforge.orgs.admission.MAX_REMEMBERED", 2)
    organization = make_organization()
    _networks_of.clear()
    counts = []
    for networks in ("127.0.0.0/8", "", "127.0.0.0/8", "127.0.0.0/8", "127.0.0.0/8"):
        new = make_api_key(organization, allowed_addresses=networks)
        assert admit(new.secret, costs=ONE, address=lambda: "127.0.0.1") is not None
        counts.append(len(_networks_of))
    assert counts == [1, 1, 2, 1, 2]


def test_what_stands_before_the_database_may_refuse():
    new = make_api_key(make_organization())

    class Stop(Exception):
        pass

    def stop() -> None:
        raise Stop

    with pytest.raises(Stop), statements(access=True) as said:
        admit(new.secret, costs=ONE, before_database=stop)
    assert said == []
    warm(new.secret)
    assert admit(new.secret, costs=ONE, before_database=stop) is not None


def test_a_malformed_key_is_looked_up_nowhere():
    with statements(access=True) as said, round_trips() as trips:
        assert admit("cf_live_nonsense", costs=ONE) is None
    assert (said, trips) == ([], [])


# --- a pepper that is replaced ------------------------------------------------------------


OLD, NEW = "old pepper " * 5, "new pepper " * 5


def replace_pepper(settings: Any) -> None:
    settings.API_KEY_PEPPER, settings.API_KEY_PEPPER_FALLBACKS = NEW, [OLD]


@pytest.fixture
def old_key(settings: Any) -> services.NewKey:
    """Made under the pepper that is replaced then."""
    settings.API_KEY_PEPPER = OLD
    return make_api_key(make_organization(tier="PRO"))


@pytest.mark.parametrize("cached", [True, False])
def test_a_key_under_an_earlier_pepper_comes_in_and_is_told_apart(old_key, settings, cached: bool):
    if cached:
        warm(old_key.secret)
    replace_pepper(settings)
    admission = admit(old_key.secret, costs=ONE)
    assert admission is not None
    assert admission.is_outdated
    services.renew_digest(api_key=admission.principal.api_key, key=old_key.secret)
    settings.API_KEY_PEPPER_FALLBACKS = []
    assert not warm(old_key.secret).is_outdated


@pytest.mark.parametrize("when", ["redis is dead", "the organization is suspended"])
def test_a_key_under_an_earlier_pepper_is_told_apart_also_when(old_key, settings, when: str):
    replace_pepper(settings)
    if when == "redis is dead":
        lasting_breaker().failed()
    else:
        organization = old_key.api_key.organization
        organization.is_active = False
        organization.save()
    admission = admit(old_key.secret, costs=ONE)
    assert admission is not None
    assert admission.is_outdated


def test_a_key_that_was_not_used_before_its_pepper_went_is_refused(old_key, settings):
    settings.API_KEY_PEPPER = NEW
    assert admit(old_key.secret, costs=ONE) is None
    assert admit(old_key.secret, costs=ONE) is None


def test_a_wrong_secret_is_refused_under_every_pepper(old_key, settings):
    warm(old_key.secret)
    replace_pepper(settings)
    body = f"cf_live_{old_key.api_key.prefix}_{'x' * 43}"
    assert admit(body + keys._checksum(body), costs=ONE) is None


def test_twenty_requests_at_once_hash_a_key_anew_once(old_key, settings):
    replace_pepper(settings)

    def ask(_: int) -> int:
        client = Client(headers={"Authorization": f"Bearer {old_key.secret}"})
        return client.get("/api/v1/me").status_code

    assert run_together(20, ask) == [200] * 20
    key = APIKey.objects.get()
    assert key.digest == keys.digest(old_key.secret)
    settings.API_KEY_PEPPER_FALLBACKS = []
    assert ask(0) == 200

"""The cached balance: never older than the last commit, and cheap."""

from __future__ import annotations

import functools
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
from django.conf import settings
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from clipforge.common.cache import versioned_cache
from clipforge.common.cache.backend import default_cache
from clipforge.common.cache.metrics import metrics
from clipforge.common.cache.versioned_cache import BORN_KEY, FLOOR_SUFFIX, Versioned, VersionedCache
from clipforge.devtools.testing.factories import TESTER, make_grant, make_organization
from clipforge.devtools.testing.queries import round_trips
from clipforge.devtools.testing.redis_server import redis_server
from clipforge.devtools.testing.service import eventually
from clipforge.devtools.testing.staleness import hammer
from clipforge.devtools.testing.state import be_patient, forget_everything, lives_for
from credits import caching, expiry, services
from credits.caching import Balance
from credits.models import CreditGrant, CreditTransaction
from credits.tests.makers import end, lapse, make_hold

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def queries(count: int) -> Iterator[None]:
    with CaptureQueriesContext(connection) as captured:
        yield
    assert len(captured) == count, [query["sql"] for query in captured]


def counted(result: str) -> int:
    return metrics.pending(f"cache|credits:balance|{result}")


def test_a_balance_is_read_once_and_then_remembered_for_a_minute():
    org = make_organization(credits_=7)
    key = f"credits:balance:{org.pk}"
    with queries(1), lives_for(key, least=57, most=63):
        assert caching.balance(org.pk) == Balance(7, 0, 7)
    with queries(0):
        assert caching.balance(org.pk) == Balance(7, 0, 7)
    assert default_cache().get(key) == [7, 0, 7, 0]
    assert (counted("hit"), counted("miss")) == (2, 1)  # one of the hits is this test's own get


def test_an_organization_without_an_account_is_remembered_too():
    org = make_organization()
    with queries(1):
        assert caching.balance(org.pk) == Balance(0, 0, 0)
    with queries(0):
        assert caching.balance(org.pk) == Balance(0, 0, 0)
    make_grant(org, 3)
    assert caching.balance(org.pk) == Balance(3, 0, 3)


def test_what_was_found_already_is_a_hit_and_what_was_not_is_asked_for():
    org = make_organization(credits_=7)
    with queries(0), round_trips() as trips:
        assert caching.balance(org.pk, found=b"[1, 2, 3, 4]") == Balance(1, 2, 3, 4)
    assert (trips, counted("hit"), counted("miss")) == ([], 1, 0)
    with queries(1):
        assert caching.balance(org.pk, found=None) == Balance(7, 0, 7)
    assert (counted("hit"), counted("miss")) == (1, 1)


def test_every_transaction_shows_at_once():
    org = make_organization()
    shown = functools.partial(caching.balance, org.pk)

    grant = make_grant(org, 10)
    assert shown() == Balance(10, 0, 10)
    assert shown() == Balance(10, 0, 10)
    hold = make_hold(org, 4)
    assert shown() == Balance(6, 4, 10)
    spend = services.capture(hold_id=hold.pk, fence=0, actor="test", amount=3)
    assert shown() == Balance(7, 0, 7)
    services.release(hold_id=make_hold(org, 2).pk, actor="test")
    assert shown() == Balance(7, 0, 7)
    assert spend is not None
    services.refund(
        transaction=spend, reason="sorry", actor=TESTER, audit=False, idempotency_key="refund"
    )
    assert shown() == Balance(10, 0, 10)
    services.adjust(
        org=org, amount=-1, reason="a slip", actor=TESTER, audit=False, idempotency_key="adjust"
    )
    assert shown() == Balance(9, 0, 9)
    lapse(make_hold(org, 5))
    assert shown() == Balance(4, 5, 9)
    assert expiry.expire_holds() == 1
    assert shown() == Balance(9, 0, 9)
    end(CreditGrant.objects.get(pk=grant.inputs["grants"].popitem()[0]))
    assert expiry.expire_grants() == 1
    assert shown() == Balance(0, 0, 0)


def test_a_rollback_loses_nothing_and_shows_nothing():
    org = make_organization(credits_=5)
    caching.balance(org.pk)
    with transaction.atomic():
        make_grant(org, 100)
        assert caching.balance(org.pk) == Balance(105, 0, 105)  # the writer itself sees it
        transaction.set_rollback(True)
    # Until the floor that the rollback left too high has ended, every read is of the database.
    for _ in range(2):
        with queries(1):
            assert caching.balance(org.pk) == Balance(5, 0, 5)
    make_grant(org, 1)
    assert caching.balance(org.pk) == Balance(6, 0, 6)
    with queries(0):
        assert caching.balance(org.pk) == Balance(6, 0, 6)


def test_what_is_read_inside_a_transaction_is_not_stored():
    org = make_organization(credits_=5)
    with transaction.atomic():
        caching.balance(org.pk)
    assert default_cache().get(caching.balance_key(org.pk)) is None


def test_a_slow_reader_cannot_put_an_old_balance_back():
    org = make_organization(credits_=5)

    def slow() -> Versioned:
        old = Versioned([5, 0, 5], 1)
        make_grant(org, 1)
        return old

    key = caching.balance_key(org.pk)
    assert default_cache().get_or_load(key, slow, seconds=60) == [5, 0, 5]
    assert default_cache().get(key) is None
    assert caching.balance(org.pk) == Balance(6, 0, 6)


@pytest.mark.parametrize("loss", ["flush", "floor evicted"])
def test_a_reader_from_before_redis_lost_its_memory_cannot_store(loss: str):
    org = make_organization(credits_=5)
    key = caching.balance_key(org.pk)

    def slow() -> Versioned:
        make_grant(org, 1)
        if loss == "flush":
            default_cache().redis.flushdb()
        else:
            default_cache().redis.delete(f"{key}{FLOOR_SUFFIX}")
        return Versioned([5, 0, 5], 1)

    default_cache().get_or_load(key, slow, seconds=60)
    assert caching.balance(org.pk) == Balance(6, 0, 6)


def test_a_redis_that_lost_its_memory_stores_nothing_for_two_seconds(
    monkeypatch: pytest.MonkeyPatch,
):
    """Transactions may be open that told the one before it of their changes."""
    assert versioned_cache.YOUNG_MS == 2_000
    monkeypatch.setattr(versioned_cache, "YOUNG_MS", 600_000)  # however slow the machine
    org = make_organization(credits_=5)
    default_cache().redis.flushdb()
    for _ in range(
        3
    ):  # the second would find what the first had stored, the third what the second had
        with queries(1):
            caching.balance(org.pk)
    born = int(default_cache().get(BORN_KEY))
    default_cache().redis.set(BORN_KEY, born - 600_000)
    with queries(1):
        caching.balance(org.pk)
    with queries(0):
        caching.balance(org.pk)


def test_a_writer_that_dies_after_its_commit_has_said_so_before(monkeypatch: pytest.MonkeyPatch):
    org = make_organization(credits_=5)
    caching.balance(org.pk)
    monkeypatch.setattr(versioned_cache._RaiseFloorsAgain, "__call__", lambda _: None)
    make_grant(org, 1)
    assert caching.balance(org.pk) == Balance(6, 0, 6)


@pytest.mark.parametrize(("seconds", "trips"), [(0.999, 0), (1.0, 1), (1.001, 1)])
def test_a_commit_is_told_again_only_when_its_floor_may_be_gone(
    seconds: float, trips: int, monkeypatch: pytest.MonkeyPatch
):
    """It cannot be gone within the second: floors live for two minutes, and a new Redis waits for two seconds."""
    assert versioned_cache.AGAIN_AFTER == 1.0
    assert versioned_cache.AGAIN_AFTER * 1000 < versioned_cache.YOUNG_MS
    org = make_organization(credits_=5)
    now = [100.0]
    monkeypatch.setattr(
        versioned_cache, "time", SimpleNamespace(**vars(time) | {"monotonic": lambda: now[0]})
    )
    with transaction.atomic():
        make_hold(org, 1)
        now[0] += seconds
        default_cache().redis.flushdb()
    assert default_cache().redis.exists(f"{caching.balance_key(org.pk)}{FLOOR_SUFFIX}") == trips


def test_a_reservation_is_two_statements_around_its_own_and_one_trip_to_redis():
    org = make_organization(credits_=5)
    with round_trips() as trips:
        make_hold(org, 1)
    assert len(trips) == 1


def test_an_announcement_that_did_not_get_through_is_made_again_after_the_commit():
    org = make_organization(credits_=5)
    heard: list[int] = []
    raise_floors = VersionedCache._raise_floors

    def fail_first(self: Any, versions: dict[str, int]) -> bool:
        heard.extend(versions.values())
        return len(heard) > 1 and raise_floors(self, versions)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(VersionedCache, "_raise_floors", fail_first)
        make_hold(org, 1)
    assert heard == [2, 2]
    assert caching.balance(org.pk) == Balance(4, 1, 5)


def test_a_full_redis_hears_of_a_change_and_of_nothing_else(settings: Any):
    org = make_organization(credits_=5)
    with redis_server() as redis:
        settings.CACHES = {
            name: {**options, "LOCATION": redis.url} for name, options in settings.CACHES.items()
        }
        be_patient()
        default_cache().redis.set(BORN_KEY, 0)  # long ago
        caching.balance(org.pk)
        redis.fill()
        with queries(0):
            assert caching.balance(org.pk) == Balance(5, 0, 5)
        make_grant(org, 1)
        assert default_cache().redis.get(caching.balance_key(org.pk)) is None  # for any process
        for _ in range(2):  # there is no room for it until something has ended
            with queries(1):
                assert caching.balance(org.pk) == Balance(6, 0, 6)
        assert not default_cache().redis.connection_pool.breaker.is_open


@pytest.mark.breaks_ledger
@pytest.mark.parametrize("way", ["create", "bulk_create"])
def test_rows_that_came_by_another_path_are_heard_of(way: str):
    orgs = [make_organization(credits_=5) for _ in range(2)]
    forget_everything()
    for org in orgs:
        caching.balance(org.pk)
    keys = [caching.balance_key(org.pk) for org in orgs]
    assert default_cache().redis.exists(*keys) == 2
    rows = [
        CreditTransaction(
            org=org,
            type="GRANT",
            amount=1,
            balance_after=6,
            org_seq=50,
            reason="by hand",
            actor="test",
            idempotency_key="by hand",
        )
        for org in orgs
    ]
    if way == "create":
        for row in rows:
            row.save()
    else:
        CreditTransaction.objects.bulk_create(rows)
    assert default_cache().redis.exists(*keys) == 0


# --- real processes --- --------------------------------------------------------


@pytest.fixture
def environment() -> dict[str, str]:
    """Processes that share the database of the tests."""
    database = settings.DATABASES["default"]
    host = quote(str(database["HOST"]), safe="")
    url = f"postgresql://{database['USER']}@{host}:{database['PORT'] or 5432}/{database['NAME']}"
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "clipforge.settings",
        "DATABASE_URL": url,
        "SECRET_KEY": settings.SECRET_KEY,
        "API_KEY_PEPPER": settings.API_KEY_PEPPER,
        "HTTPS": "false",
    }


@pytest.mark.slow
def test_no_read_is_older_than_a_commit_it_could_have_seen(environment: dict[str, str]):
    """Writers that die right after COMMIT; a Redis that is killed, started, and silent now and then."""
    org = make_organization(credits_=1)
    key = caching.balance_key(org.pk)
    with redis_server() as redis:

        def after(writes: int, counts: Counter[str]) -> None:
            eventually("some more writes", lambda: counts["write"] >= writes)

        def trouble(counts: Counter[str]) -> None:
            client = redis.patient_client()
            eventually("the balance is cached", lambda: client.exists(key))
            redis.kill()
            redis.start()
            eventually("the balance is cached again", lambda: client.exists(key))
            for silence in (0.03, 0.3, 0.9):
                after(counts["write"] + 30, counts)
                redis.freeze()
                time.sleep(silence)
                redis.thaw()

        found = hammer(
            str(org.pk),
            readers=3,
            writers=2,
            pause=0.02,
            deaths=0.03,
            enough=lambda counts: counts["write"] >= 150 and counts["death"] >= 2,
            environment={**environment, "REDIS_URL": redis.url},
            meanwhile=trouble,
        )
    assert found["stale"] == 0
    assert found["read"] > found["write"]


@pytest.mark.slow
def test_nine_of_ten_reads_are_hits_at_a_realistic_rate_of_writes(environment: dict[str, str]):
    """On the average: while a writer stands still between its change and its commit, none is."""
    org = make_organization(credits_=1)
    readers = 3

    def nine_of_ten(counts: Counter[str]) -> bool:
        looked = counts["hit"] + counts["miss"]
        return counts["write"] >= 10 and looked >= 2_000 and counts["hit"] > 0.9 * looked

    with redis_server() as redis:
        redis.patient_client().set(BORN_KEY, 0)  # long ago
        found = hammer(
            str(org.pk),
            readers=readers,
            writers=1,
            pause=0.2,  # five transactions a second: a busy organization
            enough=nine_of_ten,
            environment={**environment, "REDIS_URL": redis.url},
        )
    assert found["stale"] == 0
    # After each write every reader loads it once, at the most; or several times until it is committed.
    stored = found["miss"] - found["refused"] - found["error"]
    assert stored <= (found["write"] + 1) * readers


@pytest.mark.slow
def test_the_hammer_finds_the_stale_reads_of_deleting_on_commit(environment: dict[str, str]):
    org = make_organization(credits_=1)
    with redis_server() as redis:
        found = hammer(
            str(org.pk),
            readers=3,
            writers=2,
            pause=0.005,
            deaths=0.05,
            invalidation="delete",
            enough=lambda counts: counts["stale"] > 0,
            environment={**environment, "REDIS_URL": redis.url},
        )
    assert found["stale"] > 0

"""The cached price list: rebuilt by one process without making readers wait, never older than the last change."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from billing import caching
from billing.models import Catalogue, Price
from clipforge.common.cache import versioned_cache
from clipforge.common.cache.backend import default_cache
from clipforge.common.cache.metrics import metrics
from clipforge.common.cache.versioned_cache import Versioned
from clipforge.devtools.testing.queries import round_trips
from clipforge.devtools.testing.races import run_together
from clipforge.devtools.testing.service import eventually
from clipforge.devtools.testing.state import lasting_breaker, lives_for

pytestmark = pytest.mark.django_db(transaction=True)

PRICING = "/api/v1/pricing"


def price(**fields: Any) -> Price:
    return Price.objects.create(
        **{
            "code": "pack-test",
            "name": "Test",
            "kind": "PACK",
            "credits": 5,
            "amount": 500,
            "currency": "eur",
            "validity_days": 365,
            **fields,
        }
    )


def codes() -> list[str]:
    return [pack["code"] for pack in caching.pricing()["packs"]]


def test_a_warm_list_costs_no_query_and_two_round_trips(anonymous, django_assert_num_queries):
    price()
    first = anonymous.get(PRICING).json()
    with django_assert_num_queries(0), round_trips() as trips:
        assert anonymous.get(PRICING).json() == first
    assert trips == ["EVALSHA ratelimit:address", "EVALSHA pricing:all"]


def test_it_lives_for_an_hour_give_or_take_and_ten_minutes_of_grace():
    with lives_for("pricing:all", least=3600 * 0.95 + 600, most=3600 * 1.05 + 600):
        caching.pricing()


@pytest.mark.parametrize(
    "way", ["create", "save", "delete", "update", "bulk_create", "queryset delete"]
)
def test_a_change_shows_on_the_next_read_whichever_way_it_is_made(way: str):
    if way not in {"create", "bulk_create"}:
        price()
    before = codes()
    assert codes() == before
    match way:
        case "create":
            price()
        case "save":
            row = Price.objects.get(code="pack-test")
            row.is_active = False
            row.save()
        case "delete":
            Price.objects.get(code="pack-test").delete()
        case "update":
            Price.objects.filter(code="pack-test").update(is_active=False)
        case "bulk_create":
            made = price()
            made.delete()
            caching.pricing()
            Price.objects.bulk_create([made])
        case "queryset delete":
            Price.objects.filter(code="pack-test").delete()
    assert set(codes()) ^ set(before) == {"pack-test"}


def test_a_change_that_is_rolled_back_is_never_seen():
    caching.pricing()
    with transaction.atomic():
        price()
        transaction.set_rollback(True)
    assert "pack-test" not in codes()


class Loads:
    """A loader of the price list that others may wait for, and how often it ran."""

    def __init__(self, wait: Callable[[], Any]) -> None:
        self.began, self.at_once, self.most_at_once = 0, 0, 0
        self.lock = threading.Lock()
        self.wait = wait

    def __call__(self) -> Versioned:
        with self.lock:
            self.began += 1
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        self.wait()
        with self.lock:
            self.at_once -= 1
        return Versioned({"new": True}, caching.catalogue_version())

    def read(self, _: int = 0) -> Any:
        return default_cache().get_or_load(
            caching.KEY, self, seconds=caching.SECONDS, grace=caching.GRACE
        )


def test_of_two_hundred_readers_at_expiry_one_rebuilds_and_none_waits(
    monkeypatch: pytest.MonkeyPatch,
):
    """All others get the old list while one is still loading the new one."""
    monkeypatch.setattr(versioned_cache, "LOCK_MS", 600_000)  # however slow the machine
    caching.pricing()
    default_cache().redis.pexpire("pricing:all", (caching.GRACE - 1) * 1000)
    loading, served = threading.Event(), threading.Semaphore(0)

    def wait() -> None:
        loading.set()
        for _ in range(199):
            assert served.acquire(timeout=30)

    loads = Loads(wait)

    def read(number: int) -> Any:
        if number > 0:
            assert loading.wait(30)
        found = loads.read()
        served.release()
        return found

    found = run_together(200, read, connected=False)
    assert (loads.began, loads.most_at_once) == (1, 1)
    assert Counter(str(each == {"new": True}) for each in found) == {"True": 1, "False": 199}
    assert default_cache().get(caching.KEY) == {"new": True}


class CountingLock:
    """A lock that knows how often it was let go."""

    def __init__(self) -> None:
        self.lock, self.released = threading.Lock(), 0

    def __enter__(self) -> None:
        self.lock.acquire()

    def __exit__(self, *_: object) -> None:
        self.released += 1
        self.lock.release()


@pytest.mark.parametrize("redis", ["there", "away"])
def test_of_forty_readers_of_what_is_not_cached_one_at_a_time_loads_it(
    redis: str, monkeypatch: pytest.MonkeyPatch
):
    if redis == "away":
        lasting_breaker().failed()
    # Each reader takes it to join those that wait, and who loads once more, to begin.
    joining = CountingLock()
    monkeypatch.setattr(versioned_cache._fills, "_lock", joining)
    loads = Loads(lambda: eventually("forty have joined", lambda: joining.released > 40))
    assert run_together(40, loads.read) == [{"new": True}] * 40
    outcome = {"there": "miss", "away": "error"}[redis]
    assert metrics.pending(f"cache|pricing:all|{outcome}") == 40
    assert loads.most_at_once == 1
    # One for the first and who came before it began, one for who came meanwhile.
    assert loads.began <= 2


def test_a_load_that_fails_fails_for_all_that_waited_for_it_and_for_none_after():
    def fail() -> Versioned:
        raise LookupError

    for _ in range(2):
        with pytest.raises(LookupError):
            default_cache().get_or_load(caching.KEY, fail, seconds=60, grace=60)
    assert Loads(lambda: None).read() == {"new": True}


def test_a_rebuilder_that_died_is_replaced_when_its_lock_ends_after_five_seconds():
    caching.pricing()
    redis = default_cache().redis
    redis.pexpire("pricing:all", (caching.GRACE - 1) * 1000)
    redis.set("pricing:all:lock", "1")  # its, and it is gone
    with CaptureQueriesContext(connection) as captured:
        caching.pricing()
    assert len(captured) == 0
    redis.delete("pricing:all:lock")  # as Redis does in the end
    lives: list[int] = []
    loads = Loads(lambda: lives.append(redis.pttl("pricing:all:lock")))
    assert loads.read() == {"new": True}
    (milliseconds,) = lives
    assert milliseconds != -1  # for ever
    assert milliseconds <= 5000


def test_without_redis_the_list_is_read_from_the_database(anonymous):
    price()
    lasting_breaker().failed()
    assert "pack-test" in [pack["code"] for pack in anonymous.get(PRICING).json()["packs"]]


def test_the_catalogue_has_one_version():
    before = caching.catalogue_version()
    price()
    assert caching.catalogue_version() > before
    assert Catalogue.objects.count() == 1

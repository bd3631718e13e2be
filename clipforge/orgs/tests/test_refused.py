"""The count of refused requests: what is counted, for whom, and what it costs."""

from __future__ import annotations

import datetime
import threading
import time

import pytest
from django.db import connection, connections
from django.db.utils import OperationalError
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from clipforge.common.cache.backend import default_cache
from clipforge.devtools.testing.factories import make_api_key, make_client, make_organization
from clipforge.orgs import tasks
from clipforge.orgs.models import APIKey, Organization, RefusedRequests, TierLimits
from clipforge.orgs.refused import MOST_NAMES, Refusals, refusals

pytestmark = pytest.mark.django_db

BALANCE = "/api/v1/credits/balance"


def counted() -> list[tuple[int, str, str, int]]:
    refusals.flush(at_once=True)
    rows = RefusedRequests.objects.order_by("status", "code")
    return list(rows.values_list("status", "code", "limit_name", "count"))


def test_requests_over_a_limit_count_by_the_limit_and_those_below_it_never():
    org = make_organization()
    Organization.objects.filter(pk=org.pk).update(rate_limit_override=2)
    client = make_client(org)
    statuses = [client.get(BALANCE).status_code for _ in range(5)]
    assert statuses == [200, 200, 429, 429, 429]
    assert counted() == [(429, "rate_limited", "api", 3)]
    row = RefusedRequests.objects.get()
    assert (row.org, row.key) == (org, APIKey.objects.get())
    assert row.hour.minute == row.hour.second == row.hour.microsecond == 0


def test_each_reason_has_a_row_of_its_own_with_the_code_that_the_client_was_told():
    client = make_client(make_organization())
    codes = [
        client.get("/api/v1/projects/00000000-0000-7000-8000-000000000000").json()["code"],
        client.get("/api/v1/projects?colour=red").json()["code"],
        client.delete(BALANCE).json()["code"],
        client.delete(BALANCE).json()["code"],
    ]
    assert codes == ["not_found", "unknown_parameter", "method_not_allowed", "method_not_allowed"]
    assert {(code, count) for _, code, _, count in counted()} == {
        ("not_found", 1),
        ("unknown_parameter", 1),
        ("method_not_allowed", 2),
    }


def test_a_suspended_organization_and_a_key_elsewhere_are_counted_and_strangers_are_not():
    suspended = make_client(make_organization(is_active=False))
    assert suspended.get(BALANCE).status_code == 403
    org = make_organization()
    made = make_api_key(org)
    APIKey.objects.filter(pk=made.api_key.pk).update(allowed_addresses="203.0.113.0/24")
    elsewhere = make_client(org)
    elsewhere.credentials(HTTP_AUTHORIZATION=f"Bearer {made.secret}")
    assert elsewhere.get(BALANCE).json()["code"] == "address_not_allowed"
    elsewhere.credentials(HTTP_AUTHORIZATION=f"Bearer {made.secret[:-1]}x")
    assert elsewhere.get(BALANCE).status_code == 401
    assert counted() == [
        (403, "address_not_allowed", "", 1),
        (403, "organization_inactive", "", 1),
    ]


def test_a_token_of_a_page_counts_for_the_key_that_asked_for_it():
    org = make_organization()
    key = make_api_key(org).api_key
    token = APIKey(pk=org.pk, organization=org, is_publishable=True, created_with=key)
    refusals.count(token, status=429, code="rate_limited", limit_name="api")
    refusals.count(key, status=429, code="rate_limited", limit_name="api")
    assert counted() == [(429, "rate_limited", "api", 2)]
    assert RefusedRequests.objects.get().key_id == key.pk


def test_what_is_not_refused_costs_no_statement_and_a_refusal_none_before_its_answer():
    client = make_client(make_organization(credits_=1))
    with CaptureQueriesContext(connection) as asked:
        assert client.get(BALANCE).status_code == 200
        refusals.flush(at_once=True)
        assert [client.delete(BALANCE).status_code for _ in range(3)] == [405] * 3
    assert not [each for each in asked if "orgs_refusedrequests" in each["sql"]]
    with CaptureQueriesContext(connection) as asked:
        refusals.flush(at_once=True)
    assert len(asked) == 1


def test_a_process_adds_at_most_once_in_five_seconds_and_then_all():
    now = [1_000_000.0]
    counter, key = Refusals(clock=lambda: now[0]), make_api_key(make_organization()).api_key
    counter.count(key, status=402, code="insufficient_credits")
    counter.after_request()
    counter.count(key, status=402, code="insufficient_credits")
    now[0] += 4.9
    counter.after_request()
    assert RefusedRequests.objects.get().count == 1
    now[0] += 0.1
    counter.after_request()
    assert RefusedRequests.objects.get().count == 2


def test_a_refusal_counts_in_the_hour_in_which_it_was_and_not_in_that_of_its_writing():
    now = [7 * 3600 - 0.001]
    counter, key = Refusals(clock=lambda: now[0]), make_api_key(make_organization()).api_key
    counter.count(key, status=429, code="rate_limited")
    now[0] += 0.001
    counter.count(key, status=429, code="rate_limited")
    counter.flush(at_once=True)
    hours = RefusedRequests.objects.order_by("hour").values_list("hour", "count")
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    assert [((hour - epoch).total_seconds() / 3600, count) for hour, count in hours] == [
        (6, 1),
        (7, 1),
    ]


def test_it_counts_without_redis():
    org = make_organization()
    client = make_client(org)
    TierLimits.objects.filter(tier=org.tier).update(requests_per_minute=1)
    breaker = default_cache().redis.connection_pool.breaker
    breaker._cool_down = 600
    breaker.failed()
    statuses = [client.get(BALANCE).status_code for _ in range(3)]
    assert statuses == [200, 429, 429]
    assert counted() == [(429, "rate_limited", "api", 2)]


def test_what_the_database_did_not_take_is_added_later(monkeypatch):
    key = make_api_key(make_organization()).api_key
    counter = Refusals()
    counter.count(key, status=429, code="rate_limited")

    def away() -> None:
        raise OperationalError("away")

    with monkeypatch.context() as patch:
        patch.setattr(connection, "cursor", away)
        counter.flush(at_once=True)
    counter.count(key, status=429, code="rate_limited")
    assert RefusedRequests.objects.count() == 0
    counter.flush(at_once=True)
    assert RefusedRequests.objects.get().count == 2


def test_a_process_keeps_no_more_different_refusals_than_it_may():
    key = make_api_key(make_organization()).api_key
    counter = Refusals()
    for place in range(MOST_NAMES + 5):
        counter.count(key, status=400, code=f"code_{place}")
    counter.count(key, status=400, code="code_0")
    assert len(counter._counted) == MOST_NAMES
    assert max(counter._counted.values()) == 2


def test_an_organization_that_is_gone_by_then_is_left_out():
    counter = Refusals()
    gone, there = make_organization(), make_organization()
    for org in (gone, there):
        counter.count(make_api_key(org).api_key, status=429, code="rate_limited")
    gone.delete()
    counter.flush(at_once=True)
    assert RefusedRequests.objects.get().org == there


@pytest.mark.django_db(transaction=True)
def test_processes_that_add_at_once_lose_nothing_and_wait_for_nobody():
    orgs = [make_organization() for _ in range(4)]
    found = [make_api_key(org).api_key for org in orgs]
    start = threading.Barrier(4)

    def process(turn: int) -> None:
        counter = Refusals()
        try:
            for _ in range(5):
                for key in found[turn:] + found[:turn]:  # each in an order of its own
                    counter.count(key, status=429, code="rate_limited")
                start.wait()
                counter.flush(at_once=True)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=process, args=(turn,)) for turn in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(RefusedRequests.objects.values_list("count", flat=True)) == [20] * 4


def test_counts_of_31_days_ago_are_deleted_and_younger_ones_stay():
    org = make_organization()
    key = make_api_key(org).api_key
    now = timezone.now()
    for ago in (datetime.timedelta(days=31, seconds=1), datetime.timedelta(days=30, hours=23)):
        RefusedRequests.objects.create(
            org=org, key=key, hour=now - ago, status=429, code="rate_limited", count=1
        )
    tasks.forget_refusals(timestamp=int(time.time()))
    assert RefusedRequests.objects.get().hour == now - datetime.timedelta(days=30, hours=23)

"""The refusals that are kept by their request ids: which, how many, for how long, and at what cost."""

from __future__ import annotations

import datetime
import time

import pytest
from django.core.signals import got_request_exception
from django.db import connection
from django.db.utils import OperationalError
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from clipforge.common import logs
from clipforge.devtools.testing.factories import make_client, make_organization
from clipforge.orgs import tasks
from clipforge.orgs.models import APIKey, Organization, Refusal
from clipforge.orgs.refusal_log import (
    MOST,
    MOST_OF_A_CODE,
    MOST_OF_AN_ORGANIZATION,
    RefusalLog,
    refusal_log,
)

pytestmark = pytest.mark.django_db

BALANCE = "/api/v1/credits/balance"


def kept() -> list[Refusal]:
    refusal_log.flush(at_once=True)
    return list(Refusal.objects.order_by("id"))


def refuse(
    log: RefusalLog, org: Organization | None, code: str, times: int = 1, *, status: int = 429
) -> None:
    """As many answers to requests of the organization."""
    context = logs.context()
    for _ in range(times):
        logs.start_context(request_id="quoted-by-jane", **({"org": str(org.pk)} if org else {}))
        document = {"status": status, "code": code, "detail": "Too many."}
        log.keep(RequestFactory().get(BALANCE), document)
    logs.start_context(**context)


def written(log: RefusalLog) -> int:
    before = Refusal.objects.count()
    log.flush(at_once=True)
    return Refusal.objects.count() - before


def test_a_request_over_a_limit_is_kept_with_what_its_client_was_told():
    org = make_organization()
    Organization.objects.filter(pk=org.pk).update(rate_limit_override=1)
    client = make_client(org)
    assert client.get(BALANCE).status_code == 200
    told = client.get(BALANCE).json()
    (row,) = kept()
    assert (row.request_id, row.org, row.detail) == (told["request_id"], org, told["detail"])
    assert (row.status, row.code, row.limit_name) == (429, "rate_limited", "api")
    assert (row.method, row.route) == ("GET", "credits-balance")
    assert row.key_prefix == APIKey.objects.get().prefix


def test_a_client_may_choose_the_id_and_a_stranger_has_no_organization(anonymous):
    answer = anonymous.get(BALANCE, headers={"X-Request-ID": "chosen-by-jane"})
    assert answer.json()["request_id"] == "chosen-by-jane"
    (row,) = kept()
    assert (row.request_id, row.org, row.key_prefix) == ("chosen-by-jane", None, "")
    assert (row.status, row.code) == (401, "not_authenticated")


def test_a_failure_of_ours_is_kept_and_so_is_what_the_client_sent_that_postgresql_cannot_hold():
    org = make_organization()
    context = logs.context()
    logs.start_context(request_id="quoted-by-jane", org=str(org.pk))
    for path in (BALANCE, "/admin/"):  # a page of staff is no request of the API
        got_request_exception.send(sender=None, request=RequestFactory().get(path))
    refusal_log.keep(
        RequestFactory().get(BALANCE),
        {"status": 422, "code": "invalid", "detail": "\0\ud800" + "x" * 400, "limit": 17},
    )
    logs.start_context(**context)
    assert written(refusal_log) == 2
    invalid, failure = Refusal.objects.order_by("status")
    assert (failure.status, failure.code, failure.org) == (500, "internal_error", org)
    assert (invalid.detail, invalid.limit_name) == ("?" + "x" * 299, "")


def test_what_is_not_refused_costs_no_statement_and_a_refusal_none_before_its_answer():
    client = make_client(make_organization(credits_=1))
    with CaptureQueriesContext(connection) as asked:
        assert client.get(BALANCE).status_code == 200
        refusal_log.flush(at_once=True)
        assert [client.delete(BALANCE).status_code for _ in range(3)] == [405] * 3
    assert not [each for each in asked if "orgs_refusal" in each["sql"]]
    with CaptureQueriesContext(connection) as asked:
        refusal_log.flush(at_once=True)
    assert len(asked) == 1
    assert Refusal.objects.count() == 3


def test_an_hour_has_so_many_of_a_code_of_an_organization_and_of_all_and_the_next_begins_anew():
    now = [7 * 3600.0]
    log, org = RefusalLog(clock=lambda: now[0]), make_organization()
    refuse(log, org, "rate_limited", MOST_OF_A_CODE + 1)
    assert written(log) == MOST_OF_A_CODE
    refuse(log, org, "invalid")
    assert written(log) == 1
    for number in range(MOST_OF_AN_ORGANIZATION):
        refuse(log, org, f"code_{number}")
    assert Refusal.objects.count() + written(log) == MOST_OF_AN_ORGANIZATION
    for _ in range(MOST // MOST_OF_A_CODE):
        refuse(log, make_organization(), "rate_limited", MOST_OF_A_CODE)
    assert Refusal.objects.count() + written(log) == MOST
    refuse(log, None, "not_authenticated")
    now[0] += 3599.9
    refuse(log, org, "rate_limited")
    assert written(log) == 0
    now[0] += 0.1
    refuse(log, org, "rate_limited", MOST_OF_A_CODE + 1)
    assert written(log) == MOST_OF_A_CODE


def test_those_who_are_refused_hide_no_failure_of_ours():
    log = RefusalLog()
    for _ in range(MOST // MOST_OF_A_CODE):
        refuse(log, make_organization(), "rate_limited", MOST_OF_A_CODE)
    assert written(log) == MOST
    org = make_organization()
    refuse(log, org, "rate_limited")
    refuse(log, org, "internal_error", status=500)
    assert written(log) == 1
    for _ in range(MOST // MOST_OF_A_CODE):
        refuse(log, make_organization(), "internal_error", MOST_OF_A_CODE, status=500)
    assert written(log) == MOST - 1


def test_a_key_that_a_client_sent_in_a_wrong_place_is_not_kept():
    client = make_client(make_organization())
    secret = "cf_live_abcd1234SECRETSECRETSECRET"
    told = client.get(f"/api/v1/projects?{secret}=1").json()
    assert secret in told["detail"]
    (row,) = kept()
    assert "SECRET" not in row.detail
    assert "[secret]" in row.detail


def test_a_process_writes_at_most_once_in_five_seconds():
    now = [1_000_000.0]
    log, org = RefusalLog(clock=lambda: now[0]), make_organization()
    refuse(log, org, "invalid")
    log.after_request()
    refuse(log, org, "invalid")
    now[0] += 4.9
    log.after_request()
    assert Refusal.objects.count() == 1
    now[0] += 0.1
    log.after_request()
    assert Refusal.objects.count() == 2


def test_what_the_database_did_not_take_is_written_later_and_never_more_than_may_be(monkeypatch):
    now = [7 * 3600.0]
    log, org = RefusalLog(clock=lambda: now[0]), make_organization()

    def away() -> None:
        raise OperationalError("away")

    with monkeypatch.context() as patch:
        patch.setattr(connection, "cursor", away)
        refuse(log, org, "invalid")
        log.flush(at_once=True)
        refuse(log, org, "invalid")
        log.flush(at_once=True)
    assert written(log) == 2
    for _ in range(MOST // MOST_OF_A_CODE + 1):  # hours in which it stays away
        refuse(log, org, "invalid", MOST_OF_A_CODE)
        now[0] += 3600
    assert written(log) == MOST


def test_of_an_organization_that_is_gone_by_then_nothing_is_written():
    log, gone, there = RefusalLog(), make_organization(), make_organization()
    for org in (gone, there):
        refuse(log, org, "invalid")
    gone.delete()
    assert written(log) == 1
    assert Refusal.objects.get().org == there


def test_those_of_30_days_ago_are_deleted_and_younger_ones_stay():
    now = timezone.now()
    second = datetime.timedelta(seconds=1)
    for age in (datetime.timedelta(days=30) + second, datetime.timedelta(days=30) - 600 * second):
        Refusal.objects.create(request_id="x" * 8, at=now - age, status=429, code="c", detail="d")
    tasks.forget_refused_ids(timestamp=int(time.time()))
    assert [row.at for row in Refusal.objects.all()] == [
        now - datetime.timedelta(days=30) + 600 * second
    ]


def test_a_refusal_is_found_by_its_request_id_through_an_index():
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("EXPLAIN SELECT * FROM orgs_refusal WHERE request_id = 'x'")
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "orgs_refusal_request" in plan

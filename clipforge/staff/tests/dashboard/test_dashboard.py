"""The first page of the admin says what is going on, also when part of it cannot be asked."""

from __future__ import annotations

import contextlib
import datetime
import html
import re
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from procrastinate.contrib.django import app

from billing.models import Alert, StripeEvent
from clipforge.audit.models import AuditEntry
from clipforge.common.cache.backend import default_cache
from clipforge.common.cache.metrics import metrics
from clipforge.devtools.query_plans.explain import captured, cost_of
from clipforge.devtools.testing.factories import (
    make_export,
    make_organization,
    make_project,
    make_user,
)
from clipforge.devtools.testing.queries import round_trips
from clipforge.devtools.testing.redis_server import RedisServer, answers, redis_server
from clipforge.devtools.testing.service import eventually
from clipforge.devtools.testing.staff import make_staff, signed_in
from clipforge.devtools.testing.state import lapse_lease, lasting_breaker
from clipforge.jobs.queue import QueueEntry
from clipforge.staff import capped_counts
from clipforge.staff.approvals.selectors import REQUEST_LIFE
from clipforge.staff.capped_counts import Count
from clipforge.staff.dashboard import selectors as dashboard_selectors
from clipforge.staff.dashboard.selectors import Badge, collect
from clipforge.staff.models import ApprovalRequest
from credits.models import CreditAccount, LedgerCheck
from credits.reconciling import check_ledger
from exports.models import Export
from projects.models import Project

pytestmark = pytest.mark.django_db

HOUR = datetime.timedelta(hours=1)


@pytest.fixture
def support() -> Client:
    return signed_in(make_staff("support"))


def panels(client: Client) -> dict[str, str]:
    """The text of each panel, by its heading."""
    response = client.get("/admin/")
    assert response.status_code == 200
    sections = re.findall(r"<section.*?</section>", response.content.decode(), re.DOTALL)
    found = {}
    for section in sections:
        (heading,) = re.findall(r"<h2[^>]*>(.*?)</h2>", section)
        text = re.sub(r"<[^>]+>", " ", section.split("</h2>")[1])
        found[heading] = " ".join(html.unescape(text).replace("\xa0", " ").split())
    return found


def sql(statement: str, *params: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, params)


# --- work -----------------------------------------------------------------------------


def test_work_is_counted_by_what_becomes_of_it_with_the_oldest_that_waits(support):
    org = make_organization()
    for status in ("QUEUED", "QUEUED", "ANALYZING", "ANALYZING", "FAILED", "READY"):
        project = make_project(org, status=status)
    for status in ("RENDERING", "FAILED", "FAILED"):
        make_export(project, status=status)
    lapse_lease(Project.objects.filter(status="ANALYZING")[0])
    now = timezone.now()
    Project.objects.filter(pk=Project.objects.filter(status="QUEUED")[0].pk).update(
        queued_at=now - datetime.timedelta(minutes=20)
    )
    long_ago = Export.objects.filter(status="FAILED")[0]
    Export.objects.filter(pk=long_ago.pk).update(finished_at=now - 25 * HOUR)
    text = panels(support)["Work"]
    assert (
        "Analyses Renders State Late At work Queued 2 0 The oldest for 20 minutes –"
        " Running 2 1 No sign of life 1 0 Failed in 24 h 1 1" in text
    )
    # Nine jobs of one organization, of which its tier runs four at once: the others have a place.
    assert "4 entries wait in the queue, housekeeping included; 0 belong to a worker" in text


@pytest.mark.parametrize(
    ("minutes", "badge"),
    [(1, "busy At work"), (11, "warn Late"), (61, "bad Very late")],
)
def test_how_long_the_oldest_waits_has_a_word(minutes, badge):
    project = make_project(status="QUEUED")
    then = timezone.now() - datetime.timedelta(minutes=minutes)
    Project.objects.filter(pk=project.pk).update(queued_at=then)
    counts = collect().counts
    assert counts is not None
    assert " ".join(counts.jobs[0].badge) == badge
    assert counts.jobs[1].badge == Badge("idle", "Idle")


def test_that_no_worker_is_alive_is_red(support):
    response = support.get("/admin/").content.decode()
    assert '<span class="cf-badge cf-badge--bad">No worker is alive</span>' in response
    assert "None has been seen." in panels(support)["Work"]
    sql("INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '5 minutes')")
    assert "The last was seen 5 minutes ago" in panels(support)["Work"]
    four = "VALUES (now()), (now()), (now()), (now())"
    for number in ("1 process", "2 processes"):
        sql(f"INSERT INTO procrastinate_workers (last_heartbeat) {four}")
        assert f"{number} alive Workers take jobs." in panels(support)["Work"]


# --- what waits for a person ------------------------------------------------------------


def test_what_only_a_person_takes_further_is_counted_and_leads_to_it(support):
    org = make_organization()
    assert panels(support)["Waits for you"].count("None") == 7
    project = make_project(org, status="FAILED")
    make_export(make_project(org), status="FAILED")
    Project.objects.filter(pk=project.pk).update(error_code="worker_lost")
    app.configure_task("credits.expire", queue="maintenance").defer(timestamp=0)
    job = QueueEntry.objects.latest("id")
    sql("UPDATE procrastinate_jobs SET status = 'failed' WHERE id = %s", job.pk)
    alert = {"org": org, "kind": "EXPIRING", "subject": "s", "body": "b"}
    old = timezone.now() - datetime.timedelta(minutes=6)
    Alert.objects.create(**alert, key="1", status="FAILED")
    Alert.objects.create(**alert, key="2", status="FAILED")
    Alert.objects.create(**alert, key="3", created_at=old)
    Alert.objects.create(**alert, key="4")
    Alert.objects.create(**alert, key="5", status="SENT", created_at=old)
    for status in ("FAILED", "RECEIVED", "APPLIED"):
        StripeEvent.objects.create(
            id=f"evt_{status}", type="test", payload={}, created_at=old, status=status
        )
    request: dict[str, Any] = {"kind": "GRANT", "amount": 5, "grant_kind": "PROMO"}
    request |= {"org": org, "requested_by": make_user(), "reason": "promised at the fair"}
    ApprovalRequest.objects.create(token=uuid.uuid4(), **request)
    forgotten = timezone.now() - 2 * REQUEST_LIFE
    ApprovalRequest.objects.create(token=uuid.uuid4(), requested_at=forgotten, **request)
    assert panels(support)["Waits for you"] == (
        "Items that need a person Item Count Given up: analyses 1 Given up: renders None"
        " Given up: queue entries 1 Credits that await a second person 1 Alerts that could not be sent 2 Alerts not sent yet 1"
        " Stripe events that failed 1"
    )
    links = {role: links_of(signed_in(make_staff(role))) for role in ("support", "admin")}
    assert set(links["admin"]) - set(links["support"]) == {"/admin/credits/requests/"}
    for role, found in links.items():
        client = signed_in(make_staff(role))
        for link in found:
            assert client.get(link).status_code == 200
    assert str(project) in support.get(links["support"][0]).content.decode()
    assert "evt_FAILED" in support.get(links["support"][-1]).content.decode()
    assert "evt_APPLIED" not in support.get(links["support"][-1]).content.decode()


def links_of(client: Client) -> list[str]:
    """The links of the panel of waiting items that this user gets."""
    text = client.get("/admin/").content.decode()
    section = text[text.index("dashboard-waiting") : text.index("dashboard-work")]
    return [html.unescape(link) for link in re.findall(r'href="([^"]+)"', section)]


# --- requests and caches ----------------------------------------------------------------


@pytest.fixture
def hours_ago(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """A function: it is so many hours ago, for what counts. The clock stands, so that no hour ends."""
    now = time.time()

    def turn_back(hours: int) -> None:
        monkeypatch.setattr(metrics, "_clock", lambda: now - hours * 3600)

    turn_back(0)
    return turn_back


def test_requests_and_429s_of_each_tier_in_this_hour_and_in_a_day(support, hours_ago):
    metrics.count("requests|PRO|passed", 1234)
    metrics.count("requests|FREE|limited", 7)
    metrics.flush(at_once=True)
    hours_ago(5)
    metrics.count("requests|PRO|passed", 1000)
    metrics.flush(at_once=True)
    hours_ago(30)
    metrics.count("requests|PRO|passed", 10_000)
    metrics.flush(at_once=True)
    hours_ago(0)
    text = panels(support)["Requests"]
    assert "Pro 1,234 / 0 2,234 / 0" in text
    assert "Free 0 / 7 0 / 7" in text
    assert "Enterprise 0 / 0 0 / 0" in text


@pytest.mark.usefixtures("hours_ago")
def test_hit_rates_of_each_family_of_keys(support):
    for result, amount in (("hit", 60), ("old", 15), ("miss", 25), ("error", 3)):
        metrics.count(f"cache|credits:balance|{result}", amount)
    metrics.flush(at_once=True)
    assert "credits:balance 75.0% 75.0% 3 errors" in panels(support)["Cache hit rates"]


def test_a_cache_that_nobody_asked_says_so(support, monkeypatch):
    monkeypatch.setattr(metrics, "_clock", lambda: 10.0**9)  # nothing was counted in that hour
    assert panels(support)["Cache hit rates"] == "Nothing was asked of the cache in 24 hours."


# --- the ledger ---------------------------------------------------------------------------


def test_a_ledger_that_was_checked_says_when_and_by_whom(support):
    assert panels(support)["Ledger"].startswith("Never checked")
    make_organization(credits_=10)
    check_ledger(actor="system:ledger")
    assert re.fullmatch(
        r"Adds up Last checked 0 minutes ago by system:ledger, in \d+\.\d s\. All eight invariants held\.",
        panels(support)["Ledger"],
    )


@pytest.mark.breaks_ledger
def test_a_ledger_that_does_not_add_up_is_red_and_says_where(support):
    org = make_organization(credits_=40)
    CreditAccount.objects.update(posted=41)
    check_ledger(actor="system:ledger")
    text = panels(support)["Ledger"]
    assert text.startswith("Does not add up Last checked")
    assert "2 breaches of the eight invariants." in text
    assert f"1: {org.pk}: posted is 41 but the transactions add up to 40" in text
    LedgerCheck.objects.update(checked_at=timezone.now() - 9 * HOUR)
    assert panels(support)["Ledger"].startswith("Does not add up")  # not merely stale


def test_a_check_that_is_old_or_was_given_up_proves_nothing(support):
    check_ledger(actor="system:ledger")
    LedgerCheck.objects.update(checked_at=timezone.now() - 4 * HOUR)
    assert panels(support)["Ledger"].startswith("Stale Last checked 4 hours ago")
    LedgerCheck.objects.create(seconds=120, breaches=None, actor="system:ledger")
    text = panels(support)["Ledger"]
    assert text.startswith("Given up")
    assert "whether the ledger adds up is not known" in text


# --- the database ---------------------------------------------------------------------------


@contextlib.contextmanager
def more_connections(count: int) -> Iterator[list[psycopg.Connection[Any]]]:
    with contextlib.ExitStack() as stack:
        made = []
        for _ in range(count):
            other = psycopg.connect(**connection.get_connection_params(), autocommit=True)
            made.append(stack.enter_context(contextlib.closing(other)))
        yield made


def database() -> dashboard_selectors.DatabaseState:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")  # tests are one long transaction
    found = collect().database
    assert found is not None
    return found


def test_the_connections_of_the_database_are_counted_and_red_when_few_are_left(support):
    before = database()
    assert before.badge == Badge("ok", "Up")
    assert before.most_connections == 97  # of 100, three are kept for superusers
    with more_connections(77 - before.connections), contextlib.ExitStack() as more:

        def filled(count: int) -> dashboard_selectors.DatabaseState:
            """The state with at least so many connections: some that were counted before may have ended."""
            while (found := database()).connections < count:
                more.enter_context(more_connections(1))
            return found

        # Four fifths of 97, and the next whole one, is 78.
        assert (filled(77).connections, filled(77).badge.word) == (77, "Up")
        assert filled(78).connections == 78
        assert filled(78).badge == Badge("bad", "Few connections left")
        assert "Few connections left Connections 78 of 97" in panels(support)["Database"]


def test_the_oldest_transaction_of_others_is_seen(monkeypatch):
    with more_connections(1) as (other,):
        quiet = database().oldest_transaction
        with other.transaction():
            other.execute("SELECT 1")
            found = database()
            assert found.oldest_transaction is not None
            assert found.badge.word == "Up"
            monkeypatch.setattr(dashboard_selectors, "OLD_TRANSACTION", datetime.timedelta())
            assert found.badge == Badge("warn", "Old transaction")
    assert quiet is None


def test_the_database_has_a_size(support):
    assert re.search(r"Size \d+\.\d MB", panels(support)["Database"])


@pytest.mark.django_db(transaction=True)
def test_what_the_database_does_not_answer_in_time_is_left_out_and_the_rest_is_there():
    client = Client()
    client.force_login(make_user(is_staff=True, is_superuser=True))
    with more_connections(1) as (other,), other.transaction():
        other.execute("LOCK TABLE billing_alert")
        sql("SET lock_timeout = '200ms'")  # only who waits for it runs out of time
        try:
            found = panels(client)
        finally:
            sql("RESET lock_timeout")
    assert (
        found["Waits for you"]
        == "Not reachable The database did not answer. Look again in a moment."
    )
    assert found["Ledger"].startswith("Never checked")
    assert found["Database"].startswith("Up")


# --- Redis ------------------------------------------------------------------------------------


def test_redis_says_how_it_is(support):
    text = panels(support)["Redis"]
    assert re.match(r"Up Memory \d+\.\d [KM]B of 256\.0 MB Commands a second \d", text)
    assert text.endswith("This process asked")


@pytest.fixture
def own_redis(settings: Any) -> Iterator[RedisServer]:
    """The caches are in a Redis of this test alone."""
    with redis_server() as redis:
        settings.CACHES = {
            name: {**options, "LOCATION": redis.url} for name, options in settings.CACHES.items()
        }
        eventually("the cache is in it", lambda: answers(default_cache().redis))
        lasting_breaker()
        yield redis


@pytest.mark.parametrize("fault", ["kill", "freeze"])
def test_without_redis_the_page_opens_and_waits_for_it_once(support, own_redis, fault):
    getattr(own_redis, fault)()
    with round_trips() as asked:
        found = panels(support)
    # The breaker kept the others from waiting too. A dead one is not even written to.
    assert len(asked) == {"kill": 0, "freeze": 1}[fault]
    assert found["Redis"].startswith("Not reachable Answers come from the database meanwhile")
    assert "left alone for a second: it failed" in found["Redis"]
    for panel in ("Requests", "Cache hit rates"):
        assert found[panel].startswith("Not reachable Redis, which counts them, did not answer.")
    assert found["Database"].startswith("Up")
    assert found["Ledger"].startswith("Never checked")


# --- what it costs, and who sees it --------------------------------------------------------------


def test_it_takes_12_queries_at_most(support):
    make_project(status="FAILED")
    for client in (support, signed_in(make_staff("admin"))):
        with CaptureQueriesContext(connection) as queries:
            assert client.get("/admin/").status_code == 200
        texts = "\n".join(query["sql"][:150] for query in queries)
        assert len(queries) <= 12, f"{len(queries)}:\n{texts}"


@pytest.mark.usefixtures("vacuumed")
def test_nothing_is_counted_beyond_the_cap(support, monkeypatch):
    monkeypatch.setattr(capped_counts, "MOST", 2)
    org = make_organization()
    for _ in range(2):
        make_project(org, status="QUEUED")
    assert "Queued 2 0 The oldest for 0 minutes –" in panels(support)["Work"]
    for _ in range(2):
        make_project(org, status="QUEUED")
    assert "Queued 2+ 0 The oldest for 0 minutes –" in panels(support)["Work"]
    with captured() as statements:
        capped_counts.capped_counts({"queued": Project.objects.filter(status="QUEUED")}, {})
    assert cost_of(statements).read == 3


@pytest.mark.parametrize(
    ("value", "shown"), [(0, "0"), (7, "7"), (1000, "1,000"), (1001, "1,000+")]
)
def test_a_count_beyond_the_cap_says_so(value, shown):
    assert str(Count(value)) == shown
    assert bool(Count(value)) is (value > 0)


@pytest.mark.usefixtures("vacuumed")
def test_no_statement_of_it_reads_a_whole_table():
    make_project(status="FAILED")
    sql("SET LOCAL enable_seqscan = off")
    with captured() as statements:
        collect()
    cost = cost_of(statements)
    # Its rows are few, and those of workers even fewer.
    assert cost.scans <= {"procrastinate_workers"}
    assert {
        "projects_project_queue",
        "projects_project_leases",
        "exports_export_queue",
        "exports_export_leases",
        "staff_jobs_failed",
        "billing_alert_failed",
        "billing_alert_pending",
    } <= cost.indexes
    assert any(index.startswith("billing_event") for index in cost.indexes)


def test_staff_without_a_role_see_that_they_have_none(support):
    text = signed_in(make_staff()).get("/admin/").content.decode()
    assert "dashboard-work" not in text
    assert "have permission to view or edit anything." in text
    assert "dashboard-work" in support.get("/admin/").content.decode()


def test_the_lists_of_everything_stand_below_it(support):
    text = support.get("/admin/").content.decode()
    assert text.index("dashboard-redis") < text.index("/admin/projects/project/")


def test_looking_changes_nothing(support):
    panels(support)
    assert not AuditEntry.objects.exists()
    assert not LedgerCheck.objects.exists()

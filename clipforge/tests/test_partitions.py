"""The ledger and the jobs on partitions: no line of the product changes, and no list reads more.

The tables are partitioned in a transaction that is rolled back. What customers and workers do then is
the same as before, to the letter of each answer; only ids and times differ.
"""

from __future__ import annotations

import datetime
import itertools
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.utils import DatabaseError
from django.utils import timezone

from clipforge.common.api.pagination import keyset_page
from clipforge.common.models import uuid7
from clipforge.devtools.query_plans.budgets import PLACE, faults
from clipforge.devtools.query_plans.explain import EXPLAIN, captured, cost_of, nodes
from clipforge.devtools.testing.factories import (
    TESTER,
    make_client,
    make_export,
    make_grant,
    make_moment,
    make_organization,
    make_project,
    make_transactions,
)
from clipforge.devtools.testing.partitions import GROWING, partition
from clipforge.devtools.testing.state import lapse_lease
from clipforge.jobs import lifecycle, retention, sweeping
from clipforge.orgs import stored
from clipforge.orgs.models import Organization
from credits import expiry, reconciling
from credits import services as credit_services
from credits.models import CreditGrant, CreditHold, CreditTransaction
from exports.jobs import RENDER
from exports.models import Export
from projects.jobs import ANALYSIS
from projects.models import Project

pytestmark = pytest.mark.django_db

PARTITIONS = 4
SECOND = datetime.timedelta(seconds=1)
ID = re.compile(r"[0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12}")
# Times, signatures, and ids that are numbers.
CHANGING = re.compile(
    r"\d{4}-\d\d-\d\dT[\d:.]+(?:Z|\+00:00)"
    r"|(?<=/files/)[\w:.-]+|(?<=cursor=)[\w%:.-]+|(?<=\"next_cursor\": \")[\w:.-]+"
    r"|(?<=\"id\": )\d+|(?<=_id\": \")\d+|(?<=\")\d+(?=\": \d)"
)


def partition_all() -> None:
    for table in GROWING:
        partition(table, into=PARTITIONS)


# --- the same answers ------------------------------------------------------------------


def everyday() -> Iterator[tuple[str, Any]]:
    """A day of customers, workers and sweepers with jobs and credits, and what each of them is told."""
    org = make_organization(name="Acme", credits_=20)
    project = make_project(org, duration=600.0, title="Talk")
    moment = make_moment(project, start=5.0, end=21.5)
    api = make_client(org)

    def get(path: str) -> tuple[str, Any]:
        return f"GET {path}", api.get(path).json()

    body = {"moment": str(moment.pk), "aspect": "1:1"}
    for _ in range(2):
        answer = api.post("/api/v1/exports", body, HTTP_IDEMPOTENCY_KEY="once")
        yield "order", (answer.status_code, answer.json())
    export = Export.objects.get()
    yield "no claim of another fence", lifecycle.claim(Export, export.pk, fence=7)
    job = lifecycle.claim(Export, export.pk, fence=0)
    assert job is not None
    yield "beat", lifecycle.beat(job, stage="rendering", progress=0.5)
    lapse_lease(export)
    yield "sweep", sweeping.sweep(Export)
    job = lifecycle.claim(Export, export.pk, fence=2)
    assert job is not None
    made: dict[str, Any] = {
        "file_key": f"{org.pk}/exports/{export.pk}/3.mp4",
        "size": 7,
        "stored_bytes": 7,
    }
    for _ in range(2):
        yield "success", lifecycle.succeed(job, status="READY", actor="worker", **made)
    connection.check_constraints()
    yield "stored", stored.usage(org.pk)
    others = [
        api.post("/api/v1/exports", {"project": str(project.pk), "start": at, "end": at + 10})
        for at in range(5)
    ]
    first, second, *_ = (answer.json()["id"] for answer in others)
    yield "cancelled", api.post(f"/api/v1/exports/{first}/cancel").json()
    yield "retried", api.post(f"/api/v1/exports/{first}/retry").json()
    failing = lifecycle.claim(Export, second, fence=0)
    assert failing is not None
    error = ("timed_out", "It took too long.")
    yield "failure", lifecycle.fail(failing, error=error, actor="worker")
    spend = CreditTransaction.objects.get(type="SPEND", reference_id=str(export.pk))
    for _ in range(2):
        refunded = credit_services.refund(
            transaction=spend, reason="asked for in writing", actor=TESTER, idempotency_key="refund"
        )
        yield "refunded", refunded.amount
    make_grant(org, 5)
    CreditGrant.objects.filter(org=org, amount=5).update(expires_at=timezone.now() - SECOND)
    yield "expired", expiry.expire_grants()
    for path in ("exports", "projects", "credits/transactions", "credits/holds"):
        page = api.get(f"/api/v1/{path}?page_size=2").json()
        yield f"first page of {path}", page
        yield f"second page of {path}", api.get(page["next"] or f"/api/v1/{path}").json()
    yield get("/api/v1/exports?status=QUEUED&page_size=3")
    yield get(f"/api/v1/exports?project={project.pk}&sort=updated_at")
    yield get("/api/v1/credits/transactions?type=REFUND")
    yield get("/api/v1/credits/balance")
    yield get("/api/v1/usage?group_by=kind")
    yield get(f"/api/v1/projects/{project.pk}?expand=moments,exports")
    Export.objects.filter(pk=export.pk).update(expires_at=timezone.now() - SECOND)
    yield "ended", (retention.expire(RENDER), retention.expire(ANALYSIS))
    yield get(f"/api/v1/exports/{export.pk}")
    yield "deleted", api.delete(f"/api/v1/exports/{first}").status_code
    yield "deleted", api.delete(f"/api/v1/projects/{project.pk}").status_code
    connection.check_constraints()
    yield "left", (Export.objects.count(), Project.objects.count(), stored.usage(org.pk))
    yield (
        "ledger",
        list(
            CreditTransaction.objects.for_org(org)
            .order_by("org_seq")
            .values_list("type", "amount", "balance_after", "org_seq")
        ),
    )
    yield "breaches", reconciling.breaches()


def told(*, on_partitions: bool) -> list[str]:
    """The answers of an ordinary day, of which nothing stays."""
    # By hand: within another block no request may open its own, which it wants to be the outermost.
    before = transaction.savepoint()
    if on_partitions:
        partition_all()
    answers = [
        f"{name}: {json.dumps(answer, indent=1, sort_keys=True, default=str)}"
        for name, answer in everyday()
    ]
    transaction.savepoint_rollback(before)
    seen: dict[str, str] = {}
    numbers = itertools.count(1)

    def number(found: re.Match[str]) -> str:
        return seen.setdefault(found[0], f"<{next(numbers)}>")

    return [CHANGING.sub("<>", ID.sub(number, answer)) for answer in answers]


def test_an_ordinary_day_is_the_same_on_partitions():
    for one, other in zip(told(on_partitions=True), told(on_partitions=False), strict=True):
        assert one == other


# --- and no page of a list reads more ----------------------------------------------------


def grown() -> Organization:
    """An organization with hundreds of rows of each kind, among those of a hundred others."""
    org = make_organization(tier="ENTERPRISE")
    now = timezone.now()
    for each in (org, *(make_organization() for _ in range(20))):
        times = [now - number * SECOND for number in range(300 if each is org else 20)]
        make_transactions(each, *((at, "GRANT", 5) for at in times))
        make_transactions(each, *((at, "SPEND", -1) for at in times))
    make_transactions(org, (now - 700 * SECOND, "REFUND", 1))
    project = make_project(org)
    _copy(Export, make_export(project), 600)
    _copy(Project, project, 600)
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {', '.join(GROWING)}")
    return org


def _copy(model: Any, row: Any, count: int) -> None:
    rows = [model(**{**_values(row), "id": uuid7(), "version": 1}) for _ in range(count)]
    model.objects.bulk_create(rows)


def _values(row: Any) -> dict[str, Any]:
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}


def touched(find: Callable[[], object]) -> tuple[set[str], list[str]]:
    """The growing tables, or partitions of them, that it reads, and where it is beyond seven buffers.

    They are counted as `check_indexes` counts them: without a look at a row whose page is not known to
    be seen by all.
    """
    with captured() as statements:
        find()
    read = set()
    with connection.cursor() as cursor:
        for sql, params in statements:
            cursor.execute(EXPLAIN + sql, params)
            read |= {
                node.get("Relation Name", "") for node in nodes(cursor.fetchone()[0][0]["Plan"])
            }
    beyond = faults(cost_of(statements), PLACE._replace(statements=1, buffers=7))
    return {name for name in read if name.startswith(GROWING)}, beyond


# Of an organization: the newest, those of a rare kind, and those after one that lies deep.
LISTS: dict[str, Callable[[Organization], Any]] = {
    "transactions": lambda org: CreditTransaction.objects.for_org(org),
    "rare transactions": lambda org: CreditTransaction.objects.for_org(org).filter(type="REFUND"),
    "exports": lambda org: Export.objects.for_org(org),
    "rare exports": lambda org: Export.objects.for_org(org).filter(status="FAILED"),
    "projects": lambda org: Project.objects.for_org(org),
}


def test_a_page_of_a_list_is_found_in_one_partition_and_in_seven_buffers():
    org = grown()
    finds = {}
    for name, rows in LISTS.items():
        for depth in (0,) if "rare" in name else (0, 400):
            finds[name, depth] = _find(rows(org), depth)
    whole = {place: touched(find) for place, find in finds.items()}
    partition_all()
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {', '.join(GROWING)}")
    for place, find in finds.items():
        tables, beyond = touched(find)
        assert (len(tables), beyond, whole[place][1]) == (1, [], []), place


def _find(rows: Any, depth: int) -> Callable[[], object]:
    """Read the keys of the page that begins after so many rows."""
    keyset, after = ("created_at", "id"), None
    if depth:
        row = keyset_page(rows, keyset, depth)[depth - 1]
        after = [row.created_at, row.id]
    page = keyset_page(rows, keyset, 50, after=after).values_list(*keyset)
    return lambda: list(page.all())


def test_on_partitions_the_ledger_is_as_strict_as_before():
    org = make_organization(credits_=5)
    partition_all()
    row = CreditTransaction.objects.for_org(org).get()
    again = {**_values(row), "id": None}
    before = transaction.savepoint()
    _at_once(CreditTransaction(**{**again, "org_seq": 900, "idempotency_key": "a new one"}).save)
    transaction.savepoint_rollback(before)
    hold = make_project(org, status="QUEUED").hold
    assert hold is not None
    for change in (
        lambda: CreditTransaction.objects.filter(pk=row.pk).update(reason="another"),
        lambda: CreditTransaction.objects.filter(pk=row.pk).delete(),
        lambda: CreditTransaction(**{**again, "org_seq": 999}).save(),
        lambda: CreditTransaction(**{**again, "idempotency_key": "another"}).save(),
        lambda: CreditHold.objects.filter(pk=hold.pk).update(amount=999),
        lambda: CreditTransaction(**{**again, "org_id": uuid7()}).save(),
    ):
        with pytest.raises(DatabaseError):
            _at_once(change)


def _at_once(change: Callable[[], object]) -> None:
    """With all that is checked at the end of a transaction."""
    with transaction.atomic():
        change()
        connection.check_constraints()

"""`manage.py seed_load`: a database full of data that the service itself could have made."""

from __future__ import annotations

import io
import json
from typing import Any

import psycopg
import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.db.models import Count, F
from rest_framework.test import APIClient

from billing import reconciling
from billing.models import Payment, PlanPeriod
from clipforge.devtools.seeding.tables import Sink, Table
from clipforge.devtools.testing.factories import make_organization
from clipforge.devtools.testing.state import nothing_changes
from clipforge.jobs import lifecycle
from clipforge.orgs.models import APIKey, Membership, Organization
from credits.invariants import broken_invariants
from credits.models import CreditGrant, CreditHold, CreditTransaction, HoldAllocation
from credits.selectors import balance
from exports.models import Export
from projects.models import Moment, Project

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("vacuumed")]

SIZES = {"orgs": 30, "projects": 400, "moments": 2000, "transactions": 6000, "exports": 1500}
MODELS = [Organization, Project, Moment, CreditTransaction, Export]


def seed_load(*arguments: str, **sizes: int) -> dict[str, Any]:
    out = io.StringIO()
    options = [f"--{name}={count}" for name, count in {**SIZES, **sizes}.items()]
    call_command("seed_load", *options, *arguments, "--json", stdout=out)
    (line,) = out.getvalue().splitlines()
    result: dict[str, Any] = json.loads(line)
    return result


def contents() -> dict[str, list[Any]]:
    """All rows, but for what PostgreSQL numbers and when organizations were last saved."""
    rows: dict[str, list[Any]] = {
        model.__name__: list(model._default_manager.order_by("pk").values_list())
        for model in (Project, Moment, Export, CreditHold, CreditGrant, CreditTransaction)
    }
    allocations = HoldAllocation.objects.order_by("pk")
    rows["HoldAllocation"] = list(allocations.values_list("hold", "grant", "amount", "captured"))
    rows["Payment"] = list(Payment.objects.order_by("pk").values_list("pk", "amount", "paid_at"))
    periods = PlanPeriod.objects.order_by("pk")
    rows["PlanPeriod"] = list(periods.values_list("pk", "payment", "subscription", "ends_at"))
    rows["Organization"] = list(Organization.objects.order_by("pk").values_list("pk", "tier"))
    return rows


def indexes() -> set[tuple[str, str]]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
            " UNION ALL SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
        )
        return set(cursor.fetchall())


def test_there_are_exactly_as_many_rows_as_were_asked_for():
    told = seed_load()
    assert [model._default_manager.count() for model in MODELS] == list(SIZES.values())
    assert {name: told[name] for name in SIZES} == SIZES
    assert Membership.objects.count() == 30


def test_the_ledger_adds_up_and_knows_every_type_of_transaction():
    seed_load()
    assert broken_invariants() == []
    types = CreditTransaction.objects.values_list("type", flat=True).distinct()
    assert set(types) == {"GRANT", "PURCHASE", "SPEND", "REFUND", "ADJUST", "EXPIRE"}


def test_every_purchase_has_its_payment_and_every_plan_its_months():
    seed_load()
    assert reconciling.reconcile().ok
    purchases = CreditTransaction.objects.filter(type="PURCHASE")
    paid = Payment.objects.filter(status="PAID")
    assert paid.filter(price__kind="PACK").count() == purchases.count() > 30
    plans = paid.filter(price__kind="PLAN")
    assert plans.count() == PlanPeriod.objects.exclude(payment=None).count() > 0
    assert set(paid.values_list("currency", flat=True)) == {"usd", "eur", "jpy"}
    assert set(paid.values_list("method", flat=True)) == {"STRIPE", "MANUAL"}
    assert paid.filter(reversed_amount__gt=F("disputed_amount")).exists()
    assert paid.filter(disputed_amount__gt=0).exists()
    assert Payment.objects.filter(status="EXPIRED").exists()


def test_every_hold_belongs_to_work_and_is_as_open_as_that():
    seed_load()
    for model in (Project, Export):
        held = {model.RUNNING: {"HELD"}, "QUEUED": {"HELD"}, "READY": {"CAPTURED"}}
        held |= {"EXPIRED": {"CAPTURED"}}
        for status in model.objects.values_list("status", flat=True).distinct():
            rows = model.objects.filter(status=status)
            assert set(rows.values_list("hold__status", flat=True)) == held.get(
                status, {"RELEASED"}
            )
            assert not rows.exclude(fence=F("hold__fence")).exists()
        assert model.objects.filter(status="QUEUED").exists()


def test_one_organization_does_a_fifth_of_the_work_and_all_tiers_are_there():
    seed_load()
    busiest = Project.objects.values("org__slug").annotate(count=Count("pk")).order_by("-count")
    assert busiest[0]["org__slug"] == "load-1-0"
    assert 60 <= busiest[0]["count"] <= 100
    tiers = Organization.objects.values_list("tier", flat=True)
    assert set(tiers) == {"FREE", "STARTER", "PRO", "BUSINESS", "ENTERPRISE"}


def test_many_transactions_of_the_busiest_organization_share_one_moment():
    seed_load()
    moments = CreditTransaction.objects.values("org", "created_at").annotate(count=Count("pk"))
    assert max(moments.values_list("count", flat=True)) >= 30


def test_the_same_seed_gives_the_same_rows_again_and_another_gives_others():
    made = []
    with time_machine.travel("2026-11-01T12:00:00Z", tick=False):
        for number in ("7", "7", "8"):
            with transaction.atomic():
                seed_load("--seed", number)
                made.append(contents())
                transaction.set_rollback(True)
    assert made[0] == made[1]
    assert made[0] != made[2]


def test_the_keys_work_at_once_and_an_export_can_be_started(tmp_path):
    path = tmp_path / "keys.jsonl"
    seed_load("--keys", str(path))
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(rows) == 30
    assert path.stat().st_mode & 0o777 == 0o600
    assert set(rows[0]) == {"org", "tier", "key"}
    assert (rows[0]["org"], rows[0]["tier"]) == ("load-1-0", "ENTERPRISE")
    api = APIClient()
    api.credentials(HTTP_AUTHORIZATION=f"Bearer {rows[0]['key']}")
    project = api.get("/api/v1/projects", {"status": "READY"}).json()["results"][0]
    moment = api.get(f"/api/v1/projects/{project['id']}/moments").json()["results"][0]
    started = api.post(
        "/api/v1/exports", {"moment": moment["id"]}, headers={"Idempotency-Key": "1"}
    )
    assert (started.status_code, started.json()["status"]) == (201, "QUEUED")


def test_without_a_file_for_them_there_are_no_keys():
    seed_load()
    assert not APIKey.objects.exists()


def test_a_key_file_that_exists_is_not_overwritten(tmp_path):
    path = tmp_path / "keys.jsonl"
    path.write_text("mine")
    with pytest.raises(CommandError, match=r"cannot be written to .*File exists"):
        seed_load("--keys", str(path))
    assert path.read_text() == "mine"
    assert not Organization.objects.exists()


def test_every_organization_has_credits_left():
    seed_load()
    assert min(balance(org).available for org in Organization.objects.all()) >= 1000


def test_what_waits_can_be_claimed_by_a_worker():
    seed_load()
    project = Project.objects.filter(status="QUEUED").first()
    assert project is not None
    assert lifecycle.claim(Project, project.pk, fence=project.fence) is not None


def test_every_index_and_constraint_is_back_afterwards():
    before = indexes()
    seed_load()
    assert indexes() == before


def test_the_service_goes_on_where_the_data_end():
    seed_load()
    organization = Organization.objects.first()
    assert organization is not None
    other = make_organization(credits_=10)
    assert balance(other).available == 10
    last = CreditTransaction.objects.order_by("-id").first()
    assert last is not None
    assert last.org_id == other.pk


def test_a_database_with_organizations_is_refused_unless_told_otherwise(tmp_path):
    make_organization(credits_=3)
    keys = tmp_path / "keys.jsonl"
    with nothing_changes(), pytest.raises(CommandError, match="has organizations already"):
        seed_load("--keys", str(keys))
    assert not keys.exists()
    seed_load("--into-existing")
    assert Organization.objects.count() == 31
    assert broken_invariants() == []


def test_the_same_seed_is_refused_the_second_time():
    seed_load()
    with nothing_changes(), pytest.raises(CommandError, match="Choose another --seed"):
        seed_load("--into-existing")


@pytest.mark.parametrize(
    ("sizes", "sentence"),
    [
        ({"transactions": 1000}, "At least 1[0-9]{3} transactions are needed"),
        ({"orgs": 0}, "at least one organization"),
        ({"moments": -1}, "no number may be negative"),
        ({"projects": 0}, "need at least 20 projects"),
    ],
)
def test_sizes_that_do_not_go_together_are_refused(sizes, sentence):
    before = indexes()
    with nothing_changes(), pytest.raises(CommandError, match=sentence):
        seed_load(**sizes)
    assert indexes() == before


def test_a_ledger_alone_can_be_filled():
    seed_load(projects=0, moments=0, exports=0, transactions=3001)
    assert CreditTransaction.objects.count() == 3001
    assert broken_invariants() == []


def test_rows_that_postgresql_refuses_are_the_error_of_who_sent_them():
    with transaction.atomic(), Sink() as sink:
        sink.add(Table("orgs_organization", ("id",)), "no id")
        with pytest.raises(psycopg.DataError):
            sink.flush()
        transaction.set_rollback(True)

"""Events are written with what they are about, in order, for those that asked for them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.db import transaction

from clipforge.devtools.testing.factories import (
    make_client,
    make_endpoint,
    make_export,
    make_organization,
    make_project,
)
from clipforge.devtools.testing.races import run_together
from clipforge.events import outbox
from clipforge.events.models import Delivery, Event
from clipforge.events.registry import EventType, all_types, find_type, register
from clipforge.events.tests.makers import happen
from clipforge.jobs import lifecycle
from clipforge.jobs import services as job_services
from clipforge.jobs.models import Job
from clipforge.orgs.models import Organization
from exports.api.events import NO_LINK
from projects import services as project_services
from projects.models import Project

pytestmark = pytest.mark.django_db


def told(org: Organization) -> list[tuple[str, int]]:
    return list(Event.objects.for_org(org).order_by("pk").values_list("type", "sequence"))


def tasks() -> list[dict[str, Any]]:
    entries: Any = apps.get_model("procrastinate.ProcrastinateJob")
    return list(entries.objects.filter(task_name=outbox.SEND).values_list("args", flat=True))


def test_all_types_of_event_are_these():
    assert {each.name for each in all_types()} == {
        "endpoint.test",
        *["project.ready", "project.empty", "project.failed", "project.cancelled"],
        *["project.ending", "project.expiring", "export.ending", "export.expiring"],
        *["export.ready", "export.failed", "export.cancelled"],
        *["credits.low", "payment.succeeded", "payment.failed", "payment.refunded"],
    }


def test_a_type_is_registered_once():
    again = find_type("project.ready")
    with pytest.raises(ValueError, match=r"project\.ready is registered already"):
        register(EventType(**vars(again)))


@pytest.mark.parametrize(
    ("make", "path"),
    [(make_project, "projects"), (make_export, "exports")],
    ids=["project", "export"],
)
@pytest.mark.parametrize("status", ["READY", "EMPTY", "FAILED", "CANCELLED"])
def test_every_end_of_a_job_is_one_event_with_the_body_that_get_answers(
    make: Callable[..., Job], path: str, status: str
):
    if (path, status) == ("exports", "EMPTY"):
        return
    job = make(status=status)
    event = Event.objects.get(object_id=job.pk)
    name = path.removesuffix("s")
    assert (event.type, event.sequence, event.org) == (f"{name}.{status.lower()}", 1, job.org)
    body = json.loads(event.body)
    data = body.pop("data")
    shown = make_client(job.org).get(f"/api/v1/{path}/{job.pk}").json()
    assert data == shown | ({} if path == "projects" else NO_LINK)
    assert body == {
        "id": str(event.pk),
        "type": event.type,
        "timestamp": event.created_at.isoformat().replace("+00:00", "Z"),
        "object_type": name,
        "object_id": str(job.pk),
        "sequence": 1,
    }


def test_what_only_changes_hands_is_no_event():
    project = make_project(status="ANALYZING")
    assert lifecycle.hand_back(project)
    assert told(project.org) == []


def test_the_events_of_an_object_are_numbered_from_one_on():
    project = make_project(status="FAILED")
    job_services.retry_job(job=project, actor="key:1")
    lifecycle.cancel(project, actor="key:1")
    lifecycle.cancel(project, actor="key:1")  # changes nothing
    other = make_project(project.org)
    assert told(project.org) == [
        ("project.failed", 1),
        ("project.cancelled", 2),
        ("project.ready", 1),
    ]
    assert Event.objects.get(object_id=other.pk).sequence == 1


def test_a_number_is_not_given_again_when_its_event_is_swept():
    project = make_project(status="FAILED")
    Event.objects.all().delete()
    happen(project.org, project=project)
    assert told(project.org) == [("project.ready", 2)]


def test_a_project_that_is_deleted_while_it_waits_is_told_of_as_cancelled():
    project = make_project(status="QUEUED")
    project_services.delete_project(project=project, actor="key:1")
    assert told(project.org) == [("project.cancelled", 1)]


def test_what_is_rolled_back_was_never_told():
    org = make_organization()
    make_endpoint(org)
    project = make_project(org, status="ANALYZING")
    with transaction.atomic():
        lifecycle.succeed(project, status="READY", actor="test")
        assert told(org) == [("project.ready", 1)]
        transaction.set_rollback(True)
    assert (told(org), Delivery.objects.count(), tasks()) == ([], 0, [])


def test_an_event_is_for_the_enabled_endpoints_of_its_organization_that_asked_for_it():
    org, other = make_organization(), make_organization()
    wanted = [
        make_endpoint(org, "https://a.example/1"),
        make_endpoint(org, "https://a.example/2", event_types=["project.failed", "project.ready"]),
    ]
    make_endpoint(org, "https://a.example/3", event_types=["project.failed"])
    off = {"is_enabled": False, "disabled_at": "2026-01-01T00:00Z", "disabled_because": "BY_HAND"}
    make_endpoint(org, "https://a.example/4", **off)
    make_endpoint(org, "https://a.example/5", deleted_at="2026-01-01T00:00Z")
    make_endpoint(other, "https://a.example/6")
    (event,) = happen(org)
    found = Delivery.objects.order_by("endpoint").values_list(
        "endpoint", "event", "status", "tries"
    )
    assert list(found) == [(each.pk, event.pk, "PENDING", 0) for each in wanted]
    assert sorted(each["endpoint_id"] for each in tasks()) == sorted(
        str(each.pk) for each in wanted
    )


@pytest.mark.django_db(transaction=True)
def test_twenty_events_of_one_object_at_once_have_twenty_numbers():
    org = make_organization()
    project = make_project(org, status="UPLOADED")

    def act(_: int) -> int:
        with transaction.atomic():
            return outbox.record(
                "project.ready", Project.objects.get(pk=project.pk), org=org
            ).sequence

    assert set(run_together(20, act)) == set(range(1, 21))

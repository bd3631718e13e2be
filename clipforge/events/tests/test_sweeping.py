from __future__ import annotations

import datetime

import pytest
from django.utils import timezone

from clipforge.devtools.testing.factories import TESTER, make_endpoint, make_organization
from clipforge.devtools.testing.receivers import Receiver
from clipforge.events import services, sweeping
from clipforge.events.models import Attempt, Delivery, Endpoint, Event
from clipforge.events.tests.makers import happen, send

pytestmark = pytest.mark.django_db


def make_old() -> None:
    Event.objects.update(created_at=timezone.now() - datetime.timedelta(days=31))


def counts() -> list[int]:
    return [model._default_manager.count() for model in (Event, Delivery, Attempt, Endpoint)]


def test_an_old_event_goes_with_its_deliveries_and_attempts(receiver: Receiver):
    endpoint = make_endpoint(make_organization(), receiver.url())
    happen(endpoint.org)
    send(endpoint)
    make_old()
    happen(endpoint.org)
    assert counts() == [2, 2, 1, 1]
    assert sweeping.remove_old() == 1
    assert counts() == [1, 1, 0, 1]


def test_a_run_is_bounded_and_the_next_one_goes_on(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sweeping, "BATCH", 2)
    monkeypatch.setattr(sweeping, "BATCHES", 2)
    org = make_organization()
    happen(org, *["project.ready"] * 5)
    make_old()
    assert [sweeping.remove_old() for _ in range(3)] == [4, 1, 0]


def test_a_deleted_endpoint_goes_with_the_last_of_its_deliveries():
    endpoint = make_endpoint(make_organization())
    happen(endpoint.org)
    services.delete_endpoint(endpoint=endpoint, reason="moved elsewhere", actor=TESTER)
    sweeping.remove_old()
    assert counts() == [1, 1, 0, 1]
    make_old()
    sweeping.remove_old()
    assert counts() == [0, 0, 0, 0]

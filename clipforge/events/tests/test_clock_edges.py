"""When a delivery is due, a lease, a pause and patience are over, and an event is old."""

from __future__ import annotations

import datetime

import pytest
from django.utils import timezone

from clipforge.devtools.testing.clocks import around
from clipforge.devtools.testing.factories import make_endpoint, make_organization
from clipforge.events import disabling, selectors, sweeping
from clipforge.events.models import Delivery, Endpoint, Event
from clipforge.events.tests.makers import happen

pytestmark = pytest.mark.django_db

EDGE = timezone.now() + datetime.timedelta(days=100)


@pytest.fixture
def endpoint() -> Endpoint:
    endpoint = make_endpoint(make_organization())
    happen(endpoint.org)
    return endpoint


def test_a_delivery_is_due_from_its_time_on(endpoint: Endpoint):
    Delivery.objects.update(next_try_at=EDGE)
    assert around(EDGE, lambda: selectors.due_deliveries().count()) == [0, 1, 1]


@pytest.mark.parametrize("until", ["lease_expires_at", "paused_until"])
def test_an_endpoint_is_free_once_its_lease_and_its_pause_are_over(endpoint: Endpoint, until: str):
    Endpoint.objects.update(**{until: EDGE})
    assert around(EDGE, lambda: selectors.free_endpoints().count()) == [0, 1, 1]


def test_an_endpoint_is_disabled_once_it_failed_for_five_days(endpoint: Endpoint):
    Endpoint.objects.update(failing_since=EDGE - datetime.timedelta(days=5))
    assert around(EDGE, lambda: disabling.disable_after_failures(endpoint)) == [False, True, True]


def test_an_event_is_kept_for_thirty_days(endpoint: Endpoint):
    Event.objects.update(created_at=EDGE - datetime.timedelta(days=30))
    assert around(EDGE, sweeping.remove_old) == [0, 0, 1]

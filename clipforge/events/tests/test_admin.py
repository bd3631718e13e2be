"""Webhooks as staff see them, and the three things that they do."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.test import Client
from django.urls import reverse

from clipforge.audit.forms import REASON
from clipforge.audit.models import AuditEntry
from clipforge.devtools.testing.factories import make_endpoint, make_organization
from clipforge.devtools.testing.receivers import Receiver, status
from clipforge.devtools.testing.staff import make_staff, signed_in
from clipforge.devtools.testing.state import nothing_changes
from clipforge.events import signing
from clipforge.events.models import Delivery, Endpoint
from clipforge.events.tests.makers import happen, send

pytestmark = pytest.mark.django_db

WHY = "the customer asked for it"


def act(client: Client, row: Any, action: str, **more: str) -> Any:
    meta = row._meta
    url = reverse(f"admin:{meta.app_label}_{meta.model_name}_changelist")
    sent = {"action": action, ACTION_CHECKBOX_NAME: str(row.pk), **more}
    return client.post(url, sent, follow=True)


def confirm(client: Client, row: Any, action: str) -> Any:
    return act(client, row, action, **{"confirmed": "yes", REASON: WHY})


def test_an_endpoint_is_disabled_and_enabled_with_a_reason():
    endpoint, client = make_endpoint(make_organization()), signed_in(make_staff("support"))
    with nothing_changes():
        assert "Nothing is sent to these" in act(client, endpoint, "disable").content.decode()
    for action, is_enabled in [("disable", False), ("enable", True)]:
        confirm(client, endpoint, action)
        endpoint.refresh_from_db()
        assert endpoint.is_enabled is is_enabled
        entry = AuditEntry.objects.latest("id")
        assert (entry.verb, entry.reason, entry.actor_kind) == (action, WHY, "user")


def test_a_delivery_is_sent_again_with_a_reason(receiver: Receiver):
    endpoint, client = (
        make_endpoint(make_organization(), receiver.url()),
        signed_in(make_staff("support")),
    )
    happen(endpoint.org)
    send(endpoint)
    delivery = Delivery.objects.get()
    confirm(client, delivery, "replay")
    send(endpoint)
    first, second = receiver.received
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert AuditEntry.objects.get(object_id=str(delivery.pk)).verb == "replay"


def test_finance_may_look_and_not_act():
    endpoint, client = make_endpoint(make_organization()), signed_in(make_staff("finance"))
    with nothing_changes():
        confirm(client, endpoint, "disable")
    endpoint.refresh_from_db()
    assert endpoint.is_enabled


def test_a_delivery_shows_its_attempts_and_an_endpoint_no_secret(staff: Client, receiver: Receiver):
    receiver.replies["/"] = status(500, b"no room at the inn")
    endpoint = make_endpoint(make_organization(), receiver.url())
    happen(endpoint.org)
    send(endpoint)
    delivery = Delivery.objects.get()
    page = staff.get(reverse("admin:events_delivery_change", args=[delivery.pk])).content.decode()
    assert "no room at the inn" in page
    assert "project.ready" in page
    page = staff.get(reverse("admin:events_endpoint_change", args=[endpoint.pk])).content.decode()
    assert endpoint.url in page
    secret = signing.secret_of(Endpoint.objects.get().salt)
    assert secret not in page
    assert endpoint.salt not in page

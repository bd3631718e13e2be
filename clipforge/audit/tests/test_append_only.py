"""A change by staff leaves a row, and the database refuses to change that."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.urls import reverse

from clipforge.audit.models import AuditEntry
from clipforge.orgs.models import TierLimits

pytestmark = pytest.mark.django_db

FIGURES = {
    "requests_per_minute": 60,
    "uploads_per_minute": 5,
    "exports_per_minute": 10,
    "concurrent_jobs": 1,
    "queued_jobs": 10,
    "max_source_seconds": 1800,
    "max_resolution": 1080,
    "retention_days": 7,
    "storage_bytes": 5_000_000_000,
    "monthly_credits": 60,
}
REASON = "a trial of ten days"


def change_limits(staff: Client, reason: str = REASON) -> int:
    url = reverse("admin:orgs_tierlimits_change", args=["FREE"])
    return staff.post(url, {"tier": "FREE", **FIGURES, "audit_reason": reason}).status_code


def test_a_change_leaves_who_what_before_after_why_and_from_where(staff):
    before = TierLimits.objects.get(tier="FREE")
    assert change_limits(staff) == 302
    action = AuditEntry.objects.get()
    assert (action.verb, action.object_type, action.object_id) == (
        "change",
        "orgs.tierlimits",
        "FREE",
    )
    changed = {name for name, figure in FIGURES.items() if getattr(before, name) != figure}
    assert action.before == {name: getattr(before, name) for name in changed}
    assert action.after == {name: FIGURES[name] for name in changed}
    assert "requests_per_minute" in changed
    assert (action.reason, action.address) == (REASON, "127.0.0.1")
    assert len(action.request_id) >= 8
    assert action.actor is not None
    assert action.actor.is_staff
    assert action.actor_kind == "user"


def test_a_form_that_is_saved_twice_was_one_change(staff):
    assert [change_limits(staff), change_limits(staff)] == [302, 302]
    assert AuditEntry.objects.count() == 1


@pytest.mark.parametrize("reason", ["", "ok", "    because    "])
def test_without_a_reason_that_says_something_nothing_is_changed(staff, reason):
    before = TierLimits.objects.get(tier="FREE").requests_per_minute
    assert change_limits(staff, reason) == 200
    assert TierLimits.objects.get(tier="FREE").requests_per_minute == before
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize(
    "attack",
    [
        "UPDATE orgs_staffaction SET reason = 'something else'",
        "DELETE FROM orgs_staffaction",
    ],
)
def test_the_database_refuses_to_change_what_was_done(staff, attack):
    change_limits(staff)
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        connection.cursor().execute(attack)
    assert AuditEntry.objects.get().reason == REASON

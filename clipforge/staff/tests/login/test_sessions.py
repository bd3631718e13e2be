"""Sessions that have ended."""

from __future__ import annotations

import datetime

import pytest
from django.contrib.sessions.models import Session
from django.utils import timezone

from clipforge.devtools.testing.staff import make_staff, signed_in
from clipforge.staff import tasks

pytestmark = pytest.mark.django_db


def test_sessions_that_have_ended_are_deleted_and_others_go_on():
    ended, lasting = (signed_in(make_staff("superuser")) for _ in range(2))
    Session.objects.filter(pk=ended.session.session_key).update(
        expire_date=timezone.now() - datetime.timedelta(seconds=1)
    )
    tasks.forget_sessions(timestamp=0)
    assert list(Session.objects.values_list("pk", flat=True)) == [lasting.session.session_key]
    assert lasting.get("/admin/").status_code == 200

"""Rows of the queue can be looked at; what rescues them asks for a reason, elsewhere."""

from __future__ import annotations

import pytest
from django.urls import reverse
from procrastinate.contrib.django.models import ProcrastinateJob

from clipforge.devtools.testing.factories import make_project

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("action", ["cancel", "abort"])
def test_nobody_acts_on_a_job_from_its_list(staff, action):
    make_project(status="QUEUED")
    job = ProcrastinateJob.objects.get()
    before = job.status
    url = reverse("admin:procrastinate_procrastinatejob_changelist")
    staff.post(url, {"action": action, "_selected_action": [job.pk]})
    assert ProcrastinateJob.objects.get().status == before

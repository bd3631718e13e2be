"""How many analyses an organization may have waiting or running at a time."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from clipforge.devtools.testing.api import assert_problem
from clipforge.devtools.testing.factories import (
    make_client,
    make_organization,
    make_project,
    make_tier_limits,
)
from clipforge.devtools.testing.races import run_together
from clipforge.devtools.testing.state import funds, nothing_changes, stored_files
from clipforge.orgs.models import TierLimits
from credits.models import CreditAccount
from projects.models import Project

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def none_may_wait(transactional_db: None) -> None:
    """How many wait beyond those that run: `clipforge/jobs/tests/test_places.py`."""
    make_tier_limits(queued_jobs=0)


@pytest.fixture
def video(still: Path) -> bytes:
    return still.read_bytes()


def upload(client: Any, video: bytes) -> Any:
    return client.post(
        "/api/v1/projects", {"file": SimpleUploadedFile("talk.mp4", video)}, format="multipart"
    )


def retry(client: Any, project: Project) -> Any:
    return client.post(f"/api/v1/projects/{project.pk}/retry")


def test_an_upload_beyond_the_limit_is_429_with_its_own_code_and_leaves_no_file(video: bytes):
    org = make_organization(tier="STARTER", credits_=10)
    client = make_client(org)
    assert [upload(client, video).status_code for _ in range(2)] == [201, 201]
    with nothing_changes():
        refused = upload(client, video)
        body = assert_problem(refused, 429, "concurrent_jobs")
    assert (body["limit"], body["quota"], body["running"]) == ("concurrent_jobs", 2, 2)
    assert int(refused["Retry-After"]) > 0
    assert (funds(org).held, len(stored_files())) == (2, 2)


def test_a_retry_needs_room_too_and_has_it_once_another_is_cancelled(video: bytes):
    org = make_organization(tier="FREE", credits_=10)
    client, failed = make_client(org), make_project(org, status="FAILED")
    running = upload(client, video).json()["id"]
    with nothing_changes():
        assert_problem(retry(client, failed), 429, "concurrent_jobs")
    assert client.post(f"/api/v1/projects/{running}/cancel").status_code == 200
    assert retry(client, failed).status_code == 200
    with nothing_changes():
        assert_problem(upload(client, video), 429, "concurrent_jobs")


def test_a_new_figure_holds_at_once(video: bytes):
    org = make_organization(tier="FREE", credits_=10)
    client = make_client(org)
    assert upload(client, video).status_code == 201
    TierLimits.objects.filter(tier="FREE").update(concurrent_jobs=2)
    assert upload(client, video).status_code == 201
    TierLimits.objects.filter(tier="FREE").update(concurrent_jobs=1)
    assert_problem(upload(client, video), 429, "concurrent_jobs")


def test_of_twenty_uploads_at_once_as_many_as_there_is_room_for_become_projects(video: bytes):
    org = make_organization(tier="PRO", credits_=100)
    clients = [make_client(org) for _ in range(20)]
    answers = run_together(20, lambda number: upload(clients[number], video))
    codes = Counter(getattr(answer, "status_code", answer) for answer in answers)
    assert codes == {201: 4, 429: 16}
    account = CreditAccount.objects.get()
    assert (account.open_holds, account.held, Project.objects.count()) == (4, 4, 4)
    assert stored_files() == sorted(Path(project.source_key) for project in Project.objects.all())

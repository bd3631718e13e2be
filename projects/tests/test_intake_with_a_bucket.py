"""Sources that are imported, or come in parts, where the store is a bucket: they end there, and nothing stays here."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from procrastinate.contrib.django import app
from rest_framework.test import APIClient

from clipforge.common import storage
from clipforge.devtools.testing.api import assert_problem
from clipforge.devtools.testing.buckets import Bucket
from clipforge.devtools.testing.factories import make_organization
from clipforge.devtools.testing.file_servers import Served
from clipforge.devtools.testing.receivers import Receiver, receiving
from clipforge.devtools.testing.state import stored_files
from clipforge.orgs import stored
from clipforge.orgs.models import Organization
from projects import services, tasks
from projects.models import Project, Upload

pytestmark = pytest.mark.django_db(transaction=True)

URL = "/api/v1/uploads"


@pytest.fixture
def organization() -> Organization:
    return make_organization(credits_=1)


@pytest.fixture
def film(still: Path) -> bytes:
    return still.read_bytes()


@pytest.fixture
def server(settings: Any) -> Iterator[Receiver]:
    settings.OUTBOUND_LOOPBACK = True
    with receiving() as started:
        yield started


def objects() -> list[str]:
    return [entry.key for entry in storage.walk("projects")]


def send(api: APIClient, film: bytes) -> str:
    tus = {"HTTP_TUS_RESUMABLE": "1.0.0"}
    begun = api.post(URL, HTTP_UPLOAD_LENGTH=str(len(film)), **tus)  # type: ignore[arg-type]
    assert begun.json()["protocol"] == "tus"
    headers = {**tus, "HTTP_UPLOAD_OFFSET": "0"}
    kind = "application/offset+octet-stream"
    sent = api.generic("PATCH", begun["Location"], film, content_type=kind, **headers)  # type: ignore[arg-type]
    assert sent.status_code == 204
    return str(begun.json()["id"])


def test_an_import_ends_in_the_bucket(
    bucket: Bucket, organization: Organization, server: Receiver, film: bytes
):
    server.replies["/a.mp4"] = Served(film)
    project = services.import_project(
        org=organization, source_url=server.url("/a.mp4"), title="", actor="test"
    )
    for task in ("projects.analyse", "projects.import"):
        project.refresh_from_db()
        app.tasks[task](project_id=str(project.pk), fence=project.fence)
    project.refresh_from_db()
    assert (project.status, project.size) == ("QUEUED", len(film))
    assert storage.read_bytes(project.source_key) == film
    assert (objects(), stored_files()) == ([project.source_key], [])


def test_an_upload_by_tus_ends_in_the_bucket(
    bucket: Bucket, api: APIClient, organization: Organization, film: bytes
):
    pk = send(api, film)
    assert api.post("/api/v1/projects", {"upload": pk}, format="json").status_code == 201
    project = Project.objects.get()
    assert storage.facts(project.source_key).sha256 == hashlib.sha256(film).hexdigest()
    assert (objects(), stored_files()) == ([project.source_key], [])
    other = send(api, film)
    refused = api.post("/api/v1/projects", {"upload": other}, format="json")
    assert_problem(refused, 402, "insufficient_credits")
    assert objects() == [project.source_key]
    assert stored_files() == [Path(f"{organization.pk}/uploads/{other}/part")]
    Upload.objects.update(expires_at=project.created_at)
    tasks.expire_uploads(0)
    assert (stored_files(), stored.usage(organization.pk).bytes) == ([], len(film))

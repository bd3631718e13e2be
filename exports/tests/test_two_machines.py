"""Machines that have nothing in common but the database and a bucket do the whole job."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from botocore.client import Config
from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from clipforge.common import storage
from clipforge.common.errors import StorageUnavailable
from clipforge.common.storage import s3
from clipforge.common.storage.stores import SCRATCH
from clipforge.devtools.testing.api import assert_problem
from clipforge.devtools.testing.buckets import Bucket, FaultyProxy
from clipforge.devtools.testing.factories import make_export, make_organization, make_project
from clipforge.devtools.testing.faults import environment
from clipforge.devtools.testing.state import funds, lapse_lease, nothing_changes, stored_files
from clipforge.jobs import running, sweeping
from clipforge.media import probe
from clipforge.orgs.models import Organization
from clipforge.storage_urls import backend_of
from exports.jobs import RENDER
from exports.models import Export
from projects.models import Project

pytestmark = pytest.mark.django_db(transaction=True)

# A worker of a machine: does what is in one queue, and ends.
WORK = """
import asyncio, sys
import django
django.setup()
from clipforge.jobs import worker

async def work():
    app = worker._worker_app()
    async with app.open_async():
        await app.run_worker_async(queues=[sys.argv[1]], wait=False)

asyncio.run(work())
"""


@pytest.fixture
def organization() -> Organization:
    return make_organization(credits_=10)


def work(queue: str, disk: Path, url: str) -> None:
    machine = environment() | {"MEDIA_ROOT": str(disk), "STORAGE_URL": url}
    without_models = {"SPEECH_MODEL": "", "FACE_MODEL": ""}
    argv = [sys.executable, "-c", WORK, queue]
    subprocess.run(argv, env=machine | without_models, check=True, timeout=240)


def files_on(disk: Path) -> list[Path]:
    return [path for path in disk.rglob("*") if path.is_file() and path.suffix != ".lock"]


def upload(api: APIClient, content: bytes) -> Any:
    form = {"file": SimpleUploadedFile("talk.mp4", content)}
    return api.post("/api/v1/projects", form, format="multipart")


def test_one_machine_takes_the_upload_another_analyses_a_third_renders(
    api: APIClient, bucket: Bucket, still: Path, tmp_path: Path
):
    content = still.read_bytes()
    assert upload(api, content).status_code == 201
    project = Project.objects.get()
    assert bucket.names() == [project.source_key]
    assert stored_files() == []  # the machine of the upload keeps nothing
    one, two = tmp_path / "one", tmp_path / "two"
    work("analysis", one, bucket.url)
    project.refresh_from_db()
    assert project.status == "EMPTY"
    assert [path.read_bytes() for path in files_on(one)] == [content]
    span = {"project": str(project.pk), "start": 1, "end": 3, "aspect": "1:1", "resolution": 480}
    assert api.post("/api/v1/exports", span).status_code == 201
    work("render", two, bucket.url)
    export = Export.objects.get()
    assert (export.status, export.file_key) == (
        "READY",
        f"{export.org_id}/exports/{export.pk}/1.mp4",
    )
    assert [path.read_bytes() for path in files_on(two)] == [content]  # a copy of the source alone
    with storage.local_copy(export.file_key) as path:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == export.sha256
        assert probe(path).width == 480
    sizes = [entry.size for entry in storage.beside(export.file_key)]
    assert (len(sizes), sum(sizes)) == (5, export.stored_bytes)


@pytest.fixture
def refusing(bucket: Bucket, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A store that answers what its list says: all methods in it are refused."""
    refused: list[str] = []
    quick = {"mode": "standard", "total_max_attempts": 1}
    monkeypatch.setattr(s3, "CONFIG", s3.CONFIG.merge(Config(retries=quick)))
    with FaultyProxy(
        bucket.endpoint, lambda method, _path: "500" if method in refused else None
    ) as proxy:
        url = bucket.url.replace(bucket.endpoint, proxy.endpoint)
        settings.STORAGES = {**settings.STORAGES, "default": backend_of(url)}
        yield refused


def test_an_upload_that_the_store_does_not_take_is_503_and_leaves_nothing(
    api: APIClient, refusing: list[str], bucket: Bucket, still: Path
):
    refusing += ["PUT"]
    with nothing_changes():
        assert_problem(upload(api, still.read_bytes()), 503, "storage_unavailable")
    assert (bucket.names(), stored_files()) == ([], [])
    refusing.clear()
    assert upload(api, still.read_bytes()).status_code == 201


def test_an_upload_that_is_refused_after_it_was_put_leaves_nothing(
    bucket: Bucket, client_of: Any, still: Path
):
    api = client_of(make_organization(credits_=0))
    assert_problem(upload(api, still.read_bytes()), 402, "insufficient_credits")
    assert (bucket.names(), stored_files()) == ([], [])


@pytest.mark.parametrize("refused", ["HEAD", "GET", "PUT"])
def test_a_store_in_trouble_is_tried_again_by_the_next_attempt_and_then_fails_uncharged(
    refused: str, refusing: list[str], organization: Organization, still: Path, settings: Any
):
    """It is asked for the source, sends it, and takes the clip: each may be what fails."""
    settings.WORK_MAX_ATTEMPTS = 2
    project = make_project(organization, source=still, duration=6.0)
    export = make_export(project, status="QUEUED", start=1.0, end=2.0)
    before = funds(organization)
    refusing += [refused]
    with pytest.raises(StorageUnavailable):
        running.perform(RENDER, export.pk, fence=export.fence)
    export.refresh_from_db()
    assert (export.status, funds(organization)) == ("RENDERING", before)
    lapse_lease(export)
    assert sweeping.sweep(Export) == (1, 0)
    export.refresh_from_db()
    running.perform(RENDER, export.pk, fence=export.fence)
    export.refresh_from_db()
    assert (export.status, export.error_code) == ("FAILED", "storage_unavailable")
    assert funds(organization).held == 0
    assert funds(organization).available == before.available + before.held
    assert {path.parts[0] for path in stored_files()} <= {SCRATCH}

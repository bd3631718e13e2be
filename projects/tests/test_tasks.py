"""The maintenance of uploads: the tasks as the clock runs them, on real files, rows and parts in a bucket."""

from __future__ import annotations

import os

import pytest
import time_machine
from procrastinate.contrib.django import app

from clipforge.common import storage
from clipforge.devtools.testing.buckets import Bucket
from clipforge.devtools.testing.factories import make_organization, make_project
from clipforge.devtools.testing.state import stored_files
from clipforge.orgs import stored
from projects import direct_uploads, uploads
from projects.models import Project, Upload

pytestmark = pytest.mark.django_db

A_DAY = 24 * 3600
BEGUN = 1_800_000_000


def begin() -> Upload:
    return uploads.create_upload(org=make_organization(), name="talk.mp4", size=10)


@pytest.mark.parametrize(("seconds", "given_up"), [(-1, 0), (1, 1)])
def test_parts_in_a_bucket_are_given_up_after_two_days_but_not_those_that_are_awaited(
    bucket: Bucket, seconds: int, given_up: int
):
    awaited, lost = begin(), begin()
    for upload in (awaited, lost):
        direct_uploads.ask_for_parts(upload)
    Upload.objects.filter(pk=lost.pk)._raw_delete("default")
    begun = bucket.store.client.list_multipart_uploads(Bucket=bucket.name)["Uploads"]
    first = min(each["Initiated"].timestamp() for each in begun if str(lost.pk) in each["Key"])
    with time_machine.travel(first + 2 * A_DAY + seconds, tick=False):
        app.tasks["projects.remove_uploads"](timestamp=0)
    assert bucket.unfinished() == 2 - given_up
    assert uploads.is_awaited(awaited.file_key)


def test_the_room_of_an_import_that_ended_without_a_file_is_given_back_every_hour():
    project = make_project(make_organization(), status="FAILED")
    Project.objects.filter(pk=project.pk).update(source_key="", stored_bytes=5_000_000)
    stored.settle(project.org_id)
    assert stored.usage(project.org_id).bytes == 5_000_000
    app.tasks["projects.remove_uploads"](timestamp=0)
    assert stored.usage(project.org_id).bytes == 0


@pytest.mark.parametrize(("seconds", "removed"), [(0, False), (1, True)])
def test_an_upload_goes_after_its_end_and_a_folder_without_one_after_a_day(
    seconds: int, removed: bool
):
    ended, lost = begin(), begin()
    path = uploads.path_of(lost)
    path.parent.mkdir(parents=True)
    path.touch()
    os.utime(path.parent, (BEGUN, BEGUN))
    Upload.objects.filter(pk=ended.pk).update(expires_at="2026-01-01T00:00Z")
    Upload.objects.filter(pk=lost.pk)._raw_delete("default")
    with time_machine.travel(BEGUN + A_DAY + seconds, tick=False):
        app.tasks["projects.expire_uploads"](timestamp=0)
    assert not Upload.objects.exists()
    assert (stored_files() == []) is removed
    assert storage.path_of(lost.file_key).exists() is not removed

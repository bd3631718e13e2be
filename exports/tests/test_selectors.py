"""Reads of exports: of that project, in that state, at that moment, and no others."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from clipforge.devtools.testing.clocks import around
from clipforge.devtools.testing.factories import make_export, make_moment, make_project
from exports.models import Export
from exports.selectors import downloadable, exported_moments, open_exports_of

pytestmark = pytest.mark.django_db


def test_the_moments_that_were_exported_are_those_of_that_project():
    project, other = make_project(), make_project()
    moments = [make_moment(each) for each in (project, other)]
    for moment in (moments[0], moments[1], None):
        make_export(moment.project if moment else project, moment=moment)
    assert exported_moments(project) == {moments[0].pk}
    assert exported_moments(make_project()) == set()


@pytest.mark.parametrize("status", Export.Status.values)
def test_an_export_is_open_while_it_is_queued_or_rendered(status: str):
    project, other = make_project(), make_project()
    make_export(project, status=status)
    assert open_exports_of(project) is (status in ("QUEUED", "RENDERING"))
    assert not open_exports_of(other)


def test_what_can_be_downloaded_comes_newest_first():
    project = make_project()
    made = [make_export(project) for _ in range(4)]
    # Of one moment the one that was made later comes first.
    Export.objects.filter(pk__in=[each.pk for each in made[:3]]).update(created_at=timezone.now())
    Export.objects.filter(pk=made[3].pk).update(created_at=timezone.now())
    make_export(project, status="FAILED")
    make_export()
    assert list(downloadable(project)) == [made[3], made[2], made[1], made[0]]


def test_a_file_can_be_downloaded_until_the_microsecond_in_which_it_ends():
    export = make_export()
    assert export.expires_at is not None
    assert around(export.expires_at, lambda: downloadable(export.project).count()) == [1, 0, 0]
    Export.objects.update(expires_at=None)
    assert downloadable(export.project).count() == 1


def test_of_what_can_be_downloaded_one_read_has_the_name_and_the_file():
    export = make_export(project := make_project(), download_name="talk")
    with CaptureQueriesContext(connection) as said:
        (found,) = downloadable(project)
        shown = (found.file_key, found.download_name, found.format)
    assert shown == (export.file_key, "talk", "mp4")
    assert len(said.captured_queries) == 1

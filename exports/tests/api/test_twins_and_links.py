"""The hint at an export that was ordered twice, and the link and name of a file in its export."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
import time_machine
from django.utils import timezone
from rest_framework.test import APIClient

from clipforge.devtools.testing.clocks import around
from clipforge.devtools.testing.factories import make_export, make_grant, make_moment, make_project
from clipforge.orgs.models import Organization
from exports import downloads
from exports.api.serializers import ExportCreateSerializer
from exports.models import Export
from exports.selectors import TWIN_AGE, recent_twins
from projects.models import Project

pytestmark = pytest.mark.django_db

URL = "/api/v1/exports"


@pytest.fixture
def project(organization: Organization) -> Project:
    make_grant(organization, 50)
    return make_project(organization, title="Über Talk: a/b — uncut")


def body_of(response: Any) -> bytes:
    return b"".join(response.streaming_content)


def order(api: APIClient, project: Project, **changed: Any) -> Any:
    body = {"project": str(project.pk), "start": 1, "end": 20, "resolution": 480, **changed}
    response = api.post(URL, body)
    assert response.status_code == 201, response.content
    return response.json()


def test_the_same_order_again_names_the_one_before(api: APIClient, project: Project):
    first, second = order(api, project), order(api, project)
    assert (first["duplicate_of"], second["duplicate_of"]) == (None, first["id"])
    assert order(api, project)["duplicate_of"] == second["id"]
    assert api.get(f"{URL}/{second['id']}").json()["duplicate_of"] == first["id"]


def test_a_moment_and_its_range_are_the_same_order(api: APIClient, project: Project):
    moment = make_moment(project, start=1.0, end=20.0)
    first = order(api, project)
    body = {"moment": str(moment.pk), "resolution": 480}
    assert api.post(URL, body).json()["duplicate_of"] == first["id"]


@pytest.mark.parametrize(
    "changed",
    [{"start": 1.5}, {"end": 21}, {"aspect": "1:1"}, {"resolution": 720}, {"format": "webm"}],
    ids=str,
)
def test_another_order_is_no_duplicate(api: APIClient, project: Project, changed: dict[str, Any]):
    order(api, project)
    assert order(api, project, **changed)["duplicate_of"] is None


def test_all_that_can_be_ordered_is_compared():
    written = {name for name, field in ExportCreateSerializer().fields.items()}
    terms = {"quote_id", "max_credits"}  # of the price, which is in no file
    assert written - terms - {"moment", "project"} == set(Export.ORDERED)


@pytest.mark.parametrize("status", ["FAILED", "CANCELLED", "EXPIRED"])
def test_one_that_gave_no_file_is_no_reason_for_a_hint(
    api: APIClient, project: Project, status: str
):
    first = order(api, project)
    Export.objects.filter(pk=first["id"]).update(status=status)
    assert order(api, project)["duplicate_of"] is None


def test_ten_minutes_are_long_ago_on_their_edge(project: Project):
    first = make_export(project)
    edge = first.created_at + datetime.timedelta(minutes=10)
    assert around(edge, lambda: recent_twins(first).first()) == [first.pk, first.pk, None]


def test_an_order_for_another_project_is_another(api: APIClient, organization: Organization):
    projects = [make_project(organization, title=title) for title in ("One", "Two")]
    make_grant(organization, 50)
    order(api, projects[0])
    assert order(api, projects[1])["duplicate_of"] is None


def test_nor_is_one_of_long_ago(api: APIClient, project: Project):
    first = order(api, project)
    now = timezone.now()
    for age, named in [(TWIN_AGE - datetime.timedelta(seconds=30), first["id"]), (TWIN_AGE, None)]:
        Export.objects.update(created_at=now - age)
        second = order(api, project)
        assert second["duplicate_of"] == named
        Export.objects.filter(pk=second["id"]).update(status="CANCELLED")


def test_the_export_has_the_link_of_its_file_which_opens_without_a_key(
    api: APIClient, anonymous: APIClient, organization: Organization, settings: Any
):
    settings.DOWNLOAD_URL_SECONDS = 900
    export = make_export(make_project(organization), content=b"clip")
    Export.objects.update(expires_at=None)
    # In the middle of the time that a link stays the same, so that both answers have one.
    with time_machine.travel(1_900_000_000 // 450 * 450 + 225, tick=False):
        shown = api.get(f"{URL}/{export.pk}").json()
        assert shown["download_url"].startswith("http://testserver/files/")
        assert body_of(anonymous.get(shown["download_url"])) == b"clip"
        ends = datetime.datetime.fromisoformat(shown["download_expires_at"])
        assert (ends - timezone.now()).total_seconds() == 675
        (row,) = api.get(URL).json()["results"]
    assert row["download_expires_at"] == shown["download_expires_at"]


def test_a_file_can_be_downloaded_until_its_end_and_not_at_it():
    export = make_export()
    assert export.expires_at is not None
    before = export.expires_at - datetime.timedelta(microseconds=1)
    assert downloads.is_downloadable(export, before) is True
    assert downloads.is_downloadable(export, export.expires_at) is False


def test_a_link_of_a_second_is_shown(
    api: APIClient, anonymous: APIClient, organization: Organization, settings: Any
):
    settings.DOWNLOAD_URL_SECONDS = 1
    export = make_export(make_project(organization), content=b"clip")
    with time_machine.travel(1_900_000_001, tick=False):
        Export.objects.update(expires_at=None)
        shown = api.get(f"{URL}/{export.pk}").json()
        assert shown["download_expires_at"] == "2030-03-17T17:46:42Z"
        assert body_of(anonymous.get(shown["download_url"])) == b"clip"


def test_the_link_is_the_same_for_half_of_its_life_and_good_until_it_says(
    api: APIClient, anonymous: APIClient, organization: Organization, settings: Any
):
    settings.DOWNLOAD_URL_SECONDS = 900
    export = make_export(make_project(organization), content=b"clip")
    Export.objects.update(expires_at=None)
    begins = 1_900_000_000 // 450 * 450
    with time_machine.travel(begins, tick=False) as clock:
        first = api.get(f"{URL}/{export.pk}").json()
        clock.move_to(begins + 449)
        assert api.get(f"{URL}/{export.pk}").json()["download_url"] == first["download_url"]
        clock.move_to(begins + 450)
        assert api.get(f"{URL}/{export.pk}").json()["download_url"] != first["download_url"]
        clock.move_to(begins + 900)
        assert body_of(anonymous.get(first["download_url"])) == b"clip"
        clock.move_to(begins + 901)
        assert anonymous.get(first["download_url"]).status_code == 403
    assert first["download_expires_at"] == "2030-03-17T18:00:00Z"


@pytest.mark.parametrize("status", ["QUEUED", "RENDERING", "FAILED", "EXPIRED"])
def test_without_a_file_there_is_no_link(api: APIClient, organization: Organization, status: str):
    export = make_export(make_project(organization), status=status)
    shown = api.get(f"{URL}/{export.pk}").json()
    assert (shown["download_url"], shown["download_expires_at"]) == (None, None)


def test_a_link_is_not_shown_as_good_for_longer_than_the_file_is_kept(
    api: APIClient, organization: Organization
):
    export = make_export(make_project(organization))
    ends = timezone.now() + datetime.timedelta(seconds=5)
    Export.objects.filter(pk=export.pk).update(expires_at=ends)
    shown = api.get(f"{URL}/{export.pk}").json()
    assert datetime.datetime.fromisoformat(shown["download_expires_at"]) == ends


def test_a_file_is_named_by_what_it_shows(api: APIClient, project: Project):
    ordered = Export.objects.get(pk=order(api, project, start=1.25, aspect="9:16")["id"])
    assert ordered.download_name == "uber-talk-ab-uncut-1.2-20.0s-9x16"
    Export.objects.filter(pk=ordered.pk).update(status="READY", file_key="x")
    shown = api.get(f"{URL}/{ordered.pk}").json()
    assert shown["download_url"].endswith("/uber-talk-ab-uncut-1.2-20.0s-9x16.mp4")
    location = api.get(f"{URL}/{ordered.pk}/download")["Location"]
    assert location.endswith("/uber-talk-ab-uncut-1.2-20.0s-9x16.mp4")
    Project.objects.filter(pk=project.pk).update(title="文")
    named = Export.objects.get(pk=order(api, project)["id"])
    assert named.download_name == "clip-1.0-20.0s-9x16"

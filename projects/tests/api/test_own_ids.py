"""The customer's own id and texts of a project, and how they are found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from clipforge.devtools.testing.api import all_pages, assert_problem, invalid_fields
from clipforge.devtools.testing.factories import make_client, make_grant, make_project
from clipforge.devtools.testing.races import run_together
from clipforge.devtools.testing.state import funds, nothing_changes, stored_files
from clipforge.orgs.models import Organization
from projects.models import Project

pytestmark = pytest.mark.django_db

URL = "/api/v1/projects"
METADATA = {"campaign": "Frühling", "empty": ""}


@pytest.fixture
def video(still: Path) -> bytes:
    return still.read_bytes()


def upload(api: APIClient, video: bytes, key: str = "", **fields: Any) -> Any:
    form = {"file": SimpleUploadedFile("talk.mp4", video), **fields}
    more: Any = {"HTTP_IDEMPOTENCY_KEY": key} if key else {}
    return api.post(URL, form, format="multipart", **more)


def titles(api: APIClient, **parameters: Any) -> list[str]:
    return [row["title"] for row in all_pages(api, URL, **parameters)]


def test_an_upload_may_bring_an_id_and_texts(
    api: APIClient, organization: Organization, video: bytes
):
    make_grant(organization, 10)
    response = upload(api, video, external_id="cms-7", metadata=json.dumps(METADATA))
    assert response.status_code == 201, response.content
    made = response.json()
    assert (made["external_id"], made["metadata"]) == ("cms-7", METADATA)
    assert api.get(f"{URL}/{made['id']}").json() == {
        **made,
        "queue_position": made["queue_position"],
    }


def test_a_project_without_them_says_null_and_nothing(api: APIClient, organization: Organization):
    shown = api.get(f"{URL}/{make_project(organization).pk}").json()
    assert (shown["external_id"], shown["metadata"]) == (None, {})


@pytest.mark.django_db(transaction=True)
def test_of_uploads_with_one_id_at_the_same_moment_one_is_kept_and_paid(
    organization: Organization, video: bytes
):
    make_grant(organization, 100)
    Organization.objects.update(tier="ENTERPRISE")
    clients = [make_client(organization) for _ in range(6)]
    answers = run_together(6, lambda number: upload(clients[number], video, external_id="one"))
    statuses = sorted(getattr(answer, "status_code", 0) for answer in answers)
    assert statuses == [201, 409, 409, 409, 409, 409], answers
    (project,) = Project.objects.all()
    for answer in answers:
        if getattr(answer, "status_code", 0) == 409:
            document = assert_problem(answer, 409, "external_id_taken")
            assert document["existing"] == str(project.pk)
    assert funds(organization).held == project.reserved == 1
    assert len(stored_files()) == 1


def test_another_organization_may_use_the_same_id(api: APIClient, organization: Organization):
    make_project(external_id="one")
    project = make_project(organization)
    assert api.patch(f"{URL}/{project.pk}", {"external_id": "one"}).json()["external_id"] == "one"


def test_it_may_be_changed_taken_away_and_given_to_another(
    api: APIClient, organization: Organization
):
    first, second = make_project(organization, external_id="one"), make_project(organization)
    with nothing_changes():
        taken = api.patch(f"{URL}/{second.pk}", {"external_id": "one", "title": "Other"})
        assert assert_problem(taken, 409, "external_id_taken")["existing"] == str(first.pk)
    assert api.patch(f"{URL}/{first.pk}", {"external_id": None}).json()["external_id"] is None
    body = {"external_id": "one", "metadata": METADATA}
    shown = api.patch(f"{URL}/{second.pk}", body).json()
    assert (shown["external_id"], shown["metadata"]) == ("one", METADATA)
    assert api.patch(f"{URL}/{second.pk}", {"metadata": {}}).json()["metadata"] == {}


@pytest.mark.parametrize("external_id", ["", "  ", "x" * 201, 7, []])
def test_an_id_that_cannot_be_one_is_refused(
    api: APIClient, organization: Organization, external_id: Any
):
    project = make_project(organization)
    with nothing_changes():
        response = api.patch(f"{URL}/{project.pk}", {"external_id": external_id})
        assert invalid_fields(response) == {"/external_id"}
        assert api.patch(f"{URL}/{project.pk}", {"external_id": "x" * 201}).status_code == 422


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        7,
        [],
        {"a": 1},
        {"a": None},
        {"a": {"b": "c"}},
        {"a": "x" * 501},
        {"n" * 41: "x"},
        {"": "x"},
        {str(number): "x" for number in range(21)},
    ],
    ids=lambda value: str(value)[:20],
)
def test_texts_that_are_too_many_too_long_or_no_texts_are_refused(
    api: APIClient, organization: Organization, video: bytes, metadata: Any
):
    project = make_project(organization)
    make_grant(organization, 10)
    with nothing_changes():
        assert api.patch(f"{URL}/{project.pk}", {"metadata": metadata}).status_code == 422
        assert upload(api, video, metadata=json.dumps(metadata)).status_code == 422


@pytest.mark.parametrize("text", ["x", "[" * 5000, '{"a": "\\ud800"}', '{"a\\ud800": "b"}', "7"])
def test_a_form_field_that_is_no_json_of_texts_is_refused(
    api: APIClient, organization: Organization, video: bytes, text: str
):
    make_grant(organization, 10)
    with nothing_changes():
        assert upload(api, video, metadata=text).status_code == 422


def test_as_many_and_as_long_as_they_may_be(api: APIClient, organization: Organization):
    project = make_project(organization)
    metadata = {f"{number:040}": "x" * 500 for number in range(20)}
    assert api.patch(f"{URL}/{project.pk}", {"metadata": metadata}).json()["metadata"] == metadata
    longest = api.patch(f"{URL}/{project.pk}", {"external_id": "x" * 200})
    assert longest.json()["external_id"] == "x" * 200


def test_the_same_key_with_another_id_is_another_request(
    api: APIClient, organization: Organization, video: bytes
):
    make_grant(organization, 10)
    first = upload(api, video, "k", external_id="one")
    assert first.status_code == 201, first.content
    again = upload(api, video, "k", external_id="one")
    assert (again.status_code, again.json()["id"]) == (201, first.json()["id"])
    assert_problem(upload(api, video, "k", external_id="two"), 422, "idempotency_key_reused")


# --- finding ---------------------------------------------------------------------------


@pytest.fixture
def named(organization: Organization) -> None:
    for title, external_id in [
        ("Interview with Ada", "cms-1"),
        ("Ada, part two", "cms-2"),
        ("Über uns", "x"),
        ("100% _real_", ""),
    ]:
        make_project(organization, title=title, external_id=external_id)
    make_project(title="Ada elsewhere", external_id="cms-1")


@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("ada", ["Ada, part two", "Interview with Ada"]),
        ("ADA view", ["Interview with Ada"]),
        ("CMS-", ["Ada, part two", "Interview with Ada"]),
        ("cms-2 part", ["Ada, part two"]),
        ("über", ["Über uns"]),
        ("üb", ["Über uns"]),
        ("100% _real", ["100% _real_"]),
        ("0% _r", []),
        ("100_", []),
        ("daa", []),
        ("x", ["Über uns"]),
        ("nobody has this", []),
    ],
)
@pytest.mark.usefixtures("named")
def test_projects_are_found_by_parts_of_their_title_and_id(
    api: APIClient, q: str, found: list[str]
):
    assert titles(api, q=q) == found


@pytest.mark.usefixtures("named")
def test_one_is_found_by_its_id_and_not_another_organizations(api: APIClient):
    assert titles(api, external_id="cms-1") == ["Interview with Ada"]
    assert titles(api, external_id="CMS-1") == []
    assert_problem(api.get(URL, {"q": "x" * 201}), 422, "invalid")
    assert_problem(api.get(URL, {"q": ""}), 422, "invalid")


# --- a copy of the list ----------------------------------------------------------------


def test_a_copy_asks_for_what_has_changed_since_and_pages_through_it(
    api: APIClient, organization: Organization
):
    projects = [make_project(organization, title=str(number)) for number in range(5)]
    since = api.get(f"{URL}/{projects[4].pk}").json()["updated_at"]
    for number in (3, 0, 1):
        api.patch(f"{URL}/{projects[number].pk}", {"title": f"{number} changed"})
    changed = ["1 changed", "0 changed", "3 changed", "4"]
    assert titles(api, updated_after=since, page_size=1) == changed
    assert titles(api, sort="updated_at", page_size=2) == [*changed, "2"]
    assert titles(api, sort="created_at")[0] == "4"


def test_a_cursor_is_good_for_one_order_only(api: APIClient, organization: Organization):
    for _ in range(2):
        make_project(organization)
    cursor = api.get(URL, {"page_size": 1}).json()["next_cursor"]
    response = api.get(URL, {"cursor": cursor, "sort": "updated_at"})
    assert_problem(response, 422, "invalid_cursor")
    assert_problem(api.get(URL, {"sort": "title"}), 422, "invalid")

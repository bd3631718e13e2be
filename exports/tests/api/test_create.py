"""POST /exports"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from clipforge.devtools.testing.api import assert_not_told_apart, assert_problem, invalid_fields
from clipforge.devtools.testing.factories import (
    make_grant,
    make_moment,
    make_organization,
    make_project,
)
from clipforge.devtools.testing.queries import statements
from clipforge.devtools.testing.races import run_together
from clipforge.devtools.testing.state import Funds, funds, jobs_of, nothing_changes
from clipforge.orgs.models import IdempotencyRecord, Organization
from credits.models import CreditHold
from exports.models import Export
from projects.models import Moment, Project

pytestmark = pytest.mark.django_db

URL = "/api/v1/exports"


@pytest.fixture
def organization() -> Organization:
    return make_organization(credits_=5)


@pytest.fixture
def project(organization: Organization) -> Project:
    """A minute, analysed; its analysis was paid with a credit of its own."""
    return make_project(organization, duration=60.0, title="Talk")


@pytest.fixture
def moment(project: Project) -> Moment:
    return make_moment(project, start=5.0, end=21.5)


def post(api: APIClient, body: dict[str, Any], key: str | None = None) -> Any:
    if key is None:
        return api.post(URL, body)
    return api.post(URL, body, HTTP_IDEMPOTENCY_KEY=key)


def of_range(project: Project, start: Any = 0, end: Any = 10, **more: Any) -> dict[str, Any]:
    return {"project": str(project.pk), "start": start, "end": end, **more}


# --- what a request becomes -----------------------------------------------------------


def test_a_moment_becomes_a_queued_export_with_its_price_reserved(
    api: APIClient, organization: Organization, project: Project, moment: Moment
):
    response = post(api, {"moment": str(moment.pk), "aspect": "1:1", "resolution": 480})
    assert response.status_code == 201, response.content
    export = Export.objects.get()
    assert response["Location"] == f"/api/v1/exports/{export.pk}"
    assert response.json() == {
        "id": str(export.pk),
        "project": str(project.pk),
        "moment": str(moment.pk),
        "status": "QUEUED",
        "stage": None,
        "progress": 0,
        "queue_position": 1,
        "expected_start_at": None,
        "error": None,
        "credits": {"reserved": 1, "charged": 0},
        "start": 5.0,
        "end": 21.5,
        "aspect": "1:1",
        "resolution": 480,
        "layout": "auto",
        "fps": None,
        "format": "mp4",
        "captions": "none",
        "caption_style": {},
        "tighten": "off",
        "watermark": None,
        "size": None,
        "duration": None,
        "width": None,
        "height": None,
        "sha256": None,
        "warnings": [],
        "attempts": 0,
        "created_at": export.created_at.isoformat().replace("+00:00", "Z"),
        "updated_at": export.updated_at.isoformat().replace("+00:00", "Z"),
        "queued_at": response.json()["queued_at"],
        "started_at": None,
        "finished_at": None,
        "expires_at": None,
        "pinned": False,
        "renewable_until": None,
        "download_url": None,
        "download_expires_at": None,
        "duplicate_of": None,
    }
    assert response.json() == api.get(response["Location"]).json()
    assert jobs_of(export) == [0]
    assert funds(organization) == Funds(available=4, held=1)
    hold = CreditHold.objects.get(reference_type="export")
    assert hold.reason == "Export of 5.0–21.5 s of Talk"
    assert hold.inputs == {"item": "export_per_output_minute", "seconds": 16.5, "minutes": 1}


def test_any_range_of_an_analysed_project_can_be_exported(api: APIClient, project: Project):
    response = post(api, of_range(project, 10.25, 30))
    assert response.status_code == 201
    body = response.json()
    assert (body["moment"], body["start"], body["end"]) == (None, 10.25, 30.0)
    assert (body["aspect"], body["resolution"]) == ("9:16", 1080)


@pytest.mark.parametrize(("end", "price"), [(60, 1), (60.9, 1), (61, 2), (120, 2), (121, 3)])
def test_every_started_minute_costs_a_credit(
    api: APIClient, organization: Organization, end: float, price: int
):
    project = make_project(organization, duration=180)
    assert post(api, of_range(project, 0, end)).status_code == 201
    assert funds(organization) == Funds(available=5 - price, held=price)


def test_a_project_in_which_nothing_was_found_can_be_exported(
    api: APIClient, organization: Organization
):
    project = make_project(organization, status="EMPTY")
    assert post(api, of_range(project)).status_code == 201


@pytest.mark.django_db(transaction=True)  # nothing is cached inside a transaction
def test_an_export_is_four_statements_in_one_transaction(api: APIClient, moment: Moment):
    with statements() as first:
        assert post(api, {"moment": str(moment.pk)}, key="k").status_code == 201
    with statements() as said:
        assert post(api, {"moment": str(moment.pk), "aspect": "1:1"}, key="l").status_code == 201
    assert first == ["SELECT orgs_storageusage", *said]  # cached from here on, until that changes
    assert said == [
        "SELECT orgs_claim_key",
        "SELECT projects_moment",  # with its project, locked against deletion
        # the same order minutes before, hold, account and lots, the row, its turn, its task
        "SELECT jobs_submit",
        "INSERT orgs_idempotencyrecord",
    ]


# --- who may, and who pays ------------------------------------------------------------


def test_it_needs_a_key(anonymous: APIClient, moment: Moment):
    with nothing_changes():
        assert_problem(post(anonymous, {"moment": str(moment.pk)}), 401, "not_authenticated")


def test_without_credits_nothing_is_stored(api: APIClient, organization: Organization):
    project = make_project(organization, duration=600)
    with nothing_changes():
        response = post(api, of_range(project, 0, 400), key="k")
        body = assert_problem(response, 402, "insufficient_credits")
    assert (body["needed"], body["available"]) == (7, 5)
    make_grant(organization, 2)
    assert post(api, of_range(project, 0, 400), key="k").status_code == 201


def test_another_organizations_moment_is_not_told_from_none(api: APIClient):
    theirs = make_moment(make_project())
    with nothing_changes():
        assert_not_told_apart(lambda pk: post(api, {"moment": str(pk)}), theirs.pk)


def test_another_organizations_project_is_not_told_from_none(api: APIClient):
    theirs = make_project()
    with nothing_changes():
        assert_not_told_apart(
            lambda pk: post(api, {"project": str(pk), "start": 0, "end": 5}), theirs.pk
        )


# --- the same request again -----------------------------------------------------------


def test_the_same_key_and_body_replays_the_first_answer(
    api: APIClient, organization: Organization, project: Project
):
    first = post(api, of_range(project), key="k")
    with nothing_changes():
        second = post(api, of_range(project), key="k")
    assert (second.status_code, second.content) == (201, first.content)
    assert second["Location"] == first["Location"]
    assert second["Idempotent-Replayed"] == "true"
    assert funds(organization) == Funds(available=4, held=1)


def test_the_first_answer_is_replayed_whatever_became_of_the_export(
    api: APIClient, project: Project
):
    first = post(api, of_range(project), key="k")
    api.post(f"{URL}/{first.json()['id']}/cancel")
    assert post(api, of_range(project), key="k").content == first.content
    api.delete(f"/api/v1/projects/{project.pk}")
    assert post(api, of_range(project), key="k").content == first.content
    assert not Export.objects.exists()


def test_the_same_key_for_something_else_is_refused(api: APIClient, project: Project):
    assert post(api, of_range(project), key="k").status_code == 201
    with nothing_changes():
        response = post(api, of_range(project, end=11), key="k")
        assert_problem(response, 422, "idempotency_key_reused")


def test_another_organization_may_use_the_same_key(
    api: APIClient, client_of: Callable[..., APIClient], project: Project
):
    theirs = make_project(make_organization(credits_=5))
    first = post(api, of_range(project), key="k")
    second = post(client_of(theirs.org), of_range(theirs), key="k")
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.json()["project"] == str(theirs.pk)


def test_without_a_key_two_requests_are_two_exports(api: APIClient, project: Project):
    assert [post(api, of_range(project)).status_code for _ in range(2)] == [201, 201]
    assert Export.objects.count() == 2
    assert not IdempotencyRecord.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_twenty_requests_at_once_with_one_key_make_one_export(
    client_of: Callable[..., APIClient],
):
    org = make_organization(credits_=5)
    project = make_project(org)
    clients = [client_of(org) for _ in range(20)]
    responses: list[Any] = run_together(
        20, lambda number: post(clients[number], of_range(project), key="k")
    )
    codes = Counter(getattr(response, "status_code", response) for response in responses)
    assert set(codes) <= {201, 409}, codes
    assert codes[201] >= 1
    assert len({r.content for r in responses if r.status_code == 201}) == 1
    assert {r.json()["code"] for r in responses if r.status_code == 409} <= {"request_in_progress"}
    assert Export.objects.count() == 1
    assert funds(org) == Funds(available=4, held=1)


@pytest.mark.django_db(transaction=True)
def test_twenty_requests_at_once_spend_no_more_than_there_is(
    client_of: Callable[..., APIClient],
):
    org = make_organization(credits_=5, tier="ENTERPRISE")
    project = make_project(org)
    clients = [client_of(org) for _ in range(20)]
    responses: list[Any] = run_together(20, lambda number: post(clients[number], of_range(project)))
    codes = Counter(getattr(response, "status_code", response) for response in responses)
    assert codes == {201: 5, 402: 15}
    assert funds(org) == Funds(available=0, held=5)


# --- the wrong state ------------------------------------------------------------------


@pytest.mark.parametrize("status", ["UPLOADED", "QUEUED", "ANALYZING", "FAILED", "CANCELLED"])
def test_a_project_that_was_not_analysed_cannot_be_exported(
    api: APIClient, organization: Organization, status: str
):
    project = make_project(organization, status=status)
    with nothing_changes():
        body = assert_problem(post(api, of_range(project)), 409, "project_not_ready")
    assert status in body["detail"]


# --- bad input ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (10, 10),
        (20, 10),
        (0, 0.5),
        (0, 60.001),
        (59.5, 61),
        (60, 70),
        (0, 1e9),
    ],
)
def test_a_range_that_cannot_be_rendered_is_refused(
    api: APIClient, project: Project, start: Any, end: Any
):
    with nothing_changes():
        assert_problem(post(api, of_range(project, start, end)), 422, "bad_range")


def test_a_range_longer_than_the_longest_clip_is_refused(
    api: APIClient, organization: Organization, settings: Any
):
    settings.EXPORT_MAX_SECONDS = 30
    project = make_project(organization, duration=60)
    with nothing_changes():
        assert_problem(post(api, of_range(project, 0, 30.1)), 422, "bad_range")
    assert post(api, of_range(project, 0, 30)).status_code == 201


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"start": -1}, "/start"),
        ({"start": "-inf"}, "/start"),
        ({"start": "nan"}, "/start"),
        ({"end": "inf"}, "/end"),
        ({"end": "ten"}, "/end"),
        ({"end": None}, "/end"),
        ({"end": []}, "/end"),
        ({"end": "1" * 2000}, "/end"),
        ({"project": "abc"}, "/project"),
        ({"project": 10**50}, "/project"),
        ({"aspect": "4:3"}, "/aspect"),
        ({"aspect": ["9:16"]}, "/aspect"),
        ({"resolution": 481}, "/resolution"),
        ({"resolution": "huge"}, "/resolution"),
        ({"resolution": -(10**30)}, "/resolution"),
    ],
)
def test_a_value_that_cannot_be_one_is_refused(
    api: APIClient, project: Project, change: dict[str, Any], field: str
):
    with nothing_changes():
        assert invalid_fields(post(api, {**of_range(project), **change})) == {field}


@pytest.mark.parametrize("literal", ["1e400", "1" + "0" * 400, "NaN", "Infinity", "-Infinity"])
def test_a_number_beyond_floats_is_refused(api: APIClient, project: Project, literal: str):
    body = f'{{"project": "{project.pk}", "start": 0, "end": {literal}}}'
    with nothing_changes():
        response = api.post(URL, body, content_type="application/json")
        assert response.status_code in {400, 422}, response.content
        assert response["Content-Type"] == "application/problem+json"


def test_a_moment_and_a_range_together_are_refused(
    api: APIClient, project: Project, moment: Moment
):
    with nothing_changes():
        for more in ({"start": 1}, {"end": 2}, {"project": str(project.pk)}):
            assert invalid_fields(post(api, {"moment": str(moment.pk), **more})) == {""}


@pytest.mark.parametrize("missing", ["project", "start", "end"])
def test_part_of_a_range_is_refused(api: APIClient, project: Project, missing: str):
    body = of_range(project)
    del body[missing]
    with nothing_changes():
        assert invalid_fields(post(api, body)) == {""}


@pytest.mark.parametrize(
    ("content", "status"), [("{", 400), ("", 400), ("[]", 422), ("7", 422), ("\xff", 400)]
)
def test_a_body_that_is_no_object_is_refused(api: APIClient, content: str, status: int):
    with nothing_changes():
        response = api.post(URL, content, content_type="application/json")
        assert response.status_code in {status, 422}, response.content
        assert response["Content-Type"] == "application/problem+json"


def test_a_form_is_refused(api: APIClient, project: Project):
    with nothing_changes():
        response = api.post(URL, of_range(project), format="multipart")
        assert_problem(response, 415, "unsupported_media_type")


def test_a_body_of_megabytes_is_refused(api: APIClient, project: Project):
    with nothing_changes():
        response = post(api, of_range(project, note="x" * 2_000_000))
        assert response.status_code in {400, 413}, response.content
        assert response["Content-Type"] == "application/problem+json"


def test_an_unknown_id_is_404_before_the_credits_are_looked_at(
    client_of: Callable[..., APIClient],
):
    api = client_of(make_organization())
    with nothing_changes():
        assert_problem(post(api, {"moment": str(uuid.uuid4())}), 404, "not_found")

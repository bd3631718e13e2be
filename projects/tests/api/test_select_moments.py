"""POST /projects/{id}/moments/select"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from clipforge.common.errors import NotFound
from clipforge.devtools.testing.api import assert_not_told_apart, assert_problem, invalid_fields
from clipforge.devtools.testing.factories import (
    make_export,
    make_moment,
    make_organization,
    make_project,
    make_tier_limits,
    make_transcript,
)
from clipforge.devtools.testing.races import run_together
from clipforge.devtools.testing.state import funds, nothing_changes
from clipforge.media.scoring import SCORER_VERSION
from clipforge.orgs.models import Organization
from projects import moments as project_moments
from projects.models import Moment, Project
from projects.selectors import get_project
from projects.tests.kept import keep_features

pytestmark = pytest.mark.django_db


def url(project_id: object) -> str:
    return f"/api/v1/projects/{project_id}/moments/select"


@pytest.fixture
def project(organization: Organization) -> Project:
    project = make_project(organization, duration=120.0)
    keep_features(project)
    return project


def spans(rows: Any) -> list[tuple[int, int]]:
    return sorted((round(row["start"]), round(row["end"])) for row in rows)


def test_the_moments_are_chosen_from_what_is_kept_and_replace_the_old(
    api: APIClient, project: Project, organization: Organization
):
    old = make_moment(project)
    before = funds(organization)
    response = api.post(url(project.pk), {})
    assert response.status_code == 200
    results = response.json()["results"]
    assert spans(results) == [(20, 50), (80, 105)]
    assert [row["kind"] for row in results] == ["talk", "talk"]
    assert {row["scorer_version"] for row in results} == {SCORER_VERSION}
    assert {row["origin"] for row in results} == {"chosen"}
    assert not Moment.objects.filter(pk=old.pk).exists()
    listed = api.get(f"/api/v1/projects/{project.pk}/moments").json()["results"]
    assert listed == results
    assert funds(organization) == before


@pytest.mark.parametrize(
    ("wishes", "found"),
    [
        ({"count": 1}, 1),
        ({"range": [60, 120]}, [(80, 105)]),
        ({"range": [55, 75]}, []),
        ({"kinds": ["talk"]}, [(20, 50), (80, 105)]),
        ({"kinds": ["music", "action"]}, []),
        ({"max_seconds": 20, "min_seconds": 15, "range": [0, 60]}, 1),
    ],
)
def test_wishes_are_granted(api: APIClient, project: Project, wishes: Any, found: Any):
    results = api.post(url(project.pk), wishes).json()["results"]
    if isinstance(found, int):
        assert len(results) == found
    else:
        assert spans(results) == found


@pytest.mark.parametrize(
    ("wishes", "counts"), [({}, True), ({"language": "en"}, True), ({"language": "de"}, False)]
)
def test_words_in_another_language_than_the_one_that_is_spoken_do_not_count(
    api: APIClient, project: Project, wishes: dict[str, Any], counts: bool
):
    make_transcript(project, *["Why do we fail so often?"] * 16)
    results = api.post(url(project.pk), {"range": [0, 60], **wishes}).json()["results"]
    assert [("hook" in each["subscores"], bool(each["title"])) for each in results] == [
        (counts, counts)
    ] * len(results)
    assert results


def test_what_was_made_pinned_rated_or_exported_stays_and_is_kept_clear_of(
    api: APIClient, project: Project
):
    kept = [
        make_moment(project, start=20.0, end=30.0, origin="made"),
        make_moment(project, start=35.0, end=40.0, pinned=True),
        make_moment(project, start=41.0, end=49.0, rating="down"),
        exported := make_moment(project, start=0.0, end=10.0, scorer_version="1"),
    ]
    make_export(project, moment=exported, status="EXPIRED")
    before = list(Moment.objects.filter(pk__in=[each.pk for each in kept]).values())
    gone = make_moment(project, start=60.0, end=70.0)
    results = api.post(url(project.pk), {}).json()["results"]
    assert spans(results) == [(80, 105)]
    assert list(Moment.objects.filter(pk__in=[each.pk for each in kept]).values()) == before
    assert not Moment.objects.filter(pk=gone.pk).exists()
    assert Moment.objects.count() == 5


def test_what_was_pinned_while_the_choice_was_made_keeps_its_time(project: Project):
    chosen = project_moments.choose_again(project=project, wishes={})
    late = make_moment(project, start=30.0, end=45.0, pinned=True)
    project_moments.replace_moments(project=project, chosen=chosen)
    found = sorted((round(m.start), round(m.end)) for m in Moment.objects.all())
    assert found == [(30, 45), (80, 105)]
    assert Moment.objects.filter(pk=late.pk).exists()


def test_choosing_twice_is_choosing_once(api: APIClient, project: Project):
    first = api.post(url(project.pk), {"count": 2}).json()["results"]
    again = api.post(url(project.pk), {"count": 2}).json()["results"]
    assert [{**row, "id": ""} for row in first] == [{**row, "id": ""} for row in again]
    assert Moment.objects.count() == 2


def test_a_repetition_gets_the_first_answer(api: APIClient, project: Project):
    first = api.post(url(project.pk), {"count": 1}, HTTP_IDEMPOTENCY_KEY="k")
    replayed = api.post(url(project.pk), {"count": 1}, HTTP_IDEMPOTENCY_KEY="k")
    assert (replayed.content, replayed["Idempotent-Replayed"]) == (first.content, "true")
    other = api.post(url(project.pk), {"count": 2}, HTTP_IDEMPOTENCY_KEY="k")
    assert_problem(other, 422, "idempotency_key_reused")


@pytest.mark.django_db(transaction=True)
def test_of_several_at_once_one_choice_is_left(client_of: Callable[..., APIClient]):
    make_tier_limits()
    org = make_organization()
    project = make_project(org, duration=120.0)
    keep_features(project)
    make_moment(project)
    clients = [client_of(org) for _ in range(4)]
    responses: list[Any] = run_together(4, lambda number: clients[number].post(url(project.pk), {}))
    assert Counter(response.status_code for response in responses) == {200: 4}
    ids = set(map(str, Moment.objects.values_list("pk", flat=True)))
    assert len(ids) == 2
    assert ids in [{row["id"] for row in response.json()["results"]} for response in responses]


@pytest.mark.parametrize("status", ["READY", "EMPTY"])
def test_every_analysed_project_can_be_chosen_from_and_keeps_its_status(
    api: APIClient, organization: Organization, status: str
):
    project = make_project(organization, status=status, duration=120.0)
    keep_features(project)
    before = funds(organization)
    assert len(api.post(url(project.pk), {}).json()["results"]) == 2
    assert Project.objects.get().status == status
    assert funds(organization) == before


@pytest.mark.parametrize("status", ["QUEUED", "ANALYZING", "FAILED", "CANCELLED"])
def test_one_that_was_not_analysed_is_refused(
    api: APIClient, organization: Organization, status: str
):
    project = make_project(organization, status=status)
    keep_features(project, (5, 10))
    with nothing_changes():
        assert_problem(api.post(url(project.pk), {}), 409, "project_not_ready")


def test_one_of_which_nothing_is_kept_is_refused(api: APIClient, organization: Organization):
    project = make_project(organization)
    make_moment(project)
    with nothing_changes():
        assert_problem(api.post(url(project.pk), {}), 409, "features_missing")


@pytest.mark.parametrize("content", [b"", b"\x01", b"\x01rubbish", b"\x02" * 100])
def test_features_that_cannot_be_read_are_refused_and_change_nothing(
    api: APIClient, organization: Organization, content: bytes
):
    project = make_project(organization)
    keep_features(project, (5, 10), content=content)
    make_moment(project)
    with nothing_changes():
        assert_problem(api.post(url(project.pk), {}), 409, "features_unusable")


@pytest.mark.parametrize(
    ("wishes", "pointer"),
    [
        ({"count": 0}, "/count"),
        ({"count": 31}, "/count"),
        ({"count": "many"}, "/count"),
        ({"min_seconds": 2.9}, "/min_seconds"),
        ({"max_seconds": 180.1}, "/max_seconds"),
        ({"max_seconds": "NaN"}, "/max_seconds"),
        ({"min_seconds": "Infinity"}, "/min_seconds"),
        ({"min_seconds": 30, "max_seconds": 20}, "/max_seconds"),
        ({"range": [1]}, "/range"),
        ({"range": [1, 2, 3]}, "/range"),
        ({"range": [20, 20]}, "/range"),
        ({"range": [-1, 20]}, "/range/0"),
        ({"range": "0-20"}, "/range"),
        ({"kinds": []}, "/kinds"),
        ({"kinds": ["dance"]}, "/kinds/0"),
        ({"keywords": ["x" * 61]}, "/keywords/0"),
        ({"keywords": ["x"] * 21}, "/keywords"),
        ({"keywords": [1]}, "/keywords/0"),
        ({"language": "english"}, "/language"),
        ({"language": 7}, "/language"),
    ],
)
def test_wishes_that_cannot_be_granted_are_refused(
    api: APIClient, project: Project, wishes: Any, pointer: str
):
    with nothing_changes():
        assert invalid_fields(api.post(url(project.pk), wishes)) == {pointer}


@pytest.mark.parametrize("count", [1, 30])
def test_the_limits_themselves_are_allowed(api: APIClient, project: Project, count: int):
    wishes = {"count": count, "min_seconds": 3, "max_seconds": 180, "range": [0, 119.9]}
    assert api.post(url(project.pk), wishes).status_code == 200


def test_a_range_past_the_end_is_refused(api: APIClient, project: Project):
    with nothing_changes():
        assert_problem(api.post(url(project.pk), {"range": [120, 130]}), 422, "bad_range")


def test_without_a_key_nothing_is_chosen(anonymous: APIClient, project: Project):
    with nothing_changes():
        assert_problem(anonymous.post(url(project.pk), {}), 401, "not_authenticated")


def test_another_organizations_project_is_not_there(api: APIClient):
    foreign = make_project(make_organization(), duration=120.0)
    keep_features(foreign)
    make_moment(foreign)
    with nothing_changes():
        assert_not_told_apart(lambda pk: api.post(url(pk), {}), foreign.pk)


def test_a_project_that_was_deleted_meanwhile_is_not_found(
    project: Project, organization: Organization
):
    project_moments.choose_again(project=project, wishes={})
    project.delete()
    with pytest.raises(NotFound):
        get_project(organization, project.pk, lock=True)


def test_nothing_heavy_is_loaded_where_requests_are_served():
    """numpy takes 25 MB and a tenth of a second of every process that imports it."""
    code = (
        "import django; django.setup(); import projects.api.moment_views, sys;"
        "sys.exit('numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""POST /projects/{id}/moments, and GET, PATCH and DELETE /moments/{id}"""

from __future__ import annotations

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
)
from clipforge.devtools.testing.races import run_together
from clipforge.devtools.testing.state import funds, nothing_changes
from clipforge.media.scoring import SCORER_VERSION
from clipforge.media.words.transcript import Sentence, Transcript, Word
from clipforge.orgs.models import Organization
from projects import moments as project_moments
from projects.models import Moment, MomentFeedback, Project, ProjectTranscript
from projects.tests.kept import keep_features

pytestmark = pytest.mark.django_db


def list_url(project_id: object) -> str:
    return f"/api/v1/projects/{project_id}/moments"


def url(moment_id: object) -> str:
    return f"/api/v1/moments/{moment_id}"


@pytest.fixture
def project(organization: Organization) -> Project:
    project = make_project(organization, duration=120.0)
    keep_features(project)
    return project


def hear(project: Project, *sentences: tuple[float, float]) -> None:
    row = ProjectTranscript(project=project, org=project.org)
    row.content = Transcript(
        "en",
        tuple(
            Sentence((Word("Well,", start, start + 1, 0.9), Word("so.", end - 1, end, 0.9)))
            for start, end in sentences
        ),
        "hand-written",
    )
    row.save()


# --- one by hand ----------------------------------------------------------------------


def test_a_moment_by_hand_is_rated_and_stays(
    api: APIClient, project: Project, organization: Organization
):
    before = funds(organization)
    body = {"start": 21.5, "end": 40, "title": "The turning point"}
    response = api.post(list_url(project.pk), body)
    assert response.status_code == 201
    made = response.json()
    assert (made["start"], made["end"], made["duration"]) == (21.5, 40, 18.5)
    assert (made["title"], made["origin"], made["kind"]) == ("The turning point", "made", "talk")
    assert made["score"] > 60
    assert made["subscores"]["speech"] > 90
    assert made["scorer_version"] == SCORER_VERSION
    assert response["Location"] == url(made["id"])
    assert api.get(url(made["id"])).json() == made
    api.post(f"{list_url(project.pk)}/select", {})
    assert api.get(url(made["id"])).json() == made
    assert funds(organization) == before


@pytest.mark.parametrize(
    ("snap", "edges"), [("none", (22, 39.5)), ("sentence", (20.4, 41)), ("word", (21.4, 40))]
)
def test_edges_move_to_what_is_asked_for(
    api: APIClient, project: Project, snap: str, edges: tuple[float, float]
):
    hear(project, (20.4, 30), (30.5, 41))
    row = ProjectTranscript.objects.get()
    spoken = row.content
    words = (Word("Well,", 20.4, 21.4, 0.9), Word("now", 21.4, 22.8, 0.9), Word("so.", 29, 30, 0.9))
    last = (Word("I", 30.5, 31, 0.9), Word("saw", 39, 40, 0.9), Word("it.", 40.2, 41, 0.9))
    row.content = Transcript(spoken.language, (Sentence(words), Sentence(last)), spoken.model)
    row.save()
    made = api.post(list_url(project.pk), {"start": 22, "end": 39.5, "snap": snap}).json()
    assert (made["start"], made["end"]) == edges


def test_without_a_transcript_edges_move_to_the_pauses(api: APIClient, project: Project):
    made = api.post(list_url(project.pk), {"start": 21, "end": 49, "snap": "sentence"}).json()
    assert (made["start"], made["end"]) == (19.8, 50.3)


def test_a_repetition_makes_one(api: APIClient, project: Project):
    body = {"start": 20, "end": 30}
    first = api.post(list_url(project.pk), body, HTTP_IDEMPOTENCY_KEY="k")
    again = api.post(list_url(project.pk), body, HTTP_IDEMPOTENCY_KEY="k")
    assert (again.content, again["Idempotent-Replayed"]) == (first.content, "true")
    assert Moment.objects.count() == 1


def test_of_a_project_of_which_nothing_is_kept_a_moment_is_not_rated(
    api: APIClient, organization: Organization
):
    project = make_project(organization)
    made = api.post(list_url(project.pk), {"start": 1, "end": 11}).json()
    assert (made["score"], made["subscores"], made["scorer_version"]) == (0, {}, "")
    assert made["reason"] == "Made by hand."
    snapped = api.post(list_url(project.pk), {"start": 1, "end": 11, "snap": "cut"})
    assert_problem(snapped, 409, "features_missing")


@pytest.mark.parametrize(
    "body",
    [
        {"start": 10, "end": 10},
        {"start": 20, "end": 10},
        {"start": 10, "end": 10.9},
        {"start": 100, "end": 120.1},
        {"start": 500, "end": 600},
    ],
)
def test_a_stretch_that_is_none_is_refused(api: APIClient, project: Project, body: Any):
    with nothing_changes():
        assert_problem(api.post(list_url(project.pk), body), 422, "bad_range")


def test_the_longest_and_the_shortest_are_allowed(api: APIClient, project: Project):
    for start, end in ((0, 120), (119, 120), (0, 1)):
        assert api.post(list_url(project.pk), {"start": start, "end": end}).status_code == 201


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"end": 10}, "/start"),
        ({"start": "NaN", "end": 10}, "/start"),
        ({"start": -0.1, "end": 10}, "/start"),
        ({"start": 1, "end": 10, "snap": "beat"}, "/snap"),
        ({"start": 1, "end": 10, "title": "x" * 201}, "/title"),
    ],
)
def test_fields_that_are_wrong_are_named(api: APIClient, project: Project, body: Any, pointer: str):
    with nothing_changes():
        assert invalid_fields(api.post(list_url(project.pk), body)) == {pointer}


@pytest.mark.parametrize("status", ["QUEUED", "ANALYZING", "FAILED", "CANCELLED"])
def test_a_project_that_was_not_analysed_takes_none(
    api: APIClient, organization: Organization, status: str
):
    project = make_project(organization, status=status)
    with nothing_changes():
        response = api.post(list_url(project.pk), {"start": 1, "end": 11})
        assert_problem(response, 409, "project_not_ready")


@pytest.mark.django_db(transaction=True)
def test_the_last_place_is_given_once(
    client_of: Callable[..., APIClient], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(project_moments, "MOST_MADE", 3)
    make_tier_limits()
    org = make_organization()
    project = make_project(org)
    for _ in range(2):
        make_moment(project, origin="made")
    clients = [client_of(org) for _ in range(4)]
    body = {"start": 1, "end": 11}
    responses: list[Any] = run_together(
        4, lambda number: clients[number].post(list_url(project.pk), body)
    )
    codes = Counter(response.status_code for response in responses)
    assert codes == {201: 1, 409: 3}
    refused = next(response for response in responses if response.status_code == 409)
    assert_problem(refused, 409, "too_many_moments")
    assert Moment.objects.count() == 3


def test_strangers_make_none(api: APIClient, anonymous: APIClient):
    foreign = make_project()
    body = {"start": 1, "end": 11}
    with nothing_changes():
        assert_not_told_apart(lambda pk: api.post(list_url(pk), body), foreign.pk)
        assert_problem(anonymous.post(list_url(foreign.pk), body), 401, "not_authenticated")


# --- changed --------------------------------------------------------------------------


def test_a_moment_that_is_moved_is_rated_anew_and_pinned(api: APIClient, project: Project):
    moment = make_moment(project, start=0.0, end=15.0, scorer_version="1", score=12.0)
    moved = api.patch(url(moment.pk), {"start": 21, "end": 49}).json()
    assert (moved["start"], moved["end"], moved["pinned"]) == (21, 49, True)
    assert moved["score"] > 60
    assert moved["scorer_version"] == SCORER_VERSION
    assert moved["origin"] == "chosen"
    assert api.get(url(moment.pk)).json() == moved


def test_one_edge_moves_and_snaps_alone(api: APIClient, project: Project):
    moment = make_moment(project, start=30.0, end=40.0)
    moved = api.patch(url(moment.pk), {"end": 48.5, "snap": "sentence"}).json()
    assert (moved["start"], moved["end"]) == (30.0, 50.3)


def test_a_new_title_leaves_scores_and_version_as_they_were(api: APIClient, project: Project):
    moment = make_moment(project, scorer_version="1")
    before = Moment.objects.values().get()
    response = api.patch(url(moment.pk), {"title": "Mine"})
    assert response.status_code == 200
    assert Moment.objects.values().get() == {**before, "title": "Mine"}


def test_exports_keep_the_edges_that_they_were_made_with(api: APIClient, project: Project):
    moment = make_moment(project, start=20.0, end=30.0)
    export = make_export(project, moment=moment, start=20.0, end=30.0)
    api.patch(url(moment.pk), {"end": 40})
    export.refresh_from_db()
    assert (export.start, export.end) == (20.0, 30.0)


def test_a_pin_is_set_and_taken_back(api: APIClient, project: Project):
    moment = make_moment(project)
    assert api.patch(url(moment.pk), {"pinned": True}).json()["pinned"] is True
    assert api.patch(url(moment.pk), {"pinned": False}).json()["pinned"] is False


def test_a_rating_is_kept_beside_the_scores_that_were_rated(api: APIClient, project: Project):
    moment = make_moment(project, scorer_version="1", score=70.0)
    assert api.patch(url(moment.pk), {"rating": "up"}).json()["rating"] == "up"
    api.patch(url(moment.pk), {"start": 25, "end": 45})
    moment.refresh_from_db()
    assert moment.score != 70
    (feedback,) = MomentFeedback.objects.all()
    assert (feedback.moment_id, feedback.rating) == (moment.pk, "up")
    assert (feedback.score, feedback.scorer_version) == (70.0, "1")
    assert feedback.subscores == {"speech": 80.0, "motion": 60.0}


def test_a_rating_is_changed_and_taken_back(api: APIClient, project: Project):
    moment = make_moment(project)
    for rating, left in (("up", ["up"]), ("down", ["down"]), ("down", ["down"]), (None, [])):
        assert api.patch(url(moment.pk), {"rating": rating}).json()["rating"] == rating
        assert list(MomentFeedback.objects.values_list("rating", flat=True)) == left


def test_a_rating_outlives_its_moment_and_goes_with_its_project(api: APIClient, project: Project):
    moment = make_moment(project)
    api.patch(url(moment.pk), {"rating": "down"})
    assert api.delete(url(moment.pk)).status_code == 204
    assert MomentFeedback.objects.count() == 1
    assert api.delete(f"/api/v1/projects/{project.pk}").status_code == 204
    assert MomentFeedback.objects.count() == 0


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"rating": "best"}, "/rating"),
        ({"rating": ""}, "/rating"),
        ({"pinned": "perhaps"}, "/pinned"),
        ({"title": 5}, "/title"),
        ({"start": "Infinity"}, "/start"),
        ({"snap": "beat"}, "/snap"),
    ],
)
def test_changes_that_cannot_be_made_are_refused(
    api: APIClient, project: Project, body: Any, pointer: str
):
    moment = make_moment(project)
    with nothing_changes():
        assert invalid_fields(api.patch(url(moment.pk), body)) == {pointer}


def test_scores_cannot_be_written(api: APIClient, project: Project):
    moment = make_moment(project)
    with nothing_changes():
        assert_problem(api.patch(url(moment.pk), {"score": 100}), 422, "unknown_field")


def test_edges_outside_the_source_are_refused(api: APIClient, project: Project):
    moment = make_moment(project, start=30.0, end=40.0)
    with nothing_changes():
        for body in ({"end": 120.5}, {"end": 30.5}, {"start": 41}):
            assert_problem(api.patch(url(moment.pk), body), 422, "bad_range")


def test_a_moment_that_is_gone_meanwhile_is_not_found(project: Project):
    moment = make_moment(project)
    Moment.objects.all().delete()
    with pytest.raises(NotFound):
        project_moments.change_moment(moment=moment, placed=None, changes={"rating": "up"})
    with pytest.raises(NotFound):
        project_moments.delete_moment(moment=moment)
    assert MomentFeedback.objects.count() == 0


# --- deleted --------------------------------------------------------------------------


def test_exports_of_a_deleted_moment_stay(api: APIClient, project: Project):
    moment = make_moment(project)
    export = make_export(project, moment=moment)
    assert api.delete(url(moment.pk)).status_code == 204
    export.refresh_from_db()
    assert (export.status, export.moment) == ("READY", None)
    assert_problem(api.delete(url(moment.pk)), 404, "not_found")


@pytest.mark.parametrize("method", ["get", "patch", "delete"])
def test_another_organizations_moment_is_not_there(
    api: APIClient, anonymous: APIClient, method: str
):
    foreign = make_moment(make_project())
    with nothing_changes():
        assert_not_told_apart(lambda pk: getattr(api, method)(url(pk)), foreign.pk)
        assert_problem(getattr(anonymous, method)(url(foreign.pk)), 401, "not_authenticated")

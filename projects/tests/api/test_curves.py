"""GET /projects/{id}/curves"""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest
from rest_framework.test import APIClient

from clipforge.devtools.testing.api import assert_not_told_apart, assert_problem
from clipforge.devtools.testing.factories import (
    make_moment,
    make_organization,
    make_project,
    make_transcript,
)
from clipforge.devtools.testing.state import nothing_changes
from clipforge.media.scoring import SCORER_VERSION
from clipforge.orgs.models import Organization
from projects.models import Project
from projects.tests.kept import keep_features

pytestmark = pytest.mark.django_db

SVG = "{http://www.w3.org/2000/svg}"
ASPECTS = ["score", "speech", "energy", "motion", "pace", "opening"]
WORDS = ["hook", "complete", "payoff", "density", "reaction"]


def url(project: Project, form: str = "json") -> str:
    return f"/api/v1/projects/{project.pk}/curves?format={form}"


@pytest.fixture
def project(organization: Organization) -> Project:
    made = make_project(organization, duration=120.0)
    keep_features(made)
    return made


def parsed(content: bytes) -> ElementTree.Element:
    """The drawing, which has to be well-formed. We have written it ourselves."""
    return ElementTree.fromstring(content)  # noqa: S314


def curves(answer: Any) -> dict[str, list[float]]:
    return {each["name"]: each["values"] for each in answer.json()["curves"]}


def test_each_sub_score_has_a_value_a_second_that_is_high_where_somebody_talks(
    api: APIClient, project: Project
):
    with nothing_changes():
        answer = api.get(url(project))
    body = answer.json()
    assert (body["step"], body["window"], body["duration"]) == (1, 15, 120)
    assert body["scorer_version"] == SCORER_VERSION
    found = curves(answer)
    assert list(found) == ASPECTS
    assert {len(values) for values in found.values()} == {120}
    assert all(0 <= value <= 100 for values in found.values() for value in values)
    # Talk is from 20 to 50 and from 80 to 105 s.
    assert min(found["speech"][30:40]) > 90
    assert max(found["speech"][:10]) < 10
    assert max(found["speech"][60:70]) < 10
    assert found["score"][35] > found["score"][65]


def test_what_is_said_has_curves_where_the_words_are_known(api: APIClient, project: Project):
    make_transcript(project, "Why did one million people leave?", "Because it failed.")
    found = curves(api.get(url(project)))
    assert list(found) == ASPECTS + WORDS
    assert max(found["hook"]) > 0
    assert set(found["hook"][60:]) == {0}


def test_eight_hours_have_three_hundred_values_and_no_more(
    api: APIClient, organization: Organization
):
    long = make_project(organization, duration=8 * 3600.0)
    keep_features(long, (1000.0, 2000.0), (20000.0, 21000.0))
    answer = api.get(url(long))
    assert (answer.json()["step"], answer.json()["window"]) == (96, 96)
    assert {len(values) for values in curves(answer).values()} == {300}
    assert len(answer.content) < 20_000
    assert len(api.get(url(long, "svg")).content) < 80_000


@pytest.mark.parametrize("seconds", [0.5, 1.0, 3.4, 299.9, 300.1])
def test_sources_of_any_length_have_curves(
    api: APIClient, organization: Organization, seconds: float
):
    short = make_project(organization, duration=seconds)
    keep_features(short, (0.0, seconds))
    values = curves(api.get(url(short)))["speech"]
    assert len(values) == max(1, min(300, int(seconds)))
    parsed(api.get(url(short, "svg")).content)


def test_the_drawing_says_in_words_what_it_shows(api: APIClient, project: Project):
    make_moment(project, start=20.0, end=50.0, score=71.4)
    answer = api.get(url(project, "svg"))
    assert answer["Content-Type"] == "image/svg+xml; charset=utf-8"
    drawing = parsed(answer.content)
    assert (drawing.tag, drawing.get("role")) == (f"{SVG}svg", "img")
    labels = str(drawing.get("aria-labelledby")).split()
    named = {each.get("id"): each.text for each in drawing if each.get("id")}
    assert list(named) == labels == ["title", "description"]
    assert named["title"] == f"Scores of {project.title}"
    assert "speech: " in str(named["description"])
    assert "highest at" in str(named["description"])
    assert len(drawing.findall(f".//{SVG}polyline")) == len(ASPECTS)
    shown = [each.text for each in drawing.iter(f"{SVG}title")]
    assert "Moment from 0:20 to 0:50, score 71" in shown
    times = [each.text for each in drawing.findall(f"{SVG}text")]
    assert {"0:00", "1:00", "2:00"} <= set(times)


def test_a_title_full_of_markup_is_text(api: APIClient, organization: Organization):
    title = '</title><script>alert(1)</script>&"\x0b\ufffe ]]>'
    hostile = make_project(organization, duration=30.0, title=title)
    keep_features(hostile, (5.0, 20.0))
    content = api.get(url(hostile, "svg")).content
    drawing = parsed(content)
    assert {each.tag for each in drawing.iter()} <= {
        SVG + tag
        for tag in ("svg", "title", "desc", "rect", "text", "g", "path", "polygon", "polyline")
    }
    assert b"<script" not in content
    shown = next(each.text for each in drawing.iter(f"{SVG}title"))
    assert shown == 'Scores of </title><script>alert(1)</script>&" ]]>'


def test_a_long_title_is_cut_between_two_letters(api: APIClient, organization: Organization):
    long = make_project(organization, duration=30.0, title="&" * 200)
    keep_features(long, (5.0, 20.0))
    drawing = parsed(api.get(url(long, "svg")).content)
    assert next(each.text for each in drawing.iter(f"{SVG}text")) == "&" * 90
    assert next(each.text for each in drawing.iter(f"{SVG}title")) == f"Scores of {'&' * 200}"


@pytest.mark.parametrize("form", ["json", "svg"])
def test_what_has_not_changed_is_not_sent_again(api: APIClient, project: Project, form: str):
    first = api.get(url(project, form))
    again = api.get(url(project, form), headers={"If-None-Match": first["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_the_form_may_be_negotiated(api: APIClient, project: Project):
    answer = api.get(f"/api/v1/projects/{project.pk}/curves", headers={"Accept": "image/svg+xml"})
    assert answer.content.startswith(b"<svg ")


@pytest.mark.parametrize("status", ["QUEUED", "ANALYZING", "FAILED"])
def test_one_that_was_not_analysed_has_none(
    api: APIClient, organization: Organization, status: str
):
    waiting = make_project(organization, status=status)
    assert_problem(api.get(url(waiting)), 409, "project_not_ready")


def test_one_of_which_nothing_is_kept_says_so(api: APIClient, organization: Organization):
    assert_problem(api.get(url(make_project(organization))), 409, "features_missing")


def test_features_that_cannot_be_read_are_a_conflict(api: APIClient, organization: Organization):
    broken = make_project(organization)
    keep_features(broken, content=b"\x01 not what was kept")
    assert_problem(api.get(url(broken)), 409, "features_unusable")


def test_without_a_key_there_are_none(anonymous: APIClient, project: Project):
    assert anonymous.get(url(project)).status_code == 401


def test_another_organizations_are_not_there(api: APIClient):
    other = make_project(make_organization())
    assert_not_told_apart(lambda pk: api.get(f"/api/v1/projects/{pk}/curves"), other.pk)

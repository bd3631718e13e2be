"""GET /exports/{id}/transcript"""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from clipforge.devtools.testing.api import assert_not_told_apart, assert_problem
from clipforge.devtools.testing.factories import make_export, make_project, make_transcript
from clipforge.devtools.testing.queries import statements
from clipforge.orgs.models import Organization
from exports.models import Export

pytestmark = pytest.mark.django_db


def url(export_id: object) -> str:
    return f"/api/v1/exports/{export_id}/transcript"


@pytest.fixture
def export(organization: Organization) -> Export:
    """A clip from the second sentence on: words take half a second each, from 1 s."""
    project = make_project(organization, duration=60.0)
    make_transcript(project, "Hello world.", "How are you?")
    return make_export(project, start=2.0, end=12.0)


def test_the_words_of_a_clip_have_its_times(api: APIClient, export: Export):
    body = api.get(url(export.pk)).json()
    assert (body["start"], body["end"]) == (2.0, 12.0)
    (sentence,) = body["sentences"]
    assert (sentence["text"], sentence["start"], sentence["end"]) == ("How are you?", 0.0, 1.5)
    assert [word["index"] for word in sentence["words"]] == [2, 3, 4]


@pytest.mark.parametrize(
    ("form", "beginning"),
    [
        ("srt", "1\n00:00:00,000 --> "),
        ("vtt", "WEBVTT\n\n00:00:00.000 --> "),
        ("txt", "How are you?\n"),
    ],
)
def test_it_comes_as_subtitles_and_text(api: APIClient, export: Export, form: str, beginning: str):
    text = api.get(url(export.pk), {"format": form}).content.decode()
    assert text.startswith(beginning)
    assert "Hello" not in text


def test_a_clip_of_a_silent_project_has_none(api: APIClient, organization: Organization):
    export = make_export(make_project(organization))
    assert_problem(api.get(url(export.pk)), 404, "no_transcript")


def test_a_range_is_not_asked_for(api: APIClient, export: Export):
    assert_problem(api.get(url(export.pk), {"start": "1"}), 422, "unknown_parameter")


def test_a_read_is_three_queries(api: APIClient, export: Export):
    with statements() as said:
        api.get(url(export.pk))
    assert said == [
        "SELECT exports_export",
        "SELECT projects_project",
        "SELECT projects_projecttranscript",
    ]


def test_it_needs_a_key(anonymous: APIClient, export: Export):
    assert_problem(anonymous.get(url(export.pk)), 401, "not_authenticated")


def test_another_organizations_clip_is_not_told_from_none(api: APIClient):
    project = make_project()
    make_transcript(project)
    theirs = make_export(project)
    assert_not_told_apart(lambda pk: api.get(url(pk)), theirs.pk)

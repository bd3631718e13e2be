"""GET /exports/{id}/transcript"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest
from rest_framework.test import APIClient

from clipforge.devtools.testing.api import assert_not_told_apart, assert_problem
from clipforge.devtools.testing.factories import (
    make_client,
    make_export,
    make_organization,
    make_project,
    make_transcript,
)
from clipforge.devtools.testing.queries import statements
from clipforge.orgs.models import Organization
from exports import services
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


def test_a_read_is_two_queries(api: APIClient, export: Export):
    with statements() as said:
        api.get(url(export.pk))
    assert said == [
        "SELECT exports_export",  # with its project
        "SELECT projects_projecttranscript",
    ]


def test_it_needs_a_key(anonymous: APIClient, export: Export):
    assert_problem(anonymous.get(url(export.pk)), 401, "not_authenticated")


def test_another_organizations_clip_is_not_told_from_none(api: APIClient):
    project = make_project()
    make_transcript(project)
    theirs = make_export(project)
    assert_not_told_apart(lambda pk: api.get(url(pk)), theirs.pk)


def test_the_words_of_a_tightened_clip_have_its_times(api: APIClient, organization: Organization):
    """Words from 1 to 3.5 s of the source; of the ten seconds, 0.9 to 2 and 2.5 to 3.6 are in the clip."""
    project = make_project(organization, duration=60.0)
    make_transcript(project, "Hello world.", "How are you?")
    kept = [[0.9, 2.0], [2.5, 3.6]]
    export = make_export(project, start=0.0, end=10.0, tighten="hard", kept=kept)
    words = [
        (word["index"], word["text"], word["start"], word["end"])
        for sentence in api.get(url(export.pk)).json()["sentences"]
        for word in sentence["words"]
    ]
    assert words == [
        (0, "Hello", 0.1, 0.6),
        (1, "world.", 0.6, 1.1),
        (3, "are", 1.1, 1.6),
        (4, "you?", 1.6, 2.1),
    ]
    assert api.get(url(export.pk), {"format": "vtt"}).content.decode() == (
        "WEBVTT\n\n00:00:00.100 --> 00:00:01.100\nHello world.\n"
        "\n00:00:01.100 --> 00:00:02.200\nare you?\n"
    )


def test_the_subtitles_of_a_vertical_clip_have_shorter_lines(
    api: APIClient, organization: Organization
):
    project = make_project(organization, duration=60.0)
    make_transcript(project, "Ask not what your country can do.")
    lines = {}
    for aspect in ("9:16", "16:9"):
        export = make_export(project, start=0.0, end=10.0, aspect=aspect)
        written = api.get(url(export.pk), {"format": "srt"}).content.decode()
        lines[aspect] = max(len(line) for line in written.splitlines()[2:])
    assert lines["9:16"] <= 28 < lines["16:9"]


def captions(export: Export, name: str = "captions.vtt") -> str:
    return f"/api/v1/exports/{export.pk}/captions/{name}"


def test_captions_come_by_a_signed_link_with_the_times_of_the_clip(
    api: APIClient, anonymous: APIClient, export: Export
):
    moved = api.get(captions(export))
    assert (moved.status_code, moved["Cache-Control"]) == (302, "no-store")
    shown = anonymous.get(urlsplit(moved["Location"]).path)
    assert shown.content.startswith(b"WEBVTT\n\n00:00:00.000 --> ")
    assert b"Hello" not in shown.content
    assert_problem(api.get(captions(export, "captions.txt")), 404, "not_found")


def test_a_link_to_captions_ends_and_dies_with_the_clip(
    api: APIClient, anonymous: APIClient, export: Export, settings: Any
):
    link = urlsplit(api.get(captions(export))["Location"]).path
    assert_problem(anonymous.get(link.replace("/exports/", "/projects/")), 403, "link_invalid")
    stranger = make_client(make_organization(name="Stranger"))
    assert_not_told_apart(lambda pk: stranger.get(captions(Export(pk=pk))), export.pk)
    services.delete_export(export=export, actor="test")
    assert_problem(anonymous.get(link), 404, "not_found")
    settings.DOWNLOAD_URL_SECONDS = -1
    assert_problem(anonymous.get(link), 403, "link_expired")


def test_a_silent_clip_has_no_captions(api: APIClient, organization: Organization):
    silent = make_export(make_project(organization))
    assert_problem(api.get(captions(silent)), 404, "no_transcript")

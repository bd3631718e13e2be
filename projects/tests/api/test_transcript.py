"""GET /projects/{id}/transcript, and of a moment"""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from clipforge.devtools.testing.api import assert_not_told_apart, assert_problem
from clipforge.devtools.testing.factories import make_moment, make_project, make_transcript
from clipforge.devtools.testing.queries import statements
from clipforge.orgs.models import Organization
from projects.models import Project

pytestmark = pytest.mark.django_db

SENTENCES = ("Hello world.", "How are you?")  # from 1 s on, half a second a word


def url(project_id: object) -> str:
    return f"/api/v1/projects/{project_id}/transcript"


def of_moment(moment_id: object) -> str:
    return f"/api/v1/moments/{moment_id}/transcript"


@pytest.fixture
def project(organization: Organization) -> Project:
    project = make_project(organization, duration=60.0)
    make_transcript(project, *SENTENCES)
    return project


def word(index: int, text: str, start: float) -> dict[str, object]:
    times = {"start": start, "end": start + 0.5}
    return {"index": index, "text": text, **times, "confidence": 0.9}


def test_the_words_come_in_sentences_with_their_times(api: APIClient, project: Project):
    assert api.get(url(project.pk)).json() == {
        "language": "en",
        "model": "test 1.0",
        "start": 0.0,
        "end": 60.0,
        "corrected_at": None,
        "sentences": [
            {
                "start": 1.0,
                "end": 2.0,
                "text": "Hello world.",
                "words": [word(0, "Hello", 1.0), word(1, "world.", 1.5)],
            },
            {
                "start": 2.0,
                "end": 3.5,
                "text": "How are you?",
                "words": [word(2, "How", 2.0), word(3, "are", 2.5), word(4, "you?", 3.0)],
            },
        ],
    }


def test_a_range_has_the_words_in_it_under_their_own_numbers(api: APIClient, project: Project):
    body = api.get(url(project.pk), {"start": "1.5", "end": "3"}).json()
    assert (body["start"], body["end"]) == (1.5, 3.0)
    assert [[each["index"] for each in row["words"]] for row in body["sentences"]] == [[1], [2, 3]]
    assert body["sentences"][1]["text"] == "How are"


def test_a_range_beyond_the_end_ends_there(api: APIClient, project: Project):
    body = api.get(url(project.pk), {"start": "59", "end": "1000"}).json()
    assert (body["start"], body["end"], body["sentences"]) == (59.0, 60.0, [])


@pytest.mark.parametrize(
    "params",
    [
        {"start": "3", "end": "3"},
        {"start": "-1"},
        {"start": "nan"},
        {"end": "inf"},
        {"end": "soon"},
        {"end": ""},
        {"start": "60"},
    ],
)
def test_what_is_no_range_is_refused(api: APIClient, project: Project, params: dict[str, str]):
    assert_problem(api.get(url(project.pk), params), 422, "bad_range")


def test_it_comes_as_subtitles(api: APIClient, project: Project):
    response = api.get(url(project.pk), {"format": "srt"})
    assert response["Content-Type"] == "application/x-subrip; charset=utf-8"
    lines = response.content.decode().splitlines()
    assert lines[0] == "1"
    assert lines[1].startswith("00:00:01,000 --> 00:00:0")
    assert lines[2] == "Hello world."


def test_it_comes_as_subtitles_of_the_web(api: APIClient, project: Project):
    response = api.get(url(project.pk), HTTP_ACCEPT="text/vtt")
    assert response["Content-Type"] == "text/vtt; charset=utf-8"
    assert response.content.decode().startswith("WEBVTT\n\n00:00:01.000 --> 00:00:0")


def test_it_comes_as_text_a_sentence_a_line(api: APIClient, project: Project):
    response = api.get(url(project.pk), {"format": "txt"})
    assert response["Content-Type"] == "text/plain; charset=utf-8"
    assert response.content.decode() == "Hello world.\nHow are you?\n"


def test_subtitles_of_a_range_keep_the_times_of_the_source(api: APIClient, project: Project):
    text = api.get(url(project.pk), {"format": "srt", "start": "2", "end": "9"}).content.decode()
    assert text.splitlines()[1].startswith("00:00:02,000 --> ")
    assert "Hello" not in text


def test_a_format_that_there_is_not_is_refused(api: APIClient, project: Project):
    assert_problem(api.get(url(project.pk), {"format": "pdf"}), 404, "not_found")
    assert_problem(api.get(url(project.pk), HTTP_ACCEPT="image/png"), 406, "not_acceptable")


def test_an_unknown_parameter_is_refused(api: APIClient, project: Project):
    assert_problem(api.get(url(project.pk), {"from": "1"}), 422, "unknown_parameter")


def test_a_project_without_speech_has_none(api: APIClient, organization: Organization):
    silent = make_project(organization)
    for params in ({}, {"format": "srt"}):
        assert_problem(api.get(url(silent.pk), params), 404, "no_transcript")


def test_a_read_is_two_queries_however_long(api: APIClient, organization: Organization):
    project = make_project(organization, duration=3600.0)
    make_transcript(project, *["There is no time like this."] * 300)
    with statements() as said:
        assert len(api.get(url(project.pk)).json()["sentences"]) == 300
    assert said == ["SELECT projects_project", "SELECT projects_projecttranscript"]


def test_it_needs_a_key(anonymous: APIClient, project: Project):
    moment = make_moment(project)
    for address in (url(project.pk), of_moment(moment.pk)):
        assert_problem(anonymous.get(address), 401, "not_authenticated")


def test_another_organizations_project_is_not_told_from_none(api: APIClient):
    theirs = make_transcript(make_project()).project
    assert_not_told_apart(lambda pk: api.get(url(pk)), theirs.pk)
    assert_not_told_apart(lambda pk: api.get(of_moment(pk)), make_moment(theirs).pk)


# --- of a moment ----------------------------------------------------------------------


def test_the_words_of_a_moment_have_the_times_of_the_moment(api: APIClient, project: Project):
    moment = make_moment(project, start=2.0, end=30.0)
    body = api.get(of_moment(moment.pk)).json()
    assert (body["start"], body["end"]) == (2.0, 30.0)
    assert [sentence["text"] for sentence in body["sentences"]] == ["How are you?"]
    assert body["sentences"][0]["words"][0] == word(2, "How", 0.0)


def test_the_subtitles_of_a_moment_begin_with_it(api: APIClient, project: Project):
    moment = make_moment(project, start=2.0, end=30.0)
    text = api.get(of_moment(moment.pk), {"format": "vtt"}).content.decode()
    assert text.startswith("WEBVTT\n\n00:00:00.000 --> ")


def test_a_moment_of_a_silent_project_has_no_transcript(api: APIClient, organization: Organization):
    moment = make_moment(make_project(organization))
    assert_problem(api.get(of_moment(moment.pk)), 404, "no_transcript")

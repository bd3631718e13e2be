"""PATCH /projects/{id}/transcript"""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connection
from rest_framework.test import APIClient

from clipforge.common.errors import Invalid
from clipforge.devtools.testing.api import assert_not_told_apart, assert_problem
from clipforge.devtools.testing.factories import (
    make_organization,
    make_project,
    make_transcript,
)
from clipforge.devtools.testing.state import nothing_changes
from clipforge.orgs.models import Organization
from projects import services
from projects.models import Project, ProjectTranscript

pytestmark = pytest.mark.django_db


def url(project_id: object) -> str:
    return f"/api/v1/projects/{project_id}/transcript"


@pytest.fixture
def project(organization: Organization) -> Project:
    project = make_project(organization, duration=60.0)
    make_transcript(project, "Miss Tillny was here.", "She left.")
    return project


def correct(api: APIClient, project: Project, *words: tuple[int, Any]) -> Any:
    body = {"words": [{"index": index, "text": text} for index, text in words]}
    return api.patch(url(project.pk), body)


def text_of(project: Project) -> str:
    return ProjectTranscript.objects.get(project=project).content.text


def test_a_word_is_corrected_and_a_person_is_sure_of_it(api: APIClient, project: Project):
    response = correct(api, project, (1, "Tilney"))
    assert response.status_code == 200
    body = response.json()
    assert body["corrected_at"] is not None
    (sentence,) = body["sentences"]
    assert sentence["text"] == "Miss Tilney was here."
    assert sentence["words"][1] == {
        "index": 1,
        "text": "Tilney",
        "start": 1.5,
        "end": 2.0,
        "confidence": 1.0,
    }
    assert text_of(project) == "Miss Tilney was here. She left."


def test_who_corrected_it_is_kept(api: APIClient, project: Project):
    correct(api, project, (1, "Tilney"))
    assert ProjectTranscript.objects.get().corrected_by.startswith("key:")


def test_several_words_are_corrected_at_once(api: APIClient, project: Project):
    response = correct(api, project, (1, "Tilney"), (5, "stayed."))
    assert [row["text"] for row in response.json()["sentences"]] == [
        "Miss Tilney was here.",
        "She stayed.",
    ]


def test_subtitles_use_the_correction(api: APIClient, project: Project):
    correct(api, project, (1, "Tilney"))
    text = api.get(url(project.pk), {"format": "srt"}).content.decode()
    assert "Miss Tilney was here." in text


def test_repeating_it_changes_no_word(api: APIClient, project: Project):
    for _ in range(2):
        assert correct(api, project, (1, "Tilney")).status_code == 200
    assert text_of(project) == "Miss Tilney was here. She left."


def test_blanks_around_a_word_are_dropped_and_those_inside_are_single(
    api: APIClient, project: Project
):
    correct(api, project, (1, "  von \t Tilney "))
    assert text_of(project) == "Miss von Tilney was here. She left."


def test_what_looks_like_a_tag_stays_text(api: APIClient, project: Project):
    correct(api, project, (1, "{\\an8}<b>"))
    assert text_of(project).startswith("Miss {\\an8}<b> was")


def test_a_word_has_sixty_four_characters_at_most(api: APIClient, project: Project):
    assert correct(api, project, (1, "a" * 64)).status_code == 200
    with nothing_changes():
        assert_problem(correct(api, project, (1, "a" * 65)), 422, "invalid")


@pytest.mark.parametrize("text", ["", "   ", None, 7, ["a"], "a\u0007b", "\u0000"])
def test_what_is_no_word_is_refused(api: APIClient, project: Project, text: Any):
    with nothing_changes():
        assert correct(api, project, (1, text)).status_code in {400, 422}


def test_one_word_that_is_not_there_stops_all(api: APIClient, project: Project):
    with nothing_changes():
        assert_problem(correct(api, project, (1, "Tilney"), (6, "x")), 422, "no_such_word")


@pytest.mark.parametrize(
    "body", [{}, {"words": []}, {"words": [{"index": -1, "text": "x"}]}, {"words": [{"index": 1}]}]
)
def test_an_incomplete_correction_is_refused(api: APIClient, project: Project, body: Any):
    with nothing_changes():
        assert_problem(api.patch(url(project.pk), body), 422, "invalid")


def test_a_member_that_nobody_knows_is_refused(api: APIClient, project: Project):
    body = {"words": [{"index": 1, "text": "x", "start": 3.0}]}
    with nothing_changes():
        assert_problem(api.patch(url(project.pk), body), 422, "unknown_field")


def test_a_transcript_that_grows_to_a_megabyte_is_refused(organization: Organization):
    """Half a million characters are the most; at the edge it is still kept."""
    project = make_project(organization)
    count = 500_000 // 65 + 1  # of 64 characters and a blank
    make_transcript(project, " ".join(["a"] * count))
    longest = [(index, "b" * 64) for index in range(count)]
    rest = 500_000 - 65 * (count - 1)
    with nothing_changes(), pytest.raises(Invalid) as refused:
        services.correct_words(project=project, words=longest, actor="test")
    assert refused.value.error_code == "transcript_too_long"
    last = (count - 1, "b" * rest)
    row = services.correct_words(project=project, words=[*longest[:-1], last], actor="test")
    assert len(row.content.text) == 500_000


def test_a_project_without_a_transcript_has_nothing_to_correct(
    api: APIClient, organization: Organization
):
    silent = make_project(organization)
    with nothing_changes():
        assert_problem(correct(api, silent, (0, "x")), 404, "no_transcript")


def test_it_needs_a_key(anonymous: APIClient, project: Project):
    with nothing_changes():
        assert_problem(correct(anonymous, project, (1, "x")), 401, "not_authenticated")


def test_another_organizations_transcript_is_not_told_from_none(api: APIClient):
    theirs = make_transcript(make_project()).project_id
    body = {"words": [{"index": 0, "text": "Mine"}]}
    with nothing_changes():
        assert_not_told_apart(lambda pk: api.patch(url(pk), body), theirs)


@pytest.mark.django_db(transaction=True)
def test_two_people_who_correct_different_words_both_have_their_way():
    project = make_project(make_organization())
    make_transcript(project, " ".join(["word"] * 20))
    barrier = threading.Barrier(10)

    def correct_one(index: int) -> None:
        try:
            barrier.wait()
            services.correct_words(project=project, words=[(index, f"w{index}")], actor="test")
        finally:
            connection.close()

    threads = [threading.Thread(target=correct_one, args=(index,)) for index in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert text_of(project).split() == [f"w{index}" for index in range(10)] + ["word"] * 10

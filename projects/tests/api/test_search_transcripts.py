"""GET /transcripts?q="""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import connection
from rest_framework.test import APIClient

from clipforge.common.models import uuid7
from clipforge.devtools.testing.api import assert_problem
from clipforge.devtools.testing.factories import (
    make_organization,
    make_project,
    make_transcript,
)
from clipforge.devtools.testing.queries import statements
from clipforge.media.words.transcript import Sentence, Transcript, Word
from clipforge.orgs.models import Organization
from projects import selectors, services
from projects.models import Project, ProjectTranscript

pytestmark = pytest.mark.django_db


def search(api: APIClient, text: str) -> Any:
    return api.get("/api/v1/transcripts", {"q": text})


def titles(api: APIClient, text: str) -> list[str]:
    response = search(api, text)
    assert response.status_code == 200, response.content
    return [row["title"] for row in response.json()["results"]]


def content(text: str, language: str = "en") -> Transcript:
    words = (Word(word, number, number + 0.5, 0.9) for number, word in enumerate(text.split()))
    return Transcript(language, (Sentence(tuple(words)),), "test")


def spoken(organization: Organization, title: str, *sentences: str) -> Project:
    project = make_project(organization, title=title)
    make_transcript(project, *sentences)
    return project


@pytest.fixture
def talks(organization: Organization) -> list[Project]:
    return [
        spoken(organization, "Harbour", "The ships were sailing away.", "Nobody waved."),
        spoken(organization, "Kitchen", "Nobody likes cold soup.", "Add salt.", "Stir the soup."),
    ]


def test_words_are_found_with_the_sentences_that_have_them(api: APIClient, talks: list[Project]):
    assert search(api, "soup").json() == {
        "results": [
            {
                "project": str(talks[1].pk),
                "title": "Kitchen",
                "language": "en",
                "quotes": [
                    {"start": 1.0, "end": 3.0, "text": "Nobody likes cold soup."},
                    {"start": 4.0, "end": 5.5, "text": "Stir the soup."},
                ],
            }
        ],
        "more": False,
    }


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("nobody", ["Kitchen", "Harbour"]),  # the newest first
        ("SHIP sail", ["Harbour"]),  # in any form, any case
        ("ship soup", []),  # all of them
        ("ship or soup", ["Kitchen", "Harbour"]),
        ("nobody -soup", ["Harbour"]),
        ('"cold soup"', ["Kitchen"]),
        ('"soup cold"', []),
        ("the", []),  # in every sentence, and not looked up
        ("-the", []),
        ("...", []),
        ("& | ! ( : *", []),
        ("' org x'", []),
        ("stemmed english", []),
    ],
)
def test_what_people_type_is_understood(
    api: APIClient, talks: list[Project], text: str, found: list[str]
):
    assert titles(api, text) == found


def test_other_languages_are_found_word_by_word(api: APIClient, organization: Organization):
    row = ProjectTranscript(project=make_project(organization, title="Rede"), org=organization)
    row.content = content("Guten Morgen, meine Damen.", language="de")
    row.save(force_insert=True)
    assert titles(api, "morgen") == ["Rede"]
    assert titles(api, "the") == []


def test_a_corrected_word_is_found_and_the_wrong_one_is_not(
    api: APIClient, organization: Organization
):
    project = spoken(organization, "Novel", "Miss Tillny was here.")
    services.correct_words(project=project, words=[(1, "Tilney")], actor="test")
    assert titles(api, "Tilney") == ["Novel"]
    assert titles(api, "Tillny") == []


def test_a_deleted_project_is_not_found(api: APIClient, talks: list[Project]):
    services.delete_project(project=talks[0], actor="test")
    assert titles(api, "ships") == []


def test_twenty_are_shown_and_whether_there_are_more(api: APIClient, organization: Organization):
    for number in range(20):
        spoken(organization, f"Talk {number}", "Good morning.")
    body = search(api, "morning").json()
    assert (len(body["results"]), body["more"]) == (20, False)
    spoken(organization, "Latest", "Good morning.")
    body = search(api, "morning").json()
    assert (len(body["results"]), body["more"]) == (20, True)
    assert body["results"][0]["title"] == "Latest"


def test_a_search_is_one_query(api: APIClient, talks: list[Project]):
    with statements() as said:
        search(api, "nobody")
    assert said == ["SELECT projects_projecttranscript"]


def test_it_needs_a_key(anonymous: APIClient):
    assert_problem(search(anonymous, "soup"), 401, "not_authenticated")


def test_words_of_others_are_not_found(api: APIClient, talks: list[Project]):
    spoken(make_organization(), "Theirs", "Their soup.")
    assert titles(api, "soup") == ["Kitchen"]


@pytest.mark.parametrize("text", ["", "  ", "a" * 201])
def test_what_is_too_short_or_too_long_is_refused(api: APIClient, text: str):
    assert_problem(search(api, text), 422, "invalid")


def test_two_hundred_characters_are_searched_for(api: APIClient, talks: list[Project]):
    assert titles(api, "nobody " * 28 + "soup") == ["Kitchen"]


def test_unknown_parameters_and_null_characters_are_refused(api: APIClient):
    assert search(api, "a\0b").status_code in {400, 422}
    assert_problem(api.get("/api/v1/transcripts", {"query": "x"}), 422, "unknown_parameter")


def test_the_longest_transcript_of_the_strangest_words_can_be_searched(
    api: APIClient, organization: Organization
):
    """Each word as many lexemes as there can be: an address, its host and its path."""
    words = " ".join(f"a{number}.bc/d{number}" for number in range(30_000))
    spoken(organization, "Links", "Begin here. " + words)
    assert titles(api, "begin") == ["Links"]


def test_a_search_enters_the_index_by_the_organization_and_reads_no_row_of_another():
    """Of 3,000 transcripts that all have the words, those of one of thirty organizations."""
    orgs = [make_organization() for _ in range(30)]
    rows = []
    for org in orgs:
        project = make_project(org)
        for _ in range(100):
            rows.append(copied(project))
    Project.objects.bulk_create(rows)
    transcripts: list[ProjectTranscript] = []
    for project in rows:
        row = ProjectTranscript(project=project, org_id=project.org_id)
        row.content = content(f"Good morning to all of you. {others(len(transcripts))}")
        transcripts.append(row)
    ProjectTranscript.objects.bulk_create(transcripts)
    found = selectors.transcripts_with(orgs[7], "good morning")
    with connection.cursor() as cursor:
        # What a vacuum does: entries that wait to be put in order would be read by every search.
        cursor.execute("SELECT gin_clean_pending_list('projects_transcript_search')")
        cursor.execute("ANALYZE projects_projecttranscript")
        sql, parameters = found.query.sql_with_params()
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", parameters)
        plan = json.loads(json.dumps(cursor.fetchone()[0]))
    nodes = list(walk(plan[0]["Plan"]))
    (scan,) = (node for node in nodes if node.get("Index Name") == "projects_transcript_search")
    assert scan["Actual Rows"] == 100
    assert not any(node.get("Rows Removed by Filter", 0) for node in nodes)


def others(number: int) -> str:
    """Two hundred words of a talk about something else, of four thousand that there are."""
    return " ".join(f"w{(number * 7919 + place * 104729) % 4000}" for place in range(200))


def copied(project: Project) -> Project:
    copy = Project.objects.get(pk=project.pk)
    copy.pk, copy.hold, copy.charged = uuid7(), None, 0
    return copy


def walk(node: dict[str, Any]) -> Any:
    yield node
    for child in node.get("Plans", []):
        yield from walk(child)


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
def test_what_get_knows_is_known_to_those_that_ask_about_it(api: APIClient, method: str):
    response = api.generic(method, "/api/v1/transcripts?q=soup")
    assert response.status_code == 200
    assert api.generic(method, "/api/v1/transcripts?query=soup").status_code == 422

"""Find forgives one slip of the fingers, takes several texts, and says why each result is one."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from clipforge.devtools.testing.factories import make_organization, make_project, make_user
from clipforge.devtools.testing.staff import make_staff, signed_in
from clipforge.orgs import trigrams
from clipforge.orgs.models import Organization
from clipforge.staff.search.views import MOST_PARTS

pytestmark = pytest.mark.django_db

FIND = "/admin/find/"


@pytest.fixture
def staff() -> Client:
    return signed_in(make_staff("superuser", email="boss@clipforge.test"))


def names(response: Any) -> list[str]:
    return [hit.name for group in response.context["groups"] for hit in group.hits]


@pytest.mark.parametrize(
    "typed",
    [
        "Northren Lights",  # two changed places
        "Northern Lihgts",
        "Norhern Lights",  # one is missing
        "Northern Lightss",  # one is too many
        "Nortnern Lights",  # another one
        "Xorthern Lights",  # the first
        "Northern Lightx",  # the last
        "Northernlights",
        "nothern",  # of one word
    ],
)
def test_a_name_with_one_slip_is_found_and_said_to_be_near(staff, typed):
    make_organization(name="Northern Lights")
    make_organization(name="Southern Nights")
    response = staff.get(FIND, {"q": typed})
    assert names(response) == ["Northern Lights"]
    assert f"Nothing is called “{typed}”" in response.content.decode()


@pytest.mark.parametrize("typed", ["Norhern Lihgts", "Nrthrn", "lght", "orthxx"])
def test_two_slips_and_texts_of_four_letters_are_not_forgiven(staff, typed):
    make_organization(name="Northern Lights")
    assert names(staff.get(FIND, {"q": typed})) == []


def test_an_address_with_one_slip_leads_to_the_person(staff):
    make_user(email="jane@acme.example")
    assert len(names(staff.get(FIND, {"q": "jane@amce.example"}))) == 1


def test_what_is_found_as_it_is_typed_is_not_looked_for_with_a_slip(staff):
    for name in ("Acmes Films", "Acmed Films"):
        make_organization(name=name)
    assert staff.get(FIND, {"q": "Acmes Films"}).status_code == 302


def test_a_slip_is_looked_for_in_one_query_whatever_its_length():
    make_organization(name="A" * 60)
    for term in ("aaaab", "a" * 59 + "b"):
        with CaptureQueriesContext(connection) as queries:
            trigrams.nearly(Organization.objects.all(), "name", term, most=500)
        assert len(queries) == 1
        assert queries[0]["sql"].count("UNION") <= trigrams.PLACES


def test_several_texts_are_each_looked_for_and_each_result_says_why(staff):
    acme, other = make_organization(name="Acme"), make_organization(name="Zebra")
    project = make_project(other, title="Keynote")
    response = staff.get(FIND, {"q": f"{acme.slug}, {project.pk}"})
    groups = {group.title: group.hits for group in response.context["groups"]}
    assert [hit.why for hit in groups["Organizations"]] == ["its slug is “acme”"]
    assert [hit.why for hit in groups["Projects"]] == [f"its id is “{project.pk}”"]
    assert "Found because its slug is “acme”." in response.content.decode()


def test_a_part_that_is_known_is_shown_and_never_opened_as_if_the_whole_were(staff):
    make_organization(name="Acme")
    response = staff.get(FIND, {"q": "Acme Nowhere Studios"})
    assert names(response) == ["Acme"]
    assert "Nothing is called “Acme Nowhere Studios” as a whole." in response.content.decode()


def test_of_many_texts_the_first_four_are_looked_for(staff):
    made = [make_project(title=f"Film {number}") for number in range(MOST_PARTS + 1)]
    found = names(staff.get(FIND, {"q": " ".join(str(project.pk) for project in made)}))
    assert len(found) == MOST_PARTS


def test_a_name_says_which_part_of_it_was_typed(staff):
    for name in ("Acme Films", "Old Acme"):
        make_organization(name=name)
    (group,) = staff.get(FIND, {"q": "acme"}).context["groups"]
    assert [hit.why for hit in group.hits] == [
        "its slug begins with “acme”",
        "its slug has “acme”",
    ]

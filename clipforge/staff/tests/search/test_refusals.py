"""Find by the request id that an error handed to a customer."""

from __future__ import annotations

import pytest

from clipforge.devtools.testing.factories import make_client, make_organization
from clipforge.devtools.testing.staff import make_staff, signed_in
from clipforge.orgs.models import Organization
from clipforge.orgs.refusal_log import refusal_log

pytestmark = pytest.mark.django_db

FIND = "/admin/find/"


def refused() -> tuple[Organization, dict[str, str]]:
    """An organization that was refused something, and what it was told."""
    org = make_organization(name="Quoting")
    told = make_client(org).get("/api/v1/projects?colour=red").json()
    refusal_log.flush(at_once=True)
    return org, told


@pytest.mark.parametrize("role", ["support", "finance", "engineer", "superuser"])
def test_a_request_id_shows_what_was_refused_when_whose_and_why(role):
    org, told = refused()
    text = f' "{told["request_id"]}", '  # as it stands in the answer
    page = signed_in(make_staff(role)).get(FIND, {"q": text}).content.decode()
    assert f'<a href="/admin/orgs/organization/{org.pk}/change/">Quoting</a>' in page
    assert "422, unknown_parameter" in page or "400, unknown_parameter" in page
    assert "GET projects" in page
    assert told["request_id"] in page


@pytest.mark.parametrize(
    "text", ["request_id: {}", '{{"code": "x", "request_id": "{}"}}', "{} and 17"]
)
def test_a_request_id_is_found_among_other_text(text):
    _, told = refused()
    asked = {"q": text.format(told["request_id"])}
    page = signed_in(make_staff("support")).get(FIND, asked).content.decode()
    assert told["request_id"] in page
    assert "unknown_parameter" in page


def test_staff_of_no_group_find_no_request_nor_does_anybody_by_a_part_of_its_id():
    _, told = refused()
    empty = signed_in(make_staff()).get(FIND, {"q": told["request_id"]}).content.decode()
    assert "Nothing matches" in empty
    support = signed_in(make_staff("support"))
    assert "Nothing matches" in support.get(FIND, {"q": told["request_id"][:35]}).content.decode()


def test_of_a_limit_the_page_says_which():
    org = make_organization()
    Organization.objects.filter(pk=org.pk).update(rate_limit_override=1)
    client = make_client(org)
    client.get("/api/v1/me")
    told = client.get("/api/v1/me").json()
    refusal_log.flush(at_once=True)
    page = signed_in(make_staff("support")).get(FIND, {"q": told["request_id"]}).content.decode()
    assert "<dt>Limit</dt><dd>api</dd>" in page
    assert told["detail"].replace("`", "`") in page


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("01a20e35-8a11-7c02-b1f7-3c6f0f3f2d10", "it was made at <time"),  # ours, not kept
        ("01a20e35-8a11-4c02-b1f7-3c6f0f3f2d10", "Nothing matches"),
        ("ffffffff-ffff-7fff-bfff-ffffffffffff", "Nothing matches"),
    ],
)
def test_an_id_of_ours_that_is_not_kept_says_when_it_was_made(text, said):
    page = signed_in(make_staff("support")).get(FIND, {"q": text}).content.decode()
    assert said in page
    assert ("it was made at" in page) is said.startswith("it was")

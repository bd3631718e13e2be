"""Results for texts as people paste them."""

from __future__ import annotations

import uuid

import pytest

from clipforge.devtools.testing.factories import make_organization, make_project, make_user
from clipforge.devtools.testing.staff import make_staff, signed_in
from clipforge.orgs.models import Membership
from clipforge.staff.search.pasted import is_domain, meant, range_of

ID = "0198c1de-32ca-7182-b120-f7fb8b664cb0"
OTHER = "0198c1de-0000-7182-b120-f7fb8b664cb0"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Jane Doe <jane@acme.example>", "jane@acme.example"),
        ('"Doe, Jane" <jane@acme.example>, Bob <bob@acme.example>', "jane@acme.example"),
        ("From: Jane <mailto:jane@acme.example>", "jane@acme.example"),
        ("mailto:jane%2Bx@acme.example?subject=Hello", "jane+x@acme.example"),
        ("MAILTO:jane@acme.example", "jane@acme.example"),
        ("jane@acme.example,", "jane@acme.example"),
        ("(jane@acme.example).", "jane@acme.example"),
        (f"https://clipforge.example/api/v1/projects/{ID}/moments?min_score=3", ID),
        (f"/api/v1/projects/{OTHER}/x/{ID}", ID),
        ("https://dashboard.stripe.com/test/payments/pi_3abc", "pi_3abc"),
        ("https://acme.example/about", "acme.example"),
        # No address has these: what stands there may still be a name.
        ("http://[acme/about", "http://[acme/about"),
        ("https://a\u2100c/x", "https://a\u2100c/x"),
        (f"“{ID}”,", ID),
        ("Acme & Sons, Ltd.", "Acme & Sons, Ltd"),
        ("ledger 42", "ledger 42"),
        ("", ""),
        (",", ""),
    ],
)
def test_what_stands_around_it_is_left_out(text, found):
    assert meant(text) == found


@pytest.mark.parametrize(
    ("prefix", "first", "last"),
    [
        ("0198c1", "0198c100-0000-0000-0000-000000000000", "0198c1ff-ffff-ffff-ffff-ffffffffffff"),
        (ID[:13], "0198c1de-32ca-0000-0000-000000000000", "0198c1de-32ca-ffff-ffff-ffffffffffff"),
        (ID[:-1], f"{ID[:-1]}0", f"{ID[:-1]}f"),
    ],
)
def test_a_beginning_is_a_range_of_ids(prefix, first, last):
    assert range_of(prefix) == (uuid.UUID(first), uuid.UUID(last))


@pytest.mark.parametrize("text", ["0198c", "acme-1", "", "0198cg", ID, "zzzzzz"])
def test_five_digits_a_whole_id_and_words_are_no_beginning(text):
    assert range_of(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("acme.example", True),
        ("a.b.example", True),
        ("acme", False),
        ("acme.", False),
        ("1.5", False),
    ],
)
def test_a_domain_is_told_from_a_word(text, expected):
    assert is_domain(text) is expected


@pytest.mark.django_db
def test_a_pasted_mail_a_domain_and_a_beginning_lead_straight_to_what_is_meant():
    staff = signed_in(make_staff("superuser", email="boss@clipforge.test"))
    org = make_organization(name="Acme")
    jane = make_user(email="jane@acme.example")
    Membership.objects.create(user=jane, organization=org, role="owner")
    project = make_project(org, id=uuid.UUID(ID))

    def lands(text: str) -> str:
        return str(staff.get("/admin/find/", {"q": text})["Location"])

    for text in ("Jane <jane@acme.example>,", "mailto:jane@acme.example", "acme.example"):
        assert lands(text) == f"/admin/orgs/organization/{org.pk}/change/", text
    for text in (ID[:8], ID[:6], ID[:20], f"https://x.example/api/v1/projects/{ID}"):
        assert lands(text) == f"/admin/projects/project/{project.pk}/change/", text
    # Several begin so: they are listed.
    make_project(org, id=uuid.UUID(OTHER))
    assert ID in staff.get("/admin/find/", {"q": ID[:8]}).content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize("text", ["http://[acme/about", "//[", "https://a\u2100c/x"])
def test_what_only_looks_like_an_address_finds_nothing(text):
    staff = signed_in(make_staff("superuser", email="boss@clipforge.test"))
    found = staff.get("/admin/find/", {"q": text})
    assert (found.status_code, "Nothing matches" in found.content.decode()) == (200, True)


@pytest.mark.django_db
def test_a_person_finds_by_a_beginning_only_what_that_person_may_open():
    make_project(id=uuid.UUID(ID))
    nobody = signed_in(make_staff(email="some@clipforge.test"))
    assert "Nothing matches" in nobody.get("/admin/find/", {"q": ID[:8]}).content.decode()

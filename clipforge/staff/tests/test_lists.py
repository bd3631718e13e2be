"""The admin's big lists: walked by place, searched through indexes, chosen from by typing."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from clipforge.common.admin import BigTable
from clipforge.common.admin_columns import name_of
from clipforge.common.lists import search
from clipforge.devtools.benchmarks import admin as benchmark_admin
from clipforge.devtools.query_plans.explain import captured, cost_of
from clipforge.devtools.testing.factories import (
    make_grant,
    make_organization,
    make_project,
    make_user,
)
from clipforge.orgs.models import Membership, Organization, Tier, User
from credits.models import CreditTransaction
from projects.models import Project

pytestmark = pytest.mark.django_db

LEDGER = "/admin/credits/credittransaction/"
PROJECTS = "/admin/projects/project/"
MOST_OPTIONS = 200

BIG: dict[str, Any] = {
    model._meta.label: model_admin
    for model, model_admin in admin.site._registry.items()
    if isinstance(model_admin, BigTable)
}
# Written by hand, or one a tier: they do not grow.
SMALL = {"auth.Group", "orgs.TierLimits", "billing.Price"}


@pytest.fixture
def short_pages(monkeypatch) -> None:
    for model_admin in BIG.values():
        monkeypatch.setattr(model_admin, "list_per_page", 3)


def shown(response: Any) -> list[Any]:
    return [row.pk for row in response.context["cl"].result_list]


def follow(client: Client, path: str, link: str, query: str = "") -> list[list[Any]]:
    """The pages, from `path` on, by one kind of link."""
    pages = []
    while True:
        response = client.get(path + query)
        pages.append(shown(response))
        query = getattr(response.context["cl"], link)
        if query is None:
            return pages
        assert query.replace("&", "&amp;").replace('"', "&quot;") in response.content.decode()


def test_every_list_that_grows_is_a_big_one():
    ours = {model._meta.label for model in admin.site._registry} - {
        "procrastinate.ProcrastinateJob"
    }
    assert ours - set(BIG) == SMALL


# --- older and newer -------------------------------------------------------------------


@pytest.mark.parametrize("path", [LEDGER, PROJECTS])
@pytest.mark.parametrize("whose", ["", "?org__id__exact={org.pk}", "?q={org.slug}"])
def test_older_leads_through_all_rows_and_newer_back(staff, short_pages, path, whose):
    org = make_organization()
    for _ in range(7):
        make_project(org)
    model: Any = CreditTransaction if path == LEDGER else Project
    expected = list(model.objects.order_by("-created_at", "-pk").values_list("pk", flat=True))
    query, pages = whose.format(org=org), []
    while query is not None:
        response = staff.get(path + query)
        pages.append(shown(response))
        last, query = query, response.context["cl"].older
    assert [pk for page in pages for pk in page] == expected
    assert {len(page) for page in pages[:-1]} == {3}
    back = follow(staff, path, "newer", last)
    assert back == pages[::-1]


def test_rows_of_one_moment_are_each_shown_once(staff, short_pages):
    org = make_organization()
    projects = [make_project(org) for _ in range(8)]
    Project.objects.update(created_at=projects[0].created_at)
    pages = follow(staff, PROJECTS, "older")
    assert sorted(pk for page in pages for pk in page) == sorted(item.pk for item in projects)


def test_a_column_with_an_index_turns_the_order_around_and_no_other_does(staff, short_pages):
    org = make_organization()
    oldest_first = [make_project(org).pk for _ in range(5)]
    columns = ["action_checkbox", *BIG["projects.Project"].list_display]
    changelist = staff.get(PROJECTS).context["cl"]
    index = changelist.list_display.index("created_at")
    assert set(columns) >= set(map(name_of, changelist.list_display))
    pages = follow(staff, PROJECTS, "older", f"?o={index}")
    assert [pk for page in pages for pk in page] == oldest_first
    assert shown(staff.get(PROJECTS, {"o": f"-{index}"})) == oldest_first[::-1][:3]
    for other in (changelist.list_display.index("title"), 99, "x", "-", "²"):
        assert shown(staff.get(PROJECTS, {"o": other})) == oldest_first[::-1][:3]
    assert "sortable" in staff.get(PROJECTS).content.decode()


def test_the_first_page_has_nothing_newer_and_the_last_nothing_older(staff, short_pages):
    org = make_organization()
    for _ in range(4):
        make_grant(org, 1)
    first = staff.get(LEDGER)
    assert (first.context["cl"].newer, first.context["cl"].newest) == (None, None)
    last = staff.get(LEDGER + first.context["cl"].older)
    assert (len(shown(last)), last.context["cl"].older) == (1, None)
    assert staff.get(LEDGER + last.context["cl"].newest).context["cl"].newer is None


def test_any_page_costs_the_same_queries_and_counts_nothing(staff, short_pages):
    org = make_organization()
    for _ in range(12):
        make_grant(org, 1)
    query = ""
    while query is not None:
        with CaptureQueriesContext(connection) as queries:
            query = staff.get(LEDGER + query).context["cl"].older
        asked = [entry["sql"] for entry in queries if "credits_credittransaction" in entry["sql"]]
        assert len(asked) == 1
        assert "COUNT" not in asked[0]
        assert "OFFSET" not in asked[0]


@pytest.mark.parametrize(
    ("path", "index"),
    [
        ("orgs/organization/?tier__exact=FREE", "orgs_organization_tier"),
        ("orgs/organization/?is_active__exact=0", "orgs_organization_suspended"),
        ("audit/auditentry/?org__id__exact={}", "orgs_staffaction_org_created"),
    ],
)
def test_a_filtered_list_is_read_in_the_order_of_its_index(staff, path, index):
    org = make_organization()
    Organization.objects.bulk_create(
        Organization(name=f"Load {number}", slug=f"load-{number}", tier=Tier.PRO)
        for number in range(300)
    )
    with captured() as statements:
        staff.get(f"/admin/{path.format(org.pk)}")
    # Of few rows the planner reads all, and sorts, if it may; and without statistics it does not
    # know that those of the filter are few.
    with connection.cursor() as cursor:
        for way in ("seqscan", "bitmapscan", "sort"):
            cursor.execute(f"SET LOCAL enable_{way} = off")
        cursor.execute("ANALYZE orgs_organization")
    assert index in cost_of(statements).indexes


def test_the_names_that_a_page_shows_are_fetched_by_their_keys_and_not_joined(staff):
    """A join is entered at no place: it reads all names, or the list from its top."""
    for label, model_admin in BIG.items():
        meta = model_admin.model._meta
        with captured() as statements:
            staff.get(reverse(f"admin:{meta.app_label}_{meta.model_name}_changelist"))
        (rows,) = [
            each.sql
            for each in statements
            if f'FROM "{meta.db_table}"' in each.sql and "ORDER BY" in each.sql
        ]
        assert "JOIN" not in rows, label


@pytest.mark.parametrize("way", ["older", "newer"])
@pytest.mark.parametrize(
    "place",
    [
        *("", "x", "[]", "{}", "null", "[1,2]", '["a"]', '["\\u0000"]', '["1e400"]', '[["1"]]'),
        "[" * 10_000,
        f"[{'9' * 40}]",
    ],
)
def test_a_place_that_is_none_leads_to_the_first_page(staff, way, place):
    make_grant(make_organization(), 1)
    response = staff.get(LEDGER, {way: place}, follow=True)
    assert response.status_code == 200
    assert response.redirect_chain in ([], [(f"{LEDGER}?e=1", 302)])


def test_an_action_reaches_only_what_is_shown(staff, short_pages):
    """All of a million rows cannot be selected with one click."""
    for _ in range(5):
        make_organization()
    assert "select across" not in staff.get("/admin/orgs/user/").content.decode()
    changelist = staff.get("/admin/orgs/organization/").context["cl"]
    assert changelist.result_count == len(changelist.result_list) == 3


# --- searching -------------------------------------------------------------------------


def ways() -> list[tuple[str, str]]:
    return [(label, field) for label, each in BIG.items() for field in each.search_fields]


@pytest.mark.usefixtures("vacuumed")
@pytest.mark.parametrize(("label", "field"), ways())
def test_every_way_to_search_has_an_index(label, field):
    """Where reading a whole table is forbidden, PostgreSQL does so only for want of an index."""
    rows = BIG[label].model._default_manager.all()
    for text in ("00000000-0000-7000-8000-000000000000", "17", "someone@example.com", "acme"):
        found = search.matching(rows.order_by(), field, text)
        if found.query.is_empty():  # the field cannot have this text
            continue
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
        plan = found.values("pk")[:10].explain()
        assert "Seq Scan" not in plan, plan


@pytest.mark.parametrize("label", BIG)
def test_every_big_list_can_be_searched_and_says_by_what(label):
    assert BIG[label].search_fields
    assert BIG[label].search_help_text


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("Acme Films", {"Acme Films"}),
        ("ILM", {"Acme Films", "Filmhaus", "Überfilm"}),
        ("haus", {"Filmhaus"}),
        ("fi", {"Filmhaus", "Acme Films"}),
        ("a", {"Acme Films"}),
        ("films acme", {"Acme Films"}),
        ("lms ac", {"Acme Films"}),
        ("smlif", set()),
        ("Überfilm", {"Überfilm"}),
        ("überFILM", {"Überfilm"}),
        ("100%", {"100% Video"}),
        ("_", set()),
        ("%", set()),
        ("film", {"Acme Films", "Filmhaus", "Überfilm"}),
    ],
)
def test_names_are_found_by_any_part_of_three_letters_or_by_how_a_word_begins(
    staff, typed, expected
):
    for name in ("Acme Films", "Filmhaus", "Überfilm", "100% Video"):
        make_organization(name=name)
    found = staff.get("/admin/orgs/organization/", {"q": typed}).context["cl"].result_list
    assert {row.name for row in found} == expected


def test_a_search_that_found_as_many_as_it_may_says_so(staff, monkeypatch):
    monkeypatch.setattr(search, "MOST_FOUND", 2)
    for name in ("Acme One", "Acme Two", "Acme Three", "Other"):
        make_organization(name=name)
    response = staff.get("/admin/orgs/organization/", {"q": "acme"})
    assert len(shown(response)) == 2
    assert "A search finds 2 at most" in response.content.decode()
    for typed in ("other", ""):
        text = staff.get("/admin/orgs/organization/", {"q": typed}).content.decode()
        assert "A search finds" not in text


def test_an_organization_is_found_by_a_member_and_by_a_key(staff):
    from clipforge.devtools.testing.factories import make_api_key

    org = make_organization()
    make_organization()
    user = make_user(email="ada@acme.example")
    Membership.objects.create(user=user, organization=org, role="owner")
    key = make_api_key(org).api_key
    for typed in ("ada@acme.example", key.prefix, f"cf_live_{key.prefix}"):
        assert shown(staff.get("/admin/orgs/organization/", {"q": typed})) == [org.pk]


def test_the_benchmark_opens_pages_that_there_are(staff):
    make_project()
    for visit in benchmark_admin._visits():
        response = staff.get(visit.path, follow=True)
        assert response.status_code == 200, visit


# --- choosing --------------------------------------------------------------------------


def offered(client: Client, term: str, **asked: str) -> list[str]:
    response = client.get(reverse("admin:autocomplete"), {**asked, "term": term})
    return [result["text"] for result in response.json()["results"]]


def test_an_organization_and_a_person_are_chosen_by_typing(staff):
    make_organization(name="Acme Films")
    make_organization(name="Beta")
    make_user(email="ada@acme.example")
    asked = {"app_label": "orgs", "model_name": "membership"}
    assert offered(staff, "acme", **asked, field_name="organization") == ["Acme Films"]
    assert offered(staff, "", **asked, field_name="organization") == ["Beta", "Acme Films"]
    assert offered(staff, "ada@", **asked, field_name="user") == ["ada@acme.example"]


def test_what_is_offered_is_not_counted(staff):
    for number in range(21):
        make_organization(name=f"Load {number:02}")
    asked = {"app_label": "orgs", "model_name": "membership", "field_name": "organization"}
    url = reverse("admin:autocomplete")
    came = []
    for page in ("1", "2", "3"):
        with CaptureQueriesContext(connection) as queries:
            answer = staff.get(url, {**asked, "page": page}).json()
        came.append((len(answer["results"]), answer["pagination"]["more"]))
        assert not [query for query in queries if "COUNT" in query["sql"]]
    assert came == [(20, True), (1, False), (0, False)]
    for page in ("101", "0", "x"):
        assert staff.get(url, {**asked, "page": page}).status_code == 404


def test_whoever_refers_to_an_organization_or_a_person_chooses_by_typing():
    chosen = {
        f"{label}.{field.name}"
        for label, each in BIG.items()
        for field in each.model._meta.fields
        if field.related_model in {Organization, User} and field.name in each.autocomplete_fields
    }
    assert chosen == {"orgs.Membership.user", "orgs.Membership.organization", "billing.Payment.org"}


def test_no_page_offers_more_than_200_choices_in_a_select(staff):
    Organization.objects.bulk_create(
        Organization(name=f"Load {number}", slug=f"load-{number}") for number in range(201)
    )
    User.objects.bulk_create(
        User(username=f"u{number}", email=f"u{number}@example.com") for number in range(201)
    )
    project = make_project()
    Membership.objects.create(user=User.objects.latest("pk"), organization=project.org)
    for model, model_admin in admin.site._registry.items():
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        paths = [reverse(f"{name}_changelist"), reverse(f"{name}_add")]
        row = model._default_manager.order_by("-pk").first()
        paths += [reverse(f"{name}_change", args=[row.pk])] if row else []
        for path in paths:
            text = staff.get(path).content.decode()
            for select in re.findall(r"<select.*?</select>", text, re.DOTALL):
                assert select.count("<option") <= MOST_OPTIONS, (path, select[:200], model_admin)

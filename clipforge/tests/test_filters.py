"""Every list can be narrowed by state, by time and by text, or this table says why not."""

from __future__ import annotations

from typing import Any

import pytest

from clipforge.devtools.query_plans.api_pages import list_views
from clipforge.devtools.testing.factories import (
    make_endpoint,
    make_export,
    make_moment,
    make_organization,
    make_project,
)

pytestmark = pytest.mark.django_db

# The filters by which each list is narrowed: by state, by time, by text.
STATE, TIME, TEXT = "state", "time", "text"
CREATED = {"created_after", "created_before"}
CHANGED = {"updated_after", "updated_before"}
FILTERS: dict[str, dict[str, set[str]]] = {
    "projects": {STATE: {"status"}, TIME: CREATED | CHANGED, TEXT: {"q", "external_id"}},
    "exports": {STATE: {"status"}, TIME: CREATED | CHANGED, TEXT: {"q"}},
    # A moment has no time but its place in the source.
    "moments": {
        STATE: {"kind", "origin", "rating", "pinned"},
        TIME: {"start_after", "start_before"},
        TEXT: {"q"},
    },
    # A movement of credits has no state but its type, and reasons are not searched: an index of their
    # letters would be larger than the ledger, which is kept for ever.
    "credits-transactions": {STATE: {"type"}, TIME: CREATED, TEXT: {"reference_id"}},
    "credits-holds": {STATE: {"status"}, TIME: CREATED, TEXT: {"reference_id"}},
    "billing-payments": {STATE: {"status"}, TIME: CREATED, TEXT: {"q"}},
    "keys": {STATE: {"is_revoked", "mode"}, TIME: CREATED, TEXT: {"q"}},
    "webhook-endpoints": {STATE: {"is_enabled"}, TIME: CREATED, TEXT: {"q"}},
    # What is sent are documents of ours; they are found by what they are about.
    "webhook-deliveries": {STATE: {"status"}, TIME: CREATED, TEXT: {"object_id"}},
}
# What else narrows them, or orders them.
OTHERS = {
    "projects": {"ids", "sort"},
    "exports": {"ids", "sort", "project"},
    "moments": {"min_score"},
}


def test_every_list_is_narrowed_by_state_time_and_text():
    found = {
        listed.name: set(listed.view_class.filterset_class.base_filters) for listed in list_views()
    }
    assert found == {
        name: set().union(*kinds.values(), OTHERS.get(name, set()))
        for name, kinds in FILTERS.items()
    }
    assert all(set(kinds) == {STATE, TIME, TEXT} for kinds in FILTERS.values())


def ids(api: Any, path: str, **asked: Any) -> list[str]:
    answer = api.get(f"/api/v1/{path}", asked)
    assert answer.status_code == 200, answer.content
    return [each["id"] for each in answer.json()["results"]]


def test_exports_are_found_by_the_title_and_the_id_of_their_project(api, organization):
    talk = make_project(organization, title="会議の記録", external_id="crm-77")
    first, second = make_export(talk), make_export(talk, status="FAILED")
    make_export(make_project(organization, title="Another"))
    make_export(make_project(make_organization(), title="会議の記録"))
    for text in ("会議の記録", "議の記", "CRM-77"):
        assert ids(api, "exports", q=text) == [str(second.pk), str(first.pk)]
    assert ids(api, "exports", q="会議の記録", status="READY") == [str(first.pk)]
    assert ids(api, "exports", q="nowhere") == []


def test_moments_are_found_by_what_they_are(api, organization):
    project = make_project(organization)
    kept = make_moment(project, start=5, end=9, title="The Turning point", kind="talk", pinned=True)
    other = make_moment(project, start=20, end=30, score=9, reason="A crowd roars", kind="action")
    path = f"projects/{project.pk}/moments"
    asked: dict[str, Any]
    for asked in (
        {"q": "turning"},
        {"kind": "talk"},
        {"pinned": "true"},
        {"start_after": 5, "start_before": 20},
    ):
        assert ids(api, path, **asked) == [str(kept.pk)], asked
    for asked in ({"q": "ROARS"}, {"pinned": "false"}, {"start_after": 5.001}, {"kind": "action"}):
        assert ids(api, path, **asked) == [str(other.pk)], asked
    assert ids(api, path, rating="up") == []
    assert ids(api, path, q="turning", kind="action") == []


@pytest.mark.parametrize("path", ["projects", "exports"])
def test_what_changed_within_a_range_is_listed_by_the_time_of_the_change(api, organization, path):
    project = make_project(organization)
    rows = [project if path == "projects" else make_export(project)]
    rows += [
        make_project(organization) if path == "projects" else make_export(project) for _ in "ab"
    ]
    for number, row in enumerate(rows):
        type(row).objects.filter(pk=row.pk).update(updated_at=f"2026-05-0{3 - number}T00:00:00Z")
    first, second, third = (str(row.pk) for row in rows)
    days = [f"2026-05-0{day}T00:00:00Z" for day in (1, 2, 3)]
    assert ids(api, path, updated_before="2100-01-01T00:00:00Z") == [first, second, third]
    assert ids(api, path, updated_before=days[2]) == [second, third]
    assert ids(api, path, updated_after=days[1], updated_before=days[2]) == [second]
    # The pages of such a list, one row each, are the whole list.
    asked: dict[str, Any] = {"updated_before": "2026-05-04T00:00:00Z", "page_size": 1}
    paged, cursor = [], None
    while True:
        page = api.get(
            f"/api/v1/{path}", {**asked, **({"cursor": cursor} if cursor else {})}
        ).json()
        paged += [each["id"] for each in page["results"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert paged == [first, second, third]


def test_the_ledger_is_found_by_what_it_is_about(api, organization):
    export = make_export(make_project(organization))
    make_export(make_project(organization))
    assert export.hold is not None
    asked = {"reference_id": str(export.pk)}
    assert ids(api, "credits/holds", **asked) == [str(export.hold.pk)]
    rows = api.get("/api/v1/credits/transactions", asked).json()["results"]
    assert [row["type"] for row in rows] == ["SPEND"]


def test_endpoints_are_found_by_their_address_and_state(api, organization):
    on = make_endpoint(organization, "https://hooks.example.com/on")
    off = make_endpoint(organization, "https://hooks.example.com/off")
    api.patch(f"/api/v1/webhooks/endpoints/{off.pk}", {"is_enabled": False})
    assert ids(api, "webhooks/endpoints", is_enabled="true") == [str(on.pk)]
    assert ids(api, "webhooks/endpoints", is_enabled="false") == [str(off.pk)]
    assert ids(api, "webhooks/endpoints", q="/OFF") == [str(off.pk)]


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("webhooks/endpoints", {"is_enabled": "yes"}),
        ("billing/payments", {"status": "paid"}),
        ("exports", {"q": ""}),
        ("exports", {"q": "x" * 201}),
        ("exports", {"updated_before": "yesterday"}),
        ("credits/holds", {"reference_id": "x" * 65}),
        ("credits/holds", {"created_after": "2026"}),
    ],
)
def test_a_value_that_a_filter_does_not_know_is_422(api, path, asked):
    assert api.get(f"/api/v1/{path}", asked).status_code == 422

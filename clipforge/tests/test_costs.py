"""The cost of each request in each rate-limit window, and the refusals of a full window."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest

from clipforge.common.cache.backend import default_cache
from clipforge.devtools.testing.api import assert_problem
from clipforge.devtools.testing.factories import make_client, make_organization
from clipforge.devtools.testing.state import nothing_changes
from clipforge.devtools.testing.tenancy import routes
from clipforge.orgs import selectors, windows
from clipforge.orgs.models import Organization

pytestmark = pytest.mark.django_db

# Every POST of the API, by the name of its route: a new one has to be listed.
ONE = {"api": 1}
POSTS = {
    "projects": {"api": 5, "uploads": 1},
    "uploads": {"api": 1, "uploads": 1},
    "upload-parts": ONE,
    "upload-complete": ONE,
    "project-cancel": ONE,
    "project-retry": {"api": 2},
    "moments": {"api": 2},
    "moments-select": {"api": 2},
    "exports": {"api": 2, "exports": 1},
    # And as many of `exports` as it has.
    "export-batch": {"api": 2},
    "export-cancel": ONE,
    "export-retry": {"api": 2, "exports": 1},
    "quotes": ONE,
    "tokens": ONE,
    "keys": ONE,
    "key-rotate": ONE,
    "key-revoke": ONE,
    "billing-checkout": ONE,
    "billing-portal": ONE,
    "webhook-endpoints": ONE,
    "webhook-secret": ONE,
    "webhook-test": ONE,
    "webhook-replay": ONE,
    "webhook-delivery-replay": ONE,
}
# What else takes more than one.
OTHERS = {
    "patch moment": {"api": 2},
    "get curves": {"api": 2},
    "get moment-poster": {"api": 2},
    "put watermark": {"api": 2},
}
PATHS = {
    route.name: re.sub(r"<[^>]+>", lambda _: str(uuid.uuid4()), route.pattern)
    for route in routes()
    if route.pattern.startswith("/api/v1/")
}
PUBLIC = {"schema", "docs"}
METHODS = ("get", "post", "patch", "put", "delete")


def used(organization: Organization) -> dict[str, int]:
    return windows.used(default_cache().redis, organization)


def test_every_route_takes_what_the_table_says_whatever_becomes_of_it():
    organization = make_organization(tier="ENTERPRISE")
    client = make_client(organization)
    taken, said = {}, {}
    for route in routes():
        for method in METHODS:
            if route.name in PATHS.keys() - PUBLIC and hasattr(route.view, method):
                before = used(organization)
                answer = getattr(client, method)(PATHS[route.name])
                assert answer.status_code not in {401, 429}, (route, method)
                after = used(organization)
                name = f"{method} {route.name}"
                taken[name] = {key: n - before[key] for key, n in after.items() if n > before[key]}
                said[name] = POSTS[route.name] if method == "post" else OTHERS.get(name, ONE)
    assert taken == said
    assert set(POSTS) == {name.split()[1] for name in taken if name.startswith("post")}


@pytest.mark.parametrize(
    ("name", "policy", "left"),
    [
        (
            "projects",
            '"api";q=200;w=60, "uploads";q=20;w=60',
            '"api";r=195;t=60, "uploads";r=19;t=60',
        ),
        (
            "exports",
            '"api";q=200;w=60, "exports";q=40;w=60',
            '"api";r=198;t=60, "exports";r=39;t=60',
        ),
    ],
)
def test_every_window_that_a_request_is_in_has_its_member_in_the_headers(
    name: str, policy: str, left: str
):
    answer = make_client(make_organization(tier="PRO")).post(PATHS[name])
    assert (answer["RateLimit-Policy"], answer["RateLimit"]) == (policy, left)


@pytest.mark.parametrize(
    ("scope", "full", "names"),
    [
        ("uploads", {"uploads": 20}, ["projects"]),
        ("exports", {"exports": 40}, ["exports", "export-retry"]),
        # One is left, which is enough for a cheap request only.
        ("api", {"api": 199}, ["projects", "project-retry", "exports", "export-retry"]),
    ],
)
def test_a_full_window_refuses_by_name_and_nothing_is_counted_anywhere(
    scope: str, full: dict[str, int], names: list[str]
):
    organization = make_organization(tier="PRO", credits_=5)
    client, limits = make_client(organization), selectors.limits_of(organization)
    redis = default_cache().redis
    assert windows.charge(redis, organization, limits, full)[0].passed
    before = used(organization)
    for name in names:
        with nothing_changes():
            refused: Any = client.post(PATHS[name])
        body = assert_problem(refused, 429, "rate_limited")
        assert (body["limit"], body["quota"], body["window"]) == (
            scope,
            full[scope] + (scope == "api"),
            60,
        )
        assert 1 <= int(refused["Retry-After"]) <= 60
    assert used(organization) == before
    assert client.get(PATHS["me"]).status_code == 200

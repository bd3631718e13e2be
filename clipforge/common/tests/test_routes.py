"""A route is looked up once per shape of path, and never for another shape."""

from __future__ import annotations

import re
import uuid

import pytest
from django.urls import Resolver404, resolve

from clipforge.common import routes
from clipforge.devtools.testing.tenancy import routes as all_routes

# One for all: two processes collect the same tests.
SOME = "0190a6a2-7f4e-7c3a-9d55-2f1c1c3e9b01"
PATHS = [
    re.sub(r"<uuid:\w+>", SOME, route.pattern)
    for route in all_routes()
    if route.pattern.startswith(("/api/v1/", "/health"))
]


@pytest.mark.parametrize("path", [path for path in PATHS if "<" not in path])
def test_it_is_what_django_finds_the_first_time_and_again(path: str):
    other = re.sub(routes.UUID, lambda _: str(uuid.uuid4()), path)
    for asked in (path, other, path):
        found, expected = routes.resolve(asked), resolve(asked)
        assert found.func is expected.func
        assert (found.args, found.kwargs) == (expected.args, expected.kwargs)
        assert (found.view_name, found.route) == (expected.view_name, expected.route)


@pytest.mark.parametrize("end", ["{}", "x", SOME.upper(), f"{SOME}x", ""])
def test_what_only_looks_like_a_known_shape_is_not_it(end: str):
    routes.resolve(f"/api/v1/projects/{uuid.uuid4()}")
    with pytest.raises(Resolver404):
        routes.resolve(f"/api/v1/projects/{end}")


def test_two_requests_share_no_parameters():
    first, second = (routes.resolve(f"/api/v1/projects/{uuid.uuid4()}") for _ in range(2))
    assert first.kwargs != second.kwargs
    assert first.kwargs is not second.kwargs

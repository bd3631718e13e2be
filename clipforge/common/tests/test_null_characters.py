"""A NUL is refused wherever a client can put one: no text of ours has it, and PostgreSQL holds none."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from clipforge.devtools.testing.api import assert_problem
from clipforge.devtools.testing.factories import make_project
from clipforge.devtools.testing.state import nothing_changes, stored_files

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "address",
    [
        "/api/v1/projects?status=READY%00",
        "/api/v1/projects?created_after=2026-01-01T00:00:00Z%00",
        "/api/v1/projects?status=READY&status=%00",
        "/api/v1/exports?project=%00",
        "/api/v1/credits/transactions?type=%00",
        "/api/v1/credits/holds?status=%00",
        "/api/v1/me?%00=1",
    ],
)
def test_in_a_query(api, address):
    response = api.get(address)
    name_of_none = "%00=" in address
    status, code = (422, "unknown_parameter") if name_of_none else (400, "malformed_request")
    assert_problem(response, status, code)


@pytest.mark.parametrize("parameter", ["cursor", "page_size"])
def test_in_what_pages_a_list(api, parameter):
    for path in ("projects", "exports", "credits/transactions", "credits/holds"):
        assert_problem(api.get(f"/api/v1/{path}?{parameter}=a%00"), 422, f"invalid_{parameter}")


@pytest.mark.parametrize("body", ['{"title": "a\\u0000b"}', '{"a": [{"\\u0000": 1}]}', '"\\u0000"'])
def test_in_json(api, organization, body):
    project = make_project(organization)
    with nothing_changes():
        response = api.patch(
            f"/api/v1/projects/{project.pk}", body, content_type="application/json"
        )
    assert_problem(response, 400, "malformed_request")


def test_text_that_only_looks_like_one_is_fine(api, organization):
    project = make_project(organization)
    body = '{"title": "\\\\u0000"}'
    response = api.patch(f"/api/v1/projects/{project.pk}", body, content_type="application/json")
    assert (response.status_code, response.json()["title"]) == (200, "\\u0000")


def test_in_a_field_beside_an_upload(api):
    form: dict[str, Any] = {"file": SimpleUploadedFile("v.mp4", b"x" * 1000), "title": "a\0b"}
    with nothing_changes():
        response = api.post("/api/v1/projects", form, format="multipart")
    assert_problem(response, 400, "malformed_request")
    assert stored_files() == []

"""Assertions that hold for every answer of the API."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any


def assert_problem(response: Any, status: int, code: str) -> dict[str, Any]:
    """The answer is problem+json with this status and code. Returns its members."""
    assert (response.status_code, _code(response)) == (status, code), response.content
    assert response["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert (body["status"], body["type"]) == (status, f"urn:clipforge:error:{code}")
    assert body["detail"]
    assert body["request_id"] == response["X-Request-ID"]
    return body


def assert_not_told_apart(call: Callable[[Any], Any], foreign_id: Any) -> None:
    """Another organization's id is answered like one that does not exist: 404, to the last member."""
    foreign = assert_problem(call(foreign_id), 404, "not_found")
    unknown = assert_problem(call(uuid.uuid4()), 404, "not_found")
    assert {**foreign, "request_id": ""} == {**unknown, "request_id": ""}


def invalid_fields(response: Any) -> set[str]:
    """The pointers of a 422, for example {"/title"}."""
    body = assert_problem(response, 422, "invalid")
    return {error["pointer"] for error in body["errors"]}


def all_pages(api: Any, url: str, **parameters: Any) -> list[dict[str, Any]]:
    """Every row of a list, page by page, by following next_cursor."""
    rows: list[dict[str, Any]] = []
    while True:
        page = api.get(url, parameters).json()
        rows += page["results"]
        if page["next_cursor"] is None:
            return rows
        parameters["cursor"] = page["next_cursor"]


def _code(response: Any) -> Any:
    try:
        return response.json().get("code")
    except ValueError:
        return None

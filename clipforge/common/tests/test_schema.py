"""The OpenAPI document and the page that shows it."""

from __future__ import annotations

import io
import json
import re
from typing import Any

import pytest
from django.core.management import call_command
from django.urls import URLPattern, URLResolver, get_resolver

from clipforge.orgs.models import Scope

METHODS = {"get", "post", "put", "patch", "delete"}
NOT_DOCUMENTED = {"/api/v1/schema", "/api/v1/docs"}

# Public: its clients have no key yet.
PUBLIC = {"get_pricing"}


@pytest.fixture(scope="module")
def schema() -> Any:
    out = io.StringIO()
    call_command(
        "spectacular", "--validate", "--fail-on-warn", "--format", "openapi-json", stdout=out
    )
    return json.loads(out.getvalue())


def operations(schema: Any) -> dict[tuple[str, str], Any]:
    return {
        (path, method): operation
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
        if method in METHODS
    }


def routes(patterns: list[URLPattern | URLResolver], before: str = "/") -> dict[str, Any]:
    found = {}
    for pattern in patterns:
        here = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            found.update(routes(pattern.url_patterns, here))
        elif here.startswith("/api/v1/") and here not in NOT_DOCUMENTED:
            found[re.sub(r"<\w+:(\w+)>", r"{\1}", here)] = pattern.callback
    return found


def test_the_schema_is_valid_without_a_warning_and_is_openapi_3_1(schema):
    assert schema["openapi"] == "3.1.1"
    assert schema["info"]["title"] == "ClipForge API"


def test_every_route_and_method_is_in_the_schema_and_nothing_else(schema):
    there = {
        (path, method)
        for path, callback in routes(get_resolver().url_patterns).items()
        for method in METHODS
        if hasattr(callback.view_class, method)
    }
    assert set(operations(schema)) == there
    assert len(there) >= 19


def test_every_operation_has_an_id_of_its_own_and_a_summary(schema):
    ids = [operation["operationId"] for operation in operations(schema).values()]
    assert len(set(ids)) == len(ids)
    assert all(operation.get("summary") for operation in operations(schema).values())


def test_every_operation_needs_a_key_and_documents_what_comes_without_one(schema):
    for operation in operations(schema).values():
        if operation["operationId"] in PUBLIC:
            assert operation["security"][-1] == {}
            continue
        (needed,) = operation["security"]
        (scope,) = needed["apiKey"]
        assert scope in Scope.values
        assert {"401", "403", "406", "503"} <= set(operation["responses"])
    assert schema["components"]["securitySchemes"]["apiKey"]["scheme"] == "bearer"


def test_every_refusal_is_a_problem_document(schema):
    for operation in operations(schema).values():
        for status, response in operation["responses"].items():
            if status >= "400":
                assert list(response["content"]) == ["application/problem+json"]
                (media,) = response["content"].values()
                assert media["schema"] == {"$ref": "#/components/schemas/Problem"}


def test_every_operation_with_a_body_documents_what_can_be_wrong_with_it(schema):
    for operation in operations(schema).values():
        if "requestBody" in operation:
            assert {"400", "411", "413", "415", "422"} <= set(operation["responses"])


def test_every_list_documents_its_pages(schema):
    lists = [
        operation
        for operation in operations(schema).values()
        if "cursor" in {each["name"] for each in operation.get("parameters", [])}
    ]
    assert len(lists) >= 5
    for operation in lists:
        (media,) = operation["responses"]["200"]["content"].values()
        page = schema["components"]["schemas"][media["schema"]["$ref"].rpartition("/")[2]]
        assert set(page["required"]) == {"results", "next", "next_cursor"}


def test_what_costs_or_creates_takes_an_idempotency_key(schema):
    with_key = {
        operation["operationId"]
        for operation in operations(schema).values()
        if "Idempotency-Key" in {each["name"] for each in operation.get("parameters", [])}
    }
    assert with_key >= {
        "create_project",
        "create_export",
        "create_checkout",
        "retry_project",
        "retry_export",
    }


def test_the_docs_page_and_the_schema_need_no_key_and_no_network(client):
    page = client.get("/api/v1/docs")
    assert page.status_code == 200
    text = page.content.decode()
    assert re.findall(r"""(?:https?:)?//[\w.-]+""", text) == []
    linked = set(re.findall(r"""(?:src|href)="([^"]+)""", text))
    script = "/api/v1/docs?script="
    assert script in linked
    for address in linked - {script}:
        assert address.startswith("/static/")
        response = client.get(address)
        assert response.status_code == 200, address
        if response.streaming:
            assert b"".join(response.streaming_content)
    text = client.get(script).content.decode()
    assert '"/api/v1/schema"' in text.replace("\\u002D", "-").replace("\\/", "/")


def test_the_style_sheet_of_the_docs_loads_nothing_from_elsewhere(client):
    response = client.get("/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui.css")
    text = b"".join(response.streaming_content).decode()
    assert [
        each for each in re.findall(r"url\(([^)]*)\)", text) if "//" in each and "data:" not in each
    ] == []


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("application/json", "application/json"),
        ("application/vnd.oai.openapi+json", "application/vnd.oai.openapi+json"),
        ("*/*", "application/vnd.oai.openapi; charset=utf-8"),
    ],
)
def test_the_schema_comes_as_json_or_yaml(client, accept, kind):
    response = client.get("/api/v1/schema", headers={"Accept": accept})
    assert (response.status_code, response["Content-Type"]) == (200, kind)


# What an operation id begins with.
VERBS = {"get", "list", "create", "update", "replace", "delete", "cancel", "retry", "download"} | {
    "select",
    "append",
    "correct",
    "replay",
    "rotate",
    "test",
    "search",
    "revoke",
    "complete",
}


def test_operation_ids_are_a_verb_and_what_it_is_done_to(schema):
    for operation in operations(schema).values():
        verb, _, thing = operation["operationId"].partition("_")
        assert verb in VERBS, operation["operationId"]
        assert thing


def test_every_operation_is_described_for_clients_under_a_tag_that_is_declared(schema):
    assert schema["servers"] == [{"url": "/", "description": "Where this document is from."}]
    declared = {tag["name"] for tag in schema["tags"]}
    assert all(tag["description"] for tag in schema["tags"])
    for operation in operations(schema).values():
        assert set(operation["tags"]) <= declared
        description = operation.get("description", "")
        assert len(description) > 20, operation["operationId"]
        assert "the base of everything" not in description
        assert not description.startswith("A view inside one organization"), operation[
            "operationId"
        ]


def test_nothing_that_is_for_developers_is_published(schema):
    text = json.dumps(schema)
    for words in ("As DRF's", "makes its fields from the model", "the base of everything"):
        assert words not in text


def test_answers_declare_their_headers(schema):
    for operation in operations(schema).values():
        for status, response in operation["responses"].items():
            headers = response["headers"]
            assert "X-Request-ID" in headers
            if status == "429":
                assert {"Retry-After", "RateLimit", "RateLimit-Policy"} <= set(headers)
            if status == "201" and operation["operationId"] in {"create_project", "create_export"}:
                assert "Location" in headers

"""The schema keeps what the last release promised: a client that was made for that one still works.

`released_openapi.json` beside this file is the schema of the last release, 2026.11.25. With each
release it is written anew:

    python manage.py spectacular --format openapi-json --file clipforge/tests/released_openapi.json
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from clipforge.common.versions import ABSENT_TEXTS

RELEASED = Path(__file__).with_name("released_openapi.json")

# Breaks that were meant, each in the CHANGELOG with its reason.
MEANT = {
    # An absent text is null, as other absent members are.
    *(
        f"answer: {kind}.{name} may be null"
        for kind in ("Project", "Export")
        for name in ("stage",)
    ),
    "answer: Export.sha256 may be null",
    "answer: Payment.reference may be null",
    *(
        f"answer: {kind}.{name} may be null"
        for kind in ("Transaction", "Hold")
        for name in ("price_version", "reference_type", "reference_id")
    ),
}

Node = dict[str, Any]


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("schema") / "schema.json"
    call_command("spectacular", "--format", "openapi-json", "--file", str(path))
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def released() -> Any:
    return json.loads(RELEASED.read_text())


def resolved(schema: Node, part: Node) -> Node:
    while True:
        if "$ref" in part:
            part = schema["components"]["schemas"][part["$ref"].rpartition("/")[2]]
        elif len(part.get("allOf", ())) == 1:
            part = part["allOf"][0]
        else:
            return part


def types_of(schema: Node, part: Node) -> set[str]:
    part = resolved(schema, part)
    for combined in ("oneOf", "anyOf"):
        if combined in part:
            return set().union(*(types_of(schema, each) for each in part[combined]))
    kind = part.get("type", [])
    if "enum" in part and not kind:
        return {"null" if value is None else type(value).__name__ for value in part["enum"]}
    return {kind} if isinstance(kind, str) else set(kind)


def breaks(old: Node, new: Node) -> Iterator[str]:
    """The breaks that a client of `old` would meet in `new`."""
    for path, methods in old["paths"].items():
        for method, operation in methods.items():
            now = new["paths"].get(path, {}).get(method)
            if now is None:
                yield f"{method} {path} is gone"
                continue
            yield from _breaks_of_parameters(f"{method} {path}", operation, now)
            for status in operation["responses"]:
                if status < "400" and status not in now["responses"]:
                    yield f"{method} {path}: {status} is gone"
    for name, part in old["components"]["schemas"].items():
        now = new["components"]["schemas"].get(name)
        if now is None:
            if not name.endswith(("Enum", "Request")):
                yield f"answer: {name} is gone"
        elif name.endswith("Request"):
            yield from _breaks_of_body(name, old, part, new, now)
        elif "properties" in part:
            yield from _breaks_of_answer(name, old, part, new, now)


def _breaks_of_parameters(what: str, old: Node, new: Node) -> Iterator[str]:
    before = {(each["in"], each["name"]): each for each in old.get("parameters", [])}
    after = {(each["in"], each["name"]): each for each in new.get("parameters", [])}
    for key in before.keys() - after.keys():
        yield f"{what}: parameter {key[1]} is gone"
    for key, each in after.items():
        if each.get("required") and not before.get(key, {}).get("required"):
            yield f"{what}: parameter {key[1]} is required"


def _breaks_of_body(name: str, old: Node, part: Node, new: Node, now: Node) -> Iterator[str]:
    for member in part.get("properties", {}).keys() - now.get("properties", {}).keys():
        yield f"body: {name}.{member} is gone"
    for member in set(now.get("required", [])) - set(part.get("required", [])):
        yield f"body: {name}.{member} is required"
    for member, before in part.get("properties", {}).items():
        after = now.get("properties", {}).get(member, {})
        gone = values_of(old, before) - values_of(new, after)
        if values_of(new, after) and gone:
            yield f"body: {name}.{member} takes no {sorted(gone)}"


def _breaks_of_answer(name: str, old: Node, part: Node, new: Node, now: Node) -> Iterator[str]:
    for member, before in part["properties"].items():
        after = now.get("properties", {}).get(member)
        if after is None:
            yield f"answer: {name}.{member} is gone"
            continue
        types = types_of(new, after) - types_of(old, before) if types_of(old, before) else set()
        if "null" in types:
            yield f"answer: {name}.{member} may be null"
        if types - {"null"}:
            yield f"answer: {name}.{member} may be {sorted(types - {'null'})}"


def values_of(schema: Node, part: Node) -> set[str]:
    part = resolved(schema, part)
    options = [resolved(schema, each) for each in part.get("oneOf", [])] or [part]
    return {str(value) for each in options for value in each.get("enum", [])}


def test_nothing_that_was_released_is_broken_but_what_the_changelog_says(schema, released):
    found = set(breaks(released, schema))
    assert found - MEANT == set()
    assert MEANT - found == set(), "no break any more: take it out of the table"


def test_every_break_is_undone_for_clients_of_the_released_version(released, schema):
    """So that it breaks only those who ask for the newest version."""
    assert {each.split()[1].partition(".")[2] for each in MEANT} == ABSENT_TEXTS
    kinds = {each.split()[1].partition(".")[0] for each in MEANT}
    for name, part in schema["components"]["schemas"].items():
        for member in ABSENT_TEXTS & part.get("properties", {}).keys():
            if "null" in types_of(schema, part["properties"][member]):
                known = released["components"]["schemas"].get(name)
                assert name in kinds or known is None, f"{name}.{member} would be changed back too"


def changed(released: Node, *path: str, value: Any = None) -> Node:
    schema = copy.deepcopy(released)
    inside: Any = schema
    for step in path[:-1]:
        inside = inside[step]
    if value is None:
        del inside[path[-1]]
    else:
        inside[path[-1]] = value
    return schema


PROJECTS = ("paths", "/api/v1/projects")
SCHEMAS = ("components", "schemas")


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ((*PROJECTS, "post"), None, "post /api/v1/projects is gone"),
        ((*PROJECTS, "get", "parameters"), [], "parameter status is gone"),
        ((*PROJECTS, "post", "responses", "201"), None, "201 is gone"),
        ((*SCHEMAS, "Project", "properties", "title"), None, "Project.title is gone"),
        (
            (*SCHEMAS, "Project", "properties", "width"),
            {"type": ["integer", "null"]},
            "Project.width may be null",
        ),
        (
            (*SCHEMAS, "Project", "properties", "width"),
            {"type": "string"},
            "Project.width may be ['string']",
        ),
        (
            (*SCHEMAS, "CheckoutRequestRequest", "required"),
            ["price", "currency"],
            "CheckoutRequestRequest.currency is required",
        ),
        (
            (*SCHEMAS, "CheckoutRequestRequest", "properties", "price"),
            None,
            "CheckoutRequestRequest.price is gone",
        ),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_a_break_is_found(released, path, value, said):
    found = list(breaks(released, changed(released, *path, value=value)))
    assert any(said in each for each in found), found
    assert list(breaks(released, released)) == []

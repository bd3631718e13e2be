"""Everything in the schema has a type and an example that fits it, and every refusal says its codes."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from clipforge.devtools.sdk.reading import published_schema

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("billing", "clipforge", "credits", "exports", "projects")
REPAIR = "give the serializer an `example`, or the operation an OpenApiExample"

Node = dict[str, Any]

# Codes of refusals that no operation of the schema answers with.
ELSEWHERE = {
    # Of commands and of staff.
    *("already_refunded", "already_reversed", "checkout_open", "reference_used"),
    *("form_used", "organization_exists", "user_exists"),
    # Of Stripe's events, and of links, which are no operations.
    *("invalid_event", "invalid_signature", "wrong_mode", "link_expired", "link_invalid"),
}


@pytest.fixture(scope="module")
def schema() -> Node:
    return published_schema()


def media_of(schema: Node) -> Iterator[tuple[str, str, Node]]:
    """(operation and place, media type, what is there) of every body and every answer of 2xx."""
    for methods in [*schema["paths"].values(), *schema["webhooks"].values()]:
        for operation in methods.values():
            name = operation["operationId"]
            for kind, media in operation.get("requestBody", {}).get("content", {}).items():
                yield f"{name}: body", kind, media
            for status, response in operation["responses"].items():
                for kind, media in response.get("content", {}).items():
                    if status < "300":
                        yield f"{name}: {status}", kind, media


def problems_of(schema: Node) -> Iterator[tuple[str, str, Node, Node]]:
    """(operation, status, answer, its codes with their examples) of every refusal."""
    named = schema["components"]["examples"]
    for methods in schema["paths"].values():
        for operation in methods.values():
            for status, response in operation["responses"].items():
                if status >= "400":
                    (media,) = response["content"].values()
                    examples = {
                        code: named[each["$ref"].rpartition("/")[2]]["value"]
                        for code, each in media["examples"].items()
                    }
                    yield operation["operationId"], status, response, examples


def examples_of(schema: Node, media: Node) -> list[Any]:
    if own := media.get("examples"):
        return [each["value"] for each in own.values()]
    component = media["schema"].get("$ref", "").rpartition("/")[2]
    found: list[Any] = schema["components"]["schemas"].get(component, {}).get("examples", [])
    return found


def faults(schema: Node, part: Node, example: Any) -> list[str]:
    validator = Draft202012Validator(
        {"components": schema["components"], "allOf": [part]}, format_checker=FormatChecker()
    )
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(example)]


def test_no_example_is_a_placeholder(schema):
    """Of a text that its serializer says nothing of, `text` stands in for it."""

    def texts(value: Any, path: str) -> Iterator[tuple[str, str]]:
        match value:
            case dict():
                for name, each in value.items():
                    yield from texts(each, f"{path}.{name}")
            case list():
                for each in value:
                    yield from texts(each, path)
            case str():
                yield path, value

    components = schema["components"]["schemas"]
    found = {name: each["examples"] for name, each in components.items() if "examples" in each}
    found |= {name: examples_of(schema, media) for name, _, media in media_of(schema)}
    said = [each for name, examples in found.items() for each in texts(examples, name)]
    assert len(said) > 500
    assert [path for path, text in said if text in {"text", "string"}] == []


def test_every_body_and_every_answer_has_an_example_that_fits(schema):
    checked = 0
    for place, kind, media in media_of(schema):
        if media["schema"].get("format") == "binary":
            continue
        examples = examples_of(schema, media)
        assert examples, f"{place} {kind}: {REPAIR}"
        for example in examples:
            assert faults(schema, media["schema"], example) == [], place
            checked += 1
    assert checked > 80


def test_every_object_has_an_example_that_fits_and_has_only_its_members(schema):
    for name, part in schema["components"]["schemas"].items():
        if part.get("type") != "object":
            continue
        (example,) = part["examples"]
        assert faults(schema, {"$ref": f"#/components/schemas/{name}"}, example) == [], name
        if not isinstance(part.get("additionalProperties"), dict):
            assert set(example) <= set(part.get("properties", {})), name


def test_an_example_that_does_not_fit_is_found(schema):
    part = {"$ref": "#/components/schemas/Moment"}
    (example,) = schema["components"]["schemas"]["Moment"]["examples"]
    assert faults(schema, part, {**example, "start": "soon"})
    assert faults(schema, part, {**example, "subscores": {"hook": 101}})
    assert faults(schema, part, {**example, "id": "no id"})
    assert faults(schema, part, {key: each for key, each in example.items() if key != "end"})


def test_every_refusal_says_which_codes_it_has_with_an_example_of_each(schema):
    problem = {"$ref": "#/components/schemas/Problem"}
    for operation, status, response, examples in problems_of(schema):
        assert examples, (operation, status)
        said = re.findall(r"`(\w+)`", response["description"].rpartition("Codes: ")[2])
        assert said == list(examples), (operation, status)
        for code, example in examples.items():
            assert (example["code"], str(example["status"])) == (code, status)
            assert faults(schema, problem, example) == []


def test_nothing_is_without_a_type(schema):
    def untyped(part: Any, path: str) -> Iterator[str]:
        if isinstance(part, dict):
            for name, each in part.get("properties", {}).items():
                if not {"type", "$ref", "allOf", "oneOf", "anyOf", "enum"} & set(each):
                    yield f"{path}.{name}"
                yield from untyped(each, f"{path}.{name}")
            yield from untyped(part.get("items"), f"{path}[]")

    schemas = schema["components"]["schemas"].items()
    assert [each for name, part in schemas for each in untyped(part, name)] == []


def raised_codes() -> dict[str, str]:
    """The `code` of every refusal that the source of the product names, and where."""
    found = {}
    for app in PRODUCT:
        for path in sorted((ROOT / app).rglob("*.py")):
            if {"tests", "devtools", "staff", "commands", "media", "sdk"} & set(path.parts):
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call):
                    for given in node.keywords:
                        if given.arg == "code" and isinstance(given.value, ast.Constant):
                            found[str(given.value.value)] = str(path.relative_to(ROOT))
    return found


def test_every_code_that_is_raised_is_that_of_a_documented_refusal(schema):
    documented = {code for *_, examples in problems_of(schema) for code in examples}
    raised = raised_codes()
    assert len(raised) > 40
    assert {code for code in ELSEWHERE if code not in raised or code in documented} == set()
    undocumented = {code: path for code, path in raised.items() if code not in documented}
    assert {code: path for code, path in undocumented.items() if code not in ELSEWHERE} == {}, (
        "name it in the `codes` of the views that answer with it"
    )


def test_the_refusals_that_were_recorded_are_documented(schema):
    """Of the record of answers, every refusal of an operation is one that its schema names."""
    documented = {
        (operation, status, code)
        for operation, status, _, examples in problems_of(schema)
        for code in examples
    }
    addresses = [
        (re.compile(re.sub(r"\{\w+\}", "[^/]+", address)), method.upper(), operation["operationId"])
        for address, methods in schema["paths"].items()
        for method, operation in methods.items()
    ]
    record = (Path(__file__).with_name("answers_on_the_wire.txt")).read_text()
    recorded = re.findall(r"^=== (\w+) (\S+).*?(?=^=== |\Z)", record, re.M | re.S)
    bodies = re.split(r"^=== ", record, flags=re.M)[1:]
    seen = set()
    for (method, address), text in zip(recorded, bodies, strict=True):
        refusal = re.search(r'"status":(\d+),"code":"(\w+)"', text)
        for pattern, known, operation in addresses:
            if refusal and method == known and pattern.fullmatch(address.partition("?")[0]):
                seen.add((operation, refusal[1], refusal[2]))
    seen = {each for each in seen if each[1] != "405"}
    assert len(seen) >= 5
    assert seen - documented == set()

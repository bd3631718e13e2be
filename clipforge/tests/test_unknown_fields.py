"""No operation ignores a member of its body: walked over the schema, one member at a time."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Any

import pytest
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command

from clipforge.devtools.testing.api import assert_problem
from clipforge.devtools.testing.state import fingerprint, stored_files
from clipforge.devtools.testing.tenancy import World, client_of, make_world
from clipforge.media.sample import make_still

pytestmark = pytest.mark.django_db

UNSAFE = {"post", "put", "patch", "delete"}
NAME = "sur~prise/"
POINTER = "/sur~0prise~1"

Place = tuple[str | int, ...]


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("schema") / "schema.json"
    call_command("spectacular", "--format", "openapi-json", "--file", str(path))
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path: FilePath = tmp_path_factory.mktemp("unknown") / "still.mp4"
    make_still(path, 1)
    return path.read_bytes()


@pytest.fixture
def world() -> World:
    cache.clear()
    return make_world("Misspeller")


def operations(schema: Any, *, with_body: bool) -> Iterator[tuple[str, str, Any]]:
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            if method in UNSAFE and ("requestBody" in operation) == with_body:
                yield method, path, operation


def resolved(schema: Any, part: Any) -> Any:
    while "$ref" in part:
        part = schema["components"]["schemas"][part["$ref"].rpartition("/")[2]]
    for combined in ("allOf", "oneOf", "anyOf"):
        if combined in part:
            options = [resolved(schema, each) for each in part[combined]]
            part = next((each for each in options if each.get("type") != "null"), part)
    return part


def sample(schema: Any, part: Any) -> Any:
    """A value of the shape that the schema says, with all of its members."""
    part = resolved(schema, part)
    kind = part.get("type")
    kind = kind[0] if isinstance(kind, list) else kind
    match kind:
        case "object":
            properties = part.get("properties", {})
            return {name: sample(schema, each) for name, each in properties.items()}
        case "array":
            return [sample(schema, part["items"])]
        case "integer" | "number":
            return part.get("minimum", 1)
        case "boolean":
            return True
    return part["enum"][0] if "enum" in part else "text"


def places(schema: Any, part: Any, at: Place = ()) -> Iterator[Place]:
    """Where the sample has an object with members of its own. Each must be closed."""
    part = resolved(schema, part)
    if "properties" in part:
        assert part.get("additionalProperties") is False, f"{at} takes anything"
        yield at
        for name, each in part["properties"].items():
            yield from places(schema, each, (*at, name))
    elif "items" in part:
        yield from places(schema, part["items"], (*at, 0))


def with_stranger(body: Any, place: Place) -> Any:
    body = inside = copy.deepcopy(body)
    for step in place:
        inside = inside[step]
    inside[NAME] = 1
    return body


def filled(path: str, world: World) -> str:
    """The path with the ids of the world's own things."""
    return re.sub(r"\{(\w+?)(?:_id)?\}", lambda found: str(world.objects[found[1]].pk), path)


def refusal(response: Any, what: str) -> list[str]:
    """The pointers of the answer, which must be the refusal of an unknown member."""
    assert response.status_code == 422, f"{what}: {response.status_code} {response.content!r}"
    document = assert_problem(response, 422, "unknown_field")
    assert {error["code"] for error in document["errors"]} == {"unknown_field"}
    return [error["pointer"] for error in document["errors"]]


def test_every_member_that_a_body_may_not_have_is_refused_and_nothing_is_kept(schema, world, video):
    client = client_of(world)
    asked = 0
    before = fingerprint(), stored_files()
    for method, path, operation in operations(schema, with_body=True):
        for media, content in operation["requestBody"]["content"].items():
            body = sample(schema, content["schema"])
            for place in places(schema, content["schema"]):
                wrong = with_stranger(body, place)
                if media == "multipart/form-data":
                    wrong = {
                        name: json.dumps(value) if isinstance(value, dict) else value
                        for name, value in wrong.items()
                    }
                    wrong["file"] = SimpleUploadedFile("talk.mp4", video)
                response = getattr(client, method)(
                    filled(path, world),
                    wrong,
                    format="multipart" if media == "multipart/form-data" else "json",
                    HTTP_IDEMPOTENCY_KEY=f"{method} {path} {place} {media}",
                )
                pointers = refusal(response, f"{method} {path} {place}")
                assert pointers == ["".join(f"/{step}" for step in place) + POINTER]
                asked += 1
    assert (fingerprint(), stored_files()) == before
    assert asked >= 5


def test_an_operation_that_reads_no_body_refuses_one_that_says_something(schema, world):
    client = client_of(world)
    asked = 0
    before = fingerprint()
    for method, path, _ in operations(schema, with_body=False):
        call = getattr(client, method)
        response = call(filled(path, world), {NAME: 1}, format="json")
        assert refusal(response, f"{method} {path}") == [POINTER]
        assert_problem(call(filled(path, world), [1], format="json"), 422, "invalid")
        asked += 1
    assert fingerprint() == before
    assert asked >= 6

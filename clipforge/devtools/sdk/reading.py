"""The schema as an SDK sees it: operations with what they take and give."""

from __future__ import annotations

import copy
import io
import json
from dataclasses import dataclass
from typing import Any, Final, Literal

from django.core.management import call_command

Node = dict[str, Any]

# Of a list; an SDK sends them itself.
PAGING: Final = {"cursor", "page_size"}
JSON: Final = "application/json"
FORM: Final = "multipart/form-data"
PART: Final = "application/offset+octet-stream"


# Bodies that say nothing more often than not. The schema requires none of their members; nor does it of
# others, which have to say one of several.
MAY_BE_EMPTY: Final = {"TermsRequest"}


@dataclass(frozen=True)
class Parameter:
    name: str
    schema: Node
    required: bool
    description: str
    is_joined: bool = False  # of an array: its values stand in one, with commas between them


@dataclass(frozen=True)
class Operation:
    """`result` names the model of the answer; of pages, that of a row."""

    id: str
    method: str
    address: str
    summary: str
    description: str
    path: tuple[Parameter, ...]
    query: tuple[Parameter, ...]
    body: str | None
    body_is_optional: bool
    is_form: bool
    media_types: tuple[str, ...]  # of a body that is sent as it is; then `body` is None
    is_idempotent: bool
    kind: Literal["json", "pages", "nothing", "file"]
    result: str | None
    texts: tuple[str, ...]  # formats beside JSON: the values of `format`


def published_schema() -> Node:
    """The schema as the service publishes it."""
    out = io.StringIO()
    call_command("spectacular", "--format", "openapi-json", stdout=out)
    schema: Node = json.loads(out.getvalue())
    return schema


def for_models(schema: Node) -> Node:
    """The schema as generators of models want it: open objects, and forms without their file."""
    result = copy.deepcopy(schema)
    _open(result["components"]["schemas"])
    for path in result["paths"].values():
        for operation in path.values():
            form = operation.get("requestBody", {}).get("content", {}).get(FORM)
            if form is not None:
                _drop_files(result["components"]["schemas"][_name_of(form["schema"])])
    return result


def _open(part: Any) -> None:
    """An object says what it may have: an SDK that refused other members would be a day behind."""
    if isinstance(part, list):
        for each in part:
            _open(each)
    elif isinstance(part, dict):
        if isinstance(part.get("properties"), dict):
            part.pop("additionalProperties", None)
            part.pop("examples", None)
        for each in part.values():
            _open(each)


def _drop_files(model: Node) -> None:
    for name in [key for key, each in model["properties"].items() if _is_file(each)]:
        del model["properties"][name]
        model["required"] = [each for each in model.get("required", []) if each != name]
    if not model.get("required"):
        model.pop("required", None)


def _is_file(schema: Node) -> bool:
    return schema.get("format") == "binary"


def operations(schema: Node) -> list[Operation]:
    """All of them, by tag as the schema orders those, then as they stand.

    But for those that take a part of a file: an SDK has a helper for what they are about.
    """
    order = {tag["name"]: number for number, tag in enumerate(schema["tags"])}
    found = [
        (order[operation["tags"][0]], _operation(schema, address, method, operation))
        for address, methods in schema["paths"].items()
        for method, operation in methods.items()
        if not _takes_a_part(operation)
    ]
    return [operation for _, operation in sorted(found, key=lambda each: each[0])]


def _takes_a_part(operation: Node) -> bool:
    return PART in operation.get("requestBody", {}).get("content", {})


def events(schema: Node) -> list[str]:
    """The models of the events that webhooks tell."""
    return [
        _name_of(each["post"]["requestBody"]["content"][JSON]["schema"])
        for each in schema["webhooks"].values()
    ]


def _operation(schema: Node, address: str, method: str, operation: Node) -> Operation:
    parameters = [(each["in"], _parameter(each)) for each in operation.get("parameters", [])]
    query = [each for place, each in parameters if place == "query"]
    is_list = {each.name for each in query} >= PAGING
    status = min(code for code in operation["responses"] if code.startswith("2"))
    content = operation["responses"][status].get("content", {})
    texts: tuple[str, ...] = ()
    if JSON in content and len(content) > 1:
        formats = next(each for each in query if each.name == "format")
        texts = tuple(each for each in formats.schema["enum"] if each != "json")
    bodies = operation.get("requestBody", {}).get("content", {})
    raw = tuple(each for each in bodies if _is_file(bodies[each]["schema"]))
    body = None if raw else next(iter(bodies), None)
    result = _name_of(content[JSON]["schema"]) if JSON in content else None
    if is_list and result is not None:
        page = schema["components"]["schemas"][result]
        result = _name_of(page["properties"]["results"]["items"])
    return Operation(
        id=operation["operationId"],
        method=method.upper(),
        address=address,
        summary=operation["summary"],
        description=operation["description"],
        path=tuple(each for place, each in parameters if place == "path"),
        query=tuple(
            each
            for each in query
            if each.name != "cursor" and not (texts and each.name == "format")
        ),
        body=_name_of(bodies[body]["schema"]) if body else None,
        body_is_optional=body is not None and _name_of(bodies[body]["schema"]) in MAY_BE_EMPTY,
        is_form=body == FORM,
        media_types=raw,
        is_idempotent="Idempotency-Key" in {each.name for _, each in parameters},
        kind="pages" if is_list else "json" if result else "file" if content else "nothing",
        result=result,
        texts=texts,
    )


def _parameter(each: Node) -> Parameter:
    return Parameter(
        name=each["name"],
        schema=each["schema"],
        required=bool(each.get("required")),
        description=each.get("description", ""),
        is_joined=each["schema"].get("type") == "array" and not each.get("explode", True),
    )


def _name_of(schema: Node) -> str:
    name: str = schema["$ref"].rpartition("/")[2]
    return name

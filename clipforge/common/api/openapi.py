"""The parts of the schema that hold for all operations: the server, the tags, and the headers of answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from clipforge.common import versions
from clipforge.common.api.examples import add_examples

TAGS: Final = {
    "projects": "Videos that were uploaded, and their analysis.",
    "uploads": "Files that are sent in parts.",
    "moments": "The stretches of a video that are worth clipping.",
    "exports": "Finished clips.",
    "watermark": "The image of the organization that clips may carry.",
    "transcripts": "The words that were said, of all videos.",
    "credits": "The balance, and the ledger behind it.",
    "billing": "Plans, credit packs and payments.",
    "pricing": "What is sold.",
    "quotes": "What work would cost.",
    "usage": "What was used, summed up.",
    "me": "Whose key this is.",
    "origins": "The pages that may read answers in a browser.",
    "keys": "Keys, what each may do, and their end.",
    "tokens": "Short-lived keys for pages.",
    "webhooks": "Addresses that are told of events, and what they were told.",
}

# Of parameters that mean the same wherever they stand, and say nothing else of themselves.
PARAMETERS: Final = {
    "created_after": "Created at this time or later.",
    "created_before": "Created before this time, which is not included.",
    "external_id": "With this id of your own.",
    "is_enabled": "That are told of events, or those that are not.",
    "kind": "Of this kind.",
    "min_score": "With this score or a higher one.",
    "name": "Of the file.",
    "origin": "That came about in this way.",
    "page_size": "So many rows at most.",
    "project": "Of this project.",
    "status": "In this status; of several, in any of them.",
    "type": "Of this type.",
}

# What they make is polled at an address of its own.
LOCATED: Final = {"create_project", "create_upload", "create_export", "create_key", "rotate_key"}

Node = dict[str, Any]


def _header(description: str, schema: Node | None = None) -> Node:
    return {"description": description, "schema": schema or {"type": "string"}}


SECONDS: Final = {"type": "integer", "minimum": 1}
ETAG: Final = _header("Strong. Send it back as `If-None-Match`.")
REQUEST_ID: Final = _header("Quote it to support.")
RATE_LIMIT: Final = _header('What is left of each window: `"api";r=149;t=12`.')
LIMITS: Final = {"RateLimit": RATE_LIMIT, "RateLimit-Policy": _header("The windows.")}
RETRY_AFTER: Final = _header("Seconds until it is worth asking again.", SECONDS)
LOCATION: Final = _header(
    "The address of what was made.", {"type": "string", "format": "uri-reference"}
)
NOT_MODIFIED: Final = {
    "description": "You have it already: it has the ETag in `If-None-Match`.",
    "headers": {"ETag": ETAG, "X-Request-ID": REQUEST_ID, **LIMITS},
}
# Of a redirect to a file; clients follow it.
FILE: Final = {
    "description": "The file, where the redirect is followed.",
    "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}},
}
IF_NONE_MATCH: Final = {
    "in": "header",
    "name": "If-None-Match",
    "schema": {"type": "string"},
    "description": "The `ETag` that you have: 304 if it is still that.",
}


def finish(result: Node, generator: Any, request: Any, public: bool) -> Node:
    """drf-spectacular's hook: add what no single view knows."""
    result["servers"] = [{"url": "/", "description": "Where this document is from."}]
    result["info"]["description"] += (
        "\n\nEvery answer has an `X-Request-ID`. A method that an address has not is 405, with `Allow`. "
        f"The shape of answers is that of `{versions.HEADER}`, a date; this document is of "
        f"`{versions.NEWEST.name}`."
    )
    used = {tag for _, _, operation in _operations(result) for tag in operation["tags"]}
    result["tags"] = [{"name": name, "description": TAGS[name]} for name in TAGS if name in used]
    for _, method, operation in _operations(result):
        _describe(operation.get("parameters", []))
        if "302" in operation["responses"]:
            operation["responses"] = {"200": {**FILE}, **operation["responses"]}
        _add_headers(operation["responses"])
        if operation["operationId"] in LOCATED:
            operation["responses"]["201"]["headers"]["Location"] = LOCATION
        if method == "get" and _is_json(operation["responses"].get("200", {})):
            operation["parameters"] = [*operation.get("parameters", []), IF_NONE_MATCH]
            operation["responses"]["304"] = NOT_MODIFIED
            operation["responses"]["200"]["headers"]["ETag"] = ETAG
    add_examples(result)
    return result


def _describe(parameters: list[Node]) -> None:
    for each in parameters:
        name = each["name"]
        if each["schema"].get("type") == "boolean":
            each["schema"].pop("enum", None)  # of texts
        if each["in"] == "path" and name.endswith("_id"):
            each.setdefault("description", f"Of the {name.removesuffix('_id')}.")
        elif name in PARAMETERS:
            each.setdefault("description", PARAMETERS[name])


def _add_headers(responses: Node) -> None:
    for status, response in responses.items():
        headers = response.setdefault("headers", {})
        headers |= {"X-Request-ID": REQUEST_ID}
        if status != "401":
            headers |= LIMITS
        if status in {"429", "503"}:
            headers["Retry-After"] = RETRY_AFTER


def _is_json(response: Node) -> bool:
    return "application/json" in response.get("content", {})


def _operations(schema: Node) -> Iterator[tuple[str, str, Node]]:
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            if "responses" in operation:
                yield path, method, operation

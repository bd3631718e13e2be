"""Reading request bodies: how much is read, and what can be understood of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import IO, Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser
from rest_framework.request import Request
from rest_framework.utils.json import strict_constant

from clipforge.common.errors import BadRequest, DomainError, UnsupportedCoding

# Bodies of this API are flat. Python's parser and `repr` give up at about a thousand levels; far
# fewer brackets than that cannot nest too deeply.
MAX_BRACKETS = 200


class LengthRequired(DomainError):
    status, code, title = 411, "length_required", "Length required"


class LimitedJSONParser(JSONParser):
    """JSON in UTF-8, at most settings.DATA_UPLOAD_MAX_MEMORY_SIZE bytes of it.

    DRF's own reads a body of any length, in any encoding the client names.
    """

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        # Django refuses a body over the limit before it reads any of it.
        body: bytes = (parser_context or {})["request"]._request.body
        if body.count(b"[") + body.count(b"{") > MAX_BRACKETS:
            raise ParseError(f"JSON parse error - more than {MAX_BRACKETS} objects and arrays")
        try:
            data = json.loads(body.decode(), parse_constant=strict_constant)
            if b"\\u" in body:
                refuse_null_characters(data)
                # Half of a pair can be escaped, but neither stored nor echoed.
                json.dumps(data, ensure_ascii=False).encode()
            return data
        except ValueError as error:
            raise ParseError(f"JSON parse error - {error}") from None


def is_json(request: Request) -> bool:
    """Whether the body is JSON, by what the client says of it."""
    return str(request.content_type).partition(";")[0].strip().lower() == "application/json"


def refuse_null_characters(data: Any) -> None:
    """Raises BadRequest if a NUL is anywhere in it: no text of ours has one, and PostgreSQL holds none."""
    match data:
        case str():
            if "\0" in data:
                raise BadRequest("The request contains a NUL character.", code="malformed_request")
        case Mapping():
            refuse_null_characters([*data.keys(), *data.values()])
        case list():
            for item in data:
                refuse_null_characters(item)


def require_readable(request: Request) -> None:
    """Refuse a chunked body, which Django would take for an empty one, and a compressed one.

    Raises LengthRequired, UnsupportedCoding.
    """
    if "HTTP_TRANSFER_ENCODING" in request.META:
        raise LengthRequired(
            "Send the body with a Content-Length; chunked bodies are not accepted."
        )
    coding = request.META.get("HTTP_CONTENT_ENCODING", "").strip()
    if coding.lower() not in {"", "identity"}:
        raise UnsupportedCoding("Send the body as it is, without a Content-Encoding.")

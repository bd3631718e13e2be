"""OpenAPI from the code: what drf-spectacular cannot see of our conventions."""

from __future__ import annotations

from typing import Any, Literal

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import get_lib_doc_excludes
from drf_spectacular.utils import (
    OpenApiParameter,
    OpenApiResponse,
    extend_schema_field,
)
from rest_framework import serializers
from rest_framework.permissions import SAFE_METHODS

from clipforge.common.api.digests import ALGORITHM, HEADERS
from clipforge.common.api.examples import SAID
from clipforge.common.api.expanding import expanded_serializer
from clipforge.common.api.problems import phrase_of
from clipforge.common.api.serializers import ModelSerializer, Serializer, Strict


class FieldErrorSerializer(Serializer):
    example = {"pointer": "/start", "code": "invalid", "detail": "A number is wanted."}

    pointer = serializers.CharField(help_text="RFC 6901 pointer to the field in the body.")
    code = serializers.CharField()
    detail = serializers.CharField()


@extend_schema_field({"type": ["integer", "string"]})
class LimitField(serializers.JSONField):
    pass


class ProblemSerializer(Serializer):
    """RFC 9457 problem document. `code` is stable; `detail` is for people."""

    example = {
        "type": "urn:clipforge:error:insufficient_credits",
        "title": "Not enough credits",
        "status": 402,
        "code": "insufficient_credits",
        "detail": "It costs 3 credits; 1 is available.",
        "request_id": "01a20e35-8a11-7c02-b1f7-3c6f0f3f2d10",
        "needed": 3,
        "available": 1,
        "scope": "write",
        "received": "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:",
    }

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    code = serializers.CharField()
    detail = serializers.CharField()
    request_id = serializers.CharField(allow_null=True)
    errors = FieldErrorSerializer(many=True, required=False)  # type: ignore[assignment] # also a property of DRF
    needed = serializers.IntegerField(
        required=False, help_text="Credits, with 402 and `max_credits_exceeded`."
    )
    max_credits = serializers.IntegerField(
        required=False, help_text="What the order allows, with `max_credits_exceeded`."
    )
    available = serializers.IntegerField(required=False, help_text="Credits, with 402.")
    limit = LimitField(
        required=False,
        help_text="What was exceeded: bytes, with 413; the name of a limit, with 429.",
    )
    scope = serializers.CharField(
        required=False, help_text="That the key has not, with `scope_missing`."
    )
    cap = serializers.IntegerField(
        required=False, help_text="Credits a month, with `key_cap_reached`."
    )
    resets_at = serializers.DateTimeField(
        required=False, help_text="When the next month begins, with `key_cap_reached`."
    )
    quota = serializers.IntegerField(required=False, help_text="What the limit allows, with 429.")
    existing = serializers.UUIDField(
        required=False,
        help_text="The object that has the id already, with `external_id_taken`; what was ordered "
        "with the quote, with `quote_used`.",
    )
    running = serializers.IntegerField(required=False, help_text="Jobs, with `concurrent_jobs`.")
    received = serializers.CharField(
        required=False, help_text="The digest of what arrived, with `digest_mismatch`."
    )
    window = serializers.IntegerField(required=False, help_text="In so many seconds, with 429.")


Direction = Literal["request", "response"]

DESCRIPTIONS = {
    400: "The request cannot be read.",
    401: "No API key, or a bad one.",
    402: "Not enough credits (`insufficient_credits`), or the key has reached its monthly cap "
    "(`key_cap_reached`): `needed` and `available` say how many.",
    403: "Not allowed: the organization is suspended (`organization_inactive`), or the key has not the "
    "scope that this needs (`scope_missing`), does not work from this address (`address_not_allowed`), "
    "or is a token of another page (`origin_not_allowed`).",
    404: "Not there, or another organization's.",
    406: "Only JSON is served.",
    408: "The body came too slowly.",
    409: "Wrong state, or the same request is still running.",
    410: "Its time is over.",
    411: "The body has no Content-Length.",
    412: "Not under this condition.",
    413: "The body is too large.",
    415: "Not a video, or not a media type that is accepted here.",
    422: "A name or a value is wrong: of a member, a parameter or a header. `errors` points at members.",
    423: "Another request writes to it. Send it again.",
    429: "A limit was reached: `limit` says which, `Retry-After` when to come back.",
    460: "What came is not what its checksum is of.",
    503: "A dependency is down. `Retry-After` says when to come back.",
    507: "Storage is full, or that of the tier is used up.",
}

# The codes that come with a status wherever it may come, and what they mean.
Codes = dict[int, dict[str, str]]
CODES: Codes = {
    400: {
        "malformed_request": "The request cannot be understood.",
        "unknown_version": "There is no such version.",
    },
    401: {
        "not_authenticated": "There is no API key.",
        "invalid_api_key": "The API key is malformed, unknown, expired or revoked.",
    },
    402: {
        "insufficient_credits": "It costs 3 credits; 1 is available.",
        "key_cap_reached": "The key has spent what it may spend in this month.",
    },
    403: {
        "organization_inactive": "This organization is suspended.",
        "scope_missing": "This key may not do this: it has not the scope `write`.",
        "address_not_allowed": "This key does not work from this address.",
        "origin_not_allowed": "A page of this origin may not ask for this organization.",
    },
    404: {"not_found": "There is no such object in this organization."},
    406: {"not_acceptable": "None of the media types in `Accept` is served."},
    408: {"request_timeout": "The body came too slowly."},
    411: {"length_required": "The body has no Content-Length."},
    413: {"too_large": "The body is larger than what is accepted."},
    415: {
        "unsupported_media_type": "The body is of another media type than the operation reads.",
        "unsupported_content_encoding": "The body is compressed.",
    },
    422: {
        "invalid": "A value is wrong.",
        "unknown_parameter": "There is no such query parameter.",
        "unknown_expansion": "What `expand` names is not there to be shown.",
    },
    429: {"rate_limited": "A limit was reached. Send the request again after `Retry-After`."},
    503: {"unavailable": "Something that is needed is down. Send the request again."},
    507: {"storage_full": "The storage is full."},
}


def together(*parts: Codes) -> Codes:
    """The codes of all of these."""
    return {
        status: {code: said for part in parts for code, said in part.get(status, {}).items()}
        for status in sorted({status for part in parts for status in part})
    }


OF_BODIES: Codes = {
    400: {"request_interrupted": "The body broke off before its end."},
    422: {"unknown_field": "The body has a member that the operation does not know."},
}
OF_LISTS: Codes = {
    422: {
        "invalid_cursor": "The cursor is damaged, or belongs to another list.",
        "invalid_page_size": "page_size must be a whole number from 1 to 100.",
    }
}
OF_IDEMPOTENCY: Codes = {
    409: {"request_in_progress": "The same request is still running."},
    422: {
        "idempotency_key_reused": "The key was used for another request.",
        "invalid_idempotency_key": "A key has 1 to 255 characters.",
    },
}
# Members that only some have, as an example.
MEMBERS: dict[str, dict[str, Any]] = {
    "insufficient_credits": {"needed": 3, "available": 1},
    "scope_missing": {"scope": "write"},
    "rate_limited": {"limit": "api", "quota": 200, "window": 60},
    "too_large": {"limit": 1048576},
    "invalid": {
        "errors": [{"pointer": "/start", "code": "invalid", "detail": "A number is wanted."}]
    },
    "unknown_field": {
        "errors": [
            {"pointer": "/titel", "code": "unknown_field", "detail": "It is not known here."}
        ]
    },
}

IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    description="Up to 255 characters, chosen by you. The same key and request replays the first "
    "answer; the same key with another request is 422.",
)

DIGESTS = [
    OpenApiParameter(
        name,
        {"type": "string", "pattern": f"^{ALGORITHM}=:[A-Za-z0-9+/]{{43}}=:$"},
        OpenApiParameter.HEADER,
        description="RFC 9530. The SHA-256 of the file, or of the whole body; what arrives must have "
        "it, or is refused (`digest_mismatch`).",
    )
    for name in HEADERS
]


def undescribing_bases() -> list[type[Any]]:
    """Classes whose docstrings are for developers: what extends them has to describe itself."""
    excluded: list[type[Any]] = get_lib_doc_excludes()  # type: ignore[no-untyped-call]
    return [*excluded, Strict, Serializer, ModelSerializer]


class ProblemAutoSchema(AutoSchema):
    """Adds the problem responses and the Idempotency-Key header.

    A view lists the statuses that are its own in `problems = {"post": (402, 409)}`, and codes with what
    they mean in `codes = {"post": {409: {"wrong_state": "It has ended."}}}`; those that
    follow from its kind are added here.
    """

    def get_description(self) -> str:  # type: ignore[override] # it is without arguments in use
        """Nothing but what `extend_schema` says: docstrings of views are for developers."""
        return ""

    def get_operation(self, *args: Any, **kwargs: Any) -> Any:
        """With the scope that a key needs: as a role of the security scheme, and in words."""
        operation: Any = super().get_operation(*args, **kwargs)
        needed_scope = getattr(self.view, "needed_scope", None)
        if operation is not None and needed_scope is not None:
            scope = str(needed_scope(self.method))
            operation["security"] = [
                {name: [scope] for name in requirement} for requirement in operation["security"]
            ]
            described = operation.get("description", "")
            operation["description"] = f"{described}\n\nNeeds the scope `{scope}`.".lstrip()
        return operation

    def get_response_serializers(self) -> Any:
        """Of a view whose GET can be expanded: with the lists that `expand` adds."""
        found: Any = super().get_response_serializers()
        if self.method == "GET" and (model := getattr(self.view, "expandable", None)):
            kind: Any = type(found)
            return expanded_serializer(model, kind)
        return found

    def get_override_parameters(self) -> list[Any]:
        idempotent = getattr(self.view, "idempotent_methods", ())
        return [IDEMPOTENCY_KEY] if self.method.lower() in idempotent else []

    def _map_basic_serializer(self, serializer: Any, direction: Direction) -> dict[str, Any]:
        schema: dict[str, Any] = super()._map_basic_serializer(  # type: ignore[no-untyped-call]
            serializer, direction
        )
        if direction == "request" and isinstance(serializer, Strict):
            schema["additionalProperties"] = False
        if example := getattr(serializer, "example", None):
            schema[SAID] = example
        return schema

    def _get_response_bodies(self, direction: Direction = "response") -> dict[str, Any]:
        bodies: dict[str, Any] = super()._get_response_bodies(direction)
        for status in sorted(self._problem_statuses()):
            if str(status) not in bodies:
                bodies[str(status)] = self._problem_body(status)
        return bodies

    def _problem_statuses(self) -> set[int]:
        if self.path == "/":  # no route of ours, but a request that we send: others answer it
            return set()
        statuses = set(getattr(self.view, "problems", {}).get(self.method.lower(), ()))
        statuses |= {400, 406, 422, 429, 503, *self._own_codes()}
        if self.get_auth():
            statuses |= {401, 403}
        if "{" in self.path:
            statuses.add(404)
        if self._is_list_view():
            statuses.add(404)
        if self.method not in SAFE_METHODS:
            statuses |= {408, 411, 413, 415}
        if self.method.lower() in getattr(self.view, "idempotent_methods", ()):
            statuses.add(409)
        return statuses

    def _own_codes(self) -> Codes:
        codes: Codes = getattr(self.view, "codes", {}).get(self.method.lower(), {})
        return codes

    def _codes(self, status: int) -> dict[str, str]:
        """Each code that this operation may answer with this status."""
        kinds = [CODES]
        if self.method not in SAFE_METHODS:
            kinds.append(OF_BODIES)
        if self._is_list_view():
            kinds.append(OF_LISTS)
        if self.method.lower() in getattr(self.view, "idempotent_methods", ()):
            kinds.append(OF_IDEMPOTENCY)
        kinds.append(self._own_codes())
        return {code: said for kind in kinds for code, said in kind.get(status, {}).items()}

    def _problem_body(self, status: int) -> dict[str, Any]:
        codes = self._codes(status)
        named = ", ".join(f"`{code}`" for code in codes)
        response = OpenApiResponse(
            ProblemSerializer, description=f"{DESCRIPTIONS[status]} Codes: {named}."
        )
        body: dict[str, Any] = self._get_response_for_code(  # type: ignore[no-untyped-call]
            response, str(status), media_types=["application/problem+json"]
        )
        # drf-spectacular would name them as it names classes.
        body["content"]["application/problem+json"]["examples"] = {
            code: {"summary": said, "value": _problem_example(status, code, said)}
            for code, said in codes.items()
        }
        return body


def _problem_example(status: int, code: str, detail: str) -> dict[str, Any]:
    return {
        "type": f"urn:clipforge:error:{code}",
        "title": phrase_of(status),
        "status": status,
        "code": code,
        "detail": detail,
        **MEMBERS.get(code, {}),
        "request_id": "01a20e35-8a11-7c02-b1f7-3c6f0f3f2d10",
    }

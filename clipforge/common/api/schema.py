"""OpenAPI from the code: what drf-spectacular cannot see of our conventions."""

from __future__ import annotations

from typing import Any, Literal

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import get_lib_doc_excludes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework import serializers
from rest_framework.permissions import SAFE_METHODS

from clipforge.common.api.digests import ALGORITHM, HEADERS
from clipforge.common.api.expanding import expanded_serializer
from clipforge.common.api.serializers import ModelSerializer, Serializer, Strict


class FieldErrorSerializer(Serializer):
    pointer = serializers.CharField(help_text="RFC 6901 pointer to the field in the body.")
    code = serializers.CharField()
    detail = serializers.CharField()


class ProblemSerializer(Serializer):
    """RFC 9457 problem document. `code` is stable; `detail` is for people."""

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
    limit = serializers.JSONField(
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
    411: "The body has no Content-Length.",
    413: "The body is too large.",
    415: "Not a video, or not a media type that is accepted here.",
    422: "A name or a value is wrong: of a member, a parameter or a header. `errors` points at members.",
    429: "A limit was reached: `limit` says which, `Retry-After` when to come back.",
    503: "A dependency is down. `Retry-After` says when to come back.",
    507: "Storage is full, or that of the tier is used up.",
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

    A view lists the statuses that are its own in `problems = {"post": (402, 409)}`;
    those that follow from its kind are added here.
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
        statuses |= {400, 406, 422, 429, 503}
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

    def _problem_body(self, status: int) -> dict[str, Any]:
        response = OpenApiResponse(ProblemSerializer, description=DESCRIPTIONS[status])
        body: dict[str, Any] = self._get_response_for_code(  # type: ignore[no-untyped-call]
            response, str(status), media_types=["application/problem+json"]
        )
        return body

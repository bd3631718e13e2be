"""The requests that endpoints get, for the `webhooks` of the schema."""

from __future__ import annotations

from typing import Any, cast

from drf_spectacular.utils import (
    OpenApiResponse,
    OpenApiWebhook,
    extend_schema,
    inline_serializer,
)
from rest_framework import serializers

from clipforge.common.api.serializers import Serializer
from clipforge.events.registry import EventType, all_types

HEADERS = {
    "webhook-id": "The id of the event: the same in every attempt and replay.",
    "webhook-timestamp": "When this attempt was made, in seconds since 1970.",
    "webhook-signature": "`v1,` and the signature, once for each secret that is good, with a space "
    "between them.",
}

DESCRIPTION = (
    "Sent to every endpoint that takes this type of event, signed, until it is answered by 2xx. Compare "
    "the signature before you believe it."
)


def _body(kind: EventType) -> Any:
    name = "".join(part.title() for part in kind.name.split("."))
    body = inline_serializer(
        f"{name}Event",
        {
            "id": serializers.UUIDField(),
            "type": serializers.ChoiceField(choices=[kind.name]),
            "timestamp": serializers.DateTimeField(help_text="When it happened."),
            "object_type": serializers.CharField(),
            "object_id": serializers.UUIDField(),
            "sequence": serializers.IntegerField(
                help_text="Of the events of this object: 1, 2, 3 …"
            ),
            "data": kind.answer(),
        },
    )
    cast("type[Serializer]", type(body)).example = _example(kind)
    return body


def _example(kind: EventType) -> dict[str, Any]:
    """The words of an event beside those of its object: above all, in which state that is."""
    what, _, happened = kind.name.partition(".")
    status = kind.answer().fields.get("status")
    state = happened.upper()
    if status is None or state not in getattr(status, "choices", {}):
        return {"object_type": what}
    data = {"status": state, "error": {}} if state == "FAILED" else {"status": state}
    return {"object_type": what, "data": data}


def webhook_of(kind: EventType) -> OpenApiWebhook:
    told = extend_schema(
        summary=kind.told_when,
        tags=["webhooks"],
        request=_body(kind),
        responses={
            200: OpenApiResponse(
                description="Any 2xx: the endpoint took it. Anything else, and it is sent again."
            )
        },
    )
    return OpenApiWebhook(kind.name, told)


WEBHOOKS = [webhook_of(kind) for kind in all_types()]


def complete(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """A hook of drf-spectacular, which leaves out the headers of webhooks, their ids and that no key comes."""
    parameters = [
        {
            "in": "header",
            "name": name,
            "required": True,
            "schema": {"type": "string"},
            "description": said,
        }
        for name, said in HEADERS.items()
    ]
    for name, webhook in result.get("webhooks", {}).items():
        told = webhook["post"]
        told["operationId"] = f"receive_{name.replace('.', '_')}"
        told["description"] = DESCRIPTION
        told["parameters"] = parameters
        told["security"] = []
    return result

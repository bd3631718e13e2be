from __future__ import annotations

import datetime
from typing import Any

from django.utils import timezone
from rest_framework import serializers

from clipforge.common.api.serializers import MaybeText, ModelSerializer, Serializer
from clipforge.common.versions import version_named
from clipforge.events import outbox, selectors
from clipforge.events.api import examples
from clipforge.events.models import Attempt, Delivery, Endpoint
from clipforge.events.signing import still_good


class EndpointSerializer(ModelSerializer):
    """An address that is told of events."""

    example = examples.ENDPOINT

    event_types = serializers.ListField(
        child=serializers.CharField(), read_only=True, help_text="Empty: all of them."
    )
    api_version = serializers.SerializerMethodField(
        help_text="Of the API, by date: what it is told has the shape that `GET` has in it."
    )
    disabled_because = MaybeText(
        read_only=True, allow_null=True, help_text="`BY_HAND`, `FAILURES`, or null."
    )
    former_secret_until = serializers.SerializerMethodField(
        help_text="Until then, secrets from before a rotation sign too; null: there is none."
    )

    class Meta:
        model = Endpoint
        fields = [
            "id",
            "url",
            "description",
            "event_types",
            "api_version",
            "is_enabled",
            "disabled_at",
            "disabled_because",
            "failing_since",
            "former_secret_until",
            "created_at",
            "updated_at",
        ]
        read_only_fields = fields

    def get_api_version(self, endpoint: Endpoint) -> str:
        return version_named(endpoint.api_version).name

    def get_former_secret_until(self, endpoint: Endpoint) -> datetime.datetime | None:
        former = still_good(endpoint.former_salts, timezone.now())
        ends = [datetime.datetime.fromisoformat(each["until"]) for each in former]
        return max(ends, default=None)


class EndpointWithSecretSerializer(EndpointSerializer):
    """An endpoint with its secret, which is shown this once."""

    example = {**examples.ENDPOINT, "secret": "whsec_shortened"}

    secret = serializers.SerializerMethodField(help_text="`whsec_…`, after Standard Webhooks.")

    class Meta(EndpointSerializer.Meta):
        fields = [*EndpointSerializer.Meta.fields, "secret"]
        read_only_fields = fields

    def get_secret(self, endpoint: Endpoint) -> str:
        return str(self.context["secret"])


class ReplayedSerializer(Serializer):
    events = serializers.IntegerField(help_text="How many are sent again.")


class DeliverySerializer(ModelSerializer):
    """One event for one endpoint."""

    example = examples.DELIVERY

    event = serializers.UUIDField(source="event_id", read_only=True, help_text="`webhook-id`.")
    endpoint = serializers.UUIDField(source="endpoint_id", read_only=True)
    event_type = serializers.CharField(read_only=True)

    class Meta:
        model = Delivery
        fields = [
            "id",
            "endpoint",
            "event",
            "event_type",
            "object_id",
            "sequence",
            "status",
            "tries",
            "next_try_at",
            "answer_status",
            "error",
            "created_at",
            "delivered_at",
        ]
        read_only_fields = fields


class AttemptSerializer(ModelSerializer):
    """One request, and what came back."""

    example = examples.ATTEMPT

    class Meta:
        model = Attempt
        fields = ["url", "sent_at", "seconds", "answer_status", "error", "answer"]
        read_only_fields = fields


class DeliveryDetailSerializer(DeliverySerializer):
    """A delivery with the body that is sent, and its 50 latest attempts."""

    example = {**examples.DELIVERY, "body": '{"id":"01a20e36-9c00-…","type":"export.ready", …}'}

    body = serializers.SerializerMethodField(help_text="In the version that the endpoint has now.")
    attempts = serializers.SerializerMethodField()

    class Meta(DeliverySerializer.Meta):
        fields = [*DeliverySerializer.Meta.fields, "body", "attempts"]
        read_only_fields = fields

    def get_body(self, delivery: Delivery) -> str:
        return outbox.body_for(delivery.endpoint, delivery.event)

    def get_attempts(self, delivery: Delivery) -> list[dict[str, Any]]:
        attempts = selectors.latest_attempts(delivery)
        return list(AttemptSerializer(attempts, many=True).data)

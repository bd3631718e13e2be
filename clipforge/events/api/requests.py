"""The bodies of requests. Apart from the answers, which events are told with: these name all events."""

from __future__ import annotations

from rest_framework import serializers

from clipforge.common.api.serializers import Serializer, Text
from clipforge.common.outbound import MAX_URL
from clipforge.common.versions import VERSIONS
from clipforge.events import services
from clipforge.events.registry import all_types

TYPES = [each.name for each in all_types() if each.name != services.TEST]


class EndpointCreateSerializer(Serializer):
    example = {"url": "https://hooks.example.com/clipforge", "event_types": ["export.ready"]}

    url = Text(max_length=MAX_URL, help_text="https, on the public internet.")
    description = Text(max_length=services.MAX_DESCRIPTION, required=False, allow_blank=True)
    event_types = serializers.ListField(
        child=serializers.ChoiceField(choices=TYPES),
        required=False,
        max_length=len(TYPES),
        help_text="Of which it is told; empty, or left out: of all, also of those to come.",
    )

    api_version = serializers.ChoiceField(
        choices=[version.name for version in VERSIONS],
        required=False,
        help_text="Of the API: what it is told has this shape. Left out: that of the request.",
    )


class EndpointUpdateSerializer(EndpointCreateSerializer):
    example = {"is_enabled": True}

    is_enabled = serializers.BooleanField(required=False)


class ReplaySerializer(Serializer):
    """A range of time."""

    created_after = serializers.DateTimeField(help_text="At this time or later.")
    created_before = serializers.DateTimeField(help_text="Before this time.")

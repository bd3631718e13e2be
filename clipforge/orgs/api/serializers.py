from __future__ import annotations

from rest_framework import serializers

from clipforge.common.api.serializers import ModelSerializer, Serializer
from clipforge.orgs.models import APIKey, Organization, TierLimits


class OrganizationSerializer(ModelSerializer):
    class Meta:
        model = Organization
        fields = ["id", "name", "slug", "tier", "created_at"]
        read_only_fields = fields


class TierLimitsSerializer(ModelSerializer):
    class Meta:
        model = TierLimits
        fields = [
            "requests_per_minute",
            "uploads_per_minute",
            "exports_per_minute",
            "concurrent_jobs",
            "queued_jobs",
            "max_source_seconds",
            "max_resolution",
            "retention_days",
            "monthly_credits",
        ]
        read_only_fields = fields


class APIKeySerializer(ModelSerializer):
    class Meta:
        model = APIKey
        fields = ["id", "name", "prefix", "created_at", "last_used_at", "expires_at"]
        read_only_fields = fields


class MeSerializer(Serializer):
    organization = OrganizationSerializer()
    limits = TierLimitsSerializer()
    api_key = APIKeySerializer()


class OriginsSerializer(Serializer):
    origins = serializers.ListField(
        child=serializers.CharField(max_length=300),
        max_length=20,
        help_text="As browsers write them: https://app.example.com, without a path.",
    )


# What a token for a page may do, by the scope that is asked for.
SCOPES_OF_TOKENS = {"read": "read", "write": "read write"}


class TokenRequestSerializer(Serializer):
    scope = serializers.ChoiceField(
        choices=sorted(SCOPES_OF_TOKENS),
        default="read",
        help_text="`read`: to look. `write`: also to upload, export, cancel and delete.",
    )
    minutes = serializers.IntegerField(min_value=1, max_value=60, default=15)


class TokenSerializer(Serializer):
    token = serializers.CharField(help_text="Sent as a key is. Shown once.")
    scope = serializers.CharField()
    expires_at = serializers.DateTimeField()

from __future__ import annotations

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

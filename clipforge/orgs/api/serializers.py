from __future__ import annotations

import uuid
from typing import Any

from rest_framework import serializers

from clipforge.common.api.serializers import Flag, ModelSerializer, Serializer
from clipforge.orgs import keys, networks
from clipforge.orgs.api import examples
from clipforge.orgs.api_keys import MAX_CAP, MAX_OVERLAP, OVERLAP, Limits
from clipforge.orgs.models import APIKey, Organization, Scope, TierLimits


class Words(serializers.ListField):
    """A list of words that the row has as it is shown."""

    def to_representation(self, data: list[str]) -> list[str]:
        return data


class OrganizationSerializer(ModelSerializer):
    example = examples.ORGANIZATION

    class Meta:
        model = Organization
        fields = ["id", "name", "slug", "tier", "created_at"]
        read_only_fields = fields


class TierLimitsSerializer(ModelSerializer):
    example = examples.LIMITS

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
            "watermark",
            "retention_days",
            "storage_bytes",
            "monthly_credits",
        ]
        read_only_fields = fields


class APIKeySerializer(ModelSerializer):
    scopes = Words(
        source="scope_list",
        child=serializers.ChoiceField(choices=Scope.choices),
        read_only=True,
        help_text="What it may do: each operation says which one it needs.",
    )
    example = examples.API_KEY

    class Meta:
        model = APIKey
        fields = ["id", "name", "prefix", "scopes", "created_at", "last_used_at", "expires_at"]
        read_only_fields = fields


class MeSerializer(Serializer):
    organization = OrganizationSerializer()
    limits = TierLimitsSerializer()
    stored_bytes = serializers.IntegerField(
        help_text="What the sources, finished files and their pictures take, of `storage_bytes`."
    )
    api_key = APIKeySerializer()


class OriginsSerializer(Serializer):
    example = examples.ORIGINS

    origins = serializers.ListField(
        child=serializers.CharField(max_length=300),
        max_length=20,
        help_text="As browsers write them: https://app.example.com, without a path.",
    )


# What a token for a page may do, by the scope that is asked for.
SCOPES_OF_TOKENS = {"read": "read", "write": "read write"}


class TokenRequestSerializer(Serializer):
    example = examples.TOKEN_REQUEST

    scope = serializers.ChoiceField(
        choices=sorted(SCOPES_OF_TOKENS),
        default="read",
        help_text="`read`: to look. `write`: also to upload, export, cancel and delete.",
    )
    minutes = serializers.IntegerField(min_value=1, max_value=60, default=15)


class TokenSerializer(Serializer):
    example = examples.TOKEN

    token = serializers.CharField(help_text="Sent as a key is. Shown once.")
    scope = serializers.CharField()
    expires_at = serializers.DateTimeField()


class KeySerializer(ModelSerializer):
    """A key of the organization. Its text is not in it: that is shown once."""

    example = examples.KEY

    mode = serializers.SerializerMethodField(help_text="`live`, or `test` for one of the sandbox.")
    scopes = Words(
        source="scope_list",
        child=serializers.ChoiceField(choices=Scope.choices),
        read_only=True,
        help_text="What it may do: each operation says which one it needs.",
    )
    allowed_addresses = serializers.ListField(
        source="address_list",
        child=serializers.CharField(),
        read_only=True,
        help_text="Networks that it works from. Empty: from anywhere.",
    )
    monthly_credit_cap = serializers.IntegerField(
        source="monthly_cap",
        read_only=True,
        allow_null=True,
        help_text="Credits a month (UTC). Null: no cap.",
    )
    credits_used = serializers.SerializerMethodField(
        help_text="In this month (UTC), by all keys that share its cap: reserved or charged, less what "
        "came back."
    )
    created_by = serializers.SerializerMethodField(
        help_text="The key that asked for it, or `support`."
    )
    replaces = serializers.UUIDField(
        source="replaces_id",
        read_only=True,
        allow_null=True,
        help_text="The key that was rotated into it.",
    )

    class Meta:
        model = APIKey
        fields = [
            "id",
            "name",
            "prefix",
            "mode",
            "scopes",
            "allowed_addresses",
            "monthly_credit_cap",
            "credits_used",
            "created_at",
            "created_by",
            "last_used_at",
            "expires_at",
            "revoked_at",
            "replaces",
        ]
        read_only_fields = fields

    def get_mode(self, key: APIKey) -> str:
        return "test" if key.text_prefix == keys.TEST_PREFIX else "live"

    def get_credits_used(self, key: APIKey) -> int:
        spent: dict[uuid.UUID, int] = self.context.get("spent", {})
        return spent.get(key.family_id, 0)

    def get_created_by(self, key: APIKey) -> str:
        return "support" if key.created_with is None else key.created_with.prefix


class NewKeySerializer(KeySerializer):
    """A key with its text, which is shown this once."""

    example = {**examples.KEY, "key": "cf_live_shortened"}

    key = serializers.SerializerMethodField(help_text="Sent as `Authorization: Bearer …`.")

    class Meta(KeySerializer.Meta):
        fields = [*KeySerializer.Meta.fields, "key"]
        read_only_fields = fields

    def get_key(self, key: APIKey) -> str:
        return str(self.context["secret"])


def _scopes(help_text: str) -> serializers.ListField:
    return serializers.ListField(
        child=serializers.ChoiceField(choices=Scope.choices),
        allow_empty=False,
        max_length=len(Scope.values),
        required=False,
        help_text=help_text,
    )


def _networks(help_text: str) -> serializers.ListField:
    return serializers.ListField(
        child=serializers.CharField(max_length=50),
        max_length=networks.MAX_NETWORKS,
        required=False,
        help_text=help_text,
    )


class KeyRequestSerializer(Serializer):
    example = examples.KEY_REQUEST

    name = serializers.CharField(max_length=100, help_text="What it is for.")
    mode = serializers.ChoiceField(
        choices=["live", "test"],
        required=False,
        help_text="`test`: a key of the sandbox, which is made with the first. Else as the key that asks.",
    )
    scopes = _scopes("What it may do. Else as the key that asks.")
    allowed_addresses = _networks(
        "Addresses and blocks, of IPv4 and IPv6. Else as the key that asks."
    )
    monthly_credit_cap = serializers.IntegerField(
        min_value=0,
        max_value=MAX_CAP,
        required=False,
        help_text="Credits a month (UTC). Else as the key that asks, whose cap it then shares.",
    )
    expires_at = serializers.DateTimeField(
        required=False, help_text="Else when the key that asks ends, if it does."
    )

    def grants(self, own: APIKey) -> dict[str, Any]:
        """The rights that were asked for, as `create_api_key` takes them; those left out are as `own` has them."""
        asked = self.validated_data
        return {
            "scopes": " ".join(asked.get("scopes", own.scope_list)),
            "allowed_addresses": asked.get("allowed_addresses", own.address_list),
            "expires_at": asked.get("expires_at", own.expires_at),
        }


class KeyLimitsSerializer(Serializer):
    example = {"scopes": ["read"], "monthly_credit_cap": 100}

    scopes = _scopes("What it may do. Its tokens that may do more end at once.")
    allowed_addresses = _networks("Addresses and blocks, of IPv4 and IPv6. Empty: from anywhere.")
    monthly_credit_cap = serializers.IntegerField(
        min_value=0,
        max_value=MAX_CAP,
        required=False,
        allow_null=True,
        help_text="Credits a month (UTC), of all keys that share its cap. Null: no cap.",
    )

    def limits(self) -> Limits:
        """Those that were asked for, as `limit_api_key` takes them."""
        asked, limits = self.validated_data, Limits()
        if "scopes" in asked:
            limits["scopes"] = " ".join(asked["scopes"])
        if "allowed_addresses" in asked:
            limits["allowed_addresses"] = asked["allowed_addresses"]
        if "monthly_credit_cap" in asked:
            limits["monthly_cap"] = asked["monthly_credit_cap"]
        return limits


class KeyRevocationSerializer(Serializer):
    example = {"descendants": True}

    descendants = Flag(
        default=True,
        help_text="Also the keys that were made with it, or in its place by rotation, and with those.",
    )


class KeysSerializer(Serializer):
    keys = KeySerializer(many=True)


class KeyRotationSerializer(Serializer):
    overlap_hours = serializers.IntegerField(
        min_value=0,
        max_value=MAX_OVERLAP,
        default=OVERLAP,
        help_text="So long the old key still works.",
    )

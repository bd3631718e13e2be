"""The members that the API has of a job of any kind."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from clipforge.common.api.serializers import ModelSerializer, Serializer
from clipforge.jobs.models import Job
from clipforge.jobs.selectors import Turn, turn_of
from credits.quotes import Terms


class FailureSerializer(Serializer):
    """Why work ended without a result. `code` is stable."""

    example = {
        "code": "decoder_crashed",
        "message": "The file cannot be decoded. You were not charged.",
    }

    code = serializers.CharField()
    message = serializers.CharField()


class CreditsSerializer(Serializer):
    """What the work costs: reserved while it waits and runs, charged when it succeeded."""

    example = {"reserved": 30, "charged": 0}

    reserved = serializers.IntegerField()
    charged = serializers.IntegerField()


class WarningSerializer(Serializer):
    """Something that is missing in a result that was made all the same."""

    example = {"code": "picture_damaged", "message": "Parts of the picture are damaged."}

    code = serializers.CharField(help_text="Stable.")
    message = serializers.CharField(help_text="For people.")


class TermsSerializer(Serializer):
    """The bounds that an order sets to its price."""

    max_credits = serializers.IntegerField(
        required=False,
        min_value=0,
        max_value=2**53,
        help_text="What costs more is refused: 409 `max_credits_exceeded`.",
    )
    quote_id = serializers.UUIDField(
        required=False,
        help_text="It costs what the quote says, or is refused: 409 `quote_expired`, `quote_mismatch` "
        "or `quote_used`.",
    )


def terms_of(data: Mapping[str, Any]) -> Terms:
    """The terms that are in validated data."""
    return Terms(max_credits=data.get("max_credits"), quote_id=data.get("quote_id"))


class JobSerializer(ModelSerializer):
    # The base of a kind's serializer, which lists the fields and describes `queue_position`. No
    # docstring: the schema would give it to each kind as its description.
    queue_position = serializers.SerializerMethodField()
    expected_start_at = serializers.SerializerMethodField(
        help_text="When its turn comes if workers go on as they did lately; null when it is not waiting, and "
        "where that is not known. Not in lists."
    )
    error = serializers.SerializerMethodField()
    credits = serializers.SerializerMethodField()

    @extend_schema_field({"type": ["integer", "null"]})
    def get_queue_position(self, job: Job) -> int | None:
        turn = self._turn(job)
        return turn and turn.position

    @extend_schema_field({"type": ["string", "null"], "format": "date-time"})
    def get_expected_start_at(self, job: Job) -> datetime.datetime | None:
        turn = self._turn(job)
        return turn and turn.starts_at

    # Two fields show it, and it costs a query.
    _known_turn: tuple[Job, Turn | None] | None = None

    def _turn(self, job: Job) -> Turn | None:
        # A count for each row would make a page of a list cost a hundred queries.
        if self.context.get("list"):
            return None
        if self._known_turn is None or self._known_turn[0] is not job:
            self._known_turn = job, turn_of(job)
        return self._known_turn[1]

    @extend_schema_field(FailureSerializer(allow_null=True))
    def get_error(self, job: Job) -> dict[str, str] | None:
        if not job.error_code:
            return None
        return {"code": job.error_code, "message": job.error_message}

    @extend_schema_field(CreditsSerializer)
    def get_credits(self, job: Job) -> dict[str, int]:
        return {"reserved": job.reserved, "charged": job.charged}

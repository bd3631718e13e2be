from __future__ import annotations

import math
from typing import Any

from django.conf import settings
from django.urls import reverse
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from clipforge.common.api.metadata_field import MetadataField
from clipforge.common.api.serializers import (
    Decimals,
    Flag,
    MaybeText,
    ModelSerializer,
    Serializer,
    Text,
)
from clipforge.common.fetching import MAX_URL
from clipforge.jobs.api.serializers import JobSerializer, TermsSerializer, WarningSerializer
from clipforge.media import Snap
from clipforge.media.ffmpeg import MAX_STREAMS
from projects.api import examples
from projects.models import Moment, Project, Upload

EXTERNAL_ID = "Your own id of the project. One that another project has is 409 `external_id_taken`."


class ProjectSerializer(JobSerializer):
    example = examples.PROJECT

    warnings = WarningSerializer(
        many=True, read_only=True, help_text="What is missing in the source."
    )
    queue_position = serializers.SerializerMethodField(
        help_text="1 is next; null when it is not waiting. Only on a single project."
    )

    metadata = MetadataField(read_only=True)

    class Meta:
        model = Project
        fields = [
            "id",
            "title",
            "external_id",
            "metadata",
            "status",
            "stage",
            "progress",
            "queue_position",
            "expected_start_at",
            "error",
            "credits",
            "source_name",
            "size",
            "duration",
            "width",
            "height",
            "has_audio",
            "audio_track",
            "warnings",
            "attempts",
            "created_at",
            "updated_at",
            "queued_at",
            "started_at",
            "finished_at",
            "expires_at",
        ]
        read_only_fields = [each for each in fields if each != "title"]


class ProjectUpdateSerializer(Serializer):
    example = examples.UPDATE

    title = Text(max_length=200, required=False)
    external_id = Text(max_length=200, required=False, allow_null=True, help_text=EXTERNAL_ID)
    metadata = MetadataField()


class Seconds(serializers.FloatField):
    """As DRF's FloatField, which takes the texts "NaN" and "Infinity" for numbers within any limits."""

    def to_internal_value(self, data: Any) -> float:
        value = super().to_internal_value(data)
        if not math.isfinite(value):
            self.fail("invalid")
        return value


class WishesSerializer(Serializer):
    """What the moments should be like. All of it may be left out."""

    example = examples.WISHES

    count = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=30,
        help_text="So many moments at most, though they cover more than half of the source.",
    )
    min_seconds = Seconds(required=False, min_value=3, max_value=180, help_text="Of each moment.")
    max_seconds = Seconds(required=False, min_value=3, max_value=180, help_text="Of each moment.")
    range = serializers.ListField(
        child=Seconds(min_value=0),
        required=False,
        min_length=2,
        max_length=2,
        help_text="The stretch of the source in which they lie: start and end in seconds.",
    )
    keywords = serializers.ListField(
        child=Text(max_length=60),
        required=False,
        max_length=20,
        help_text="Moments that speak of them rank higher.",
    )
    kinds = serializers.ListField(
        child=serializers.ChoiceField(choices=Moment.Kind.choices),
        required=False,
        min_length=1,
        max_length=3,
        help_text="Only moments of these kinds.",
    )
    language = serializers.RegexField(
        "^[a-z]{2}$",
        required=False,
        help_text="The language that is spoken, as ISO 639-1. Of an upload it is guessed where it is left "
        "out; where the speech model does not speak it, there is no transcript. Choosing again "
        "disregards the words of a transcript in another language.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs.get("min_seconds", 0) > attrs.get("max_seconds", 180):
            raise serializers.ValidationError({"max_seconds": "It is less than min_seconds."})
        if (span := attrs.get("range")) and span[0] >= span[1]:
            raise serializers.ValidationError({"range": "It ends before it begins."})
        return attrs


class SourceSerializer(WishesSerializer):
    """What is said of a source, however it comes."""

    title = serializers.CharField(max_length=200, required=False, allow_blank=True)
    audio_track = serializers.IntegerField(
        required=False,
        min_value=0,
        max_value=MAX_STREAMS - 1,
        help_text="The sound track to use, counted from 0. Left out: the one that people hear.",
    )
    external_id = serializers.CharField(max_length=200, required=False, help_text=EXTERNAL_ID)
    metadata = MetadataField()


class ProjectUploadSerializer(SourceSerializer, TermsSerializer):
    example = examples.UPLOAD

    file = serializers.FileField(
        help_text="The video, as multipart/form-data.", allow_empty_file=True
    )


class ProjectOrderSerializer(SourceSerializer, TermsSerializer):
    """A source that is fetched from its address, or was sent in parts: one of the two."""

    example = examples.IMPORT

    upload = serializers.UUIDField(
        required=False, help_text="The id of a whole upload; see `POST /uploads`."
    )
    source_url = Text(
        required=False,
        max_length=MAX_URL,
        help_text="The address of a video file, as `https://host/path`, readable without signing in. A "
        "signed address of a bucket will do; it has to be good for an hour. Its price is known when the file "
        "is here: one above `max_credits` ends the project as FAILED, and `quote_id` is not taken.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("source_url" in attrs) == ("upload" in attrs):
            raise serializers.ValidationError({"source_url": "Give either this or upload."})
        if "source_url" in attrs and "quote_id" in attrs:
            raise serializers.ValidationError({"quote_id": "The length is not known yet."})
        return super().validate(attrs)


class UploadSerializer(ModelSerializer):
    example = examples.SENT

    offset = serializers.IntegerField(
        source="received",
        read_only=True,
        help_text="Bytes that are here. Of `tus` the next part begins there; of `s3` they are counted "
        "when addresses are asked for.",
    )
    protocol = serializers.SerializerMethodField(
        help_text="How parts are sent: `tus`, by PATCH, or `s3`, by PUT to addresses that are asked for."
    )
    url = serializers.SerializerMethodField(
        help_text="Where parts are sent to; of `s3`, where their addresses are asked for."
    )
    part_bytes = serializers.SerializerMethodField(help_text="So many bytes a part at most.")
    project = serializers.UUIDField(
        source="used_by", read_only=True, allow_null=True, help_text="That was made of it."
    )

    class Meta:
        model = Upload
        fields = [
            "id",
            "name",
            "size",
            "sha256",
            "offset",
            "protocol",
            "url",
            "part_bytes",
            "project",
            "created_at",
            "expires_at",
        ]
        read_only_fields = fields

    @extend_schema_field({"type": "string", "enum": ["tus", "s3"]})
    def get_protocol(self, upload: Upload) -> str:
        return "s3" if upload.is_direct else "tus"

    def get_url(self, upload: Upload) -> str:
        return reverse("upload-parts" if upload.is_direct else "upload", args=[upload.pk])

    def get_part_bytes(self, upload: Upload) -> int:
        return int(upload.part_bytes or settings.UPLOAD_PART_BYTES)


class MissingPartSerializer(Serializer):
    example = examples.MISSING_PART

    number = serializers.IntegerField(help_text="From 1 on.")
    offset = serializers.IntegerField(help_text="Where it begins in the file.")
    size = serializers.IntegerField(help_text="Bytes; the address takes no other size.")
    url = serializers.CharField(help_text="Takes the part by PUT, for an hour. It is a secret.")


class UploadPartsSerializer(Serializer):
    example = examples.PARTS

    received = serializers.ListField(
        child=serializers.IntegerField(), help_text="The numbers of the parts that are here."
    )
    missing = MissingPartSerializer(
        many=True, help_text="The first 100 of those that are not. None: complete the upload."
    )


class UploadRequestSerializer(Serializer):
    example = examples.TO_SEND

    name = Text(max_length=255, help_text="Of the file.")
    size = serializers.IntegerField(min_value=1, max_value=2**53, help_text="Bytes.")
    sha256 = serializers.RegexField(
        "^[0-9a-fA-F]{64}$",
        required=False,
        help_text="Of the whole file, in hexadecimal: another file is 422 `digest_mismatch` in the end.",
    )


@extend_schema_field(
    {
        "type": "object",
        "additionalProperties": {"type": "number", "minimum": 0, "maximum": 100},
    }
)
class SubscoresField(serializers.JSONField):
    pass


class MomentSerializer(ModelSerializer):
    example = examples.MOMENT

    subscores = SubscoresField(
        read_only=True, help_text="What the score is made of: aspects by name, 0 to 100 each."
    )
    duration = Decimals(help_text="Seconds.", read_only=True)
    # To its last bit: it is what a list of moments is ordered by.
    score = serializers.FloatField(help_text="0 to 100.", read_only=True)
    kind = MaybeText(help_text="talk, action or music.", read_only=True, allow_null=True)
    rating = MaybeText(help_text="up or down.", read_only=True, allow_null=True)

    class Meta:
        model = Moment
        fields = [
            "id",
            "project",
            "start",
            "end",
            "duration",
            "title",
            "hook",
            "kind",
            "score",
            "subscores",
            "reason",
            "scorer_version",
            "origin",
            "pinned",
            "rating",
        ]
        read_only_fields = fields


class ChosenSerializer(Serializer):
    results = MomentSerializer(many=True, help_text="The newly chosen moments, best first.")


class EdgesSerializer(Serializer):
    """A stretch of the source, and to what its edges move."""

    example = examples.EDGES

    start = Seconds(min_value=0, help_text="Seconds into the source.")
    end = Seconds(min_value=0, help_text="Seconds into the source.")
    snap = serializers.ChoiceField(
        choices=[snap.value for snap in Snap],
        default=Snap.NONE.value,
        help_text="Move each edge, by 3 seconds at most, to where a word or a sentence begins or ends, "
        "or the shot changes.",
    )
    title = Text(max_length=200, required=False, allow_blank=True)


class MomentUpdateSerializer(EdgesSerializer):
    """Whatever is left out stays as it is; `snap` alone moves the edges that are there."""

    example = examples.MOMENT_UPDATE

    start = Seconds(required=False, min_value=0, help_text="Seconds into the source.")
    end = Seconds(required=False, min_value=0, help_text="Seconds into the source.")
    snap = serializers.ChoiceField(choices=[snap.value for snap in Snap], required=False)
    pinned = Flag(required=False, help_text="Choosing again leaves it as it is.")
    rating = serializers.ChoiceField(
        choices=Moment.Rating.choices,
        required=False,
        allow_null=True,
        help_text="up or down; null takes it back.",
    )

    def validate_rating(self, rating: str | None) -> str:
        return rating or ""

from __future__ import annotations

import datetime
import functools
from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from clipforge.common.api.schema import ProblemSerializer
from clipforge.common.api.serializers import Decimals, Flag, Serializer
from clipforge.jobs.api.serializers import JobSerializer, TermsSerializer, WarningSerializer
from clipforge.media.contracts import CaptionPosition, CaptionSize, WatermarkPosition
from exports import downloads
from exports.api import examples
from exports.models import Export

# `\Z`, since `$` lets a line end follow.
COLOR = r"^#[0-9a-fA-F]{6}\Z"


class CaptionStyleSerializer(Serializer):
    """The look of captions."""

    position = serializers.ChoiceField(choices=[*CaptionPosition], default=CaptionPosition.BOTTOM)
    size = serializers.ChoiceField(choices=[*CaptionSize], default=CaptionSize.MEDIUM)
    color = serializers.RegexField(COLOR, default="#ffffff", help_text="Of the text, `#rrggbb`.")
    highlight = serializers.RegexField(
        COLOR, default="#ffd60a", help_text="Of the spoken words, `#rrggbb`."
    )


@extend_schema_field(
    {
        "type": ["object", "null"],
        "properties": {
            "position": {"type": "string", "enum": [*CaptionPosition]},
            "size": {"type": "string", "enum": [*CaptionSize]},
            "color": {"type": "string", "description": "Of the text, `#rrggbb`."},
            "highlight": {"type": "string", "description": "Of the spoken words, `#rrggbb`."},
        },
    }
)
class StyleField(serializers.JSONField):
    pass


class WatermarkStyleSerializer(Serializer):
    """The place of the organization's image in a clip."""

    position = serializers.ChoiceField(
        choices=[*WatermarkPosition],
        default=WatermarkPosition.TOP_RIGHT,
        help_text="On the other side where captions are.",
    )
    opacity = Decimals(min_value=0.1, max_value=1, default=0.8)
    size = Decimals(
        min_value=0.05,
        max_value=0.3,
        default=0.15,
        help_text="Its longer side, as a share of the clip's shorter one.",
    )


class ExportSerializer(JobSerializer):
    example = examples.EXPORT

    watermark = WatermarkStyleSerializer(
        read_only=True, allow_null=True, help_text="Of the organization's image; null without it."
    )
    warnings = WarningSerializer(
        many=True, read_only=True, help_text="What is missing in the clip."
    )
    caption_style = StyleField(read_only=True, help_text="The look of captions; null without them.")
    queue_position = serializers.SerializerMethodField(
        help_text="1 is next; null when it is not waiting. Only on a single export."
    )
    download_url = serializers.SerializerMethodField(
        help_text="Of the file, for anybody who has it, until `download_expires_at`; null without a file."
    )
    download_expires_at = serializers.SerializerMethodField(
        help_text="When `download_url` ends; the export has a new one before."
    )

    renewable_until = serializers.SerializerMethodField(
        help_text="When the source is deleted: until then the same can be exported again. Null once it "
        "is gone. Only on a single export."
    )

    class Meta:
        model = Export
        fields = [
            "id",
            "project",
            "moment",
            "status",
            "stage",
            "progress",
            "queue_position",
            "expected_start_at",
            "error",
            "credits",
            "start",
            "end",
            "aspect",
            "resolution",
            "layout",
            "fps",
            "format",
            "captions",
            "caption_style",
            "tighten",
            "watermark",
            "size",
            "duration",
            "width",
            "height",
            "sha256",
            "warnings",
            "attempts",
            "created_at",
            "updated_at",
            "queued_at",
            "started_at",
            "finished_at",
            "expires_at",
            "pinned",
            "renewable_until",
            "download_url",
            "download_expires_at",
            "duplicate_of",
        ]
        read_only_fields = fields

    @extend_schema_field({"type": ["string", "null"], "format": "uri"})
    def get_download_url(self, export: Export) -> str | None:
        link = self._link(export)
        return link and self._origin + link.path

    @extend_schema_field({"type": ["string", "null"], "format": "date-time"})
    def get_download_expires_at(self, export: Export) -> datetime.datetime | None:
        link = self._link(export)
        return link and link.ends_at

    @extend_schema_field({"type": ["string", "null"], "format": "date-time"})
    def get_renewable_until(self, export: Export) -> datetime.datetime | None:
        # As with the place in the queue: a project for each row would be a read for each row.
        if self.context.get("list") or not export.project.source_key:
            return None
        return export.project.expires_at

    def _link(self, export: Export) -> downloads.Link | None:
        # Both members are asked for one after the other, of one and the same link.
        if self._linked is None or self._linked[0] is not export:
            self._linked = export, downloads.steady_link(export)
        return self._linked[1]

    _linked: tuple[Export, downloads.Link | None] | None = None

    @functools.cached_property
    def _origin(self) -> str:
        """The beginning of a link: nothing where nobody asks, as for an event."""
        request = self.context.get("request")
        return "" if request is None else str(request.build_absolute_uri("/"))[:-1]


class ExportUpdateSerializer(Serializer):
    """What can be changed of an export."""

    pinned = Flag(help_text="Keep the file while the organization pays for its tier.")


class RangeSerializer(Serializer):
    """What to export: a moment, or start and end in a project."""

    moment = serializers.UUIDField(required=False)
    project = serializers.UUIDField(required=False)
    start = serializers.FloatField(required=False, min_value=0, help_text="Seconds.")
    end = serializers.FloatField(required=False, min_value=0, help_text="Seconds.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        by_range = {"project", "start", "end"} & set(attrs)
        if "moment" in attrs and by_range:
            raise serializers.ValidationError("Give either moment, or project, start and end.")
        if "moment" not in attrs and len(by_range) < 3:
            raise serializers.ValidationError("Give moment, or all of project, start and end.")
        return attrs


class ExportOrderSerializer(RangeSerializer):
    """An export: its range, and how it is made."""

    example = examples.ORDER

    aspect = serializers.ChoiceField(choices=Export.Aspect.choices, default=Export.Aspect.VERTICAL)
    resolution = serializers.ChoiceField(
        choices=Export.Resolution.choices,
        default=Export.Resolution.FULL_HD,
        help_text="Pixels of the shorter side; at most `max_resolution` of the tier.",
    )
    layout = serializers.ChoiceField(
        choices=Export.Layout.choices,
        default=Export.Layout.AUTO,
        help_text="How the picture is brought into the shape; nothing to do where it has that shape.",
    )
    fps = serializers.ChoiceField(
        choices=Export.FrameRate.choices,
        allow_null=True,
        default=None,
        help_text="Pictures a second at most. Null, and a rate above the source's: the source's.",
    )
    format = serializers.ChoiceField(choices=Export.Format.choices, default=Export.Format.MP4)
    captions = serializers.ChoiceField(
        choices=Export.Captions.choices,
        default=Export.Captions.NONE,
        help_text="Words drawn into the pictures. Needs a transcript.",
    )
    caption_style = CaptionStyleSerializer(required=False)
    tighten = serializers.ChoiceField(
        choices=Export.Tighten.choices,
        default=Export.Tighten.OFF,
        help_text="Leaves out pauses, and with `hard` filler words too. Without a transcript it goes by "
        "the sound, and fillers stay.",
    )
    watermark = WatermarkStyleSerializer(
        required=False,
        allow_null=True,
        help_text="Lays the organization's image over the clip (`PUT /watermark`). Free.",
    )


def options_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """How the clip is made, of the validated data of an order, as `exports.services.Options` has it."""
    names = ("aspect", "resolution", "layout", "fps", "captions", "tighten")
    return {
        **{name: data[name] for name in names},
        "file_format": data["format"],
        "caption_style": data.get("caption_style"),
        "watermark": data.get("watermark"),
    }


class ExportCreateSerializer(ExportOrderSerializer, TermsSerializer):
    """An export, and the bounds of its price."""


# Of one request.
MOST_EXPORTS = 100
# Of a list of them. Of its own type: the published ones do not know that many=True takes these.
BOUNDS: dict[str, Any] = {"min_length": 1, "max_length": MOST_EXPORTS}


class ExportBatchSerializer(TermsSerializer):
    mode = serializers.ChoiceField(
        choices=[
            ("all_or_nothing", "Order all of them, or refuse all"),
            ("per_item", "Order those that can be, and say what became of each"),
        ],
        help_text="`all_or_nothing`, or `per_item`: what cannot be ordered keeps nothing else back.",
    )
    exports = ExportOrderSerializer(many=True, **BOUNDS)


class ExportResultSerializer(Serializer):
    index = serializers.IntegerField(help_text="Of the order in the batch, from 0.")
    status = serializers.IntegerField(help_text="As `POST /exports` would have answered.")
    export = ExportSerializer(allow_null=True)
    problem = ProblemSerializer(allow_null=True, help_text="With pointers into the batch.")


class ExportBatchResultSerializer(Serializer):
    results = ExportResultSerializer(many=True, help_text="In the order of the batch.")
    created = serializers.IntegerField()
    refused = serializers.IntegerField()
    credits = serializers.IntegerField(help_text="Reserved for all of them.")

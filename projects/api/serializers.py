from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from clipforge.common.api.serializers import ModelSerializer
from clipforge.jobs.selectors import queue_position
from projects.models import Moment, Project


class FailureSerializer(serializers.Serializer[Any]):
    """Why work ended without a result. `code` is stable."""

    code = serializers.CharField()
    message = serializers.CharField()


class CreditsSerializer(serializers.Serializer[Any]):
    """What the work costs: reserved while it waits and runs, charged when it succeeded."""

    reserved = serializers.IntegerField()
    charged = serializers.IntegerField()


class ProjectSerializer(ModelSerializer):
    queue_position = serializers.SerializerMethodField(
        help_text="1 is next; null when it is not waiting. Only on a single project."
    )
    error = serializers.SerializerMethodField()
    credits = serializers.SerializerMethodField()

    class Meta:
        model = Project
        fields = [
            "id",
            "title",
            "status",
            "stage",
            "progress",
            "queue_position",
            "error",
            "credits",
            "source_name",
            "size",
            "duration",
            "width",
            "height",
            "has_audio",
            "attempts",
            "created_at",
            "queued_at",
            "started_at",
            "finished_at",
        ]
        read_only_fields = [field for field in fields if field != "title"]

    @extend_schema_field({"type": ["integer", "null"]})
    def get_queue_position(self, project: Project) -> int | None:
        # A count for each row would make a page of a list cost a hundred queries.
        return None if self.context.get("list") else queue_position(project)

    @extend_schema_field(FailureSerializer(allow_null=True))
    def get_error(self, project: Project) -> dict[str, str] | None:
        return failure_of(project)

    @extend_schema_field(CreditsSerializer)
    def get_credits(self, project: Project) -> dict[str, int]:
        return credits_of(project)


class ProjectUpdateSerializer(ModelSerializer):
    class Meta:
        model = Project
        fields = ["title"]


class ProjectUploadSerializer(serializers.Serializer[Any]):
    file = serializers.FileField(
        help_text="The video, as multipart/form-data.", allow_empty_file=True
    )
    title = serializers.CharField(max_length=200, required=False, allow_blank=True)


class MomentSerializer(ModelSerializer):
    duration = serializers.FloatField(help_text="Seconds.", read_only=True)

    class Meta:
        model = Moment
        fields = [
            "id",
            "project",
            "start",
            "end",
            "duration",
            "score",
            "subscores",
            "reason",
            "scorer_version",
        ]
        read_only_fields = fields


def failure_of(work: Any) -> dict[str, str] | None:
    """The `error` member of any paid work."""
    if not work.error_code:
        return None
    return {"code": work.error_code, "message": work.error_message}


def credits_of(work: Any) -> dict[str, int]:
    """The `credits` member of any paid work."""
    return {"reserved": work.reserved, "charged": work.charged}

from __future__ import annotations

from rest_framework import serializers

from clipforge.common.api.serializers import Decimals, ModelSerializer, Serializer
from clipforge.jobs.api.serializers import JobSerializer
from projects.models import Moment, Project


class ProjectSerializer(JobSerializer):
    queue_position = serializers.SerializerMethodField(
        help_text="1 is next; null when it is not waiting. Only on a single project."
    )

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


class ProjectUpdateSerializer(ModelSerializer):
    class Meta:
        model = Project
        fields = ["title"]


class ProjectUploadSerializer(Serializer):
    file = serializers.FileField(
        help_text="The video, as multipart/form-data.", allow_empty_file=True
    )
    title = serializers.CharField(max_length=200, required=False, allow_blank=True)


class MomentSerializer(ModelSerializer):
    duration = Decimals(help_text="Seconds.", read_only=True)
    # To its last bit: it is what a list of moments is ordered by.
    score = serializers.FloatField(help_text="0 to 100.", read_only=True)

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

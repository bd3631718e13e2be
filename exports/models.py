"""An export is one finished file: a moment, or any stretch of a project, rendered."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import F
from django.utils.text import slugify

from clipforge.common.models import OrgQuerySet, UUIDModel
from clipforge.jobs.models import Job
from clipforge.orgs.models import Organization
from projects.models import Moment, Project


class Watermark(UUIDModel):
    """The image that clips of an organization may carry. Another image is another row."""

    org = models.OneToOneField(Organization, models.PROTECT, related_name="+")
    file_key = models.CharField(max_length=255, editable=False)
    width = models.PositiveIntegerField(help_text="Pixels.")
    height = models.PositiveIntegerField(help_text="Pixels.")
    size = models.PositiveIntegerField(help_text="Bytes.")
    sha256 = models.CharField(max_length=64)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = OrgQuerySet["Watermark"].as_manager()

    def __str__(self) -> str:
        return f"Watermark of {self.width}x{self.height}"


class Export(Job):
    class Status(models.TextChoices):
        QUEUED = "QUEUED", "Queued"
        RENDERING = "RENDERING", "Rendering"
        READY = "READY", "Ready"
        FAILED = "FAILED", "Failed"
        CANCELLED = "CANCELLED", "Cancelled"
        EXPIRED = "EXPIRED", "Expired"

    class Aspect(models.TextChoices):
        VERTICAL = "9:16", "9:16"
        SQUARE = "1:1", "1:1"
        WIDE = "16:9", "16:9"
        SOURCE = "source", "As the source"

    class Resolution(models.IntegerChoices):
        SD = 480, "480"
        HD = 720, "720"
        FULL_HD = 1080, "1080"
        QUAD_HD = 1440, "1440"
        ULTRA_HD = 2160, "2160"

    class Layout(models.TextChoices):
        AUTO = "auto", "By what is seen"
        CROP = "crop", "A part that follows the subject"
        FIT = "fit", "The whole picture, on itself blurred"
        SPLIT = "split", "Two people, one above the other"

    class FrameRate(models.IntegerChoices):
        FILM = 24, "24"
        PAL = 25, "25"
        NTSC = 30, "30"
        FAST_PAL = 50, "50"
        FAST = 60, "60"

    class Format(models.TextChoices):
        MP4 = "mp4", "MP4, H.264"
        HEVC = "mp4-hevc", "MP4, HEVC"
        AV1 = "mp4-av1", "MP4, AV1"
        WEBM = "webm", "WebM, VP9"

    class Tighten(models.TextChoices):
        OFF = "off", "Nothing is left out"
        GENTLE = "gentle", "Long pauses are left out"
        HARD = "hard", "Pauses and filler words are left out"

    class Captions(models.TextChoices):
        NONE = "none", "None"
        PLAIN = "plain", "Plain"
        BOLD_WORD = "bold-word", "The spoken word stands out"
        KARAOKE = "karaoke", "Words change their colour when they are spoken"

    RUNNING: ClassVar[str] = Status.RENDERING
    REFERENCE_TYPE: ClassVar[str] = "export"
    SHOWN_WITH: ClassVar[tuple[str, ...]] = ("project",)
    # What is ordered: two exports of a project that agree in these are the same file, unless words of
    # its transcript were corrected in between.
    ORDERED: ClassVar[tuple[str, ...]] = (
        "start",
        "end",
        "aspect",
        "resolution",
        "fps",
        "format",
        "captions",
        "caption_style",
        "layout",
        "tighten",
        "watermark",
    )

    # Carried by a composite index below.
    project = models.ForeignKey(Project, models.CASCADE, db_index=False, related_name="exports")
    moment = models.ForeignKey(
        Moment, models.SET_NULL, null=True, blank=True, related_name="exports"
    )
    status = models.CharField(max_length=16, choices=Status, default=Status.QUEUED)
    start = models.FloatField(help_text="Seconds into the source.")
    end = models.FloatField(help_text="Seconds into the source.")
    aspect = models.CharField(max_length=8, choices=Aspect, default=Aspect.VERTICAL)
    resolution = models.PositiveIntegerField(
        choices=Resolution, default=Resolution.FULL_HD, help_text="Pixels of the shorter side."
    )
    layout = models.CharField(
        max_length=8,
        choices=Layout,
        default=Layout.AUTO,
        db_default=Layout.AUTO,
        help_text="How the picture is brought into the shape.",
    )
    fps = models.SmallIntegerField(
        choices=FrameRate,
        null=True,
        blank=True,
        help_text="Pictures a second at most; empty: as many as the source has.",
    )
    format = models.CharField(
        max_length=16, choices=Format, default=Format.MP4, db_default=Format.MP4
    )
    captions = models.CharField(
        max_length=16,
        choices=Captions,
        default=Captions.NONE,
        db_default=Captions.NONE,
        help_text="How the words are drawn into the pictures.",
    )
    caption_style = models.JSONField(
        default=dict,
        db_default=models.Value({}, models.JSONField()),
        blank=True,
        help_text="Position, size and colours; what is left out is as usual.",
    )
    tighten = models.CharField(
        max_length=16, choices=Tighten, default=Tighten.OFF, db_default=Tighten.OFF
    )
    watermark = models.JSONField(
        null=True,
        blank=True,
        help_text="Position, opacity and size of the organization's image; empty: none.",
    )
    # Fixed when it is asked for, and paid for: a correction of the transcript changes no price.
    kept = models.JSONField(
        null=True, blank=True, help_text="Ranges of the source that are in the clip; empty: all."
    )
    # An export that was ordered alike minutes before: the same file, as a rule.
    duplicate_of = models.UUIDField(null=True, blank=True, editable=False)
    # For people, without its extension: the title of the project as it was then, and the range.
    download_name = models.CharField(max_length=120, blank=True, db_default="", editable=False)
    # Known once it is READY.
    file_key = models.CharField(max_length=255, blank=True, editable=False)
    size = models.BigIntegerField(null=True, blank=True, help_text="Bytes.")
    duration = models.FloatField(null=True, blank=True, help_text="Seconds.")
    width = models.PositiveIntegerField(null=True, blank=True)
    height = models.PositiveIntegerField(null=True, blank=True)
    sha256 = models.CharField(max_length=64, blank=True)
    warnings = models.JSONField(
        default=list,
        db_default=models.Value([], models.JSONField()),
        blank=True,
        editable=False,
        help_text="What is missing in the clip, as code and message.",
    )
    expires_at = models.DateTimeField(
        null=True, blank=True, help_text="When the file is deleted: the tier's retention."
    )
    pinned = models.BooleanField(
        default=False, db_default=False, help_text="Kept while the organization pays for its tier."
    )

    objects = OrgQuerySet["Export"].as_manager()

    class Meta:
        indexes = [
            # `GET /exports` and its deep pages: an organization's exports, newest first.
            models.Index(fields=["org", "-created_at", "-id"], name="exports_export_org_created"),
            # `GET /exports?sort=updated_at` and `updated_after`: what a copy of the list has missed.
            models.Index(fields=["org", "-updated_at", "-id"], name="exports_export_org_updated"),
            # `GET /exports?status=`: a page of a rare status is neither sorted nor searched for.
            models.Index(
                fields=["org", "status", "-created_at", "-id"], name="exports_export_status_newest"
            ),
            # `GET /exports?project=&status=`: (project, status), continued by the order of the list.
            models.Index(
                fields=["project", "status", "-created_at", "-id"],
                name="exports_project_status_newest",
            ),
            # `GET /exports?project=`, and everything of a project when it is deleted.
            models.Index(
                fields=["project", "-created_at", "-id"], name="exports_export_project_newest"
            ),
            # `GET /exports?project=&sort=updated_at` and `updated_after`: else all of the project are
            # sorted, or all that the organization changed since are read.
            models.Index(
                fields=["project", "-updated_at", "-id"], name="exports_export_project_updated"
            ),
            # The admin's list of all exports: created_at, continued so that equal times are in
            # order. Nulls last, of which there are none, so that it is no order of the lists above:
            # for a busy organization the planner would read this one and throw most of it away.
            models.Index(
                F("created_at").desc(nulls_last=True),
                F("id").desc(nulls_last=True),
                name="exports_export_newest",
            ),
            # What the finished files of an organization take: a sum from the index alone.
            models.Index(
                fields=["org"],
                include=["size"],
                condition=models.Q(status="READY"),
                name="exports_export_org_size",
            ),
            # The same list by status.
            models.Index(
                F("status"),
                F("created_at").desc(nulls_last=True),
                F("id").desc(nulls_last=True),
                name="exports_export_by_status",
            ),
            # `clipforge.jobs.sweeping.sweep`: the few that a worker holds, by the end of its lease.
            models.Index(
                fields=["lease_expires_at"],
                condition=models.Q(status="RENDERING"),
                name="exports_export_leases",
            ),
            # `clipforge.jobs.selectors.queue_position`, and the sweeper's renewal of holds.
            models.Index(
                fields=["queued_at"],
                condition=models.Q(status="QUEUED"),
                name="exports_export_queue",
            ),
            # The staff's list of failures, the latest first: all of them, those of one error code, and
            # those of one organization. Jobs seldom fail, and these are written when it does.
            models.Index(
                fields=["-finished_at", "-id"],
                condition=models.Q(status="FAILED"),
                name="exports_export_failed",
            ),
            models.Index(
                fields=["error_code", "-finished_at", "-id"],
                condition=models.Q(status="FAILED"),
                name="exports_export_failed_code",
            ),
            models.Index(
                fields=["org", "-finished_at", "-id"],
                condition=models.Q(status="FAILED"),
                name="exports_export_failed_org",
            ),
            # `clipforge.jobs.retention`: files whose end has come or is near.
            models.Index(
                fields=["expires_at", "id"],
                condition=~models.Q(file_key=""),
                name="exports_export_ends",
            ),
            # `tasks.follow_tiers`: the few that were pinned.
            models.Index(
                fields=["id"], condition=models.Q(pinned=True), name="exports_export_pinned"
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(start__gte=0, end__gt=models.F("start")),
                name="exports_export_range",
            )
        ]

    @property
    def ranges(self) -> list[tuple[float, float]]:
        """The ranges of the source that are in the clip, in seconds and in order."""
        return [(first, last) for first, last in self.kept or [(self.start, self.end)]]

    @property
    def extension(self) -> str:
        """The ending of the file's name, without the point."""
        return "webm" if self.format == self.Format.WEBM else "mp4"

    def readable_name(self) -> str:
        """A name for the file that people can read, without its extension: `interview-12.5-32.5s-9x16`."""
        title = slugify(self.project.title)[:80].strip("-") or "clip"
        return f"{title}-{self.start:.1f}-{self.end:.1f}s-{self.aspect.replace(':', 'x')}"

    def __str__(self) -> str:
        return f"{self.start:.1f}–{self.end:.1f} s, {self.aspect}"

"""A project is one source video; its moments are the stretches worth clipping."""

from __future__ import annotations

import json
import zlib
from typing import ClassVar

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import models
from django.db.models import F

from clipforge.common.lists.search import lowered
from clipforge.common.models import OrgQuerySet, UUIDModel
from clipforge.common.storage import UPLOADS
from clipforge.jobs.models import Job
from clipforge.media.words.transcript import Transcript
from clipforge.orgs.models import Organization
from projects import word_search
from projects.title_search import ProjectGroups


class Project(Job):
    """One uploaded video and its analysis, which is what is paid for."""

    class Status(models.TextChoices):
        UPLOADED = "UPLOADED", "Uploaded"
        QUEUED = "QUEUED", "Queued"
        ANALYZING = "ANALYZING", "Analyzing"
        READY = "READY", "Ready"
        EMPTY = "EMPTY", "Nothing worth clipping"
        FAILED = "FAILED", "Failed"
        CANCELLED = "CANCELLED", "Cancelled"
        EXPIRED = "EXPIRED", "Source deleted after its retention"

    RUNNING: ClassVar[str] = Status.ANALYZING
    REFERENCE_TYPE: ClassVar[str] = "project"
    # The source was analysed to its end: exports can be made of it.
    ANALYSED: ClassVar[frozenset[str]] = frozenset({Status.READY, Status.EMPTY})

    title = models.CharField(max_length=200)
    status = models.CharField(max_length=16, choices=Status, default=Status.UPLOADED)
    source_name = models.CharField(max_length=255, help_text="The file name the client gave.")
    source_key = models.CharField(max_length=255, editable=False)
    expires_at = models.DateTimeField(
        null=True, blank=True, help_text="When the source is deleted: the tier's retention."
    )
    sha256 = models.CharField(max_length=64, editable=False)
    size = models.BigIntegerField(help_text="Bytes.")
    duration = models.FloatField(help_text="Seconds.")
    width = models.PositiveIntegerField(help_text="Pixels, as shown.")
    height = models.PositiveIntegerField(help_text="Pixels, as shown.")
    # Empty in rows from before they were kept.
    fps = models.FloatField(null=True, blank=True, help_text="Pictures a second.")
    video_codec = models.CharField(max_length=32, blank=True, db_default="")
    audio_codec = models.CharField(max_length=32, blank=True, db_default="")
    has_audio = models.BooleanField()
    audio_track = models.SmallIntegerField(
        null=True,
        blank=True,
        help_text="The sound track to use, counted from 0; empty: the one that people hear.",
    )
    warnings = models.JSONField(
        default=list,
        db_default=models.Value([], models.JSONField()),
        blank=True,
        editable=False,
        help_text="What is missing in the source, as code and message.",
    )
    scorer_version = models.CharField(max_length=32, blank=True, editable=False)
    # As they came with the upload; `projects.wishes` reads them.
    wishes = models.JSONField(null=True, blank=True, editable=False)
    # The customer's own: never ours to read anything from.
    external_id = models.CharField(
        max_length=200,
        blank=True,
        db_default="",
        help_text="Your own id of it; no two have the same.",
    )
    metadata = models.JSONField(
        default=dict,
        blank=True,
        db_default=models.Value({}, models.JSONField()),
        help_text="Up to 20 texts of your own, by name.",
    )

    objects = OrgQuerySet["Project"].as_manager()

    class Meta:
        indexes = [
            # `GET /projects` and its deep pages: an organization's projects, newest first.
            models.Index(fields=["org", "-created_at", "-id"], name="projects_project_org_created"),
            # `GET /projects?status=`: (org, status), continued by the order of the list, so that a
            # page of a rare status is neither sorted nor searched for.
            models.Index(
                fields=["org", "status", "-created_at", "-id"],
                name="projects_project_status_newest",
            ),
            # The admin's list of all projects: created_at, continued so that equal times are in
            # order. Nulls last, of which there are none, so that it is no order of the lists above:
            # for a busy organization the planner would read this one and throw most of it away.
            models.Index(
                F("created_at").desc(nulls_last=True),
                F("id").desc(nulls_last=True),
                name="projects_project_newest",
            ),
            # What the sources of an organization take: a sum from the index alone, whose entries are
            # a twelfth of the rows. Nothing in it changes once the project is there. By its key a left
            # prefix of the first two, which know no sizes: with one of them instead, each project
            # would be fetched from the table. It costs 90 bytes of WAL for each that is written, of
            # 960.
            models.Index(fields=["org"], include=["size"], name="projects_project_org_size"),
            # The same list by status: what is not READY is rare among millions.
            models.Index(
                F("status"),
                F("created_at").desc(nulls_last=True),
                F("id").desc(nulls_last=True),
                condition=~models.Q(status="READY"),
                name="projects_project_unready",
            ),
            # `GET /projects?sort=updated_at` and `updated_after`: what a copy of the list has missed.
            models.Index(fields=["org", "-updated_at", "-id"], name="projects_project_org_updated"),
            # `GET /projects?q=`: groups of letters of title and external_id, of one organization.
            GinIndex(
                ProjectGroups("org_id", "title", "external_id"),
                fastupdate=False,
                name="projects_project_words",
            ),
            # Staff look for how a title begins, in any case.
            models.Index(lowered("title"), name="projects_project_title"),
            # `clipforge.jobs.sweeping.sweep`: the few that a worker holds, by the end of its lease.
            models.Index(
                fields=["lease_expires_at"],
                condition=models.Q(status="ANALYZING"),
                name="projects_project_leases",
            ),
            # `clipforge.jobs.retention`: sources whose end has come or is near.
            models.Index(
                fields=["expires_at", "id"],
                condition=~models.Q(source_key=""),
                name="projects_project_ends",
            ),
            # `clipforge.jobs.selectors.queue_position`, and the sweeper's renewal of holds.
            models.Index(
                fields=["queued_at"],
                condition=models.Q(status="QUEUED"),
                name="projects_project_queue",
            ),
            # The staff's list of failures, the latest first: all of them, those of one error code, and
            # those of one organization. Jobs seldom fail, and these are written when it does.
            models.Index(
                fields=["-finished_at", "-id"],
                condition=models.Q(status="FAILED"),
                name="projects_project_failed",
            ),
            models.Index(
                fields=["error_code", "-finished_at", "-id"],
                condition=models.Q(status="FAILED"),
                name="projects_project_failed_code",
            ),
            models.Index(
                fields=["org", "-finished_at", "-id"],
                condition=models.Q(status="FAILED"),
                name="projects_project_failed_org",
            ),
        ]
        constraints = [
            # Of two uploads with one id the second is refused, however close they come. Serves
            # `GET /projects?external_id=`.
            models.UniqueConstraint(
                fields=["org", "external_id"],
                condition=~models.Q(external_id=""),
                name="projects_project_external_id",
            )
        ]

    def __str__(self) -> str:
        return self.title


class Upload(UUIDModel):
    """A file that is sent in parts, until a project is made of it."""

    # No index: it is read by its id.
    org = models.ForeignKey(Organization, models.PROTECT, db_index=False, related_name="+")
    name = models.CharField(max_length=255, help_text="The file name the client gave.")
    size = models.BigIntegerField(help_text="Bytes that it will have.")
    sha256 = models.CharField(
        max_length=64, blank=True, db_default="", help_text="That it will have, if that was said."
    )
    # It was computed: of ten gigabytes that takes ten seconds, however often a project is asked for.
    is_digested = models.BooleanField(default=False, db_default=False, editable=False)
    received = models.BigIntegerField(db_default=0, help_text="Bytes that are here.")
    # Of one whose parts go to the bucket itself; else 0.
    part_bytes = models.BigIntegerField(default=0, db_default=0, editable=False)
    # By which the bucket knows its parts. Empty before the first is asked for, and once they are one file.
    parts_id = models.TextField(default="", db_default="", editable=False)
    # What it will take, from its first day on. A trigger adds it up by organization.
    stored_bytes = models.BigIntegerField(db_default=0, default=0, editable=False)
    # No reference: it is forgotten in a day, whatever becomes of the project.
    used_by = models.UUIDField(null=True, editable=False, help_text="The project made of it.")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()

    objects = OrgQuerySet["Upload"].as_manager()

    class Meta:
        indexes = [
            # `projects.uploads.remove_expired`, every ten minutes.
            models.Index(fields=["expires_at"], name="projects_upload_expiry"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(received__gte=0, received__lte=models.F("size"), size__gt=0),
                name="projects_upload_received",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name}, {self.received} of {self.size}"

    @property
    def file_key(self) -> str:
        return f"{self.org_id}/{UPLOADS}/{self.pk}/part"

    @property
    def is_direct(self) -> bool:
        """Whether its parts go to the bucket itself."""
        return self.part_bytes > 0

    @property
    def is_complete(self) -> bool:
        return self.received == self.size and not self.parts_id


class ProjectImport(models.Model):
    """Where the source of a project is to be fetched from. Gone once it is here: the address may be a secret."""

    project = models.OneToOneField(
        Project, models.CASCADE, primary_key=True, related_name="source_import"
    )
    # No index: it is read by its project.
    org = models.ForeignKey(Organization, models.PROTECT, db_index=False, related_name="+")
    url = models.TextField(editable=False)
    # What the order allows the analysis to cost. Its price is known when the length is.
    max_credits = models.BigIntegerField(null=True, editable=False)
    # Of what was fetched so far, for `If-Range`: empty where nothing may be added to that.
    validator = models.CharField(max_length=200, blank=True, default="", db_default="")

    objects = OrgQuerySet["ProjectImport"].as_manager()

    def __str__(self) -> str:
        return f"Import of {self.project_id}"


class Moment(UUIDModel):
    """A stretch of the source worth clipping, with the reasons for its score.

    Choosing again replaces it, unless a customer made it, pinned it, rated it or exported it.
    """

    class Kind(models.TextChoices):
        TALK = "talk", "Talk"
        ACTION = "action", "Action"
        MUSIC = "music", "Music"

    class Origin(models.TextChoices):
        CHOSEN = "chosen", "Chosen by the scorer"
        MADE = "made", "Made by hand"

    class Rating(models.TextChoices):
        UP = "up", "Up"
        DOWN = "down", "Down"

    # Both carried by composite indexes below.
    org = models.ForeignKey(Organization, models.PROTECT, db_index=False, related_name="+")
    project = models.ForeignKey(Project, models.CASCADE, db_index=False, related_name="moments")
    start = models.FloatField(help_text="Seconds into the source.")
    end = models.FloatField(help_text="Seconds into the source.")
    score = models.FloatField(help_text="0 to 100.")
    subscores = models.JSONField(default=dict, help_text="What the score is made of, 0 to 100.")
    reason = models.TextField(help_text="Why, in a sentence.")
    scorer_version = models.CharField(max_length=32)
    kind = models.CharField(max_length=16, choices=Kind, blank=True, default="", db_default="")
    title = models.CharField(max_length=200, blank=True, default="", db_default="")
    hook = models.CharField(
        max_length=300,
        blank=True,
        default="",
        db_default="",
        help_text="Its first words, to quote.",
    )
    origin = models.CharField(
        max_length=16, choices=Origin, default=Origin.CHOSEN, db_default=Origin.CHOSEN
    )
    pinned = models.BooleanField(
        default=False, db_default=False, help_text="Choosing again leaves it as it is."
    )
    rating = models.CharField(
        max_length=8, choices=Rating, blank=True, default="", db_default="", help_text="up or down."
    )

    objects = OrgQuerySet["Moment"].as_manager()

    class Meta:
        indexes = [
            # `GET /projects/{id}/moments`: best first, with `min_score`.
            models.Index(fields=["project", "-score", "-id"], name="projects_moment_project_score"),
            # Deleting a project: its moments, found without reading scores. A left prefix of the
            # index above, kept because it is a sixth of it (5 beside 34 MB at 600,000 moments); it
            # costs 70 bytes of WAL for each moment that is written, of 510.
            models.Index(fields=["project"], name="projects_moment_project"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(start__gte=0, end__gt=models.F("start")),
                name="projects_moment_range",
            ),
            models.CheckConstraint(
                condition=models.Q(score__gte=0, score__lte=100), name="projects_moment_score"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.start:.1f}–{self.end:.1f} s ({self.score:.0f})"

    @property
    def duration(self) -> float:
        return self.end - self.start


class ProjectTranscript(models.Model):
    """The words that are spoken in a source. One row a project: a row a word would be ten thousand."""

    project = models.OneToOneField(Project, models.CASCADE, primary_key=True)
    # No index: it is read by its project.
    org = models.ForeignKey(Organization, models.PROTECT, db_index=False, related_name="+")
    language = models.CharField(max_length=8, help_text="ISO 639-1.")
    model = models.CharField(max_length=100, help_text="The speech model, with its version.")
    document = models.BinaryField(editable=False, help_text="The words with their times, packed.")
    search = SearchVectorField(null=True, editable=False)
    corrected_at = models.DateTimeField(null=True, blank=True)
    corrected_by = models.CharField(max_length=100, blank=True, db_default="")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = OrgQuerySet["ProjectTranscript"].as_manager()

    class Meta:
        indexes = [
            # `GET /transcripts`: an organization's transcripts with some words in them. Its lexeme in
            # each vector makes the organization the first key.
            GinIndex(fields=["search"], name="projects_transcript_search"),
        ]

    def __str__(self) -> str:
        return f"Transcript of {self.project_id}"

    @property
    def content(self) -> Transcript:
        """The words. Unpacked each time: 10 ms an hour of speech."""
        return Transcript.from_json(json.loads(zlib.decompress(self.document)))

    @content.setter
    def content(self, transcript: Transcript) -> None:
        """Set `org` before. The vector is computed when the row is saved."""
        self.language, self.model = transcript.language, transcript.model
        packed = json.dumps(transcript.as_json(), ensure_ascii=False, separators=(",", ":"))
        self.document = zlib.compress(packed.encode())
        self.search = word_search.vector(self.org_id, self.language, transcript.text)


class ProjectFeatures(models.Model):
    """The measures of a source, of which moments are chosen again without decoding it. One row a project."""

    project = models.OneToOneField(Project, models.CASCADE, primary_key=True)
    # No index: it is read by its project.
    org = models.ForeignKey(Organization, models.PROTECT, db_index=False, related_name="+")
    format = models.PositiveSmallIntegerField(help_text="Of the bytes: `clipforge.media.kept`.")
    content = models.BinaryField(editable=False, help_text="About 100 KB an hour.")

    objects = OrgQuerySet["ProjectFeatures"].as_manager()

    def __str__(self) -> str:
        return f"Features of {self.project_id}"


class MomentFeedback(models.Model):
    """The rating of a moment beside the scores that it was given: what a better scorer learns from.

    The figures are those of the moment as it was rated, whatever becomes of it later.
    """

    # No reference: what was learnt stays when the moment goes, until the project does.
    moment_id = models.UUIDField(primary_key=True, editable=False)
    project = models.ForeignKey(Project, models.CASCADE, related_name="+")
    # No index: `export_feedback` reads all of them.
    org = models.ForeignKey(Organization, models.PROTECT, db_index=False, related_name="+")
    rating = models.CharField(max_length=8, choices=Moment.Rating)
    rated_at = models.DateTimeField(auto_now=True)
    start = models.FloatField()
    end = models.FloatField()
    kind = models.CharField(max_length=16, blank=True)
    origin = models.CharField(max_length=16)
    score = models.FloatField()
    subscores = models.JSONField(default=dict)
    scorer_version = models.CharField(max_length=32)

    objects = OrgQuerySet["MomentFeedback"].as_manager()

    def __str__(self) -> str:
        return f"{self.rating}: {self.moment_id}"

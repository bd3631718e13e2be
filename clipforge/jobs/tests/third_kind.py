"""A third kind of job, of which no module of the product knows: the transcript of a talk."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, ClassVar

from django.apps import apps as installed
from django.apps.registry import Apps
from django.contrib import admin
from django.contrib.contenttypes.models import ContentType
from django.db import connection, models
from django.test import override_settings
from django.urls import include, path

from clipforge.common.models import OrgQuerySet
from clipforge.jobs import lifecycle, registry
from clipforge.jobs.failures import Failure, JobFailed
from clipforge.jobs.kinds import Fact, JobFiles, JobKind, RunControl, StaffView
from clipforge.jobs.models import Job
from credits.pricing import Charge

# A registry of its own, which knows what the model points at: the walkers over all models of the
# product, and the permissions made after a flush, do not see it.
_apps = Apps()
for _label in ("orgs", "credits"):
    _apps.all_models[_label].update(installed.all_models[_label])


class Transcript(Job):
    class Status(models.TextChoices):
        QUEUED = "QUEUED", "Queued"
        LISTENING = "LISTENING", "Listening"
        READY = "READY", "Ready"
        FAILED = "FAILED", "Failed"
        CANCELLED = "CANCELLED", "Cancelled"

    RUNNING: ClassVar[str] = Status.LISTENING
    REFERENCE_TYPE: ClassVar[str] = "transcript"

    title = models.CharField(max_length=200)
    status = models.CharField(max_length=16, choices=Status, default=Status.QUEUED)
    seconds = models.FloatField(default=65.0)
    size = models.BigIntegerField(default=0)
    file_key = models.CharField(max_length=200, blank=True, default="")
    expires_at = models.DateTimeField(null=True)

    objects = OrgQuerySet["Transcript"].as_manager()

    class Meta:
        apps = _apps
        app_label = "jobs"

    def __str__(self) -> str:
        return self.title


class TooQuiet(Exception):
    """An error of the library that listens."""


NOT_THERE = Failure("nothing_to_hear", "There is nothing to hear in it. You were not charged.")
TOO_QUIET = Failure("too_quiet", "It is too quiet. You were not charged.")


def listen(transcript: Transcript, control: RunControl) -> None:
    """Ends by its title, so that a test says what happens."""
    control.note("listening", 0.5)
    if transcript.title == "Silence":
        raise JobFailed(NOT_THERE)
    if transcript.title == "Whisper":
        raise TooQuiet
    if transcript.title == "Bug":
        raise ZeroDivisionError
    lifecycle.succeed(transcript, status=Transcript.Status.READY, actor=lifecycle.ACTOR, size=10)


KIND = JobKind(
    model=Transcript,
    queue="listening",
    task="transcripts.listen",
    run=listen,
    price=lambda _transcript: Charge(2, 1, "test", {}),
    reason=lambda transcript: f"Transcript of {transcript.title}",
    errors=lambda error: TOO_QUIET if isinstance(error, TooQuiet) else None,
    error_codes=frozenset({TOO_QUIET.code, NOT_THERE.code}),
    files=JobFiles(area="transcripts", orphans_at=47, label="transcripts"),
    staff=StaffView(
        title="Transcriptions",
        facts={"title": Fact("title"), "length": Fact("seconds", is_seconds=True)},
        event="Asked for the words of ‘{title}’, {length} long",
        columns={"Of": "{title}", "Length": "{length}"},
        search_field="title",
    ),
)


@contextmanager
def third_kind() -> Iterator[JobKind[Transcript]]:
    """The kind, registered, with its table and its page in the admin; all of it gone afterwards.

    To be used inside the transaction of a test, which takes the table back.
    """
    with connection.schema_editor() as editor:
        editor.create_model(Transcript)
    registry.register(KIND)
    admin.site.register(Transcript, admin.ModelAdmin)
    # The addresses of the admin were made when the URLconf was imported.
    urls: Any = ModuleType("urls_with_a_third_kind")
    urls.urlpatterns = [path("admin/", admin.site.urls), path("", include("clipforge.urls"))]
    sys.modules[urls.__name__] = urls
    try:
        with override_settings(ROOT_URLCONF=urls.__name__):
            yield KIND
    finally:
        del sys.modules[urls.__name__]
        admin.site.unregister(Transcript)
        registry.unregister(KIND)
        ContentType.objects.clear_cache()

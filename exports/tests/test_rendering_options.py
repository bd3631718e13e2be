"""Clips with options, from a queued export to its file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import pytest
from procrastinate.contrib.django import app

from clipforge.common import storage
from clipforge.devtools.testing.factories import (
    make_export,
    make_organization,
    make_project,
    make_transcript,
)
from clipforge.devtools.testing.state import Funds, funds, stored_files
from clipforge.media import probe
from clipforge.orgs.models import Organization
from exports.models import Export
from projects.models import Project

pytestmark = pytest.mark.django_db


@pytest.fixture
def org() -> Organization:
    return make_organization(credits_=10)


@pytest.fixture
def project(org: Organization, talk: Path) -> Project:
    return make_project(org, source=talk, duration=30.0)


def rendered(project: Project, **options: Any) -> Export:
    fields = {"start": 1.0, "end": 3.0, "aspect": "1:1", "resolution": 480, **options}
    export = make_export(project, status="QUEUED", **fields)
    app.tasks["exports.render"](export_id=str(export.pk), fence=export.fence)
    export.refresh_from_db()
    return export


def magenta(export: Export) -> list[float]:
    """The seconds of the clip in which something is drawn in magenta."""
    found = []
    with av.open(str(storage.path_of(export.file_key))) as container:
        for frame in container.decode(video=0):
            red, green, blue = frame.to_ndarray(format="rgb24").astype(int).transpose(2, 0, 1)
            if ((red > 200) & (green < 90) & (blue > 200)).sum() > 50:
                found.append(float(frame.time or 0))
    return found


def test_the_words_of_the_transcript_are_drawn_when_they_are_spoken(
    org: Organization, project: Project
):
    """The first sentence is spoken from 1 to 2 s of the source, the second from 2 to 3.5 s."""
    make_transcript(project, "Hello world.", "How are you?")
    style = {"position": "top", "size": "large", "color": "#ff00ff", "highlight": "#ff00ff"}
    export = rendered(project, captions="bold-word", caption_style=style, start=0.0, end=2.0)
    assert (export.status, export.error_code) == ("READY", "")
    shown = magenta(export)
    assert shown[0] == pytest.approx(1.0, abs=0.05)
    assert funds(org) == Funds(available=10, held=0)


def test_without_captions_nothing_is_drawn(project: Project):
    make_transcript(project)
    assert magenta(rendered(project)) == []


def test_a_look_with_a_part_left_out_is_drawn(project: Project):
    make_transcript(project)
    export = rendered(project, captions="karaoke", caption_style={"highlight": "#ff00ff"})
    assert magenta(export)


def test_a_transcript_that_has_gone_fails_the_export_and_charges_nothing(
    org: Organization, project: Project
):
    export = rendered(project, captions="plain")
    assert (export.status, export.error_code) == ("FAILED", "captions_not_drawable")
    assert export.error_message == "The project has no transcript any more."
    assert funds(org).held == 0


@pytest.mark.parametrize(
    ("chosen", "ending", "codecs"),
    [
        ("webm", "webm", ("vp9", "opus")),
        ("mp4-hevc", "mp4", ("hevc", "aac")),
        ("mp4-av1", "mp4", ("av1", "aac")),
    ],
)
def test_a_clip_of_another_format_is_kept_under_its_ending(
    project: Project, chosen: str, ending: str, codecs: tuple[str, str]
):
    export = rendered(project, format=chosen, fps=24)
    assert export.file_key.endswith(f"/1.{ending}")
    pictures = ("poster.jpg", "poster.webp", "strip.jpg", "strip.vtt")
    kept = [path.name for path in stored_files() if "exports" in path.parts]
    assert kept == sorted([f"1.{ending}", *(f"1.{name}" for name in pictures)])
    found = probe(storage.path_of(export.file_key))
    assert (found.video_codec, found.audio_codec, found.fps) == (*codecs, 24)

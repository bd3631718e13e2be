"""GET /moments/{id}/pictures/{name}"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import av
import pytest
from rest_framework.test import APIClient

from clipforge.common import storage
from clipforge.devtools.testing.api import assert_not_told_apart, assert_problem
from clipforge.devtools.testing.factories import make_moment, make_organization, make_project
from clipforge.devtools.testing.state import stored_files
from clipforge.jobs import retention
from clipforge.media import portray
from clipforge.media.contracts import Chosen
from clipforge.media.tests.samples import AAC, H264, make_video
from clipforge.orgs.models import Organization
from projects import moments, portraits
from projects.jobs import ANALYSIS
from projects.models import Moment, Project

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def brighter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve seconds, each a little brighter, with a keyframe each."""
    drawn = "geq=lum='20+16*floor(T)':cb=128:cr=128"
    return make_video(
        tmp_path_factory.mktemp("videos") / "v.mp4",
        seconds=12,
        picture="color",
        picture_filter=drawn,
        options=(*H264, "-g", "20", *AAC),
    )


@pytest.fixture
def project(organization: Organization, brighter: Path) -> Project:
    return make_project(organization, source=brighter, duration=12.0)


def url(moment: Moment, name: str = "poster.jpg") -> str:
    return f"/api/v1/moments/{moment.pk}/pictures/{name}"


def light(response: Any, tmp_path: Path) -> float:
    """The brightness of a picture, 0 to 255."""
    path = tmp_path / "picture"
    path.write_bytes(b"".join(response.streaming_content))
    with av.open(str(path)) as container:
        return float(next(container.decode(video=0)).to_ndarray(format="gray").mean())


def gray(second: int) -> float:
    return (20 + 16 * second - 16) * 255 / 219


def posters() -> list[str]:
    return [path.name for path in stored_files() if ".moment-" in path.name]


@pytest.mark.parametrize("name", ["poster.jpg", "poster.webp"])
def test_it_is_made_when_it_is_first_asked_for_and_kept(
    api: APIClient, anonymous: APIClient, project: Project, tmp_path: Path, name: str
):
    moment = make_moment(project, start=8.0, end=9.9)
    response = api.get(url(moment, name))
    assert response.status_code == 302
    link = urlsplit(response["Location"]).path
    shown = light(anonymous.get(link), tmp_path)
    assert gray(8) - 8 < shown < gray(9) + 8
    assert posters() == [
        f"source.moment-{moment.pk}.{each}" for each in ("poster.jpg", "poster.webp")
    ]
    written = storage.path_of(f"{project.source_key}.moment-{moment.pk}.{name}").stat()
    assert api.get(url(moment, name)).status_code == 302
    again = storage.path_of(f"{project.source_key}.moment-{moment.pk}.{name}").stat()
    assert again.st_ino == written.st_ino


def test_its_bytes_are_counted_with_those_of_the_source(
    api: APIClient, project: Project, django_capture_on_commit_callbacks: Any
):
    moment = make_moment(project, start=8.0, end=9.9)
    before = project.stored_bytes
    api.get(url(moment))
    project.refresh_from_db()
    assert project.stored_bytes == storage.size_of(project.source_key) > before
    with django_capture_on_commit_callbacks(execute=True):
        moments.delete_moment(moment=moment)
    project.refresh_from_db()
    assert project.stored_bytes == before


def test_a_moment_without_a_keyframe_shows_the_picture_in_its_middle(
    api: APIClient, anonymous: APIClient, project: Project, tmp_path: Path
):
    moment = make_moment(project, start=5.2, end=5.8)
    link = urlsplit(api.get(url(moment))["Location"]).path
    assert light(anonymous.get(link), tmp_path) == pytest.approx(gray(5), abs=8)


def test_one_that_moves_gets_another(
    api: APIClient,
    anonymous: APIClient,
    project: Project,
    tmp_path: Path,
    django_capture_on_commit_callbacks: Any,
):
    moment = make_moment(project, start=1.0, end=2.9)
    api.get(url(moment))
    with django_capture_on_commit_callbacks(execute=True):
        placed = moments.place_moment(project=project, start=9.0, end=10.9, snap="none")
        moment = moments.change_moment(moment=moment, placed=placed, changes={})
    assert posters() == []
    link = urlsplit(api.get(url(moment))["Location"]).path
    assert light(anonymous.get(link), tmp_path) > gray(9) - 8


def test_one_that_moved_while_it_was_made_is_not_kept(
    api: APIClient, project: Project, monkeypatch: pytest.MonkeyPatch
):
    moment = make_moment(project, start=1.0, end=2.9)
    make = portray

    def make_and_move(*args: Any, **kwargs: Any) -> list[str]:
        names = make(*args, **kwargs)
        Moment.objects.filter(pk=moment.pk).update(start=5.0, end=7.0)
        return names

    monkeypatch.setattr("projects.portraits.portray", make_and_move)
    assert api.get(url(moment)).status_code == 302
    assert posters() == []


def test_one_whose_source_ended_while_it_was_made_is_not_kept(
    api: APIClient, project: Project, monkeypatch: pytest.MonkeyPatch
):
    """Nobody would delete it: what is left of the project names no file."""
    moment = make_moment(project, start=1.0, end=2.9)
    make = portray

    def make_and_end(*args: Any, **kwargs: Any) -> list[str]:
        names = make(*args, **kwargs)
        Project.objects.filter(pk=project.pk).update(expires_at=project.created_at)
        assert retention.expire(ANALYSIS) == 1
        return names

    monkeypatch.setattr("projects.portraits.portray", make_and_end)
    assert api.get(url(moment)).status_code == 302
    assert stored_files() == []


def test_only_so_many_are_made_at_once_and_others_are_that_of_the_project(
    api: APIClient, project: Project, monkeypatch: pytest.MonkeyPatch
):
    """A source that is slow to decode keeps no more than two threads of a process."""
    one, two, three = (make_moment(project, start=2.0 * n, end=2.0 * n + 1.9) for n in range(3))
    make, meanwhile = portray, iter([two, three])

    def make_while_another_is_asked_for(*args: Any, **kwargs: Any) -> list[str]:
        assert api.get(url(next(meanwhile))).status_code == 302
        return make(*args, **kwargs)

    monkeypatch.setattr("projects.portraits.PATIENCE", 0.01)
    monkeypatch.setattr("projects.portraits.portray", make_while_another_is_asked_for)
    assert api.get(url(one)).status_code == 302
    assert {name.split(".")[1] for name in posters()} == {f"moment-{one.pk}", f"moment-{two.pk}"}
    monkeypatch.setattr("projects.portraits.portray", make)
    api.get(url(three))
    assert len(posters()) == 6


def test_one_that_was_made_while_its_turn_came_is_not_made_again(
    api: APIClient, project: Project, monkeypatch: pytest.MonkeyPatch
):
    moment = make_moment(project, start=1.0, end=2.9)
    turns, made = portraits._slots, []

    class Turns:
        """A turn that comes once another request has made the poster."""

        def acquire(self, timeout: float) -> bool:
            monkeypatch.setattr("projects.portraits._slots", turns)
            return api.get(url(moment)).status_code == 302 and turns.acquire(timeout=timeout)

    def make(*args: Any, **kwargs: Any) -> list[str]:
        made.append(args)
        return portray(*args, **kwargs)

    monkeypatch.setattr("projects.portraits._slots", Turns())
    monkeypatch.setattr("projects.portraits.portray", make)
    assert api.get(url(moment)).status_code == 302
    assert (len(made), len(posters())) == (1, 2)


def test_they_go_with_the_moment_and_when_others_are_chosen(
    api: APIClient, project: Project, django_capture_on_commit_callbacks: Any
):
    one, two, pinned = (
        make_moment(project, start=1.0, end=2.9),
        make_moment(project, start=4.0, end=5.9),
        make_moment(project, start=7.0, end=8.9, pinned=True),
    )
    for each in (one, two, pinned):
        api.get(url(each))
    assert len(posters()) == 6
    with django_capture_on_commit_callbacks(execute=True):
        moments.delete_moment(moment=one)
    assert len(posters()) == 4
    with django_capture_on_commit_callbacks(execute=True):
        moments.replace_moments(project=project, chosen=Chosen([], "test"))
    assert {name.split(".")[1] for name in posters()} == {f"moment-{pinned.pk}"}
    storage.delete(project.source_key)
    assert stored_files() == []


def test_without_the_source_it_is_the_projects(api: APIClient, organization: Organization):
    moment = make_moment(make_project(organization))
    assert api.get(url(moment)).status_code == 302
    assert stored_files() == []


def test_there_is_no_strip_of_a_moment(api: APIClient, project: Project):
    moment = make_moment(project, start=1.0, end=2.9)
    assert api.get(url(moment, "strip.jpg")).status_code == 404


def test_without_a_key_there_is_no_link(anonymous: APIClient, project: Project):
    assert anonymous.get(url(make_moment(project, start=1.0, end=2.9))).status_code == 401


def test_another_organizations_is_not_there(api: APIClient):
    other = make_moment(make_project(make_organization()))
    assert_not_told_apart(lambda pk: api.get(f"/api/v1/moments/{pk}/pictures/poster.jpg"), other.pk)


def test_a_moment_of_a_project_that_is_analysed_again_has_none(
    api: APIClient, organization: Organization
):
    moment = make_moment(make_project(organization, status="ANALYZING"))
    assert_problem(api.get(url(moment)), 409, "project_not_ready")

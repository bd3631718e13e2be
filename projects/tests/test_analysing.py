"""The analysis of real videos, from a queued project to its moments."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection
from procrastinate.contrib.django import app

from clipforge.common import storage
from clipforge.common.errors import StorageFull
from clipforge.common.shutdown import stopping
from clipforge.devtools.testing.children import is_alive, on_first_sign_of_life
from clipforge.devtools.testing.factories import (
    make_organization,
    make_project,
    make_tier_limits,
)
from clipforge.devtools.testing.faults import end_the_connection
from clipforge.devtools.testing.state import (
    Funds,
    funds,
    jobs_of,
    lapse_lease,
    nothing_changes,
    stored_files,
)
from clipforge.jobs import lifecycle, sweeping
from clipforge.jobs import services as job_services
from clipforge.jobs.heartbeat import Heartbeat
from clipforge.media import Analysis, ScoredMoment, SourceInfo, analyse, probe
from clipforge.orgs.models import Organization
from credits import services as credit_services
from credits.models import CreditTransaction, TransactionType
from projects import analysing
from projects import moments as project_moments
from projects.models import Moment, Project, ProjectFeatures

pytestmark = pytest.mark.django_db


@pytest.fixture
def org() -> Organization:
    return make_organization(credits_=10)


@pytest.fixture
def running_worker() -> Iterator[None]:
    yield
    stopping.clear()


def run(project: Project) -> Project:
    """The task as the worker runs it."""
    app.tasks["projects.analyse"](project_id=str(project.pk), fence=project.fence)
    project.refresh_from_db()
    return project


def spends() -> list[int]:
    return [row.amount for row in CreditTransaction.objects.filter(type=TransactionType.SPEND)]


# --- what becomes of a video ----------------------------------------------------------


def test_a_video_in_which_something_happens_is_ready_with_moments_and_charged(
    org: Organization, talk: Path
):
    project = run(make_project(org, status="QUEUED", source=talk, duration=30.0))
    assert (project.status, project.error_code, project.attempts) == ("READY", "", 1)
    assert (project.progress, project.lease_expires_at) == (1, None)
    assert project.finished_at is not None
    moment = project.moments.get()
    assert 0 <= moment.start < moment.end <= probe(talk).duration
    # Somebody talks from 5.1 to 19.1 s; edges may move to a good place nearby.
    assert 3 < moment.start < 7
    assert 17 < moment.end < 23
    assert 30 <= moment.score <= 100
    assert moment.reason
    assert moment.subscores
    assert moment.org == org
    assert moment.scorer_version == project.scorer_version != ""
    assert spends() == [-1]
    assert funds(org) == Funds(available=10, held=0)


def test_a_still_picture_in_silence_is_empty_and_costs_nothing(org: Organization, still: Path):
    project = run(make_project(org, status="QUEUED", source=still, duration=6.0))
    assert (project.status, project.error_code) == ("EMPTY", "")
    assert project.moments.count() == 0
    assert spends() == []
    assert funds(org) == Funds(available=11, held=0)


def test_a_file_that_breaks_off_fails_as_truncated_and_costs_nothing(
    org: Organization, cut_off: Path
):
    project = run(make_project(org, status="QUEUED", source=cut_off, duration=30.0))
    assert (project.status, project.error_code) == ("FAILED", "truncated")
    assert "seconds" in project.error_message
    assert (project.moments.count(), spends()) == (0, [])
    assert funds(org) == Funds(available=11, held=0)


def test_a_file_that_is_gone_fails_as_missing_and_costs_nothing(org: Organization):
    project = run(make_project(org, status="QUEUED"))
    assert (project.status, project.error_code) == ("FAILED", "source_missing")
    assert funds(org) == Funds(available=11, held=0)


def test_a_lowered_tier_does_not_fail_what_was_accepted(org: Organization, still: Path):
    make_tier_limits(max_source_seconds=1)
    project = run(make_project(org, status="QUEUED", source=still, duration=6.0))
    assert project.status == "EMPTY"


def test_a_job_of_another_fence_does_nothing(org: Organization, still: Path):
    project = make_project(org, status="QUEUED", source=still)
    with nothing_changes():
        app.tasks["projects.analyse"](project_id=str(project.pk), fence=7)
        app.tasks["projects.analyse"](project_id=str(uuid.uuid4()), fence=0)


def test_a_retry_after_a_failure_is_charged_once(org: Organization, talk: Path):

    project = run(make_project(org, status="QUEUED", duration=30.0))
    assert project.status == "FAILED"
    storage_path = storage.path_of(project.source_key)
    storage_path.parent.mkdir(parents=True)
    storage_path.write_bytes(talk.read_bytes())
    project = run(job_services.retry_job(job=project, actor="test"))
    assert (project.status, project.attempts, spends()) == ("READY", 1, [-1])
    assert project.moments.count() == 1


def test_poster_and_strip_are_beside_the_source(org: Organization, talk: Path):
    project = run(make_project(org, status="QUEUED", source=talk, duration=30.0))
    folder = storage.path_of(project.source_key).parent
    assert sorted(path.name for path in folder.iterdir()) == [
        "source",
        "source.poster.jpg",
        "source.poster.webp",
        "source.strip.jpg",
        "source.strip.vtt",
    ]
    assert (folder / "source").read_bytes() == talk.read_bytes()
    assert (folder / "source.strip.vtt").read_text().count("-->") == 30
    assert len(stored_files()) == 5


def test_one_that_was_deleted_meanwhile_leaves_no_pictures(
    org: Organization, still: Path, monkeypatch: pytest.MonkeyPatch
):
    project = make_project(org, status="QUEUED", source=still, duration=6.0)

    def analyse_and_delete(*args: Any, **kwargs: Any) -> Analysis:
        analysis = analyse(*args, **kwargs)
        storage.delete(project.source_key)
        Project.objects.filter(pk=project.pk).delete()
        return analysis

    monkeypatch.setattr(analysing, "analyse", analyse_and_delete)
    app.tasks["projects.analyse"](project_id=str(project.pk), fence=project.fence)
    assert stored_files() == []


def test_without_room_for_pictures_it_is_analysed_all_the_same(
    org: Organization, still: Path, monkeypatch: pytest.MonkeyPatch
):
    def no_room(*args: object, **named: object) -> None:
        raise StorageFull("no room", retry_after=300)

    project = make_project(org, status="QUEUED", source=still, duration=6.0)
    monkeypatch.setattr(storage, "publish", no_room)
    assert run(project).status == "EMPTY"
    monkeypatch.setattr(storage, "workspace", no_room)
    again = make_project(org, status="QUEUED", source=still, duration=6.0)
    assert run(again).status == "EMPTY"


def test_features_are_kept_of_which_the_same_is_chosen_again(org: Organization, talk: Path):
    project = run(make_project(org, status="QUEUED", source=talk, duration=30.0))
    row = ProjectFeatures.objects.get(project=project)
    assert (row.org, row.format) == (org, 1)
    assert 500 < len(row.content) < 5000
    moment = project.moments.get()
    (again,) = project_moments.choose_again(project=project, wishes={}).moments
    assert (again.start, again.end, again.score) == (moment.start, moment.end, moment.score)


def test_features_of_a_video_without_moments_are_kept_too(org: Organization, still: Path):
    project = run(make_project(org, status="QUEUED", source=still, duration=6.0))
    assert ProjectFeatures.objects.filter(project=project).exists()


def test_what_was_wished_for_is_chosen(org: Organization, talk: Path):
    wishes = {"max_seconds": 8.0, "min_seconds": 3.0, "count": 1, "range": [10.0, 30.0]}
    project = make_project(org, status="QUEUED", source=talk, duration=30.0, wishes=wishes)
    moment = run(project).moments.get()
    assert 10 <= moment.start < moment.end
    assert moment.duration <= 8


def test_one_with_nothing_that_was_wished_for_is_ready_charged_and_can_be_chosen_from(
    org: Organization, talk: Path
):
    """Else an analysis would be free for whoever wishes for what is not there, and then chooses again."""
    project = run(
        make_project(org, status="QUEUED", source=talk, duration=30.0, wishes={"kinds": ["music"]})
    )
    assert (project.status, project.moments.count(), spends()) == ("READY", 0, [-1])
    assert len(project_moments.choose_again(project=project, wishes={}).moments) == 1


# --- what happens meanwhile -----------------------------------------------------------


def test_a_cancel_stops_the_child_and_gives_the_credits_back(
    org: Organization, talk: Path, monkeypatch: pytest.MonkeyPatch
):
    project = make_project(org, status="QUEUED", source=talk, duration=30.0)
    children = on_first_sign_of_life(monkeypatch, lambda: lifecycle.cancel(project, actor="client"))
    run(project)
    assert (project.status, project.fence) == ("CANCELLED", 2)
    assert len(children) == 1
    assert not is_alive(children[0])
    assert (project.moments.count(), spends(), jobs_of(project)) == (0, [], [0])
    assert funds(org) == Funds(available=11, held=0)


@pytest.mark.usefixtures("running_worker")
def test_a_worker_that_has_to_stop_hands_the_project_back(
    org: Organization, talk: Path, monkeypatch: pytest.MonkeyPatch
):
    project = make_project(org, status="QUEUED", source=talk, duration=30.0)
    children = on_first_sign_of_life(monkeypatch, stopping.set)
    run(project)
    assert (project.status, project.fence, project.attempts) == ("QUEUED", 2, 0)
    assert not is_alive(children[0])
    assert jobs_of(project) == [0, 2]
    assert funds(org) == Funds(available=10, held=1)

    monkeypatch.undo()
    stopping.clear()
    assert run(project).status == "READY"
    assert spends() == [-1]


def test_a_worker_that_lost_its_lease_changes_nothing(
    org: Organization, talk: Path, monkeypatch: pytest.MonkeyPatch
):
    project = make_project(org, status="QUEUED", source=talk, duration=30.0)

    def take_away() -> None:
        lapse_lease(project)
        assert sweeping.sweep(Project) == (1, 0)

    children = on_first_sign_of_life(monkeypatch, take_away)
    run(project)
    assert not is_alive(children[0])
    assert (project.status, project.fence, jobs_of(project)) == ("QUEUED", 2, [0, 2])
    assert funds(org) == Funds(available=10, held=1)


def test_stage_and_progress_reach_the_row_while_it_runs(
    org: Organization, talk: Path, monkeypatch: pytest.MonkeyPatch
):
    project = make_project(org, status="QUEUED", source=talk, duration=30.0)
    monkeypatch.setattr(Heartbeat, "PROGRESS_SECONDS", 0.0)
    seen: list[tuple[str, float]] = []
    original = Heartbeat.note

    def note(heartbeat: Heartbeat, stage: str, progress: float) -> None:
        # Asked at once: a stage may be over before the next time the heartbeat would be asked.
        original(heartbeat, stage, progress)
        heartbeat.must_stop()
        seen.append(Project.objects.values_list("stage", "progress").get(pk=project.pk))

    monkeypatch.setattr(Heartbeat, "note", note)
    run(project)
    stages = list(dict.fromkeys(stage for stage, _ in seen))
    assert stages == ["probing", "decoding", "poster", "listening", "scoring"]
    decoded = [share for stage, share in seen if stage == "decoding"]
    assert decoded == sorted(decoded)
    assert all(0 <= share <= 1 for share in decoded)
    assert project.status == "READY"


def test_a_hold_that_lapsed_meanwhile_fails_the_project_without_moments(
    org: Organization, talk: Path, monkeypatch: pytest.MonkeyPatch
):
    project = make_project(org, status="QUEUED", source=talk, duration=30.0)
    assert project.hold_id is not None
    hold_id = project.hold_id
    on_first_sign_of_life(
        monkeypatch, lambda: credit_services.release(hold_id=hold_id, actor="staff")
    )
    run(project)
    assert (project.status, project.error_code) == ("FAILED", "hold_lapsed")
    assert (project.moments.count(), spends()) == (0, [])
    assert funds(org) == Funds(available=11, held=0)


# --- our own faults -------------------------------------------------------------------


def test_an_unforeseen_exception_fails_the_project_and_costs_nothing(
    org: Organization, still: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
):
    def broken(*args: object, **kwargs: object) -> Analysis:
        raise ZeroDivisionError("a bug of ours")

    monkeypatch.setattr(analysing, "analyse", broken)
    project = run(make_project(org, status="QUEUED", source=still))
    assert (project.status, project.error_code) == ("FAILED", "internal_error")
    assert "bug" not in project.error_message
    assert "a bug of ours" in caplog.text
    assert funds(org) == Funds(available=11, held=0)


def test_moments_that_the_database_refuses_fail_the_project_at_once(
    org: Organization, still: Path, monkeypatch: pytest.MonkeyPatch
):
    """No use in trying three workers: the next analysis would find the same."""
    source = SourceInfo("mp4", 6.0, 1, 640, 360, 20.0, "h264", None)

    def nonsense(*args: object, **kwargs: object) -> Analysis:
        return Analysis(source, [ScoredMoment(start=5, end=4, score=50)], "test")

    monkeypatch.setattr(analysing, "analyse", nonsense)
    project = run(make_project(org, status="QUEUED", source=still))
    assert (project.status, project.error_code) == ("FAILED", "internal_error")
    assert (Moment.objects.count(), spends()) == (0, [])
    assert funds(org) == Funds(available=11, held=0)


@pytest.mark.django_db(transaction=True)
def test_a_database_that_goes_away_at_the_end_leaves_the_project_to_the_sweeper(
    still: Path, monkeypatch: pytest.MonkeyPatch
):
    make_tier_limits()
    project = make_project(make_organization(credits_=10), status="QUEUED", source=still)

    def analyse_and_lose_the_database(*args: Any, **kwargs: Any) -> Analysis:
        analysis = analyse(*args, **kwargs)
        end_the_connection()
        return analysis

    monkeypatch.setattr(analysing, "analyse", analyse_and_lose_the_database)
    with pytest.raises(OperationalError):
        run(project)
    connection.close()
    project.refresh_from_db()
    assert (project.status, project.fence) == ("ANALYZING", 1)
    lapse_lease(project)
    app.tasks["projects.sweep"](timestamp=0)
    monkeypatch.undo()
    project.refresh_from_db()
    assert run(project).status == "EMPTY"
    assert funds(project.org) == Funds(available=11, held=0)


@pytest.mark.parametrize("fault", [OperationalError("gone"), MemoryError(), ValueError("a bug")])
def test_a_job_that_failed_comes_again_whatever_the_fault_and_is_given_up_at_the_eighth(
    fault: Exception,
):
    strategy = app.tasks["projects.analyse"].retry_strategy
    assert strategy is not None

    def comes_again(earlier: int) -> bool:
        job: Any = type("Job", (), {"attempts": earlier})()
        return strategy.get_retry_decision(exception=fault, job=job) is not None

    assert [comes_again(earlier) for earlier in (0, 6, 7, 100)] == [True, True, False, False]

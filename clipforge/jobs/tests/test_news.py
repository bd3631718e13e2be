"""News of jobs, for requests that wait: after the commit, once, and not for every beat."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.db import transaction

from clipforge.common.cache.redis import connect
from clipforge.devtools.testing.factories import make_export, make_project
from clipforge.jobs import caching, lifecycle
from clipforge.jobs import services as job_services
from clipforge.jobs.models import Job
from exports.services import delete_export
from projects.models import Project
from projects.services import delete_project, rename_project

pytestmark = pytest.mark.django_db(transaction=True)

ACTOR = "system:test"


MARK = "jobs:news:mark"


class Heard:
    def __init__(self) -> None:
        self._redis = connect(settings.CACHES["default"]["LOCATION"])
        self._listener = self._redis.pubsub()
        self._listener.psubscribe("jobs:news:*")

    def __call__(self) -> list[str]:
        """The channels that had news since it was last asked."""
        self._redis.publish(MARK, "")
        told: list[str] = []
        while MARK not in told:
            message = self._listener.get_message(timeout=60)
            if message is not None and message["type"] == "pmessage":
                told.append(message["channel"].decode())
        return told[:-1]

    def close(self) -> None:
        self._listener.close()
        self._redis.close()


@pytest.fixture
def heard() -> Iterator[Heard]:
    heard = Heard()
    yield heard
    heard.close()


def channel(job: Job) -> str:
    return caching.channel_of(type(job), job.pk)


CHANGES: dict[str, tuple[str, Callable[[Any], object]]] = {
    "renamed": ("READY", lambda job: rename_project(project=job, title="Another")),
    "cancelled": ("ANALYZING", lambda job: job_services.cancel_job(job=job, actor=ACTOR)),
    "retried": ("FAILED", lambda job: job_services.retry_job(job=job, actor=ACTOR)),
    "claimed": ("QUEUED", lambda job: lifecycle.claim(Project, job.pk, fence=job.fence)),
    "at work": ("ANALYZING", lambda job: lifecycle.beat(job, stage="scenes", progress=0.5)),
    "handed back": ("ANALYZING", lambda job: lifecycle.hand_back(job)),
    "failed": ("ANALYZING", lambda job: lifecycle.fail(job, error=("x", "X."), actor=ACTOR)),
    "done": ("ANALYZING", lambda job: lifecycle.succeed(job, status="READY", actor=ACTOR)),
    "deleted": ("READY", lambda job: delete_project(project=job, actor=ACTOR)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_told_once_after_its_commit(organization: Any, heard: Heard, change: str):
    status, make_it = CHANGES[change]
    project = make_project(organization, status=status)
    news = [channel(project)]
    heard()
    with transaction.atomic():
        make_it(project)
        assert heard() == []
    assert heard() == news


def test_what_is_rolled_back_is_no_news(organization: Any, heard: Heard):
    project = make_project(organization)
    heard()
    with transaction.atomic():
        rename_project(project=project, title="Never")
        transaction.set_rollback(True)
    assert heard() == []


def test_a_new_stage_is_news_and_progress_is_not(organization: Any, heard: Heard):
    project = make_project(organization, status="ANALYZING")
    heard()
    for stage, progress in (("scenes", 0.1), ("scenes", 0.2), ("listening", 0.3), ("listening", 1)):
        assert lifecycle.beat(project, stage=stage, progress=progress)
    assert heard() == [channel(project)] * 2


def test_an_export_that_is_deleted_is_news_of_it(organization: Any, heard: Heard):
    export = make_export(make_project(organization))
    news = [channel(export)]
    heard()
    delete_export(export=export, actor=ACTOR)
    assert heard() == news

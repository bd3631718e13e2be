"""Moments that are exported, pinned, rated and deleted at the moment when they are chosen again."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.db import transaction

from clipforge.common.errors import NotFound
from clipforge.devtools.testing.factories import make_moment, make_organization, make_project
from clipforge.devtools.testing.races import run_together, until_a_lock_is_waited_for
from clipforge.devtools.testing.state import Funds, funds
from clipforge.media import Chosen
from clipforge.orgs.models import Organization
from exports import services
from exports.models import Export
from projects import moments, selectors
from projects.models import Moment, Project
from projects.services import delete_project

pytestmark = pytest.mark.django_db(transaction=True)

NOTHING = Chosen([], "")


def one_behind_the_other(first: Callable[[], object], second: Callable[[], object]) -> list[object]:
    """The results of both, or what each raised.

    The second begins before the first commits, which waits for that.
    """
    written = threading.Event()

    def begin() -> object:
        with transaction.atomic():
            answer = first()
            written.set()
            until_a_lock_is_waited_for()
        return answer

    def follow() -> object:
        assert written.wait(30)
        with transaction.atomic():
            return second()

    return run_together(2, lambda number: (begin, follow)[number]())


@pytest.fixture
def org() -> Organization:
    return make_organization(credits_=10)


@pytest.fixture
def project(org: Organization) -> Project:
    return make_project(org, duration=120.0)


def choose(project: Project) -> list[Moment]:
    locked = selectors.get_project(project.org, project.pk, lock=True)
    return moments.replace_moments(project=locked, chosen=NOTHING)


def export(moment: Moment) -> Export:
    found = selectors.get_moment(moment.org, moment.pk, lock=True)
    return services.start_export(
        project=found.project,
        moment=found,
        start=found.start,
        end=found.end,
        aspect="1:1",
        resolution=480,
        actor="client",
    )


def test_an_export_of_a_moment_that_is_replaced_meanwhile_is_not_found(project: Project):
    moment = make_moment(project)
    replaced, exported = one_behind_the_other(lambda: choose(project), lambda: export(moment))
    assert (replaced, type(exported)) == ([], NotFound)
    assert funds(project.org) == Funds(available=10, held=0)


def test_an_export_of_a_moment_that_is_deleted_meanwhile_is_not_found(project: Project):
    moment = make_moment(project)
    deleted, exported = one_behind_the_other(
        lambda: moments.delete_moment(moment=moment), lambda: export(moment)
    )
    assert (deleted, type(exported)) == (None, NotFound)
    assert funds(project.org) == Funds(available=10, held=0)


def test_a_moment_that_is_exported_meanwhile_is_deleted_and_the_export_stays(project: Project):
    moment = make_moment(project)
    _, deleted = one_behind_the_other(
        lambda: export(moment), lambda: moments.delete_moment(moment=moment)
    )
    assert deleted is None
    left = Export.objects.get()
    assert (left.status, left.moment) == ("QUEUED", None)


def test_a_moment_that_is_pinned_meanwhile_stays(project: Project):
    moment = make_moment(project)
    _, replaced = one_behind_the_other(
        lambda: moments.change_moment(moment=moment, placed=None, changes={"pinned": True}),
        lambda: choose(project),
    )
    assert replaced == []
    assert list(Moment.objects.values_list("pk", "pinned")) == [(moment.pk, True)]


def test_a_moment_that_is_rated_while_its_project_is_deleted_causes_no_deadlock(project: Project):
    """The rating refers to the project; it must not have the moment and wait for the project."""
    moment = make_moment(project)

    written = threading.Event()

    def rate() -> None:
        with transaction.atomic():
            moments.change_moment(moment=moment, placed=None, changes={"pinned": True})
            written.set()
            until_a_lock_is_waited_for()
            moments.change_moment(moment=moment, placed=None, changes={"rating": "up"})

    def delete() -> None:
        assert written.wait(30)
        delete_project(project=project, actor="client")

    assert run_together(2, lambda number: (rate, delete)[number]()) == [None, None]
    assert not Project.objects.exists()

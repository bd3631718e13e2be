"""Prepared queries read what Django's would."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction
from django.db.transaction import TransactionManagementError
from django.forms.models import model_to_dict

from clipforge.common.errors import NotFound
from clipforge.common.prepared import Prepared
from clipforge.devtools.testing.factories import make_export, make_moment, make_project
from clipforge.devtools.testing.queries import statements
from clipforge.devtools.testing.races import run_together
from exports import selectors as export_selectors
from projects import selectors
from projects.models import Project

pytestmark = pytest.mark.django_db(transaction=True)


def test_it_reads_the_row_that_the_ids_name_with_what_belongs_to_it():
    projects = [
        make_project(metadata={"n": str(n)}, warnings=[{"code": "x", "message": "X."}])
        for n in range(3)
    ]
    exports = [make_export(project, status="QUEUED") for project in projects]
    titles = {project.pk: project.title for project in projects}
    for export in (*exports, *reversed(exports)):
        with statements() as said:
            found = export_selectors.get_export(export.org, export.pk)
            assert found.project.title == titles[export.project_id]
        assert said == ["SELECT exports_export"]
        (wanted,) = export_selectors.exports(export.org).filter(pk=export.pk)
        assert (model_to_dict(found), found.reserved) == (model_to_dict(wanted), wanted.reserved)
        assert found._state.db == "default"
        assert not found._state.adding
        assert found.get_deferred_fields() == {"failure_detail"}


def test_of_another_organization_nothing_is_found():
    project, other = make_project(), make_project()
    moment = make_moment(project)
    reads: list[Callable[[], Any]] = [
        lambda: selectors.get_project(other.org, project.pk),
        lambda: selectors.get_project(project.org, other.pk),
        lambda: selectors.get_moment(other.org, moment.pk),
        lambda: export_selectors.get_export(other.org, make_export(project).pk),
    ]
    for read in reads:
        with pytest.raises(NotFound):
            read()
    assert selectors.get_moment(project.org, moment.pk).project.org == project.org


def test_one_that_locks_wants_a_transaction_each_time():
    project = make_project()
    for _ in range(2):
        with pytest.raises(TransactionManagementError):
            selectors.get_project(project.org, project.pk, lock=True)
        with transaction.atomic(), statements() as said:
            assert selectors.get_project(project.org, project.pk, lock=True) == project
        assert said == ["SELECT projects_project"]


def test_an_id_that_decides_about_anything_else_is_refused():
    prepared = Prepared(lambda _pk: Project.objects.all())
    with pytest.raises(ValueError, match="not in the conditions"):
        prepared.rows(uuid.uuid4())


def test_threads_that_read_at_once_each_get_their_own():
    projects = [make_project() for _ in range(8)]
    prepared = Prepared(lambda pk: Project.objects.filter(pk=pk))

    def read(project: Project) -> bool:
        return all(prepared.first(project.pk) == project for _ in range(20))

    assert run_together(8, lambda number: read(projects[number])) == [True] * 8

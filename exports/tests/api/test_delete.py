"""DELETE /exports/{id}"""

from __future__ import annotations

import uuid

import pytest
from rest_framework.test import APIClient

from clipforge.devtools.testing.api import assert_not_told_apart, assert_problem
from clipforge.devtools.testing.factories import make_export, make_project
from clipforge.devtools.testing.races import run_together
from clipforge.devtools.testing.state import funds, nothing_changes, stored_files
from clipforge.orgs.models import Organization
from credits.models import HoldStatus
from exports.models import Export

pytestmark = pytest.mark.django_db(transaction=True)


def url(export_id: object) -> str:
    return f"/api/v1/exports/{export_id}"


def test_a_finished_export_goes_with_its_file_and_stays_charged(
    api: APIClient, organization: Organization
):
    export = make_export(make_project(organization), content=b"clip")
    before, files = funds(organization), stored_files()
    response = api.delete(url(export.pk))
    assert (response.status_code, response.content) == (204, b"")
    assert not Export.objects.filter(pk=export.pk).exists()
    assert (len(files), len(stored_files())) == (1, 0)
    assert funds(organization) == before
    assert_problem(api.get(url(export.pk)), 404, "not_found")


@pytest.mark.parametrize("status", ["QUEUED", "RENDERING"])
def test_one_that_is_not_finished_is_cancelled_and_its_credits_come_back(
    api: APIClient, organization: Organization, status: str
):
    export = make_export(make_project(organization), status=status)
    hold = export.hold
    assert (hold is not None, funds(organization).held > 0) == (True, True)
    assert api.delete(url(export.pk)).status_code == 204
    assert hold is not None
    hold.refresh_from_db()
    assert (hold.status, funds(organization).held) == (HoldStatus.RELEASED, 0)


@pytest.mark.parametrize("status", ["FAILED", "CANCELLED", "EXPIRED"])
def test_one_without_a_file_goes_too(api: APIClient, organization: Organization, status: str):
    export = make_export(make_project(organization), status=status)
    assert api.delete(url(export.pk)).status_code == 204
    assert_problem(api.delete(url(export.pk)), 404, "not_found")


def test_it_is_deleted_once(api: APIClient, organization: Organization):
    export = make_export(make_project(organization), status="QUEUED")
    answers = run_together(6, lambda _: api.delete(url(export.pk)).status_code)
    assert sorted(map(str, answers)) == ["204", *["404"] * 5]


def test_another_organizations_export_is_not_told_from_none(api: APIClient):
    export = make_export(make_project())
    with nothing_changes():
        assert_not_told_apart(lambda pk: api.delete(url(pk)), export.pk)


def test_it_needs_a_key(anonymous: APIClient):
    assert_problem(anonymous.delete(url(uuid.uuid4())), 401, "not_authenticated")

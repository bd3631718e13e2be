"""Versions of the API, by date: an old one keeps its shape, and says when it ends."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from rest_framework.test import APIClient

from clipforge.common import versions
from clipforge.common.api.versions import as_of
from clipforge.devtools.testing.api import assert_problem
from clipforge.devtools.testing.factories import make_export, make_grant, make_project
from clipforge.devtools.testing.queries import round_trips, statements
from clipforge.orgs.models import Organization
from exports.models import Export

pytestmark = pytest.mark.django_db(transaction=True)

OLD, NEW = "2026-11-25", "2026-11-30"


def made_on(organization: Organization, day: str) -> None:
    at = datetime.datetime.fromisoformat(f"{day}T00:00:00+00:00")
    Organization.objects.filter(pk=organization.pk).update(created_at=at)


def of(version: str) -> dict[str, str]:
    return {"ClipForge-Version": version}


def test_an_organization_has_the_version_of_its_first_day_unless_it_asks_for_another(
    api: APIClient, organization: Organization
):
    url = f"/api/v1/projects/{make_project(organization).pk}"
    for day, asked, version, stage in [
        ("2026-11-30", {}, NEW, None),
        ("2026-11-29", {}, OLD, ""),
        ("2026-01-01", {}, OLD, ""),  # before there was one
        ("2026-11-29", of(NEW), NEW, None),
        ("2027-01-01", {}, NEW, None),
        ("2027-01-01", of(OLD), OLD, ""),
    ]:
        made_on(organization, day)
        for path in (url, "/api/v1/projects"):
            answer = api.get(path, headers=asked)
            shown = answer.json().get("results", [answer.json()])[0]
            assert (answer["ClipForge-Version"], shown["stage"]) == (version, stage), (day, asked)


def test_every_absent_text_is_empty_in_the_old_version_and_all_else_is_the_same(
    api: APIClient, organization: Organization
):
    make_grant(organization, 5)
    project = make_project(organization)
    paths = [f"projects/{project.pk}", f"exports/{make_export(project).pk}", "credits/transactions"]
    for path in paths:
        new = api.get(f"/api/v1/{path}", headers=of(NEW)).json()
        old = api.get(f"/api/v1/{path}", headers=of(OLD)).json()
        assert old != new
        restored = repr(old).replace("''", "None")
        assert restored == repr(new).replace("''", "None")


@pytest.mark.parametrize("asked", ["2026-11-26", "1", "latest", "2026-11-30, 2026-11-25"])
def test_a_version_that_there_is_not_is_400_and_nothing_is_done(
    api: APIClient, organization: Organization, asked: str
):
    make_grant(organization, 5)
    body = {"project": str(make_project(organization).pk), "start": 0, "end": 10}
    answer = api.post("/api/v1/exports", body, headers=of(asked))
    assert_problem(answer, 400, "unknown_version")
    assert OLD in answer.json()["detail"]
    assert NEW in answer.json()["detail"]
    assert Export.objects.count() == 0


def test_an_old_version_says_since_when_it_is_deprecated_and_when_it_ends(api: APIClient):
    old, new = (api.get("/api/v1/me", headers=of(version)) for version in (OLD, NEW))
    assert old["Deprecation"] == "@1795996800"  # 30 November 2026
    assert old["Sunset"] == "Tue, 30 Nov 2027 00:00:00 GMT"
    assert old["Link"] == '</api/v1/docs>; rel="deprecation"; type="text/html"'
    assert not {"Deprecation", "Sunset", "Link"} & set(new.headers)


def test_each_version_has_etags_of_its_own_and_its_304_costs_no_sql(
    api: APIClient, organization: Organization
):
    url = f"/api/v1/projects/{make_project(organization, title='T' * 200).pk}"
    for accepts in ("", "gzip"):
        tags = {}
        for version in (OLD, NEW):
            asked = {**of(version), "Accept-Encoding": accepts}
            tags[version] = api.get(url, headers=asked)["ETag"]
            tag = {"If-None-Match": tags[version]}
            assert api.get(url, headers={**asked, **tag}).status_code == 304
            with statements(access=True) as said, round_trips() as trips:
                again = api.get(url, headers={**asked, **tag})
            assert (again.status_code, again["ETag"], said) == (304, tags[version], [])
            assert trips == ["EVALSHA orgs:key"]
        for version, other in ((NEW, OLD), (OLD, NEW)):
            asked = {**of(version), "If-None-Match": tags[other]}
            assert api.get(url, headers=asked).status_code == 200
        both = {**of(OLD), "If-None-Match": f'"x", W/{tags[OLD]}'}
        assert api.get(url, headers=both).status_code == 304
    assert api.get(url, headers={**of(OLD), "If-None-Match": "*"}).status_code == 304


def test_what_is_repeated_comes_in_the_version_that_is_asked_for(
    api: APIClient, organization: Organization
):
    make_grant(organization, 5)
    body = {"project": str(make_project(organization).pk), "start": 0, "end": 10}
    shown = [
        api.post("/api/v1/exports", body, headers={"Idempotency-Key": "one", **of(version)}).json()
        for version in (OLD, NEW, OLD)
    ]
    assert [each["stage"] for each in shown] == ["", None, ""]
    assert len({each["id"] for each in shown}) == 1


def test_who_comes_without_a_key_has_the_newest_or_asks(client: Any):
    assert client.get("/api/v1/pricing")["ClipForge-Version"] == NEW
    assert client.get("/api/v1/pricing", headers=of(OLD))["ClipForge-Version"] == OLD


def test_versions_are_dates_in_their_order_and_the_newest_is_documented():
    names = [each.name for each in versions.VERSIONS]
    assert names == sorted(names)
    assert len(set(names)) == len(names)
    assert versions.NEWEST.name == NEW
    assert all(each.changes for each in versions.VERSIONS)
    page = Path(settings.BASE_DIR, "clipforge/docs/api.md").read_text()
    for each in versions.VERSIONS:
        assert f"| `{each.name}` | {each.changes} |" in page


def test_what_the_customer_wrote_is_not_changed(api: APIClient, organization: Organization):
    document = b'{"metadata":{"stage":null},"stage":null,"results":[{"sha256":null,"width":null}]}'
    written = as_of(versions.VERSIONS[0], document)
    assert (
        written == b'{"metadata":{"stage":null},"stage":"","results":[{"sha256":"","width":null}]}'
    )

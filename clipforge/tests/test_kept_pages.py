"""Pages of lists that are kept: as they would be made anew, to the byte, and never older than a commit."""

from __future__ import annotations

import datetime
import gzip
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from rest_framework.test import APIClient

from clipforge.common.cache import kept_pages
from clipforge.common.cache.backend import default_cache
from clipforge.common.cache.kept_pages import Loaded, Page
from clipforge.common.cache.log import families_of
from clipforge.common.cache.metrics import metrics
from clipforge.common.cache.versioned_cache import BORN_KEY
from clipforge.devtools.testing.api import assert_problem
from clipforge.devtools.testing.factories import (
    make_client,
    make_export,
    make_moment,
    make_organization,
    make_project,
)
from clipforge.devtools.testing.queries import round_trips, statements
from clipforge.jobs.caching import list_family
from clipforge.media import Chosen, ScoredMoment
from clipforge.orgs.models import Organization
from exports.models import Export
from projects import moments
from projects.caching import moments_family
from projects.moments import change_moment, delete_moment, replace_moments
from projects.services import delete_project

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("steady_links")]

ADMITTED = "EVALSHA orgs:key"
LISTS = ["/api/v1/projects", "/api/v1/exports", "/api/v1/projects/{}/moments"]


def costs_nothing(api: APIClient, url: str, **headers: str) -> Any:
    """The answer, which costs no SQL."""
    with statements(access=True, control=True) as said, round_trips() as trips:
        answer = api.get(url, headers=headers)
    assert (answer.status_code, said, trips) == (200, [], [ADMITTED]), url
    return answer


def a_world(organization: Organization) -> Any:
    """A project of ten moments and ten exports."""
    project = make_project(organization)
    for _ in range(10):
        make_export(project, moment=make_moment(project))
    return project


# --- the same answer ----------------------------------------------------------------------


@pytest.mark.parametrize("path", LISTS)
def test_a_kept_page_is_the_answer_that_was_given_with_all_its_headers(
    api: APIClient, organization: Organization, path: str
):
    url = path.format(a_world(organization).pk)
    for encoding in ("", "gzip", "br;q=1, gzip;q=0", "*"):
        asked = {"Accept-Encoding": encoding}
        default_cache().redis.flushdb()
        default_cache().redis.set(BORN_KEY, 0)
        api.get("/api/v1/me")  # the key is cached, and no page
        first, again = api.get(url, headers=asked), costs_nothing(api, url, **asked)
        volatile = ("X-Request-ID", "RateLimit")
        headers = [
            {name: value for name, value in each.items() if name not in volatile}
            for each in (first, again)
        ]
        assert headers[0] == headers[1]
        assert again.content == first.content
        is_packed = encoding in {"gzip", "*"} and path != LISTS[0]  # a project is short
        assert (again.get("Content-Encoding") == "gzip") is is_packed
        held = api.get(url, headers={**asked, "If-None-Match": again["ETag"]})
        assert (held.status_code, held["ETag"]) == (304, again["ETag"])


def test_a_client_of_an_old_version_is_shown_its_shape_of_a_kept_page(
    api: APIClient, organization: Organization
):
    project = make_project(organization)
    exports = [make_export(project, status="FAILED") for _ in range(2)]
    url = "/api/v1/exports"
    assert api.get(url).json()["results"][0]["sha256"] is None
    for encoding in ("gzip", ""):
        asked = {"ClipForge-Version": "2026-11-25", "Accept-Encoding": encoding}
        old = costs_nothing(api, url, **asked)
        body = gzip.decompress(old.content) if encoding else old.content
        assert b'"sha256":""' in body
        assert all(str(export.pk).encode() in body for export in exports)
        assert old["ETag"].endswith('.2026-11-25"')


def test_host_query_and_media_type_make_other_pages(api: APIClient, organization: Organization):
    project = make_project(organization)
    make_export(project)
    make_export(project, status="FAILED")
    for host in ("localhost", "127.0.0.1"):
        for _ in range(2):
            shown = api.get("/api/v1/exports", headers={"Host": host}).json()["results"]
            assert len(shown) == 2
            assert any(str(e["download_url"]).startswith(f"http://{host}/") for e in shown)
    for query, count in {"": 2, "?status=FAILED": 1, "?page_size=1": 1, "?q=nothing": 0}.items():
        for _ in range(2):
            assert len(api.get(f"/api/v1/exports{query}").json()["results"]) == count
    for _ in range(2):
        indented = api.get("/api/v1/exports", headers={"Accept": "application/json; indent=4"})
        assert indented.content.startswith(b'{\n    "results"')
        assert_problem(api.get("/api/v1/exports?nope=1"), 422, "unknown_parameter")


def test_a_page_further_down_is_kept_only_for_who_polls_it(
    api: APIClient, organization: Organization
):
    for _ in range(2):
        make_project(organization)
    url = api.get("/api/v1/projects?page_size=1").json()["next"]
    for _ in range(2):
        with statements() as said:
            first = api.get(url)
        assert said == ["SELECT projects_project"]
    for _ in range(2):
        again = api.get(url, headers={"If-None-Match": '"other"'})
    assert again.content == first.content
    with statements(access=True) as said:
        assert api.get(url, headers={"If-None-Match": first["ETag"]}).status_code == 304
    assert said == []


def test_of_a_page_of_more_than_is_kept_only_the_etag_is(
    api: APIClient, organization: Organization, monkeypatch: pytest.MonkeyPatch
):
    url = f"/api/v1/projects/{a_world(organization).pk}/moments"
    monkeypatch.setattr(kept_pages, "MOST_BYTES", 300)
    first = api.get(url)
    with statements() as said:
        again = api.get(url)
    assert (again.content, len(said)) == (first.content, 2)
    with statements(access=True) as said:
        assert api.get(url, headers={"If-None-Match": first["ETag"]}).status_code == 304
    assert said == []


# --- another organization's -----------------------------------------------------------------


@pytest.mark.parametrize("path", LISTS)
def test_another_organization_is_shown_nothing_of_a_kept_page(
    api: APIClient, organization: Organization, path: str
):
    project = a_world(organization)
    url = path.format(project.pk)
    etag = api.get(url)["ETag"]
    assert len(costs_nothing(api, url).json()["results"]) in {1, 10}
    stranger = make_client(make_organization())
    for offered in ("", etag, "*"):
        for _ in range(2):
            answer = stranger.get(url, headers={"If-None-Match": offered} if offered else {})
            if "moments" in path:
                assert_problem(answer, 404, "not_found")
            elif offered == "*":
                assert answer.status_code == 304  # of its own, which is empty
            else:
                assert answer.json()["results"] == []


# --- never older than a commit ---------------------------------------------------------------


def _chosen(start: float) -> Chosen:
    return Chosen([ScoredMoment(start, start + 5, 50.0, reason="Chosen.")], "test")


def _in_transaction(act: Callable[..., object], **arguments: Any) -> None:
    with transaction.atomic():
        act(**arguments)


MOMENTS: dict[str, Callable[[Any, Any], object]] = {
    "made": lambda project, _moment: _in_transaction(
        moments.make_moment, project=project, placed=_chosen(30.0), title="New"
    ),
    "renamed": lambda _project, moment: change_moment(
        moment=moment, placed=None, changes={"title": "New"}
    ),
    "moved": lambda _project, moment: change_moment(moment=moment, placed=_chosen(2.0), changes={}),
    "rated": lambda _project, moment: change_moment(
        moment=moment, placed=None, changes={"rating": "up"}
    ),
    "chosen again": lambda project, _moment: _in_transaction(
        replace_moments, project=project, chosen=_chosen(40.0)
    ),
    "deleted": lambda _project, moment: delete_moment(moment=moment),
}


@pytest.mark.parametrize("change", MOMENTS)
def test_every_change_of_moments_is_in_the_next_list(
    api: APIClient, organization: Organization, change: str
):
    project = make_project(organization)
    moment = make_moment(project)
    urls = [f"/api/v1/projects/{project.pk}/moments{rest}" for rest in ("", "?min_score=1")]
    before = {url: (api.get(url), costs_nothing(api, url))[1] for url in urls}
    MOMENTS[change](project, moment)
    for url, old in before.items():
        answer = api.get(url, headers={"If-None-Match": old["ETag"]})
        assert (answer.status_code, answer.json() != old.json()) == (200, True)
        assert costs_nothing(api, url).content == answer.content


def test_the_moments_of_a_deleted_project_are_404(api: APIClient, organization: Organization):
    project = make_project(organization)
    make_moment(project)
    url = f"/api/v1/projects/{project.pk}/moments"
    etag = (api.get(url), costs_nothing(api, url))[1]["ETag"]
    delete_project(project=project, actor="system:test")
    for headers in ({}, {"If-None-Match": etag}):
        assert_problem(api.get(url, headers=headers), 404, "not_found")


def test_exports_of_a_moment_that_is_deleted_name_none_at_once(
    api: APIClient, organization: Organization
):
    project = make_project(organization)
    moment = make_moment(project)
    exports = [make_export(project, moment=moment) for _ in range(3)]
    urls = ["/api/v1/exports", *(f"/api/v1/exports/{export.pk}" for export in exports)]
    for url in urls:
        api.get(url)
        assert str(moment.pk).encode() in costs_nothing(api, url).content
    with round_trips() as trips:
        delete_moment(moment=moment)
    # Before the commit, in one for all exports; then who waits for one of them is told.
    assert trips == ["EVAL jobs:shown", "EVALSHA projects:moments", *["PUBLISH jobs:news"] * 3]
    for url in urls:
        assert str(moment.pk).encode() not in api.get(url).content
    assert Export.objects.filter(moment=None).count() == 3


def test_exports_say_nothing_of_the_lists_of_projects(api: APIClient, organization: Organization):
    project = make_project(organization)
    for url in ("/api/v1/projects", "/api/v1/exports"):
        api.get(url)
    make_export(project)
    costs_nothing(api, "/api/v1/projects")
    assert len(api.get("/api/v1/exports").json()["results"]) == 1


# --- links ----------------------------------------------------------------------------------


def _seconds_left(organization: Organization) -> float:
    """Of the one page of exports that is kept."""
    key = f"{list_family(Export)}:{organization.pk}:pages"
    entry: Any
    ((_, entry),) = default_cache().redis.hgetall(key).items()
    now, microseconds = default_cache().redis.time()
    return int(entry.split(b" ")[2]) / 1000 - now - microseconds / 1_000_000


def test_a_page_with_a_link_ends_before_the_link_and_without_one_after_half_a_minute(
    api: APIClient, organization: Organization
):
    project = make_project(organization)
    failed = make_export(project, status="FAILED")
    api.get("/api/v1/exports")
    assert 0 < _seconds_left(organization) <= 30
    ends_at = timezone.now() + datetime.timedelta(seconds=12)
    Export.objects.filter(pk=make_export(project).pk).update(expires_at=ends_at)
    shown = api.get("/api/v1/exports").json()["results"]
    assert [each["id"] == str(failed.pk) for each in shown] == [False, True]
    assert _seconds_left(organization) <= 12


def test_a_page_of_moments_is_kept_for_two_minutes(api: APIClient, organization: Organization):
    project = make_project(organization)
    make_moment(project)
    api.get(f"/api/v1/projects/{project.pk}/moments")
    pages = f"{moments_family(project.pk)}:{organization.pk}:pages"
    left = default_cache().redis.pttl(pages)
    assert 30_000 < left <= 120_000
    # Not longer than what says whether it is good.
    assert left <= default_cache().redis.pttl(pages.removesuffix("pages") + "guard")


def test_a_page_is_not_kept_beyond_the_time_at_which_its_links_are_signed_afresh(
    api: APIClient, organization: Organization, settings: Any
):
    settings.DOWNLOAD_URL_SECONDS = 8  # anew every four seconds
    make_export(make_project(organization))
    api.get("/api/v1/exports")
    assert _seconds_left(organization) <= 4


# --- the parts ------------------------------------------------------------------------------


FAMILY = "tests:lists"
NAME = "0" * 32


def _load(body: bytes = b"{}", seconds: float = 30) -> Callable[[], Loaded]:
    return lambda: Loaded(Page('"etag"', body), seconds)


def _key() -> str:
    return f"{FAMILY}:{uuid.uuid4()}"


def _is_kept(key: str, name: str = NAME) -> bool:
    return bool(default_cache().redis.hexists(f"{key}:pages", name))


@pytest.mark.parametrize(
    ("below", "is_kept"), [(-1, True), (0, True), (1, False)], ids=["lower", "equal", "higher"]
)
def test_a_page_is_kept_unless_it_is_below_the_floor(
    below: int, is_kept: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(kept_pages, "ALL_ENDED_BELOW", "SELECT 1000")
    key = _key()

    def load() -> Loaded:
        """Meanwhile somebody changes what was read."""
        default_cache().invalidate(key, 1000 + below)
        return _load()()

    assert kept_pages.page_or_load(key, NAME, load).body == b"{}"
    assert _is_kept(key) is is_kept


def test_nothing_is_kept_inside_a_transaction_nor_for_no_time_nor_with_a_token_of_before():
    key = _key()
    with transaction.atomic():
        kept_pages.page_or_load(key, NAME, _load())
    kept_pages.page_or_load(key, NAME, _load(seconds=0))
    kept_pages.page_or_load(key, NAME, _load(), found=b"1.1")  # of a Redis that lost its memory
    assert not _is_kept(key)
    kept_pages.page_or_load(key, NAME, _load())
    assert _is_kept(key)


def test_a_redis_without_memory_keeps_nothing_at_first():
    key, redis = _key(), default_cache().redis
    redis.delete(BORN_KEY)
    for _ in range(2):
        kept_pages.page_or_load(key, NAME, _load())
        assert not _is_kept(key)
    redis.set(BORN_KEY, 0)
    kept_pages.page_or_load(key, NAME, _load())
    assert _is_kept(key)


def test_hits_misses_and_refusals_of_pages_are_counted(api: APIClient, organization: Organization):
    project = make_project(organization)
    make_moment(project)
    metrics.flush(at_once=True)
    before = families_of(metrics.totals())
    urls = ["/api/v1/projects", f"/api/v1/projects/{project.pk}/moments"]
    for url in urls:
        for _ in range(4):
            api.get(url)
    metrics.flush(at_once=True)
    after = families_of(metrics.totals())
    for family in ("jobs:lists", "projects:moments"):
        was = before.get(family, {"hits": 0, "misses": 0})
        now = after[family]
        assert (now["hits"] - was["hits"], now["misses"] - was["misses"]) == (3, 1), family

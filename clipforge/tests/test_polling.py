"""Polls: an ETag on everything that is shown, and 304 for whoever has it already."""

from __future__ import annotations

import gzip
import io
import json
import re
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from jsonschema import Draft202012Validator
from PIL import Image
from rest_framework.test import APIClient

from clipforge.common.cache import kept_pages
from clipforge.common.cache.backend import default_cache
from clipforge.devtools.testing.api import assert_problem
from clipforge.devtools.testing.factories import (
    make_api_key,
    make_client,
    make_export,
    make_grant,
    make_project,
)
from clipforge.devtools.testing.queries import round_trips, statements
from clipforge.devtools.testing.races import run_together
from clipforge.devtools.testing.tenancy import client_of, make_world
from clipforge.jobs import caching, lifecycle
from clipforge.jobs import services as job_services
from clipforge.jobs.models import Job
from clipforge.orgs.models import Organization
from exports.models import Export
from exports.services import delete_export
from exports.tasks import expire_exports
from projects.models import Project
from projects.services import delete_project, rename_project
from projects.tests.kept import keep_features

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("steady_links")]

ADMITTED = "EVALSHA orgs:key"
ACTOR = "system:test"


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("schema") / "schema.json"
    call_command("spectacular", "--format", "openapi-json", "--file", str(path))
    return json.loads(path.read_text())


def url_of(job: Job) -> str:
    return f"/api/v1/{job.REFERENCE_TYPE}s/{job.pk}"


def poll(api: APIClient, job: Job, etag: str) -> Any:
    return api.get(url_of(job), headers={"If-None-Match": etag})


def stamped(api: APIClient, job: Job) -> str:
    """The ETag of the job, once it is known to Redis."""
    etag = api.get(url_of(job))["ETag"]
    assert poll(api, job, etag).status_code == 304
    return str(etag)


def png() -> bytes:
    image = io.BytesIO()
    Image.new("RGBA", (64, 32), "white").save(image, "PNG")
    return image.getvalue()


def test_every_json_that_a_get_shows_is_as_the_schema_says_has_a_strong_etag_and_is_304_with_it(
    schema,
):
    world = make_world("Poller")
    keep_features(world.objects["project"])  # of which the curves are drawn
    api = client_of(world)
    assert api.put("/api/v1/watermark", png(), content_type="image/png").status_code == 200
    asked = 0
    for path, methods in schema["paths"].items():
        if any(
            each.get("required") and each["in"] == "query"
            for each in methods.get("get", {}).get("parameters", [])
        ):
            continue  # what is asked for has to be said: a month, words
        shown = methods.get("get", {}).get("responses", {}).get("200", {}).get("content", {})
        if "application/json" not in shown:
            continue
        url = re.sub(r"\{(\w+?)(?:_id)?\}", lambda found: str(world.objects[found[1]].pk), path)
        first = api.get(url)
        assert first.status_code == 200, (url, first.content)
        said = {**shown["application/json"]["schema"], "components": schema["components"]}
        faults = list(Draft202012Validator(said).iter_errors(first.json()))
        assert faults == [], (url, [each.message for each in faults])
        assert re.fullmatch(r'"[\w-]{24}"', first["ETag"]), url
        for method in (api.get, api.head):
            for offered in (first["ETag"], f"W/{first['ETag']}", f'"x", {first["ETag"]}', "*"):
                again = method(url, headers={"If-None-Match": offered})
                assert (again.status_code, again.content) == (304, b""), url
                assert again["ETag"] == first["ETag"]
                assert again["Cache-Control"] == first["Cache-Control"]
                assert "RateLimit" in again
                assert "Content-Type" not in again
        assert api.get(url, headers={"If-None-Match": '"other"'}).content == first.content
        asked += 1
    assert asked >= 10


def test_what_may_be_kept_is_what_a_get_shows_and_nothing_else(schema):
    """Every operation, by its owner, by nobody and by a stranger; deletions come last."""
    world, stranger = make_world("Keeper"), client_of(make_world("Stranger"))
    callers = {"owner": client_of(world), "stranger": stranger, "nobody": APIClient()}
    operations = [
        (method, path, operation)
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
        if "responses" in operation
    ]
    seen: dict[tuple[str, str], int] = {}
    for method, path, operation in sorted(operations, key=lambda each: each[0] == "delete"):
        url = re.sub(
            r"\{(\w+?)(?:_id)?\}",
            lambda found: str(getattr(world.objects.get(found[1]), "pk", "poster.jpg")),
            path,
        )
        for caller, api in callers.items():
            if caller == "owner" and method != "get" and "/webhooks" in path:
                continue  # they would be sent
            answer = getattr(api, method)(url)
            directive = answer["Cache-Control"]
            is_shown = method == "get" and answer.status_code in {200, 304}
            if not is_shown or "/uploads" in path:  # an offset must not be kept: tus 1.0, HEAD
                assert directive == "no-store", (caller, method, url, answer.status_code)
            elif operation["operationId"] == "list_prices" or "pricing" in path:
                assert directive == "public, no-cache"
            else:
                assert directive == "private, no-cache", (caller, url)
            seen[caller, directive] = seen.get((caller, directive), 0) + 1
    assert seen["owner", "private, no-cache"] >= 20
    assert not [
        caller for caller, directive in seen if "private" in directive and caller == "nobody"
    ]


@pytest.mark.parametrize("path", ["me", "credits/balance", "pricing"])
def test_a_304_of_what_front_ends_show_all_the_time_costs_no_sql(
    api: APIClient, organization: Organization, path: str
):
    etag = api.get(f"/api/v1/{path}")["ETag"]
    with statements(access=True, control=True) as said, round_trips() as asked:
        answer = api.get(f"/api/v1/{path}", headers={"If-None-Match": etag})
    assert (answer.status_code, said, asked) == (304, [], [ADMITTED])


@pytest.mark.parametrize("kind", ["projects", "exports"])
def test_a_304_of_a_list_costs_the_round_trip_that_admits_it(
    api: APIClient, organization: Organization, kind: str
):
    project = make_project(organization)
    job = project if kind == "projects" else make_export(project)
    urls = [f"/api/v1/{kind}{rest}" for rest in ("", f"?ids={job.pk}", "?status=READY&page_size=1")]
    etags = {url: listed(api, url) for url in urls}
    for url, etag in etags.items():
        for method in (api.get, api.head):
            with statements(access=True, control=True) as said, round_trips() as asked:
                answer = method(url, headers={"If-None-Match": etag})
            assert (answer.status_code, answer["ETag"]) == (304, etag)
            assert (said, asked) == ([], [ADMITTED]), url
        # Who has something else, or nothing, is shown the list.
        shown = api.get(url)
        other = api.get(url, headers={"If-None-Match": '"other"'})
        assert (other.content, other["ETag"]) == (shown.content, etag)
        assert other["Content-Type"] == shown["Content-Type"]


def listed(api: APIClient, url: str) -> str:
    """The ETag of the list, once it is known to Redis."""
    etag = api.get(url)["ETag"]
    for _ in range(2):
        assert api.get(url, headers={"If-None-Match": etag}).status_code == 304
    return str(etag)


def pages_of(organization: Organization, model: type[Job]) -> int:
    """How many pages of its lists are kept."""
    key = f"{caching.list_family(model)}:{organization.pk}:pages"
    return int(default_cache().redis.hlen(key))


def test_pages_that_are_kept_are_bounded(api: APIClient, organization: Organization):
    make_project(organization)
    urls = [f"/api/v1/projects?page_size={n}" for n in range(1, kept_pages.MOST_PAGES + 3)]
    for url in urls:
        api.get(url)
    assert pages_of(organization, Project) == 2
    with statements(access=True, control=True) as said:
        assert [api.get(url).status_code for url in urls[-2:]] == [200, 200]
    assert said == []
    assert pages_of(organization, Project) == 2


def test_the_lists_of_one_organization_say_nothing_of_anothers(
    api: APIClient, organization: Organization
):
    make_project(organization)
    stranger = make_client(make_project().org)
    etag = listed(api, "/api/v1/projects")
    assert stranger.get("/api/v1/projects", headers={"If-None-Match": etag}).status_code == 200
    assert listed(stranger, "/api/v1/projects") != etag


@pytest.mark.parametrize("make", [make_project, make_export])
@pytest.mark.parametrize("status", ["READY", "FAILED", "CANCELLED", "running"])
def test_a_poll_that_finds_nothing_new_costs_the_round_trip_that_admits_it(
    api: APIClient, organization: Organization, make: Callable[..., Job], status: str
):
    running = "ANALYZING" if make is make_project else "RENDERING"
    subject = organization if make is make_project else make_project(organization)
    job = make(subject, status=running if status == "running" else status)
    etag = stamped(api, job)
    with statements(access=True, control=True) as said, round_trips() as asked:
        answer = poll(api, job, etag)
    assert (answer.status_code, answer["ETag"], said, asked) == (304, etag, [], [ADMITTED])
    # A client that has something else, or nothing, is shown the job.
    assert poll(api, job, '"other"').json() == api.get(url_of(job)).json()


@pytest.mark.parametrize("make", [make_project, make_export])
def test_a_job_that_has_not_changed_is_shown_again_without_sql(
    api: APIClient, organization: Organization, make: Callable[..., Job]
):
    job = make(organization if make is make_project else make_project(organization))
    first = api.get(url_of(job))
    with statements(access=True, control=True) as said, round_trips() as asked:
        again = api.get(url_of(job))
    assert (again.content, again["ETag"]) == (first.content, first["ETag"])
    assert (said, asked) == ([], [ADMITTED])


def test_links_begin_as_the_request_that_asks_for_them(api: APIClient, organization: Organization):
    export = make_export(make_project(organization))
    for host in ("localhost", "127.0.0.1", "localhost"):
        for _ in range(2):
            link = api.get(url_of(export), headers={"Host": host}).json()["download_url"]
            assert link.startswith(f"http://{host}/")


def test_a_job_of_more_than_is_kept_is_read_each_time(api: APIClient, organization: Organization):
    small, large = ("x" * 100, "x" * 500)
    for text, is_kept in ((small, True), (large, False)):
        project = make_project(organization, metadata={str(n): text for n in range(16)})
        for _ in range(2):
            with statements() as said:
                shown = api.get(url_of(project))
        assert (said == []) is is_kept
        assert (len(shown.content) <= 8192) is is_kept
        assert poll(api, project, shown["ETag"]).status_code == 304


CHANGES: dict[str, tuple[str, Callable[[Any], object]]] = {
    "renamed": ("READY", lambda job: rename_project(project=job, title="Another")),
    "cancelled": ("ANALYZING", lambda job: job_services.cancel_job(job=job, actor=ACTOR)),
    "cancelled early": ("QUEUED", lambda job: job_services.cancel_job(job=job, actor=ACTOR)),
    "retried": ("FAILED", lambda job: job_services.retry_job(job=job, actor=ACTOR)),
    "claimed": ("QUEUED", lambda job: lifecycle.claim(Project, job.pk, fence=job.fence)),
    "at work": ("ANALYZING", lambda job: lifecycle.beat(job, stage="scenes", progress=0.5)),
    "handed back": ("ANALYZING", lambda job: lifecycle.hand_back(job)),
    "failed": ("ANALYZING", lambda job: lifecycle.fail(job, error=("x", "X."), actor=ACTOR)),
    "done": ("ANALYZING", lambda job: lifecycle.succeed(job, status="READY", actor=ACTOR)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_shown_by_the_next_poll(
    api: APIClient, organization: Organization, change: str
):
    status, make_it = CHANGES[change]
    project = make_project(organization, status=status)
    etag = stamped(api, project)
    before = api.get(url_of(project)).json()
    make_it(project)
    answer = poll(api, project, etag)
    assert answer.status_code == 200
    assert answer.json() != before
    assert answer["ETag"] != etag
    assert stamped(api, project) == answer["ETag"]


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_in_the_next_poll_of_a_list(
    api: APIClient, organization: Organization, change: str
):
    status, make_it = CHANGES[change]
    project = make_project(organization, status=status)
    urls = ["/api/v1/projects", f"/api/v1/projects?ids={project.pk}"]
    etags = {url: listed(api, url) for url in urls}
    exports = listed(api, "/api/v1/exports?q=another")
    make_it(project)
    for url, etag in etags.items():
        answer = api.get(url, headers={"If-None-Match": etag})
        assert (answer.status_code, answer["ETag"] != etag) == (200, True), url
        assert listed(api, url) == answer["ETag"]
    assert listed(api, "/api/v1/exports?q=another") == exports


def test_what_is_made_found_anew_and_deleted_is_in_the_next_poll_of_a_list(
    api: APIClient, organization: Organization
):
    make_grant(organization, 50)
    project = make_project(organization, title="First")
    lists = {
        name: f"/api/v1/{name}"
        for name in ("projects", "exports", "exports?q=other", "exports?q=first")
    }

    def news(of: Callable[[], Any]) -> set[str]:
        etags = {name: listed(api, url) for name, url in lists.items()}
        of()
        answers = {
            name: api.get(url, headers={"If-None-Match": etags[name]})
            for name, url in lists.items()
        }
        return {name for name, answer in answers.items() if answer.status_code == 200}

    body = {"project": str(project.pk), "start": 0, "end": 10}
    assert news(lambda: api.post("/api/v1/exports", body)) == {"exports", "exports?q=first"}
    export = Export.objects.get()
    assert news(lambda: rename_project(project=project, title="Other")) == {
        "projects",
        "exports?q=other",
        "exports?q=first",
    }
    assert news(lambda: delete_export(export=export, actor=ACTOR)) == {"exports", "exports?q=other"}
    assert news(lambda: delete_project(project=project, actor=ACTOR)) == {"projects"}


def test_a_list_that_was_read_before_a_change_is_committed_is_not_kept(
    api: APIClient, organization: Organization
):
    """Also where whoever changes it dies after the commit: it is announced before."""
    project = make_project(organization)
    etag = listed(api, "/api/v1/projects")
    changing, may_end = threading.Event(), threading.Event()

    def change(number: int) -> object:
        if number:
            assert changing.wait(120)
            try:
                # Read while the change is under way: as it was, and kept nowhere.
                return [
                    api.get("/api/v1/projects", headers={"If-None-Match": etag}).status_code
                    for _ in range(3)
                ]
            finally:
                may_end.set()
        with transaction.atomic():
            rename_project(project=project, title="Another")
            changing.set()
            assert may_end.wait(120)
            connection.run_on_commit = []  # it dies here
        return None

    assert run_together(2, change) == [None, [304, 304, 304]]
    answer = api.get("/api/v1/projects", headers={"If-None-Match": etag})
    assert (answer.status_code, answer.json()["results"][0]["title"]) == (200, "Another")


def test_no_poll_of_a_list_after_a_commit_gets_the_state_before_it(
    api: APIClient, organization: Organization
):
    """Beside three clients that poll all the time, and store what they read."""
    project = make_project(organization, title="0")
    Organization.objects.filter(pk=organization.pk).update(rate_limit_override=1_000_000)
    secret = make_api_key(organization).secret
    stop = threading.Event()

    def keep_polling() -> None:
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
        etag = "none"
        while not stop.is_set():
            etag = client.get("/api/v1/projects", headers={"If-None-Match": etag})["ETag"]
        connection.close()

    threads = [threading.Thread(target=keep_polling) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        etag = api.get("/api/v1/projects")["ETag"]
        for number in range(1, 41):
            rename_project(project=project, title=str(number))
            answer = api.get("/api/v1/projects", headers={"If-None-Match": etag})
            assert answer.status_code == 200
            assert answer.json()["results"][0]["title"] == str(number)
            etag = answer["ETag"]
            assert api.get("/api/v1/projects").content == answer.content
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_what_is_deleted_is_404_for_who_had_it(api: APIClient, organization: Organization):
    project = make_project(organization)
    exports = [make_export(project), make_export(project, status="QUEUED")]
    etags = {job: stamped(api, job) for job in [project, *exports]}
    delete_project(project=project, actor=ACTOR)
    for job, etag in etags.items():
        assert_problem(poll(api, job, etag), 404, "not_found")


def test_an_export_past_its_retention_is_shown_as_expired(
    api: APIClient, organization: Organization
):
    export = make_export(make_project(organization))
    Export.objects.filter(pk=export.pk).update(expires_at="2026-01-01T00:00Z")
    etag = stamped(api, export)
    expire_exports(0)
    answer = poll(api, export, etag)
    assert (answer.status_code, answer.json()["status"]) == (200, "EXPIRED")


def test_the_tag_of_another_organization_opens_nothing(api: APIClient, organization: Organization):
    project = make_project(organization)
    etag = stamped(api, project)
    stranger = make_client(make_project().org)
    for offered in (etag, "*"):
        assert_problem(poll(stranger, project, offered), 404, "not_found")


def test_a_304_of_one_that_waits_costs_no_sql_and_its_place_is_counted_again_once_the_stamp_ends(
    api: APIClient, organization: Organization
):
    """Others move it, and say nothing of that."""
    first, second = (make_project(organization, status="QUEUED") for _ in range(2))
    etag = stamped(api, second)
    with statements(access=True) as said, round_trips() as trips:
        answer = poll(api, second, etag)
    assert (answer.status_code, said) == (304, [])
    assert trips == [ADMITTED]
    key = f"{caching.stamp_family(Project, second.pk)}:{organization.pk}"
    left = default_cache().redis.pttl(key)
    # With the jitter of all that is cached.
    assert 0 < left <= 1.05 * 1000 * caching.QUEUED_SECONDS
    job_services.cancel_job(job=first, actor=ACTOR)
    default_cache().redis.delete(key)  # as the end of its time does
    assert poll(api, second, etag).json()["queue_position"] == 1


def test_one_that_waits_is_seen_to_begin_at_once(api: APIClient, organization: Organization):
    project = make_project(organization, status="QUEUED")
    etag = stamped(api, project)
    assert lifecycle.claim(Project, project.pk, fence=project.fence)
    answer = poll(api, project, etag)
    assert (answer.status_code, answer.json()["status"]) == (200, "ANALYZING")


def test_one_that_is_not_finished_says_when_to_ask_again(
    api: APIClient, organization: Organization
):
    hints = {
        status: api.get(url_of(make_project(organization, status=status))).get("Retry-After")
        for status in ("QUEUED", "ANALYZING", "READY", "FAILED")
    }
    assert hints == {"QUEUED": "5", "ANALYZING": hints["ANALYZING"], "READY": None, "FAILED": None}
    assert 2 <= int(hints["ANALYZING"] or 0) <= 15
    running = make_project(organization, status="ANALYZING")
    answer = poll(api, running, stamped(api, running))
    assert (answer.status_code, answer["Retry-After"]) == (304, hints["ANALYZING"])


def test_no_poll_after_a_commit_gets_the_state_before_it(
    api: APIClient, organization: Organization
):
    """Beside three clients that poll all the time, and store what they read."""
    project = make_project(organization, title="0")
    Organization.objects.filter(pk=organization.pk).update(rate_limit_override=1_000_000)
    secret = make_api_key(organization).secret
    stop = threading.Event()

    def keep_polling() -> None:
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
        etag = "none"
        while not stop.is_set():
            etag = poll(client, project, etag)["ETag"]
        connection.close()

    threads = [threading.Thread(target=keep_polling) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        etag = api.get(url_of(project))["ETag"]
        for number in range(1, 61):
            rename_project(project=project, title=str(number))
            answer = poll(api, project, etag)
            assert (answer.status_code, answer.json()["title"]) == (200, str(number))
            etag = answer["ETag"]
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_change_that_is_not_committed_yet_keeps_nothing_that_was_read_before(
    api: APIClient, organization: Organization
):
    """A writer that dies after its commit has announced it all the same."""
    project = make_project(organization)
    etag = stamped(api, project)
    Project.objects.filter(pk=project.pk).update(title="Another")  # as a writer that is cut off
    key = f"{caching.stamp_family(Project, project.pk)}:{organization.pk}"
    version = Project.objects.values_list("version", flat=True).get(pk=project.pk)
    assert version == project.version + 1
    default_cache()._raise_floors({key: version})
    assert poll(api, project, etag).json()["title"] == "Another"


@pytest.mark.parametrize("stamp", [['"1"'], ['"1"', 0, "", "", False, "new"], {"etag": '"1"'}])
def test_a_stamp_of_a_release_that_writes_others_is_not_read(
    api: APIClient, organization: Organization, stamp: Any
):
    project = make_project(organization)
    etag = stamped(api, project)
    key = f"{caching.stamp_family(Project, project.pk)}:{organization.pk}"
    default_cache().redis.set(key, json.dumps(stamp), ex=60)
    assert poll(api, project, etag).status_code == 304
    assert poll(api, project, '"1"').json()["id"] == str(project.pk)


# --- fewer bytes -----------------------------------------------------------------------


def test_a_long_answer_is_compressed_where_the_client_takes_that(
    api: APIClient, organization: Organization
):
    for number in range(20):
        make_project(organization, title=f"Talk {number}")
    url = "/api/v1/projects"
    plain = api.get(url)
    assert "Content-Encoding" not in plain
    assert "Accept-Encoding" in plain["Vary"]
    for accepts in ("gzip", "br, gzip;q=0.5", "*", "deflate, GZIP"):
        small = api.get(url, headers={"Accept-Encoding": accepts})
        assert small["Content-Encoding"] == "gzip"
        assert int(small["Content-Length"]) == len(small.content) < len(plain.content) / 5
        assert gzip.decompress(small.content) == plain.content
        assert small["ETag"] == f'{plain["ETag"][:-1]}-gzip"'
    for refuses in ("gzip;q=0", "gzip; q=0.0, br", "br", "identity", "gzipped"):
        assert api.get(url, headers={"Accept-Encoding": refuses}).content == plain.content


def test_either_form_is_304_under_its_own_etag(api: APIClient, organization: Organization):
    project = make_project(organization, title="T" * 190, metadata={"a": "x" * 500, "b": "y" * 500})
    for url in (url_of(project), "/api/v1/projects"):
        for accepts in ("gzip", ""):
            etag = api.get(url, headers={"Accept-Encoding": accepts})["ETag"]
            assert etag.endswith('-gzip"') is (accepts == "gzip")
            for _ in range(2):
                again = api.get(url, headers={"Accept-Encoding": accepts, "If-None-Match": etag})
                assert (again.status_code, again["ETag"]) == (304, etag)


def test_a_short_answer_and_one_with_a_secret_come_as_they_are(api: APIClient):
    takes = {"Accept-Encoding": "gzip"}
    assert "Content-Encoding" not in api.get("/api/v1/credits/balance", headers=takes)
    assert "Content-Encoding" not in api.post("/api/v1/tokens", {}, headers=takes)


def test_the_schema_is_compressed_and_304(client: Any):
    takes = {"Accept-Encoding": "gzip", "Accept": "application/json"}
    first = client.get("/api/v1/schema", headers=takes)
    assert (first.status_code, first["Content-Encoding"]) == (200, "gzip")
    plain = client.get("/api/v1/schema", headers={"Accept": "application/json"})
    assert len(first.content) < len(plain.content) / 5
    again = client.get("/api/v1/schema", headers={**takes, "If-None-Match": first["ETag"]})
    assert (again.status_code, again.content) == (304, b"")

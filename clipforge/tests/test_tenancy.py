"""Permissions across organizations: every route and method, as owner, stranger and anonymous.

The tables are written by hand. A route, a method or a filter that is not in them fails, so that
adding one means deciding who may use it.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.utils import timezone

from clipforge.common import storage
from clipforge.common.api import captions
from clipforge.devtools.testing.state import fingerprint
from clipforge.devtools.testing.tenancy import (
    METHODS,
    World,
    ask,
    body_text,
    callers,
    client_of,
    make_world,
    routes,
    said,
)
from clipforge.media.sample import make_still
from clipforge.orgs.api.views import OrgView
from exports import archives
from exports.downloads import signed_url
from projects import pictures, watching

pytestmark = pytest.mark.django_db

# Behind a key, by route and method: the status for the owner of the things named, for a stranger,
# and of whose things it is. What is not here is 405; HEAD is GET; OPTIONS is 200.
GUARDED: dict[tuple[str, str], tuple[int, int, str | None]] = {
    ("me", "GET"): (200, 200, None),
    ("origins", "GET"): (200, 200, None),
    ("origins", "PUT"): (200, 200, None),
    ("tokens", "POST"): (201, 201, None),
    ("keys", "GET"): (200, 200, None),
    ("keys", "POST"): (201, 201, None),
    ("key", "GET"): (200, 404, "key"),
    ("key", "PATCH"): (200, 404, "key"),
    ("key", "DELETE"): (204, 404, "key"),
    ("key-rotate", "POST"): (201, 404, "key"),
    ("key-revoke", "POST"): (200, 404, "key"),
    ("key-descendants", "GET"): (200, 404, "key"),
    ("credits-balance", "GET"): (200, 200, None),
    ("credits-transactions", "GET"): (200, 200, None),
    ("credits-holds", "GET"): (200, 200, None),
    ("quotes", "POST"): (200, 200, None),
    # No image is there, and none comes: exports/tests/api/test_watermark.py has those that do.
    ("watermark", "GET"): (404, 404, None),
    ("watermark", "PUT"): (415, 415, None),
    ("watermark", "DELETE"): (404, 404, None),
    ("projects", "GET"): (200, 200, None),
    ("projects", "POST"): (201, 201, None),
    ("uploads", "POST"): (201, 201, None),
    ("upload", "GET"): (200, 404, "upload"),
    # Without the headers of the protocol: projects/tests/api/test_uploads.py has whole parts.
    ("upload", "PATCH"): (422, 404, "upload"),
    ("upload", "DELETE"): (204, 404, "upload"),
    # It comes here, by tus: projects/tests/api/test_direct_uploads.py has those that go to a bucket.
    ("upload-parts", "POST"): (409, 404, "upload"),
    ("upload-complete", "POST"): (409, 404, "upload"),
    ("project", "GET"): (200, 404, "project"),
    ("project", "PATCH"): (200, 404, "project"),
    ("project", "DELETE"): (204, 404, "project"),
    ("project-cancel", "POST"): (200, 404, "running project"),
    ("project-retry", "POST"): (200, 404, "failed project"),
    ("moments", "GET"): (200, 404, "project"),
    ("project-picture", "GET"): (302, 404, "project"),
    ("source", "GET"): (302, 404, "project"),
    ("project-captions", "GET"): (302, 404, "project"),
    ("project-archive", "GET"): (302, 404, "project"),
    ("moment-poster", "GET"): (302, 404, "moment"),
    # Nothing is kept of the project here: projects/tests/api/test_curves.py has one of which there is.
    ("curves", "GET"): (409, 404, "project"),
    ("transcript", "GET"): (200, 404, "project"),
    ("transcript", "PATCH"): (200, 404, "project"),
    ("transcripts", "GET"): (200, 200, None),
    ("moment-transcript", "GET"): (200, 404, "moment"),
    ("moments", "POST"): (201, 404, "project"),
    # Nothing is kept of the project here: projects/tests/api/test_select_moments.py has those that are.
    ("moments-select", "POST"): (409, 404, "project"),
    ("moment", "GET"): (200, 404, "moment"),
    ("moment", "PATCH"): (200, 404, "moment"),
    ("moment", "DELETE"): (204, 404, "moment"),
    ("exports", "GET"): (200, 200, None),
    ("exports", "POST"): (201, 404, None),
    # The strangers' own orders, of things that are not theirs: each is refused in the answer.
    ("export-batch", "POST"): (200, 200, None),
    ("export", "GET"): (200, 404, "export"),
    ("export", "PATCH"): (200, 404, "export"),
    ("export", "DELETE"): (204, 404, "export"),
    ("export-cancel", "POST"): (200, 404, "queued export"),
    ("export-retry", "POST"): (200, 404, "failed export"),
    ("export-download", "GET"): (302, 404, "export"),
    ("export-picture", "GET"): (302, 404, "export"),
    ("export-transcript", "GET"): (200, 404, "export"),
    ("export-captions", "GET"): (302, 404, "export"),
    ("credits-statement", "GET"): (200, 200, None),
    ("usage", "GET"): (200, 200, None),
    # This service takes no payments through Stripe; those that it takes are billing's own tests'.
    ("billing-checkout", "POST"): (503, 503, None),
    ("billing-portal", "POST"): (503, 503, None),
    ("billing-payments", "GET"): (200, 200, None),
    ("billing-payment", "GET"): (200, 404, "payment"),
    ("billing-subscription", "GET"): (200, 200, None),
    ("webhook-endpoints", "GET"): (200, 200, None),
    ("webhook-endpoints", "POST"): (201, 201, None),
    ("webhook-endpoint", "GET"): (200, 404, "endpoint"),
    ("webhook-endpoint", "PATCH"): (200, 404, "endpoint"),
    ("webhook-endpoint", "DELETE"): (204, 404, "endpoint"),
    ("webhook-secret", "POST"): (200, 404, "endpoint"),
    ("webhook-test", "POST"): (201, 404, "endpoint"),
    ("webhook-replay", "POST"): (202, 404, "endpoint"),
    ("webhook-deliveries", "GET"): (200, 404, "endpoint"),
    ("webhook-delivery", "GET"): (200, 404, "delivery"),
    ("webhook-delivery-replay", "POST"): (202, 404, "delivery"),
}

# Public routes, with the methods that they answer. The link of a file is its own permission.
OPEN: dict[str, set[str]] = {
    "health": {"GET", "HEAD"},
    "health-live": {"GET", "HEAD"},
    "health-ready": {"GET", "HEAD"},
    "schema": {"GET", "HEAD", "OPTIONS"},
    "docs": {"GET", "HEAD"},
    "download-file": {"GET", "HEAD"},
    "picture-file": {"GET", "HEAD"},
    "source-file": {"GET", "HEAD"},
    "project-captions-file": {"GET", "HEAD"},
    "export-captions-file": {"GET", "HEAD"},
    "download-archive": {"GET", "HEAD"},
}

# Public too: a key may be omitted, and must be valid if it is sent.
KEY_OPTIONAL: dict[str, set[str]] = {"pricing": {"GET", "HEAD", "OPTIONS"}}

# Another door, with a signature for a key: billing/tests/api/test_webhooks.py.
SIGNED = {"stripe-webhook"}

# Every parameter that narrows a list, with a value that fits the owner's rows.
FILTERS: dict[str, dict[str, str]] = {
    "credits-transactions": {
        "type": "GRANT",
        "reference_id": "{hold.reference_id}",
        "created_after": "2020-01-01T00:00:00Z",
        "created_before": "2100-01-01T00:00:00Z",
    },
    "credits-holds": {
        "status": "CAPTURED",
        "reference_id": "{hold.reference_id}",
        "created_after": "2020-01-01T00:00:00Z",
        "created_before": "2100-01-01T00:00:00Z",
    },
    "projects": {
        "status": "READY",
        "ids": "{project}",
        "external_id": "theirs",
        "q": "canary ready",
        "sort": "updated_at",
        "updated_after": "2020-01-01T00:00:00Z",
        "updated_before": "2100-01-01T00:00:00Z",
        "created_after": "2020-01-01T00:00:00Z",
        "created_before": "2100-01-01T00:00:00Z",
    },
    "moments": {
        "min_score": "0",
        "kind": "talk",
        "origin": "chosen",
        "rating": "up",
        "pinned": "false",
        "start_after": "0",
        "start_before": "1",
        "q": "speaks again",
    },
    "billing-payments": {
        "status": "PAID",
        "q": "transfer 1",
        "created_after": "2020-01-01T00:00:00Z",
        "created_before": "2100-01-01T00:00:00Z",
    },
    "exports": {
        "project": "{project}",
        "q": "canary ready",
        "status": "READY",
        "ids": "{export}",
        "sort": "updated_at",
        "updated_after": "2020-01-01T00:00:00Z",
        "updated_before": "2100-01-01T00:00:00Z",
        "created_after": "2020-01-01T00:00:00Z",
        "created_before": "2100-01-01T00:00:00Z",
    },
    "webhook-endpoints": {
        "is_enabled": "true",
        "q": "EXAMPLE/other",
        "created_after": "2020-01-01T00:00:00Z",
        "created_before": "2100-01-01T00:00:00Z",
    },
    "keys": {
        "mode": "live",
        "is_revoked": "false",
        "q": "e",
        "created_after": "2020-01-01T00:00:00Z",
        "created_before": "2100-01-01T00:00:00Z",
    },
    "webhook-deliveries": {
        "object_id": "{delivery.object_id}",
        "status": "PENDING",
        "created_after": "2020-01-01T00:00:00Z",
        "created_before": "2100-01-01T00:00:00Z",
    },
}

# Lists of what belongs to a thing.
BELOW = {"moments": "project", "webhook-deliveries": "endpoint"}

# Requests that create rows, in the caller's own organization alone.
CREATES = {
    ("quotes", "POST"),
    ("tokens", "POST"),
    ("keys", "POST"),
    ("origins", "PUT"),
    ("projects", "POST"),
    ("uploads", "POST"),
    ("webhook-endpoints", "POST"),
}

PATTERNS = {route.name: route.pattern for route in routes()}


@pytest.fixture
def owner() -> World:
    cache.clear()
    return make_world("Canary Owner")


@pytest.fixture
def stranger(owner: World) -> World:
    return make_world("Someone Else")


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path: Path = tmp_path_factory.mktemp("tenancy") / "still.mp4"
    make_still(path, 1)
    return path.read_bytes()


def path_of(name: str, world: World, thing: str | None) -> str:
    """The address of the thing, or of the route when it has none."""
    pk = str(world.objects[thing].pk) if thing else ""
    return address(name, pk, world)


def address(name: str, pk: str, world: World) -> str:
    if name == "download-file":
        return signed_url(world.objects["export"])
    if name == "picture-file":
        return picture_of(world.objects["project"])
    if name == "source-file":
        return source_of(world.objects["project"])
    if name in {"project-captions-file", "export-captions-file"}:
        thing = world.objects[name.partition("-")[0]]
        return captions.signed_url(thing.org_id, thing.pk, "captions.vtt", route=name)
    if name == "credits-statement":
        return f"{PATTERNS[name]}?month={timezone.now():%Y-%m}"
    if name == "download-archive":
        return archives.signed_url(world.objects["project"])
    if name == "usage":
        return f"{PATTERNS[name]}?from={timezone.now():%Y-%m-01}&to={timezone.now():%Y-%m-28}"
    if name == "transcripts":
        return f"{PATTERNS[name]}?q=speaks"
    pattern = PATTERNS[name]
    if name in {"export-picture", "project-picture", "moment-poster"}:
        pattern = pattern.replace("<str:name>", "poster.jpg")
    if name in {"project-captions", "export-captions"}:
        pattern = pattern.replace("<str:name>", "captions.vtt")
    path, filled = re.subn(r"<uuid:\w+>", pk, pattern)
    assert "<" not in path, f"{path}: this test cannot fill that in"
    assert bool(filled) == bool(pk), f"{path}: say whose thing it is about"
    return path


def picture_of(project: Any) -> str:
    """The signed link of a poster, which is there."""
    path = storage.path_of(f"{project.source_key}.poster.jpg")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"poster")
    return pictures.signed_url(project, "poster.jpg")


def source_of(project: Any) -> str:
    """The signed link of a source, which is there."""
    path = storage.path_of(project.source_key)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"source")
    return watching.signed_url(project)


def body_of(name: str, method: str, world: World, video: bytes) -> Any:
    match name, method:
        case "projects", "POST":
            return video
        case "uploads", "POST":
            return {"name": "talk.mp4", "size": 1000}
        case "exports", "POST":
            return {"moment": str(world.objects["moment"].pk), "resolution": 480}
        case "export", "PATCH":
            return {"pinned": True}
        case "export-batch", "POST":
            exports = [
                {"moment": str(world.objects["moment"].pk), "resolution": 480},
                {"project": str(world.objects["project"].pk), "start": 0, "end": 10},
            ]
            return {"mode": "per_item", "exports": exports}
        case "billing-checkout", "POST":
            return {"price": "pack-100"}
        case "keys", "POST":
            return {"name": "new"}
        case "origins", "PUT":
            return {"origins": ["https://app.example.com"]}
        case "quotes", "POST":
            return {"export_seconds": 60}
        case "webhook-endpoints", "POST":
            return {"url": "https://example.com/new"}
        case "webhook-replay", "POST":
            return {
                "created_after": "2026-01-01T00:00:00Z",
                "created_before": "2026-01-02T00:00:00Z",
            }
        case "moments", "POST":
            return {"start": 1, "end": 11}
        case (("project" | "moment"), "PATCH"):
            return {"title": "Mine now"}
        case "export", "PATCH":
            return {"pinned": True}
        case "transcript", "PATCH":
            return {"words": [{"index": 0, "text": "Mine"}]}
    return None


def expected(name: str, method: str) -> tuple[int, int, str | None]:
    """The row of the table, with what follows from the others."""
    things = {thing for (route, _), (_, _, thing) in GUARDED.items() if route == name}
    if row := GUARDED.get((name, "GET" if method == "HEAD" else method)):
        return row
    status = 200 if method == "OPTIONS" else 405
    return status, status, things.pop()


def guarded() -> set[str]:
    return {name for name, _ in GUARDED}


# --- the tables are complete ----------------------------------------------------------


def test_every_route_is_in_a_table():
    there = {route.name for route in routes() if not route.pattern.startswith("/admin/")}
    assert there == guarded() | set(OPEN) | set(KEY_OPTIONAL) | SIGNED


def test_every_method_that_a_view_has_is_in_the_table():
    for route in routes():
        if route.name in guarded():
            assert issubclass(route.view, OrgView)
            has = {method for method in METHODS if hasattr(route.view, method.lower())}
            written = {method for name, method in GUARDED if name == route.name}
            assert has - {"HEAD", "OPTIONS"} == written, route.name


def test_every_filter_is_in_the_table():
    lists = {route.name: route.view for route in routes() if hasattr(route.view, "keyset")}
    filters = {
        name: set(view.filterset_class.base_filters) if hasattr(view, "filterset_class") else set()
        for name, view in lists.items()
    }
    assert filters == {name: set(parameters) for name, parameters in FILTERS.items()}


# --- without a good key ---------------------------------------------------------------


def test_without_a_good_key_nothing_is_answered_and_nothing_changes(owner, video):
    clients = callers(owner)
    before = fingerprint()
    for name in guarded():
        for method in METHODS:
            _, _, thing = expected(name, method)
            path, body = path_of(name, owner, thing), body_of(name, method, owner, video)
            for who, client in clients.items():
                response = ask(client, method, path, body)
                assert response.status_code == 401, f"{who}: {method} {path}"
                assert leaks(response, owner) == [], f"{who}: {method} {path}"
    assert fingerprint() == before


def test_a_suspended_organization_is_refused_its_own_things_and_those_of_others(owner, video):
    suspended = make_world("Canary Suspended", is_active=False)
    client = client_of(suspended)
    before = fingerprint()
    for name in guarded():
        for method in METHODS:
            _, _, thing = expected(name, method)
            for world in (suspended, owner):
                path, body = path_of(name, world, thing), body_of(name, method, world, video)
                response = ask(client, method, path, body)
                assert response.status_code == 403, f"{method} {path}"
                assert leaks(response, world) == [], f"{method} {path}"
    assert fingerprint() == before


# --- a stranger -----------------------------------------------------------------------


def test_a_stranger_gets_what_the_table_says_sees_nothing_and_changes_nothing(
    owner, stranger, video
):
    client = client_of(stranger)
    for name in guarded():
        for method in METHODS:
            _, status, thing = expected(name, method)
            path = path_of(name, owner, thing)
            whose = owner if (name, method) in CREATES else None
            before = fingerprint(whose and whose.org)
            response = ask(client, method, path, body_of(name, method, owner, video))
            assert response.status_code == status, f"{method} {path}: {said(response)}"
            assert leaks(response, owner) == [], f"{method} {path}"
            assert fingerprint(whose and whose.org) == before, f"{method} {path}"


def test_a_strangers_answer_about_a_thing_is_that_about_a_thing_which_does_not_exist(
    owner, stranger, video
):
    client = client_of(stranger)
    for (name, method), (_, _, thing) in GUARDED.items():
        if thing is not None:
            body = body_of(name, method, owner, video)
            theirs = ask(client, method, path_of(name, owner, thing), body)
            nobodys = ask(client, method, address(name, str(uuid.uuid4()), owner), body)
            assert said(theirs) == said(nobodys), f"{method} {name}"


def test_an_id_in_a_body_is_answered_as_if_it_did_not_exist(owner, stranger):
    client = client_of(stranger)
    interval = {"start": 0, "end": 10}
    bodies = [
        lambda pk: {"moment": pk("moment")},
        lambda pk: {"project": pk("project"), **interval},
        lambda pk: {"project": pk("failed project"), **interval},
        lambda pk: {"project": pk("project"), "start": 50, "end": 10},
    ]
    before = fingerprint()
    for body in bodies:
        theirs = body(lambda thing: str(owner.objects[thing].pk))
        nobodys = body(lambda _: str(uuid.uuid4()))
        answers = [ask(client, "POST", "/api/v1/exports", each) for each in (theirs, nobodys)]
        assert [each.status_code for each in answers] == [404, 404], theirs
        assert said(answers[0]) == said(answers[1])
        for mode in ("per_item", "all_or_nothing"):
            batches = [{"mode": mode, "exports": [each]} for each in (theirs, nobodys)]
            answers = [ask(client, "POST", "/api/v1/exports/batch", each) for each in batches]
            assert said(answers[0]) == said(answers[1]), mode
    assert fingerprint() == before


def test_a_list_narrowed_to_the_owners_rows_shows_a_stranger_none_of_them(owner, stranger):
    theirs, mine = client_of(stranger), client_of(owner)
    for name, parameters in FILTERS.items():
        thing = BELOW.get(name)
        for parameter, value in parameters.items():
            # `{project}` is its id, `{hold.reference_id}` what it says.
            named = re.sub(r"\{(\w+)\}", r"{\1.pk}", value)
            value = named.format(**{k: v for k, v in owner.objects.items() if " " not in k})
            path = f"{path_of(name, owner, thing)}?{parameter}={value}"
            assert ask(mine, "GET", path).json()["results"], f"{path} finds nothing of the owner's"
            response = ask(theirs, "GET", path)
            assert leaks(response, owner) == [], path
            of_somebody = thing is not None or parameter == "project"
            assert response.status_code == (404 if of_somebody else 200), path


def test_a_filter_by_anothers_id_is_answered_as_if_it_did_not_exist(owner, stranger):
    client = client_of(stranger)
    theirs, nobodys = (
        ask(client, "GET", f"/api/v1/exports?project={pk}")
        for pk in (owner.objects["project"].pk, uuid.uuid4())
    )
    assert (theirs.status_code, said(theirs)) == (404, said(nobodys))


def test_a_cursor_of_the_owners_is_worth_nothing_to_a_stranger(owner, stranger):
    mine, theirs = client_of(owner), client_of(stranger)
    for name in FILTERS:
        path = path_of(name, owner, BELOW.get(name))
        cursor = ask(mine, "GET", f"{path}?page_size=1").json()["next_cursor"]
        assert cursor, f"{name} needs two rows of the owner's"
        response = ask(theirs, "GET", f"{path}?page_size=1&cursor={cursor}")
        assert response.status_code == 404, name
        assert leaks(response, owner) == [], name


def test_an_idempotency_key_of_the_owners_is_a_new_one_to_a_stranger(owner, stranger):
    key: dict[str, Any] = {"HTTP_IDEMPOTENCY_KEY": "shared by chance"}
    path = f"/api/v1/projects/{owner.objects['failed project'].pk}/retry"
    first = client_of(owner).post(path, **key)
    assert (first.status_code, "Idempotent-Replayed" in first) == (200, False)
    again = client_of(stranger).post(path, **key)
    assert (again.status_code, "Idempotent-Replayed" in again) == (404, False)
    own = f"/api/v1/projects/{stranger.objects['failed project'].pk}/retry"
    answer = client_of(stranger).post(own, **key)
    assert (answer.status_code, "Idempotent-Replayed" in answer) == (200, False)
    assert answer.json()["id"] == str(stranger.objects["failed project"].pk)


# --- the owner, and all others ---------------------------------------------------------


@pytest.mark.parametrize(("name", "method"), GUARDED, ids=lambda part: part)
def test_the_owner_gets_what_the_table_says(owner, video, name, method):
    status, _, thing = GUARDED[name, method]
    path, body = path_of(name, owner, thing), body_of(name, method, owner, video)
    response = ask(client_of(owner), method, path, body)
    assert response.status_code == status, said(response)


def test_the_owner_is_refused_every_other_method(owner):
    client = client_of(owner)
    before = fingerprint()
    for name in guarded():
        for method in METHODS:
            if method != "HEAD" and (name, method) not in GUARDED:
                status, _, thing = expected(name, method)
                response = ask(client, method, path_of(name, owner, thing))
                assert response.status_code == status, f"{method} {name}"
    assert fingerprint() == before


def test_open_routes_answer_every_caller_alike_and_reveal_nothing(owner, stranger):
    clients = {**callers(owner), "stranger": client_of(stranger)}
    before = fingerprint()
    for name, methods in OPEN.items():
        # The same as YAML takes seconds, for each of them.
        query = "?format=json" if name == "schema" else ""
        for method in METHODS:
            for who, client in clients.items():
                response = ask(client, method, address(name, "", owner) + query)
                assert response.status_code == (200 if method in methods else 405), (who, name)
                # An archive names its files, whose link it is.
                archived = name == "download-archive" and method == "GET"
                named = [str(owner.objects["export"].pk)] if archived else []
                # Captions are what is spoken.
                if name.endswith("-captions-file") and method == "GET":
                    named = [owner.org.name, f"{owner.org.name} speaks"]
                assert leaks(response, owner, body_text) == named, (who, name)
    assert fingerprint() == before


def test_routes_that_need_no_key_refuse_a_bad_one(owner, stranger):
    clients = {**callers(owner), "stranger": client_of(stranger)}
    before = fingerprint()
    for name, methods in KEY_OPTIONAL.items():
        for method in METHODS:
            for who, client in clients.items():
                response = ask(client, method, address(name, "", owner))
                open_ = who in {"anonymous", "stranger"}
                status = (200 if method in methods else 405) if open_ else 401
                assert response.status_code == status, (who, method, name)
                assert leaks(response, owner) == [], (who, name)
    assert fingerprint() == before


def test_no_key_opens_a_page_of_the_admin(owner, stranger):
    clients = [*callers(owner).values(), client_of(owner)]
    pk = str(owner.objects["project"].pk)
    before = fingerprint()
    asked = 0
    for route in routes():
        if not route.pattern.startswith("/admin/") or route.name in {
            "login",
            "logout",
            "admin-login",
        }:
            continue
        path = re.sub(r"<[\w:]+>", pk, route.pattern)
        path = path.replace("^(?P<app_label>", "").replace("(?P<url>.*)$", "nonsense")
        path = re.sub(r"auth\|.*", "projects/", path)
        for client in clients:
            for method in ("GET", "POST", "DELETE"):
                response = ask(client, method, path)
                assert leaks(response, owner, body_text) == [], path
                assert response.status_code in {301, 302, 403, 404, 405}, (method, path)
                if response.status_code in {301, 302}:
                    assert "/admin/" in response["Location"]
                asked += 1
    assert asked >= 900
    assert fingerprint() == before


def test_a_key_of_one_organization_is_good_for_no_other(owner, stranger):
    """The same key, sent twice, sees the same organization: nothing of a request stays behind."""
    mine, theirs = client_of(owner), client_of(stranger)
    for client, world in [(mine, owner), (theirs, stranger), (mine, owner)]:
        organization = ask(client, "GET", "/api/v1/me").json()["organization"]
        assert organization["id"] == str(world.org.pk)


def leaks(response: Any, owner: World, say: Callable[[Any], str] = said) -> list[str]:
    """The ids of the owner that the answer contains."""
    text = say(response)
    return sorted(word for word in owner.ids() if word in text)

"""POST /projects with an address"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from rest_framework.test import APIClient

from clipforge.common.fetching import MAX_URL
from clipforge.devtools.testing.api import assert_problem, invalid_fields
from clipforge.devtools.testing.factories import make_client, make_organization, make_tier_limits
from clipforge.devtools.testing.races import run_together
from clipforge.devtools.testing.state import Funds, funds, jobs_of, nothing_changes
from clipforge.orgs.models import Organization
from projects.models import Project, ProjectImport

pytestmark = pytest.mark.django_db

URL = "/api/v1/projects"
ADDRESS = "https://files.example.com/videos/My%20talk.mp4?signature=secret"


@pytest.fixture
def organization() -> Organization:
    return make_organization(credits_=5)


def ask(api: APIClient, **body: Any) -> Any:
    return api.post(URL, {"source_url": ADDRESS, **body}, format="json")


def test_an_import_is_a_queued_project_with_the_least_price_reserved(
    api: APIClient, organization: Organization
):
    response = ask(api, external_id="t-1", metadata={"a": "b"}, count=3, max_credits=4)
    assert response.status_code == 201
    project = Project.objects.get()
    assert response["Location"] == f"/api/v1/projects/{project.pk}"
    shown = response.json()
    assert (shown["status"], shown["title"], shown["source_name"]) == (
        "QUEUED",
        "My talk",
        "My talk.mp4",
    )
    assert (shown["size"], shown["duration"], shown["width"], shown["expires_at"]) == (
        0,
        0,
        0,
        None,
    )
    assert shown["credits"] == {"reserved": 1, "charged": 0}
    assert funds(organization) == Funds(available=4, held=1)
    assert (jobs_of(project), project.wishes) == ([0], {"count": 3})
    order = ProjectImport.objects.get()
    assert (order.url, order.max_credits) == (ADDRESS, 4)
    assert response.json() == api.get(response["Location"]).json()


def test_the_address_which_may_be_a_secret_is_in_no_answer(api: APIClient):
    shown = ask(api).json()
    for answer in (shown, api.get(f"{URL}/{shown['id']}").json(), api.get(URL).json()):
        assert "secret" not in str(answer)


@pytest.mark.parametrize(
    ("address", "code"),
    [
        *[
            (each, "address_refused")
            for each in ("http://example.com/a.mp4", "ftp://a.b/c", "a.mp4")
        ],
        *[(f"https://{host}/a", "address_refused") for host in ("127.0.0.1", "10.0.0.1", "[::1]")],
        *[
            (f"https://{host}/", "address_refused")
            for host in ("169.254.169.254", "[::ffff:10.0.0.1]", "[fd00:ec2::254]", "user:p@e.org")
        ],
        *[
            (f"https://{host}/watch?v=1", "not_a_file")
            for host in (
                "youtube.com",
                "www.youtube.com",
                "m.youtube.com.",
                "youtu.be",
                "VIMEO.com",
            )
        ],
    ],
)
def test_an_address_that_is_never_asked_is_refused_at_once(api: APIClient, address: str, code: str):
    with nothing_changes():
        assert_problem(ask(api, source_url=address), 422, code)


def test_a_site_whose_name_ends_like_a_portal_is_none(api: APIClient):
    assert ask(api, source_url="https://notyoutube.com/a.mp4").status_code == 201


def test_fields_that_are_wrong_or_unknown_are_named(api: APIClient):
    with nothing_changes():
        assert invalid_fields(ask(api, source_url="https://a.org/" + "x" * MAX_URL)) == {
            "/source_url"
        }
        assert invalid_fields(ask(api, source_url=5, count=0)) == {"/source_url", "/count"}
        assert invalid_fields(api.post(URL, {}, format="json")) == {"/source_url"}
        assert_problem(ask(api, file="x"), 422, "unknown_field")
        assert invalid_fields(ask(api, quote_id="0" * 32)) == {"/quote_id"}
        assert invalid_fields(ask(api, upload="0" * 32)) == {"/source_url"}
        assert_problem(ask(api, source_url="https://a.org/\0"), 400, "malformed_request")


def test_a_name_is_without_what_turns_or_ends_a_text(api: APIClient):
    shown = ask(api, source_url="https://a.org/x/gpj%E2%80%AE4pm%00.exe%0A").json()
    assert (shown["source_name"], shown["title"]) == ("gpj4pm.exe", "gpj4pm")
    assert ask(api, source_url="https://a.org/").json()["title"] == "Untitled"
    long = ask(api, source_url="https://a.org/" + "n" * 300 + ".mp4").json()
    assert (len(long["source_name"]), len(long["title"])) == (255, 200)


def test_the_same_key_answers_again_and_orders_once(api: APIClient, organization: Organization):
    first = api.post(URL, {"source_url": ADDRESS}, format="json", HTTP_IDEMPOTENCY_KEY="k")
    again = api.post(URL, {"source_url": ADDRESS}, format="json", HTTP_IDEMPOTENCY_KEY="k")
    assert (again.json(), again["Idempotent-Replayed"]) == (first.json(), "true")
    other = {"source_url": ADDRESS, "title": "x"}
    refused = api.post(URL, other, format="json", HTTP_IDEMPOTENCY_KEY="k")
    assert_problem(refused, 422, "idempotency_key_reused")
    assert (Project.objects.count(), funds(organization)) == (1, Funds(available=4, held=1))


def test_without_a_credit_or_room_nothing_is_ordered(api: APIClient, organization: Organization):
    assert_problem(ask(api, max_credits=0), 409, "max_credits_exceeded")
    assert_problem(ask(make_client(make_organization(name="Poor"))), 402, "insufficient_credits")
    make_tier_limits(storage_bytes=0)
    with nothing_changes():
        assert_problem(ask(api), 507, "storage_limit_reached")


def test_imports_count_among_the_jobs_that_wait_and_run(api: APIClient, organization: Organization):
    make_tier_limits(concurrent_jobs=1, queued_jobs=1)
    assert [ask(api).status_code for _ in range(2)] == [201, 201]
    assert_problem(ask(api), 429, "concurrent_jobs")
    assert funds(organization) == Funds(available=3, held=2)


def test_an_external_id_is_taken_once(api: APIClient):
    first = ask(api, external_id="one").json()
    refused = assert_problem(ask(api, external_id="one"), 409, "external_id_taken")
    assert refused["existing"] == first["id"]


def test_a_queued_import_is_cancelled_and_its_credit_comes_back(
    api: APIClient, organization: Organization
):
    made = ask(api)
    assert api.post(f"{made['Location']}/cancel").json()["status"] == "CANCELLED"
    assert funds(organization) == Funds(available=5, held=0)
    assert api.delete(made["Location"]).status_code == 204
    assert ProjectImport.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_of_many_at_once_no_more_are_ordered_than_credits_allow(organization: Organization):
    clients = [make_client(organization) for _ in range(7)]
    answers = run_together(7, lambda number: ask(clients[number]).status_code)
    assert Counter(map(str, answers)) == {"201": 5, "402": 2}
    assert funds(organization) == Funds(available=0, held=5)

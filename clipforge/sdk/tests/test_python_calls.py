"""The Python SDK against a server in trouble: what is sent again, after which pause, and which error comes."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import clipforge_sdk as sdk
import pytest

from clipforge.devtools.testing.scripted_server import BREAK, Scripted, problem, scripted_server

PROJECT = {"id": "p-1", "status": "READY", "progress": 1.0, "error": None}


@pytest.fixture
def server() -> Iterator[Scripted]:
    with scripted_server() as script:
        yield script


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def client(server: Scripted, slept: list[float]) -> Iterator[sdk.Client]:
    with sdk.Client("cf_live_key", url=server.url, sleep=slept.append) as made:
        yield made


def test_a_limited_call_waits_as_long_as_the_service_says(server, client, slept):
    server.answers = [problem(429, "rate_limited", Retry_After="7"), (200, {}, {"available": 3})]
    assert client.get_balance()["available"] == 3
    assert slept == [7.0]
    assert [each[1] for each in server.requests] == ["/api/v1/credits/balance"] * 2


def test_a_call_that_is_over_the_limit_alone_is_not_repeated(server, client, slept):
    server.answers = [problem(429, "rate_limited")]
    with pytest.raises(sdk.RateLimited):
        client.get_balance()
    assert slept == []


@pytest.mark.parametrize(("seconds", "attempts"), [("60", 5), ("61", 1)])
def test_a_pause_longer_than_the_longest_is_the_callers(server, client, slept, seconds, attempts):
    server.answers = [problem(503, "unavailable", Retry_After=seconds)]
    with pytest.raises(sdk.ServiceError) as raised:
        client.get_balance()
    assert raised.value.retry_after == float(seconds)
    assert len(server.requests) == attempts
    assert slept == [60.0] * (attempts - 1)


@pytest.mark.parametrize("trouble", [BREAK, problem(502, "bad_gateway"), problem(504, "late")])
def test_what_costs_is_sent_again_under_the_same_key(server, client, slept, trouble):
    server.answers = [trouble, trouble, (201, {}, PROJECT)]
    assert client.create_export({"moment": "m-1"})["id"] == "p-1"
    keys = {headers["idempotency-key"] for _, _, headers, _ in server.requests}
    assert len(server.requests) == 3
    assert len(keys) == 1
    assert [0.25 <= slept[0] <= 0.5, 0.5 <= slept[1] <= 1] == [True, True]


def test_two_calls_have_two_keys_and_a_key_may_be_given(server, client):
    server.answers = [(201, {}, PROJECT)]
    for key in (None, None, "mine"):
        client.create_export({"moment": "m-1"}, idempotency_key=key)
    first, second, third = (headers["idempotency-key"] for _, _, headers, _ in server.requests)
    assert first != second
    assert third == "mine"


@pytest.mark.parametrize(
    "trouble", [BREAK, problem(502, "bad_gateway"), problem(503, "unavailable")]
)
def test_what_has_no_key_and_may_have_had_an_effect_is_not_repeated(server, client, slept, trouble):
    server.answers = [trouble, (200, {}, PROJECT)]
    with pytest.raises((sdk.NoAnswer, sdk.ServiceError)):
        client.update_project("p-1", {"title": "Other"})
    assert (len(server.requests), slept) == (1, [])


def test_what_was_refused_by_a_limit_had_no_effect_and_is_repeated(server, client, slept):
    server.answers = [problem(429, "rate_limited", Retry_After="1"), (200, {}, PROJECT)]
    client.update_project("p-1", {"title": "Other"})
    assert slept == [1.0]


def test_the_same_request_that_still_runs_is_waited_for(server, client, slept):
    server.answers = [problem(409, "request_in_progress", Retry_After="2"), (201, {}, PROJECT)]
    client.create_export({"moment": "m-1"})
    assert slept == [2.0]


def test_attempts_end(server, client, slept):
    server.answers = [BREAK]
    with pytest.raises(sdk.NoAnswer):
        client.get_balance()
    assert (len(server.requests), len(slept)) == (5, 4)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, sdk.APIError),
        (401, sdk.AuthenticationError),
        (402, sdk.NotEnoughCredits),
        (403, sdk.PermissionDenied),
        (404, sdk.NotFound),
        (409, sdk.Conflict),
        (413, sdk.TooLarge),
        (415, sdk.UnsupportedMedia),
        (422, sdk.InvalidRequest),
        (500, sdk.ServiceError),
        (507, sdk.ServiceError),
    ],
)
def test_an_error_has_the_class_of_its_status_its_code_and_the_request_id(
    server, client, status, kind
):
    server.answers = [problem(status, "some_code")]
    with pytest.raises(sdk.APIError) as raised:
        client.create_token({"scope": "read", "minutes": 5})
    error = raised.value
    assert type(error) is kind
    assert (error.status, error.code, error.detail) == (status, "some_code", "It was some_code.")
    assert error.request_id == "r-1"


def test_an_error_of_a_proxy_which_is_no_problem_document_is_one_all_the_same(server, client):
    server.answers = [(413, {}, b"<html>too large</html>")]
    with pytest.raises(sdk.TooLarge) as raised:
        client.update_project("p-1", {})
    assert raised.value.code == "unknown"


def test_pages_are_asked_for_one_by_one_as_their_rows_are_read(server, client):
    server.answers = [
        (200, {}, {"results": [{"id": "1"}, {"id": "2"}], "next": "x", "next_cursor": "c/2"}),
        (200, {}, {"results": [{"id": "3"}], "next": None, "next_cursor": None}),
    ]
    rows = iter(client.list_projects(status=["READY", "EMPTY"], ids=["a", "b"]))
    assert server.requests == []
    assert [next(rows)["id"], next(rows)["id"]] == ["1", "2"]
    assert len(server.requests) == 1
    assert [each["id"] for each in rows] == ["3"]
    first, second = (path for _, path, _, _ in server.requests)
    assert first == "/api/v1/projects?ids=a%2Cb&status=READY&status=EMPTY"
    assert second == f"{first}&cursor=c%2F2"


def test_an_upload_that_broke_is_sent_again_whole(server, client, tmp_path: Path):
    video = tmp_path / "talk.mp4"
    video.write_bytes(b"video" * 50_000)
    server.answers = [BREAK, problem(503, "unavailable", Retry_After="1"), (201, {}, PROJECT)]
    seen: list[tuple[int, int | None]] = []
    client.upload(
        video,
        told=lambda done, total: seen.append((done, total)),
        title="Talk",
        keywords=["a", "b"],
        metadata={"k": "v"},
    )
    assert [body.count(b"video" * 50_000) for _, _, _, body in server.requests] == [1, 1, 1]
    (body, *_) = (body for _, _, _, body in server.requests)
    assert b'name="file"; filename="talk.mp4"' in body
    assert body.count(b'name="keywords"') == 2
    assert b'name="metadata"\r\n\r\n{"k": "v"}' in body
    assert len({headers["idempotency-key"] for _, _, headers, _ in server.requests}) == 1
    assert max(seen) == (250_000, 250_000)


def test_an_open_file_is_uploaded_from_its_place(server, client):
    file = io.BytesIO(b"skipped-video")
    file.seek(8)
    server.answers = [BREAK, (201, {}, PROJECT)]
    client.upload(file)
    for _, _, _, body in server.requests:
        assert b"\r\n\r\nvideo\r\n" in body


def test_a_body_that_is_an_image_is_sent_as_it_is_and_again_whole(server, client):
    server.answers = [BREAK, (200, {}, {"id": "w-1"})]
    assert client.replace_watermark(b"\x89PNG", content_type="image/png")["id"] == "w-1"
    assert [(method, path, body) for method, path, _, body in server.requests] == [
        ("PUT", "/api/v1/watermark", b"\x89PNG")
    ] * 2
    assert {headers["content-type"] for _, _, headers, _ in server.requests} == {"image/png"}


def test_waiting_asks_with_the_etag_and_pauses_as_long_as_the_service_says(server, client, slept):
    running = {**PROJECT, "status": "ANALYZING", "progress": 0.4}
    server.answers = [
        (200, {"ETag": '"1"', "Retry-After": "3"}, running),
        (304, {"ETag": '"1"', "Retry-After": "4"}, b""),
        (200, {"ETag": '"2"'}, PROJECT),
    ]
    seen: list[str] = []
    ended = client.wait_for_project("p-1", seen=lambda job: seen.append(job["status"]))
    assert ended["status"] == "READY"
    assert slept == [3.0, 4.0]
    assert seen == ["ANALYZING", "READY"]
    asked = [headers.get("if-none-match") for _, _, headers, _ in server.requests]
    assert asked == [None, '"1"', '"1"']


@pytest.mark.parametrize(
    ("header", "pause"),
    [
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.5),
        ("Thu, 01 Jan 9970 00:00:00 GMT", 3600.0),
        ("0", 0.5),
        ("soon", 2.0),
        ("nan", 2.0),
    ],
)
def test_waiting_never_turns_into_a_loop_without_a_pause(server, client, slept, header, pause):
    headers = {"ETag": '"1"', "Retry-After": header}
    server.answers = [
        (200, headers, {**PROJECT, "status": "ANALYZING"}),
        (304, headers, b""),
        (200, {}, PROJECT),
    ]
    client.wait_for_project("p-1")
    assert slept == [pytest.approx(pause, abs=60)] * 2


def test_redirects_without_end_and_what_is_no_json_are_errors_of_the_package(server, client):
    server.answers = [(302, {"Location": "/again"}, b"")]
    with pytest.raises(sdk.ClipForgeError, match="TooManyRedirects"):
        client.download_export("e-1").save("never-made.mp4")
    server.answers = [(200, {}, b"<html>Sign in</html>")]
    with pytest.raises(sdk.ClipForgeError, match="no JSON"):
        client.get_balance()


def test_a_job_that_failed_is_an_error_with_its_code(server, client):
    failed = {
        **PROJECT,
        "status": "FAILED",
        "error": {"code": "damaged", "message": "It is broken."},
    }
    server.answers = [(200, {}, failed)]
    with pytest.raises(sdk.JobFailed, match="It is broken") as raised:
        client.wait_for_export("e-1")
    assert (raised.value.code, raised.value.job["id"]) == ("damaged", "p-1")


def test_waiting_ends_in_time(server, client):
    server.answers = [(200, {}, {**PROJECT, "status": "QUEUED"})]
    with pytest.raises(sdk.StillRunning):
        client.wait_for_export("e-1", seconds=0)


def test_the_key_stays_with_the_service_when_a_download_is_elsewhere(server, client, tmp_path):
    with scripted_server() as elsewhere:
        server.answers = [(302, {"Location": f"{elsewhere.url}/file?signed=1"}, b"")]
        elsewhere.answers = [problem(503, "unavailable", Retry_After="1"), (200, {}, b"clip")]
        client.download_export("e-1").save(tmp_path / "clip.mp4")
        assert (tmp_path / "clip.mp4").read_bytes() == b"clip"
        assert ["authorization" in headers for _, _, headers, _ in elsewhere.requests] == [
            False
        ] * 2
        assert server.requests[0][2]["authorization"] == "Bearer cf_live_key"


def test_a_file_that_arrives_damaged_is_not_kept(server, client, tmp_path):
    server.answers = [(200, {}, b"clip")]
    with pytest.raises(sdk.ClipForgeError, match="damaged"):
        client.download({"id": "e-1", "sha256": "0" * 64}, tmp_path / "clip.mp4")
    assert list(tmp_path.iterdir()) == []


def test_ids_are_quoted(server, client):
    server.answers = [problem(404, "not_found")]
    with pytest.raises(sdk.NotFound):
        client.get_project("../me?x")
    assert server.requests[0][1] == "/api/v1/projects/..%2Fme%3Fx"


@pytest.mark.parametrize("missing", ["CLIPFORGE_API_KEY", "CLIPFORGE_URL"])
def test_a_client_without_key_or_address_says_what_to_set(monkeypatch, missing):
    monkeypatch.setenv("CLIPFORGE_API_KEY", "cf_live_key")
    monkeypatch.setenv("CLIPFORGE_URL", "http://127.0.0.1:1")
    monkeypatch.delenv(missing)
    with pytest.raises(sdk.ClipForgeError, match=missing):
        sdk.Client()


def test_a_key_has_no_line_break_from_the_file_that_it_was_in(server, monkeypatch):
    monkeypatch.setenv("CLIPFORGE_API_KEY", "cf_live_key\r\n")
    server.answers = [(200, {}, {"available": 3})]
    with sdk.Client(url=server.url) as client:
        client.get_balance()
    assert server.requests[0][2]["authorization"] == "Bearer cf_live_key"


@pytest.mark.parametrize("key", ["cf_live_\nkey", "cf_live_ key", "cf_live_clé", "cf_live_\0key"])
def test_what_cannot_be_a_key_is_refused_and_not_told_to_logs(server, key):
    with pytest.raises(sdk.ClipForgeError, match="This is no API key") as raised:
        sdk.Client(key, url=server.url).get_balance()
    assert "cf_live" not in str(raised.value)
    assert server.requests == []


def test_a_service_that_moved_is_an_error_that_says_where_to(server, client):
    server.answers = [(301, {"Location": "https://other.example/"}, b"")]
    with pytest.raises(sdk.ClipForgeError, match="is at another address"):
        client.get_balance()

"""Requests that wait for news, through gunicorn: no thread and no database connection each."""

from __future__ import annotations

import http.client
import json
import select
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from clipforge.common.cache.redis import connect
from clipforge.devtools.testing.redis_server import redis_server
from clipforge.devtools.testing.service import (
    TLS,
    Service,
    children_of,
    eventually,
    running_service,
)

pytestmark = pytest.mark.slow

THREADS = 2
WAITING, OF_ONE = 220, 205
# For an answer, on however busy a machine. Seconds.
PATIENCE = 120
PREPARE = """
from clipforge.devtools.testing.factories import make_api_key, make_export, make_organization, make_project
for name in ("One", "Other"):
    org = make_organization(name=name, tier="ENTERPRISE")
    project = make_project(org)
    print(make_api_key(org).secret, project.pk, make_export(project).pk, make_project(org, status="QUEUED").pk)
"""


class Customer(NamedTuple):
    service: Service
    key: str
    project: str
    export: str
    queued: str

    def ask(self, path: str, **headers: str) -> httpx.Response:
        return httpx.get(
            f"{self.service.url}/api/v1/{path}",
            headers={"Authorization": f"Bearer {self.key}", **headers},
            timeout=PATIENCE,
            verify=TLS,
        )

    def etag(self, path: str) -> str:
        return self.ask(path).headers["ETag"]

    def rename(self, title: str) -> None:
        answer = httpx.patch(
            f"{self.service.url}/api/v1/projects/{self.project}",
            json={"title": title},
            headers={"Authorization": f"Bearer {self.key}"},
            timeout=PATIENCE,
            verify=TLS,
        )
        assert answer.status_code == 200

    def waiting(
        self, path: str, etag: str, *, seconds: int = 30, more: bytes = b""
    ) -> socket.socket:
        """A connection whose request waits, or was answered."""
        connection = socket.create_connection(("127.0.0.1", self.service.port), timeout=PATIENCE)
        connection.sendall(
            f"GET /api/v1/{path}?wait={seconds} HTTP/1.1\r\nHost: localhost\r\n"
            f"Authorization: Bearer {self.key}\r\nIf-None-Match: {etag}\r\n\r\n".encode()
            + more
        )
        return connection


def channels(service: Service) -> list[str]:
    """The channels of jobs that some process listens to."""
    found: list[Any] = connect(service.environment["REDIS_URL"]).pubsub_channels("jobs:news:*")
    return sorted(each.decode() for each in found)


def answer_of(connection: socket.socket) -> tuple[int, dict[str, str], Any]:
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    body = answer.read()
    headers = {name.lower(): value for name, value in answer.getheaders()}
    return answer.status, headers, json.loads(body) if body else None


def new_customers(service: Service) -> list[Customer]:
    lines = service.manage("shell", "-c", PREPARE).splitlines()[-2:]
    return [Customer(service, *line.split()) for line in lines]


def is_silent(*connections: socket.socket) -> bool:
    return not select.select(connections, [], [], 0)[0]


def read_all(connections: list[socket.socket]) -> list[tuple[int, dict[str, str], Any]]:
    """The answers of all. News that was lost would be seen when the wait is over, after thirty seconds."""
    for connection in connections:
        connection.settimeout(25)
    answers = [answer_of(connection) for connection in connections]
    for connection in connections:
        connection.close()
    return answers


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with running_service(
        WEB_PROCESSES="1",
        WEB_THREADS=str(THREADS),
        WEB_WAITING=str(WAITING),
        WEB_WAITING_PER_ORGANIZATION=str(OF_ONE),
        LOG_FORMAT="json",
    ) as running:
        yield running
        assert "Traceback" not in running.log.read_text()


@pytest.fixture(scope="module")
def customers(service: Service) -> list[Customer]:
    return new_customers(service)


@pytest.fixture
def customer(customers: list[Customer]) -> Customer:
    return customers[0]


@pytest.fixture
def other(customers: list[Customer]) -> Customer:
    return customers[1]


def test_two_hundred_wait_on_one_process_and_cost_no_thread_and_no_connection(service, customer):
    path = f"projects/{customer.project}"
    etag = customer.etag(path)
    waiting = [customer.waiting(path, etag) for _ in range(200)]
    eventually("somebody listens", lambda: channels(service))
    for _ in range(20):
        assert customer.ask("credits/balance").status_code == 200
    assert is_silent(*waiting)
    (process,) = children_of(service.processes[0].pid)
    threads = len(list(Path(f"/proc/{process}/task").iterdir()))
    assert threads == THREADS + 1
    with service.sql() as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        ).fetchone()
    assert row is not None
    assert row[0] <= THREADS
    customer.rename("Two hundred know")
    answers = read_all(waiting)
    assert [(status, body["title"]) for status, _, body in answers] == [
        (200, "Two hundred know")
    ] * 200
    assert len({headers["etag"] for _, headers, _ in answers}) == 1
    eventually("nobody listens", lambda: not channels(service))


def test_what_is_new_already_is_answered_at_once_and_so_is_who_has_nothing(customer):
    path = f"exports/{customer.export}"
    assert customer.ask(f"{path}?wait=30").status_code == 200
    assert customer.ask(f"{path}?wait=30", **{"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize("kind", ["projects", "exports"])
def test_without_news_the_answer_is_304_once_the_time_is_up(customer, kind):
    path = f"{kind}/{customer.project if kind == 'projects' else customer.export}"
    etag = customer.etag(path)
    with customer.waiting(path, etag, seconds=1) as connection:
        status, headers, _ = answer_of(connection)
        assert (status, headers["etag"]) == (304, etag)
        assert "retry-after" not in headers  # it has waited
        # The connection is as good as before.
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert answer_of(connection)[0] == 200


def test_one_that_waits_in_the_queue_is_told_of_its_place_within_some_seconds(customer):
    """Others move it, and do not say so."""
    path = f"projects/{customer.queued}"
    etag = customer.etag(path)
    with customer.waiting(path, etag) as connection:
        eventually("somebody listens", lambda: channels(customer.service))
        with customer.service.sql() as connected:
            connected.execute(
                "UPDATE projects_project SET title = 'x' WHERE id = %s", [customer.queued]
            )
        status, _, body = answer_of(connection)
        assert (status, body["title"]) == (200, "x")


def test_no_news_is_lost_between_reading_and_waiting(service, customer):
    """The change comes at any moment of it: before, between and after."""
    path = f"projects/{customer.project}"
    for number in range(100):
        etag = customer.etag(path)
        writer = threading.Thread(target=customer.rename, args=[f"Race {number}"])
        if number % 2:
            writer.start()
        waiting = [customer.waiting(path, etag)]
        if not number % 2:
            writer.start()
        ((status, headers, body),) = read_all(waiting)
        while status == 304:
            # On a busy machine Redis may be slow for once: then nobody may wait, and is told so.
            assert headers["retry-after"] == "5", headers
            ((status, headers, body),) = read_all([customer.waiting(path, etag)])
        writer.join()
        assert (status, body["title"]) == (200, f"Race {number}")
    eventually("nobody listens", lambda: not channels(service))


def test_who_goes_away_leaves_its_place_to_others(service, customer):
    path = f"projects/{customer.project}"
    etag = customer.etag(path)
    for _ in range(2):
        waiting = [customer.waiting(path, etag) for _ in range(OF_ONE)]
        eventually("somebody listens", lambda: channels(service))
        refused: list[socket.socket] = []

        def is_full(refused: list[socket.socket] = refused) -> bool:
            refused.append(customer.waiting(path, etag))
            return bool(select.select(refused[-1:], [], [], 0.2)[0])

        eventually("all places are taken", is_full)
        status, headers, problem = answer_of(refused[-1])
        assert (status, problem["code"], problem["limit"]) == (429, "too_many_waiting", "waiting")
        assert headers["retry-after"] == "5"
        assert is_silent(*waiting)
        for connection in [*waiting, *refused]:
            connection.close()
        eventually("nobody listens", lambda: not channels(service))


def test_all_places_taken_is_503_for_whoever_else_wants_to_wait(service, customer, other):
    waiting = [
        each.waiting(f"projects/{each.project}", each.etag(f"projects/{each.project}"))
        for each, number in ((customer, OF_ONE), (other, WAITING - OF_ONE))
        for _ in range(number)
    ]
    path = f"projects/{other.project}"
    etag = other.etag(path)
    eventually("they wait", lambda: len(channels(service)) == 2)
    for connection in [other.waiting(path, etag) for _ in range(2)]:
        status, headers, problem = answer_of(connection)
        assert (status, problem["code"]) == (503, "no_place_to_wait")
        assert headers["retry-after"] == "5"
        connection.close()
    assert other.ask("credits/balance").status_code == 200
    assert is_silent(*waiting)
    for connection in waiting:
        connection.close()
    eventually("nobody listens", lambda: not channels(service))


def test_who_sends_something_else_waits_no_longer(customer):
    path = f"projects/{customer.project}"
    etag = customer.etag(path)
    more = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with customer.waiting(path, etag, more=more) as connection:
        connection.settimeout(25)
        said = b""
        while said.count(b"HTTP/1.1 ") < 2:
            said += connection.recv(65536)
    assert said.startswith(b"HTTP/1.1 304 ")
    assert b"HTTP/1.1 200 " in said


def test_strangers_wait_for_nothing(service, customer, other):
    path = f"projects/{customer.project}"
    etag = customer.etag(path)
    with other.waiting(path, etag) as connection:
        status, _, problem = answer_of(connection)
        assert (status, problem["code"]) == (404, "not_found")
    anonymous = customer._replace(key="cf_live_nobody")
    with anonymous.waiting(path, etag) as connection:
        assert answer_of(connection)[0] == 401
    assert channels(service) == []


@pytest.mark.parametrize("wait", ["0", "31", "x", "-1", "1.5", ""])
def test_a_wait_that_is_none_is_422(customer, wait):
    answer = customer.ask(f"projects/{customer.project}?wait={wait}")
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")


def test_a_wait_is_one_request_for_the_limits(service, customer):
    path = f"projects/{customer.project}"
    etag = customer.etag(path)
    left = left_of(customer.ask("me").headers)
    with customer.waiting(path, etag) as connection:
        eventually("somebody listens", lambda: channels(service))
        customer.rename("One request")
        status, headers, _ = answer_of(connection)
    assert (status, left_of(headers)) == (200, left - 1)
    assert left_of(customer.ask("me").headers) == left - 3  # the wait, the PATCH and this one


def left_of(headers: Any) -> int:
    return int(
        {name.lower(): value for name, value in headers.items()}["ratelimit"]
        .split("r=")[1]
        .split(";")[0]
    )


def test_a_restart_answers_those_that_wait():
    with running_service(WEB_PROCESSES="1", WEB_THREADS=str(THREADS)) as service:
        customer, _ = new_customers(service)
        path = f"projects/{customer.project}"
        etag = customer.etag(path)
        for number in (signal.SIGHUP, signal.SIGTERM):
            waiting = [customer.waiting(path, etag) for _ in range(10)]
            eventually("somebody listens", lambda: channels(service))
            service.processes[0].send_signal(number)
            for connection in waiting:
                connection.settimeout(25)
                assert answer_of(connection)[0] == 304
                assert connection.recv(1) == b""
                connection.close()
        assert service.processes[0].wait(PATIENCE) == 0


def test_without_redis_nobody_waits_and_those_that_do_are_answered():
    with (
        redis_server() as redis,
        running_service(WEB_PROCESSES="1", REDIS_URL=redis.url) as service,
    ):
        customer, _ = new_customers(service)
        path = f"projects/{customer.project}"
        etag = customer.etag(path)
        waiting = [customer.waiting(path, etag) for _ in range(10)]
        eventually("somebody listens", lambda: channels(service))
        redis.kill()
        assert [status for status, _, _ in read_all(waiting)] == [304] * 10
        with customer.waiting(path, etag) as connection:
            status, headers, _ = answer_of(connection)
            assert (status, headers["retry-after"]) == (304, "5")
        redis.start()
        waiting = []

        def waits_again() -> bool:
            waiting.append(customer.waiting(path, etag))
            return bool(channels(service))

        eventually("it is waited for again", waits_again)
        redis.freeze()  # which is found out by asking it
        assert {status for status, _, _ in read_all(waiting)} == {304}
        redis.thaw()

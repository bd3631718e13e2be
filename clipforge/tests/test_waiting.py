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
from clipforge.devtools.testing.state import STEADY_LINK_SECONDS

pytestmark = pytest.mark.slow

THREADS = 2
WAITING, OF_ONE = 220, 205
# For an answer, on however busy a machine. Seconds.
PATIENCE = 120
PREPARE = """
from clipforge.devtools.testing.factories import make_api_key, make_export, make_organization, make_project
for name in ("One", "Other", "Third"):
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
            # The host of all other requests: links begin with it, and the ETag covers them.
            f"GET /api/v1/{path}?wait={seconds} HTTP/1.1\r\nHost: 127.0.0.1:{self.service.port}\r\n"
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
    lines = service.manage("shell", "-c", PREPARE).splitlines()[-3:]
    return [Customer(service, *line.split()) for line in lines]


Answer = tuple[int, dict[str, str], Any]


def read(connection: socket.socket) -> Answer:
    """The answer, in time: news that was lost would be seen when the wait is over, after thirty seconds."""
    connection.settimeout(25)
    with connection:
        return answer_of(connection)


def did_not_wait(answer: Answer) -> bool:
    """On a busy machine Redis may be slow for once: then nobody may wait, and is told when to come again."""
    return answer[0] == 304


def news(customer: Customer, path: str, etag: str, connection: socket.socket) -> tuple[Answer, int]:
    """The first answer that is none of those, and the number of requests that it took."""
    answer, requests = read(connection), 1
    while did_not_wait(answer):
        answer, requests = read(customer.waiting(path, etag)), requests + 1
    return answer, requests


def parked(customer: Customer, path: str, etag: str, number: int) -> list[socket.socket]:
    """Connections of so many requests that wait."""
    waiting = [customer.waiting(path, etag) for _ in range(number)]

    def all_wait() -> bool:
        customer.ask("credits/balance")
        answered = select.select(waiting, [], [], 0)[0]
        for connection in answered:
            assert did_not_wait(read(connection))
            waiting[waiting.index(connection)] = customer.waiting(path, etag)
        return not answered and bool(channels(customer.service))

    eventually("they wait", all_wait)
    return waiting


def close(connections: list[socket.socket]) -> None:
    for connection in connections:
        connection.close()


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with running_service(
        WEB_PROCESSES="1",
        WEB_THREADS=str(THREADS),
        WEB_WAITING=str(WAITING),
        WEB_WAITING_PER_ORGANIZATION=str(OF_ONE),
        DOWNLOAD_URL_SECONDS=str(STEADY_LINK_SECONDS),
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
def third(customers: list[Customer]) -> Customer:
    """One that nothing else is asked of."""
    return customers[2]


@pytest.fixture
def other(customers: list[Customer]) -> Customer:
    return customers[1]


def test_two_hundred_wait_on_one_process_and_cost_no_thread_and_no_connection(service, customer):
    path = f"projects/{customer.project}"
    etag = customer.etag(path)
    waiting = parked(customer, path, etag, 200)
    for _ in range(20):
        assert customer.ask("credits/balance").status_code == 200
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
    answers = [news(customer, path, etag, connection)[0] for connection in waiting]
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
        # The connection is as good as before.
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert answer_of(connection)[0] == 200


def test_one_that_waits_in_the_queue_is_told_of_its_place_within_some_seconds(customer):
    """Others move it, and do not say so."""
    path = f"projects/{customer.queued}"
    etag = customer.etag(path)
    (waiting,) = parked(customer, path, etag, 1)
    with customer.service.sql() as connection:
        connection.execute(
            "UPDATE projects_project SET title = 'x' WHERE id = %s", [customer.queued]
        )
    (status, _, body), _ = news(customer, path, etag, waiting)
    assert (status, body["title"]) == (200, "x")


def test_no_news_is_lost_between_reading_and_waiting(service, customer):
    """The change comes at any moment of it: before, between and after."""
    path = f"projects/{customer.project}"
    for number in range(100):
        etag = customer.etag(path)
        writer = threading.Thread(target=customer.rename, args=[f"Race {number}"])
        if number % 2:
            writer.start()
        waiting = customer.waiting(path, etag)
        if not number % 2:
            writer.start()
        (status, _, body), _ = news(customer, path, etag, waiting)
        writer.join()
        assert (status, body["title"]) == (200, f"Race {number}")
    eventually("nobody listens", lambda: not channels(service))


def test_who_goes_away_leaves_its_place_to_others(service, customer):
    path = f"projects/{customer.project}"
    etag = customer.etag(path)
    for _ in range(2):
        waiting = parked(customer, path, etag, OF_ONE)
        status, headers, problem = refused(customer, path, etag, waiting)
        assert (status, problem["code"], problem["limit"]) == (429, "too_many_waiting", "waiting")
        assert headers["retry-after"] == "5"
        close(waiting)
        eventually("nobody listens", lambda: not channels(service))


def refused(customer: Customer, path: str, etag: str, waiting: list[socket.socket]) -> Answer:
    """The first refusal of a further one; what waits meanwhile is put with the others."""
    answers: list[Answer] = []

    def is_full() -> bool:
        connection = customer.waiting(path, etag)
        if select.select([connection], [], [], 0.5)[0]:
            answers.append(read(connection))
            return not did_not_wait(answers[-1])
        waiting.append(connection)
        return False

    eventually("all places are taken", is_full)
    return answers[-1]


def test_all_places_taken_is_503_for_whoever_else_wants_to_wait(service, customer, other):
    waiting = []
    for each, number in ((customer, OF_ONE), (other, WAITING - OF_ONE)):
        path = f"projects/{each.project}"
        waiting += parked(each, path, each.etag(path), number)
    status, headers, problem = refused(other, path, other.etag(path), waiting)
    assert (status, problem["code"]) == (503, "no_place_to_wait")
    assert headers["retry-after"] == "5"
    assert other.ask("credits/balance").status_code == 200
    close(waiting)
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


def test_who_waits_is_refused_as_soon_as_the_key_is_revoked(service, customer):
    """Far sooner than its time is up, which `read` would not wait for."""
    keys = f"{service.url}/api/v1/keys"
    options: Any = {"headers": {"Authorization": f"Bearer {customer.key}"}, "timeout": PATIENCE}
    made = httpx.post(keys, json={"name": "stolen"}, verify=TLS, **options).json()
    stolen = customer._replace(key=made["key"])
    path = f"projects/{customer.project}"
    etag = stolen.etag(path)
    (waiting,) = parked(stolen, path, etag, 1)
    assert httpx.delete(f"{keys}/{made['id']}", verify=TLS, **options).status_code == 204
    (status, _, problem), _ = news(stolen, path, etag, waiting)
    assert (status, problem["code"]) == (401, "invalid_api_key")


@pytest.mark.parametrize("wait", ["0", "31", "x", "-1", "1.5", ""])
def test_a_wait_that_is_none_is_422(customer, wait):
    answer = customer.ask(f"projects/{customer.project}?wait={wait}")
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")


def test_a_wait_is_one_request_for_the_limits(third):
    path = f"projects/{third.project}"
    etag = third.etag(path)
    (waiting,) = parked(third, path, etag, 1)
    before = left_of(third)
    third.rename("One request")
    (status, headers, _), requests = news(third, path, etag, waiting)
    assert status == 200
    assert '"api";r=' in headers["ratelimit"]
    # The PATCH, this one, and no second one for the wait that was woken. Older ones may have left the minute.
    assert left_of(third) >= before - 1 - requests


def left_of(customer: Customer) -> int:
    return int(customer.ask("me").headers["RateLimit"].split("r=")[1].split(";")[0])


def test_a_restart_answers_those_that_wait():
    with running_service(WEB_PROCESSES="1", WEB_THREADS=str(THREADS)) as service:
        customer, *_ = new_customers(service)
        path = f"projects/{customer.project}"
        etag = customer.etag(path)
        for number in (signal.SIGHUP, signal.SIGTERM):
            waiting = parked(customer, path, etag, 10)
            service.processes[0].send_signal(number)
            for connection in waiting:
                connection.settimeout(25)
                assert answer_of(connection)[0] == 304
                assert connection.recv(1) == b""
                connection.close()
            eventually("nobody listens", lambda: not channels(service))
        assert service.processes[0].wait(PATIENCE) == 0


def test_without_redis_nobody_waits_and_those_that_do_are_answered():
    with (
        redis_server() as redis,
        running_service(WEB_PROCESSES="1", REDIS_URL=redis.url) as service,
    ):
        customer, *_ = new_customers(service)
        path = f"projects/{customer.project}"
        etag = customer.etag(path)
        waiting = parked(customer, path, etag, 10)
        redis.kill()
        assert [read(connection)[0] for connection in waiting] == [304] * 10
        status, headers, _ = read(customer.waiting(path, etag))
        assert (status, headers["retry-after"]) == (304, "5")
        redis.start()
        (waits_again,) = parked(customer, path, etag, 1)
        redis.freeze()  # which is found out by asking it
        assert read(waits_again)[0] == 304
        redis.thaw()

"""One effect a key through a real gunicorn: all at once, after a crash, and never across organizations."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any, NamedTuple

import httpx
import pytest

from clipforge.devtools.testing.service import TLS, Service, running_service
from clipforge.media.sample import make_still

pytestmark = [pytest.mark.slow, pytest.mark.faults]

# For an answer, on however busy a machine. Seconds.
PATIENCE = 120

PREPARE = """
import json
from clipforge.devtools.testing.factories import make_api_key, make_moment, make_organization, make_project
made = []
for name in ("One", "Other"):
    org = make_organization(name=name, credits_=50)
    project = make_project(org)
    make_moment(project)
    make_project(org, status="FAILED")
    make_project(org, status="CANCELLED")
    made.append({"key": make_api_key(org).secret, "project": str(project.pk)})
print(json.dumps(made))
"""

# Where a web process can die around the effect of a request, and whether the effect is there then.
BEFORE = [
    "after SELECT outcome, version",
    "after INSERT INTO .orgs_idempotencyrecord",
    "before COMMIT",
]
AFTER = "after COMMIT"


class Customer(NamedTuple):
    service: Service
    key: str
    project: str

    def export(self, key: str, **change: Any) -> httpx.Response:
        body = {"project": self.project, "start": 0, "end": 10, "resolution": 480, **change}
        return self.post("exports", key, body)

    def post(self, path: str, key: str, body: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.key}", "Idempotency-Key": key}
        url = f"{self.service.url}/api/v1/{path}"
        answer: httpx.Response = httpx.post(
            url, json=body, headers=headers, timeout=PATIENCE, verify=TLS
        )
        return answer

    def upload(self, key: str, content: bytes) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.key}", "Idempotency-Key": key}
        url = f"{self.service.url}/api/v1/projects"
        files = {"file": ("still.mp4", content)}
        answer: httpx.Response = httpx.post(
            url, files=files, headers=headers, timeout=PATIENCE, verify=TLS
        )
        return answer

    def get(self, path: str) -> Any:
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx.get(
            f"{self.service.url}/api/v1/{path}", headers=headers, timeout=PATIENCE, verify=TLS
        ).json()

    def stand(self) -> tuple[int, int]:
        """Credits held, and exports that there are."""
        exports = self.get("exports?page_size=100")["results"]
        return self.get("credits/balance")["held"], len(exports)


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with running_service(WEB_THREADS="8") as running:
        yield running


@pytest.fixture(scope="module")
def customers(service: Service) -> list[Customer]:
    made = json.loads(service.manage("shell", "-c", PREPARE).splitlines()[-1])
    return [Customer(service, **each) for each in made]


@pytest.fixture
def customer(customers: list[Customer]) -> Customer:
    return customers[0]


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("videos") / "still.mp4"
    make_still(path, 2)
    return path.read_bytes()


def test_the_same_export_twenty_times_at_once_is_one(customer):
    held, exports = customer.stand()
    together = Barrier(20)

    def post(_: int) -> httpx.Response:
        together.wait(PATIENCE)
        answer: httpx.Response = customer.export("twenty at once")
        return answer

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(post, range(20)))
    statuses = Counter(answer.status_code for answer in answers)
    assert set(statuses) <= {201, 409}
    assert len({answer.content for answer in answers if answer.status_code == 201}) == 1
    replayed = [answer.headers.get("Idempotent-Replayed") for answer in answers]
    assert replayed.count("true") == statuses[201] - 1
    for answer in answers:
        if answer.status_code == 409:
            assert answer.json()["code"] == "request_in_progress"
            assert answer.headers["Retry-After"] == "1"
    assert customer.stand() == (held + 1, exports + 1)


def test_twenty_different_exports_at_once_under_one_key_are_one_and_422_or_409(customer):
    held, exports = customer.stand()
    together = Barrier(20)

    def post(number: int) -> tuple[int, str]:
        together.wait(PATIENCE)
        answer = customer.export("twenty bodies", end=10 + number)
        return answer.status_code, answer.json().get("code", "")

    with ThreadPoolExecutor(20) as pool:
        answers = Counter(pool.map(post, range(20)))
    assert answers[201, ""] == 1
    assert set(answers) <= {
        (201, ""),
        (409, "request_in_progress"),
        (422, "idempotency_key_reused"),
    }
    assert customer.stand() == (held + 1, exports + 1)


def test_the_same_key_with_another_body_or_address_is_422_and_does_nothing(customer):
    assert customer.export("used").status_code == 201
    stand = customer.stand()
    failed = customer.get("projects?status=FAILED")["results"][0]["id"]
    for answer in (
        customer.export("used", end=11),
        customer.export("used", start=0.0),  # another number of bytes is another request
        customer.post(f"projects/{failed}/retry", "used", {}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert customer.stand() == stand


def test_a_key_of_one_organization_is_free_in_another(customers):
    one, other = customers
    first = one.export("shared by chance")
    second = other.export("shared by chance")
    assert (first.status_code, second.status_code) == (201, 201)
    assert "Idempotent-Replayed" not in second.headers
    assert first.json()["id"] != second.json()["id"]
    again = other.export("shared by chance")
    assert (again.headers["Idempotent-Replayed"], again.content) == ("true", second.content)


@pytest.mark.parametrize("place", [*BEFORE, AFTER])
def test_a_web_process_killed_around_the_commit_and_asked_again_does_it_once(customer, place):
    """The key is the place: the first request dies there, the second goes to a process that lives."""
    held, exports = customer.stand()
    with dying_web(customer.service, place) as doomed, contextlib.suppress(httpx.TransportError):
        Customer(doomed, customer.key, customer.project).export(place)
        raise AssertionError("the process lived and answered")
    happened = int(place == AFTER)
    assert customer.stand() == (held + happened, exports + happened)

    answer = customer.export(place)
    assert answer.status_code == 201
    assert ("Idempotent-Replayed" in answer.headers) is (place == AFTER)
    assert customer.stand() == (held + 1, exports + 1)
    assert customer.export(place).content == answer.content


@pytest.mark.parametrize("what", ["upload", "retry"])
def test_whatever_costs_is_done_once_if_the_answer_was_lost(customer, what, still):
    """As above, between commit and answer: what a customer cannot tell from nothing at all."""
    cancelled = customer.get("projects?status=CANCELLED")["results"]

    def ask(service: Service) -> httpx.Response:
        asking = Customer(service, customer.key, customer.project)
        if what == "upload":
            return asking.upload(what, still)
        return asking.post(f"projects/{cancelled[0]['id']}/retry", what, {})

    def stand() -> tuple[int, int]:
        waiting = customer.get("projects?status=QUEUED&page_size=100")["results"]
        return customer.stand()[0], len(waiting)

    held, waiting = stand()
    with dying_web(customer.service, AFTER) as doomed, contextlib.suppress(httpx.TransportError):
        ask(doomed)
        raise AssertionError("the process lived and answered")
    once = stand()
    assert once[0] > held
    assert once[1] == waiting + 1

    answer = ask(customer.service)
    assert answer.status_code == (201 if what == "upload" else 200), answer.text
    assert answer.headers["Idempotent-Replayed"] == "true"
    assert stand() == once


@contextlib.contextmanager
def dying_web(service: Service, place: str) -> Iterator[Service]:
    """A second web server on the same database, whose processes die at `place`."""
    doomed = Service(service.data, FAULTPOINTS=f"exit 1 {place}", WEB_PROCESSES="1")
    doomed.start_web()
    try:
        yield doomed
    finally:
        doomed.stop()

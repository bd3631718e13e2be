"""`/metrics` of a real web server and of `watch`: OpenMetrics, on ports of their own."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse

from clipforge.devtools.testing.service import Service, eventually, running_service
from clipforge.stack import reserved_port

OPEN_METRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}


class Scrape:
    """The samples of one answer, by name and labels."""

    def __init__(self, bind: str) -> None:
        answer = httpx.get(f"http://{bind}/metrics", headers=OPEN_METRICS)
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
        assert answer.text.endswith("# EOF\n")
        self.samples: dict[tuple[str, frozenset[tuple[str, str]]], float] = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in parse(answer.text)
            for sample in family.samples
        }

    def __call__(self, name: str, **labels: str) -> float:
        return self.samples.get((f"clipforge_{name}", frozenset(labels.items())), 0.0)


@pytest.fixture(scope="module")
def bind() -> Iterator[str]:
    with reserved_port() as port:
        yield f"127.0.0.1:{port}"


@pytest.fixture(scope="module")
def service(bind) -> Iterator[Service]:
    with running_service(METRICS_BIND=bind, WEB_PROCESSES="2") as made:
        yield made


@pytest.mark.slow
def test_requests_of_all_processes_are_added_up_and_outlive_a_reload(service: Service, bind: str):
    for _ in range(40):
        with httpx.Client() as client:  # a connection of its own: either process may take it
            assert client.get(f"{service.url}/health/live").status_code == 200
    httpx.get(f"{service.url}/api/v1/nothing")
    found = Scrape(bind)
    assert found("http_request_seconds_count", **live("GET", 200)) == 40
    missing = {"method": "GET", "route": "none", "status": "404"}
    assert found("http_request_seconds_count", **missing) == 1

    (web,) = service.processes
    workers, exporter = children(web.pid)
    (folder,) = [Path(word) for word in exporter if "clipforge-metrics-" in word]
    web.send_signal(signal.SIGHUP)
    eventually("two others took their places", lambda: len(children(web.pid)[0] - workers) == 2)
    eventually("the first two ended", lambda: not children(web.pid)[0] & workers)
    httpx.get(f"{service.url}/health/live")
    assert Scrape(bind)("http_request_seconds_count", **live("GET", 200)) == 41
    # However often processes are replaced: those of four that lived at the same time.
    assert {path.stem.rpartition("_")[2] for path in folder.iterdir()} <= {"0", "1", "2", "3"}

    web.terminate()
    web.wait(60)
    assert not folder.exists()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://{bind}/metrics")


def live(method: str, status: int) -> dict[str, str]:
    return {"method": method, "route": "health-live", "status": str(status)}


def children(pid: int) -> tuple[set[int], list[str]]:
    """The processes of gunicorn that answer requests, and the command line of its exporter."""
    workers, exporter = set(), []
    for child in map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
        words = Path(f"/proc/{child}/cmdline").read_text().split("\0")
        if "clipforge.common.exporter" in words:
            exporter = words
        else:
            workers.add(child)
    return workers, exporter

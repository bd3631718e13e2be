"""Recording for Prometheus, which takes nothing where it is off."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest
from prometheus_client import CollectorRegistry

from clipforge.common import telemetry
from clipforge.common.cache.metrics import Metrics
from clipforge.common.cache.redis import Pool
from clipforge.devtools.testing.faults import environment


@pytest.fixture
def registry(monkeypatch) -> CollectorRegistry:
    made = CollectorRegistry()
    monkeypatch.setattr(telemetry, "recorder", telemetry.Recorder(made))
    return made


@pytest.fixture
def recorder(registry) -> telemetry.Recorder:
    assert telemetry.recorder is not None
    return telemetry.recorder


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(f"clipforge_{name}", labels)


def test_a_request_is_counted_by_method_route_and_status_with_its_time(registry, recorder):
    for seconds in (0.0009, 0.004, 40):
        recorder.request("GET", "projects", 200, seconds)
    labels = {"method": "GET", "route": "projects", "status": "200"}
    assert value(registry, "http_request_seconds_count", **labels) == 3
    assert value(registry, "http_request_seconds_sum", **labels) == pytest.approx(40.0049)
    for upto, count in {"0.001": 1, "0.005": 2, "30.0": 2, "+Inf": 3}.items():
        assert value(registry, "http_request_seconds_bucket", le=upto, **labels) == count


def test_methods_that_clients_invent_and_paths_without_a_route_are_one_series_each(
    registry, recorder
):
    for number in range(100):
        recorder.request(f"HACK{number}", None, 405, 0.001)
    labels = {"method": "other", "route": "none", "status": "405"}
    assert value(registry, "http_request_seconds_count", **labels) == 100
    assert len(recorder._observers) == 0


def test_what_the_service_counts_for_itself_is_recorded_once_also_while_redis_is_away(
    registry, monkeypatch
):
    metrics = Metrics()
    sent: list[Counter[str]] = []

    def add(counted: Counter[str], _now: float) -> None:
        sent.append(counted)
        if len(sent) == 1:
            raise telemetry_fault()

    monkeypatch.setattr(metrics, "_add", add)
    metrics.count("cache|credits:balance|hit", 3)
    metrics.count("requests|PRO|limited", 2)
    metrics.count("sql|0", 4)
    metrics.flush(at_once=True)
    assert metrics.pending("requests|PRO|limited") == 2
    metrics.flush(at_once=True)
    assert sent[1] == {"cache|credits:balance|hit": 3, "requests|PRO|limited": 2, "sql|0": 4}
    hits = {"family": "credits:balance", "result": "hit"}
    assert value(registry, "cache_operations_total", **hits) == 3
    assert value(registry, "limited_requests_total", tier="PRO", outcome="limited") == 2
    assert value(registry, "sql_statement_seconds_count") == 4
    assert value(registry, "sql_statement_seconds_bucket", le="0.0005") == 4


def telemetry_fault() -> Exception:
    from clipforge.common.cache.redis import Unreachable

    return Unreachable("away")


def test_a_call_that_redis_does_not_answer_is_counted(registry):
    pool = Pool(host="127.0.0.1", port=1)
    from redis.exceptions import ConnectionError as Refused

    pool.note(Refused(), 0)
    assert value(registry, "redis_failures_total") == 1


@pytest.mark.parametrize("text", ["9464", ":9464", "localhost", "localhost:x", "localhost:65536"])
def test_what_is_no_address_is_refused(text: str):
    with pytest.raises(ValueError, match=r"is not like 127\.0\.0\.1:9464"):
        telemetry.address_of(text)


@pytest.mark.parametrize(
    ("text", "address"), [("10.0.0.1:80", ("10.0.0.1", 80)), ("[::1]:9", ("::1", 9))]
)
def test_addresses(text: str, address: tuple[str, int]):
    assert telemetry.address_of(text) == address


def test_where_they_are_off_neither_metrics_nor_the_error_tracker_are_imported():
    program = (
        "import django, sys; django.setup(); import clipforge.urls, clipforge.jobs.worker;"
        "print([n for n in ('prometheus_client', 'sentry_sdk', 'ddtrace') if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**environment(), "METRICS_BIND": "", "SENTRY_DSN": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"

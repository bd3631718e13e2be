"""Errors of requests, jobs, children and commands reach Sentry, with what they are of and nothing secret."""

from __future__ import annotations

import gzip
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from clipforge.common.error_tracking import scrubbed
from clipforge.devtools.testing.factories import make_api_key, make_organization, make_project
from clipforge.devtools.testing.faults import environment

# A process of ours in which everything fails: a request, a job, the child that decodes, and at the
# end the process itself, as a command does. Says nothing of its own.
PROGRAM = """
import sys
import django
import sentry_sdk.transport
# What waits for an answer that does not come waits for longer than the test does.
sentry_sdk.transport.HttpTransport.TIMEOUT = 1000
django.setup()
assert sentry_sdk.get_client().options["shutdown_timeout"] == 2
import clipforge.urls
from django.test import Client
from clipforge.common import logs
from procrastinate.contrib.django import app
from clipforge.media import ErrorCode, MediaError
from credits.api import views
from projects.jobs import ANALYSIS

key, project = sys.argv[1:3]
SECRETS = (
    f"{key} sk_live_abcdefgh12345678 postgresql://clipforge:hunter2@db/clipforge ada@acme.example "
    "10.1.2.3 Authorization: Bearer abc.def.ghi 4f3c2b1a4f3c2b1a4f3c2b1a4f3c2b1a"
)

def broken(*args, **kwargs):
    local_secret = SECRETS
    raise RuntimeError(f"the request failed: {SECRETS}")

views.BalanceView.get = broken
client = Client(raise_request_exception=False, SERVER_NAME="localhost")
headers = {"Authorization": f"Bearer {key}", "X-Request-ID": "my-request-0001"}
assert client.get("/api/v1/credits/balance", headers=headers).status_code == 500

def crash(job, control):
    error = MediaError(ErrorCode.DECODER_CRASHED, "The file made the decoder crash.")
    error.add_note(f"stderr of the child: {SECRETS}")
    raise error

object.__setattr__(ANALYSIS, "run", crash)
app.tasks["projects.analyse"](project_id=project, fence=0)
logs.start_context(request_id="a-command")
raise ValueError(f"the command failed: {SECRETS}")
"""


class Collector:
    """Sentry's end of the envelope protocol, on this machine."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.raw: list[str] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.take(self.path, body.decode())
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.dsn = f"http://public@127.0.0.1:{self.server.server_port}/42"

    def take(self, path: str, text: str) -> None:
        assert path == "/api/42/envelope/"
        self.raw.append(text)
        lines = text.splitlines()
        for header, payload in zip(lines[1::2], lines[2::2], strict=True):
            if json.loads(header)["type"] in {"event", "transaction"}:
                self.events.append(json.loads(payload))

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event.get("type", "event") == kind]


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def run(dsn: str, **more: str) -> tuple[str, str]:
    """Run the program; returns the ids of the organization that it fails for."""
    org = make_organization(credits_=10)
    key = make_api_key(org).secret
    project = make_project(org, status="QUEUED")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, key, str(project.pk)],
        env={
            **environment(),
            "SENTRY_DSN": dsn,
            "CLIPFORGE_VERSION": "2026.12.1",
            "SENTRY_ENVIRONMENT": "staging",
            **more,
        },
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 1, done.stderr
    assert "ValueError: the command failed" in done.stderr
    return str(org.pk), str(project.pk)


@pytest.mark.django_db(transaction=True)
def test_errors_say_what_they_are_of_and_carry_nothing_secret_or_personal(collector: Collector):
    org, project = run(collector.dsn, SENTRY_TRACES_PERCENT="100")
    request, decoder, command = collector.of("event")
    for event in (request, decoder, command):
        assert (event["release"], event["environment"]) == ("2026.12.1", "staging")
    exceptions = [event["exception"]["values"][-1]["type"] for event in (request, decoder, command)]
    assert exceptions == ["RuntimeError", "MediaError", "ValueError"]
    assert request["tags"] == {"request_id": "my-request-0001", "organization": org}
    assert decoder["tags"] == {"kind": "project", "job": project, "organization": org}
    assert command["tags"] == {"request_id": "a-command"}
    (frame,) = [
        frame
        for frame in request["exception"]["values"][-1]["stacktrace"]["frames"]
        if frame["function"] == "broken"
    ]
    assert "vars" not in frame

    everything = "".join(collector.raw)
    for secret in (
        *("cf_live_", "sk_live_", "hunter2", "acme.example", "10.1.2.3", "abc.def.ghi"),
        *("4f3c2b1a4f3c2b1a", "Cookie", "Authorization: Bearer a", "local_secret ="),
    ):
        assert secret not in everything, secret
    (transaction,) = collector.of("transaction")
    assert transaction["transaction"] == "credits-balance"
    assert transaction["contexts"]["trace"]["data"]["http.response.status_code"] == 500


@pytest.mark.django_db(transaction=True)
def test_a_dead_collector_delays_nothing_but_the_end_of_the_process_by_two_seconds_at_most():
    """It accepts connections and never answers."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(100)
        run(f"http://public@127.0.0.1:{silent.getsockname()[1]}/42")


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("paid with cf_live_abc.def by ada@acme.example", "paid with [secret].def by [mail]"),
        ("see https://host/path?token=1 now", "see [address] now"),
        ("from 2001:db8:0:1:2:3:4:5 and 10.0.0.1", "from [ip] and [ip]"),
        ("whsec_abc sk_test_1", "[secret] [secret]"),
        ("job 01939f3e-1111-7222-8333-444455556666", "job 01939f3e-1111-7222-8333-444455556666"),
        (
            {"api_key": "x", "email": "y", "ms": 3},
            {"api_key": "[scrubbed]", "email": "[scrubbed]", "ms": 3},
        ),
        ({"deep": [{"password": "x"}, "a@b.c"]}, {"deep": [{"password": "[scrubbed]"}, "[mail]"]}),
        ({"user_ip": "x", "recipe": "y"}, {"user_ip": "[scrubbed]", "recipe": "y"}),
    ],
)
def test_what_is_scrubbed(value: Any, kept: Any):
    assert scrubbed(value) == kept


@pytest.mark.timeout(5)
@pytest.mark.parametrize("run", ["a", "1.", "a-", "sk_"])
def test_a_text_of_a_client_however_long_keeps_no_request_waiting(run: str):
    """Asked of every letter of it anew, a million of them would take half an hour."""
    text = run * (1_000_000 // len(run))
    assert scrubbed(f"{text} ada@acme.example")[-6:] == "[mail]"


def test_what_stands_before_an_address_hides_none():
    assert scrubbed("-https://host/x .ada+1@acme.example") == "[address] [mail]"

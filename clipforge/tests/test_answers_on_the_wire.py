"""Every kind of answer of the API, byte by byte, as it was recorded: what clients see changes only on
purpose.

The record is `answers_on_the_wire.txt` beside this file. To write it anew, after a change that is
meant, and review what differs:

    RECORD_ANSWERS=1 .venv/bin/pytest clipforge/tests/test_answers_on_the_wire.py
"""

from __future__ import annotations

import difflib
import json
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from clipforge.devtools.testing.service import Service, limited_service

pytestmark = pytest.mark.slow

RECORD = Path(__file__).with_name("answers_on_the_wire.txt")
# For an answer, on however busy a machine. Seconds.
PATIENCE = 120

PREPARE = """
import json
from django.utils import timezone
from clipforge.devtools.testing.factories import *
from clipforge.orgs.models import APIKey, Organization
org = make_organization(name="Acme", tier="BUSINESS", credits_=1)
project = make_project(org, title="Talk")
moment = make_moment(project)
export = make_export(project)
make_moment(project, score=60.0, start=20.0, end=40.0)
poor, other = make_organization(name="Poor"), make_organization(name="Other")
off = make_organization(name="Off", is_active=False)
busy = make_organization(name="Busy", tier="FREE")
Organization.objects.filter(pk=busy.pk).update(rate_limit_override=1)
made = {
    name: make_api_key(each, name=name).secret
    for name, each in {"key": org, "poor": poor, "other": other, "off": off, "busy": busy}.items()
}
APIKey.objects.update(last_used_at=timezone.now())
print(json.dumps({
    **made, "project": str(project.pk), "moment": str(moment.pk), "export": str(export.pk),
    "elsewhere": str(make_project(poor).pk),
}))
"""

JSON = "Content-Type: application/json"
START = '{"project": "PROJECT", "start": 0, "end": 10}'


class Ask(NamedTuple):
    """A request. Words in capitals stand for what was made for this run."""

    line: str
    headers: tuple[str, ...] = ()
    body: str = ""
    key: str = "key"  # whose; "" for none


ASKS = [
    *[Ask(f"{method} /health/live", key="") for method in ("GET", "HEAD", "POST", "OPTIONS")],
    Ask("GET /health", key=""),
    Ask("GET /nothing", key=""),
    Ask("GET /admin/", key=""),
    Ask("GET /api/v1/docs", ("Accept: text/html",), key=""),
    *[
        Ask(f"GET /api/v1/{path}")
        for path in (
            *("me", "me", "pricing", "credits/balance", "credits/transactions", "credits/holds"),
            *("projects", "projects?page_size=1&status=READY", "projects/PROJECT"),
            *("projects/PROJECT/moments", "projects/PROJECT/moments?min_score=65&page_size=1"),
            *("exports", "exports/EXPORT", "exports/EXPORT/download", "billing/payments"),
        )
    ],
    Ask("HEAD /api/v1/credits/balance"),
    Ask("OPTIONS /api/v1/credits/balance"),
    Ask("GET /api/v1/credits/balance", ("Accept: application/json",)),
    Ask("GET /api/v1/credits/balance", ("Accept: application/*;q=0.5, text/html",)),
    Ask("GET /api/v1/credits/balance", ("X-Request-ID: no id",)),
    Ask("GET /api/v1/credits/balance", ("Connection: close",)),
    # Refusals.
    Ask("GET /api/v1/credits/balance", key=""),
    Ask("GET /api/v1/credits/balance", ("Authorization: Basic YTpi",), key=""),
    Ask("GET /api/v1/credits/balance", ("Authorization: Bearer cf_live_nobody",), key=""),
    Ask("GET /api/v1/credits/balance", ("Host: evil.example",)),
    Ask("GET /api/v1/credits/balance", ("Accept: text/html",)),
    Ask("GET /api/v1/credits/balance?unknown=1"),
    Ask("GET /api/v1/projects?unknown=1"),
    Ask("GET /api/v1/projects?cursor=x"),
    Ask("GET /api/v1/me", key="off"),
    Ask("GET /api/v1/nothing"),
    Ask("GET /api/v1/projects/PROJECT", key="other"),
    Ask("GET /api/v1/projects/ELSEWHERE"),
    Ask("GET /api/v1/projects/no-id"),
    Ask("PUT /api/v1/credits/balance"),
    Ask("TRACE /api/v1/credits/balance"),
    Ask("POST /api/v1/projects/PROJECT/retry"),
    Ask("POST /api/v1/exports/EXPORT/cancel"),
    Ask("POST /api/v1/exports", (JSON,), '{"project": '),
    Ask("POST /api/v1/exports", (JSON,), "{}"),
    Ask("POST /api/v1/exports", (JSON,), START.replace("10", "-10")),
    Ask("POST /api/v1/exports", ("Content-Type: text/plain",), "x"),
    Ask("POST /api/v1/exports", (JSON, "Content-Length: 2000000")),
    Ask("POST /api/v1/projects", (JSON,), "{}"),
    Ask("POST /api/v1/exports", (JSON,), START.replace("PROJECT", "ELSEWHERE"), key="poor"),
    # Work, and the same request again.
    Ask("POST /api/v1/quotes", (JSON,), '{"export_seconds": 90}'),
    Ask("POST /api/v1/exports", (JSON, "Idempotency-Key: one"), START),
    Ask("POST /api/v1/exports", (JSON, "Idempotency-Key: one"), START),
    Ask("POST /api/v1/exports", (JSON, "Idempotency-Key: one"), START.replace("10", "9")),
    Ask("POST /api/v1/billing/checkout", (JSON,), '{"price": "none"}'),
    Ask("PATCH /api/v1/projects/PROJECT", (JSON,), '{"title": "Über\\u2028 <Talk> \\u0001"}'),
    Ask("DELETE /api/v1/projects/PROJECT"),
    # A limit of one.
    Ask("GET /api/v1/me", key="busy"),
    Ask("GET /api/v1/me", key="busy"),
    Ask("POST /api/v1/exports", (JSON,), START, key="busy"),
]

# What differs from one run to the next, and the word that is recorded for it.
VARIES = [
    (rb"cf_live_\w{20,}", b"<key>"),
    (rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", b"<uuid>"),
    (rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", b"<time>"),
    (rb"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", b"<date>"),
    (rb'ETag: "[\w-]{24}"', b'ETag: "<etag>"'),
    (rb";r=\d+;t=\d+", b";r=<n>;t=<s>"),
    (rb"Retry-After: \d+", b"Retry-After: <s>"),
    (rb"again in \d+ seconds", b"again in <s> seconds"),
    (rb'"retry_after":\d+', b'"retry_after":<s>'),
    (rb"/files/[\w:=.-]+/", b"/files/<signed>/"),
    (rb'(cursor=|"next_cursor":")[\w:=.%-]+', rb"\1<cursor>"),
    (rb'("prefix":")\w{8}', rb"\1<prefix>"),
    (rb"127\.0\.0\.1:\d+", b"<host>"),
    (rb'"id":\d+', b'"id":<number>'),
    # Its directives come in any order.
    (rb"(Content-Security-Policy: )[^\n]*script-src[^\n]*", rb"\1<that of pages>"),
    (rb"csrftoken=\w+", b"csrftoken=<token>"),
]

# What nearly every answer begins and ends its head with, and what is recorded for it.
USUAL = [
    ("Server: gunicorn\nDate: <date>\nConnection: keep-alive\n", "(the usual first lines)\n"),
    (
        "X-Frame-Options: DENY\nContent-Length: <that of the body>\n"
        "X-Content-Type-Options: nosniff\nReferrer-Policy: same-origin\n"
        "Cross-Origin-Opener-Policy: same-origin\n"
        "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\n"
        "X-Request-ID: request-of-the-record\n",
        "(the usual last lines)\n",
    ),
]


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    environment = {
        "WEB_PROCESSES": "1",  # so that what its first request finds out is known to the others
        "DISK_WARNING_PERCENT": "0",  # the disk of the machine that tests may be nearly full
        "STRIPE_SECRET_KEY": "",
        "STRIPE_WEBHOOK_SECRET": "",
    }
    with limited_service(**environment) as made:
        yield made


@pytest.fixture(scope="module")
def made(service: Service) -> dict[str, str]:
    printed = service.manage("shell", "-v", "0", "-c", PREPARE)
    return dict(json.loads(printed.splitlines()[-1]))


def test_every_kind_of_answer_is_byte_by_byte_as_recorded(service, made):
    found = "\n".join(exchange(service, ask, made) for ask in ASKS)
    if os.environ.get("RECORD_ANSWERS"):
        RECORD.write_text(found)
    lines = RECORD.read_text().split("\n"), found.split("\n")
    changed = list(difflib.unified_diff(*lines, "recorded", "found", lineterm=""))
    assert changed == [], "\n".join(changed)


def test_the_record_has_an_answer_of_every_kind():
    statuses = {int(status) for status in re.findall(r"^HTTP/1.1 (\d+)", RECORD.read_text(), re.M)}
    kinds = {200, 201, 204, 302, 400, 401, 402, 403, 404, 405, 406, 409, 413, 415, 422, 429, 503}
    assert kinds - statuses == set()


def exchange(service: Service, ask: Ask, made: dict[str, str]) -> str:
    """The request as it is listed here, and the bytes of its answer with what varies taken out."""
    owner = f" (as {ask.key or 'nobody'})" if ask.key != "key" else ""
    sent = [f"=== {ask.line}{owner}", *ask.headers, *([ask.body] if ask.body else [])]
    return "\n".join([*sent, "", recorded(answer(service, ask, made)), ""])


def answer(service: Service, ask: Ask, made: dict[str, str]) -> bytes:
    def filled(text: str) -> str:
        for name in ("project", "export", "elsewhere"):
            text = text.replace(name.upper(), made[name])
        return text

    body = filled(ask.body).encode()
    headers = {
        "Host": f"127.0.0.1:{service.port}",
        "X-Request-ID": "request-of-the-record",
        **({"Authorization": f"Bearer {made[ask.key]}"} if ask.key else {}),
        **({"Content-Length": str(len(body))} if body else {}),
        **dict(header.split(": ", 1) for header in ask.headers),
    }
    head = [
        f"{filled(ask.line)} HTTP/1.1",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    with socket.create_connection(("127.0.0.1", service.port), timeout=PATIENCE) as connection:
        connection.sendall("\r\n".join([*head, "", ""]).encode() + body)
        return whole_answer(connection, has_body=not ask.line.startswith("HEAD"))


def whole_answer(connection: socket.socket, *, has_body: bool) -> bytes:
    """Up to the end that its head says, or that of the connection where it says none."""
    received = b""
    while True:
        head, found, body = received.partition(b"\r\n\r\n")
        if found:
            length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
            if not has_body or (length and len(body) >= int(length[1])):
                return received
            if b"chunked" in head and body.endswith(b"0\r\n\r\n"):
                return received
        data = connection.recv(65536)
        if not data:
            return received
        received += data


def recorded(received: bytes) -> str:
    head, _, body = received.partition(b"\r\n\r\n")
    if body and f"Content-Length: {len(body)}".encode() in head:
        head = re.sub(rb"Content-Length: \d+", b"Content-Length: <that of the body>", head)
    text = head.replace(b"\r\n", b"\n") + b"\n" + (b"\n" + body if body else b"")
    for pattern, word in VARIES:
        text = re.sub(pattern, word, text)
    # A page of HTML is not of this record; its head is.
    if b"\nContent-Type: text/html" in text and b"<!doctype" in text.lower():
        text = text[: text.lower().index(b"<!doctype")] + b"<page>"
    shown = text.decode()
    for lines, short in USUAL:
        shown = shown.replace(lines, short)
    # By name, what no editor shows or some take for the end of a line.
    return shown.translate({0x2028: "<U+2028>", 0x0D: "<CR>"})

"""One line of JSON a record, whatever is logged."""

from __future__ import annotations

import json
import logging
import os
import threading
import uuid
from decimal import Decimal
from typing import Any

import pytest
from rest_framework.test import APIClient

from clipforge.common import logs


@pytest.fixture(autouse=True)
def fresh_context():
    logs.start_context()
    yield
    logs.start_context()


def line(message: str = "hello", *args: Any, level: int = logging.INFO, **fields: Any) -> Any:
    record = logging.getLogger("clipforge.test").makeRecord(
        "clipforge.test",
        level,
        "file.py",
        1,
        message,
        args,
        fields.pop("exc_info", None),
        extra=fields,
    )
    text = logs.JSONFormatter().format(record)
    assert "\n" not in text
    return json.loads(text)


def test_a_line_has_time_level_process_logger_and_message():
    found = line("%s clips of %d", "two", 3)
    assert list(found) == ["ts", "level", "pid", "logger", "message"]
    assert found["pid"] == os.getpid()
    assert found["level"] == "INFO"
    assert found["logger"] == "clipforge.test"
    assert found["message"] == "two clips of 3"


def test_what_is_bound_is_on_every_later_line_until_the_next_unit_of_work():
    logs.start_context(request_id="r1")
    logs.bind(org="o1")
    logs.bind(key_id="k1")
    found = line()
    assert (found["request_id"], found["org"], found["key_id"]) == ("r1", "o1", "k1")
    logs.start_context(request_id="r2")
    found = line()
    assert (found["request_id"], "org" in found, "key_id" in found) == ("r2", False, False)


def test_two_threads_have_two_contexts():
    logs.start_context(request_id="mine")
    seen: list[dict[str, Any]] = []

    def other() -> None:
        seen.append(logs.context())
        logs.start_context(request_id="other")
        seen.append(logs.context())

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert seen == [{}, {"request_id": "other"}]
    assert logs.context() == {"request_id": "mine"}


def test_binding_does_not_change_a_context_that_was_read_before():
    logs.start_context(request_id="r1")
    held = logs.context()
    logs.bind(org="o1")
    assert held == {"request_id": "r1"}


def test_extra_fields_of_any_type_are_written():
    found = line(
        status=200, ms=1.5, pk=uuid.UUID(int=1), price=Decimal("1.10"), error=ValueError("x")
    )
    assert (found["status"], found["ms"]) == (200, 1.5)
    assert found["pk"] == "00000000-0000-0000-0000-000000000001"
    assert (found["price"], found["error"]) == ("1.10", "x")


def test_a_line_break_in_a_message_forges_no_second_line():
    found = line('a\n{"level": "ERROR"}\r\u2028b', title="c\nd")
    assert found["message"] == 'a\n{"level": "ERROR"}\r\u2028b'
    assert found["title"] == "c\nd"


@pytest.mark.parametrize("text", ["é", "😀", "\0", "\x1b[31m", "\ud800"])
def test_any_text_is_a_line_that_can_be_written(text):
    record = logging.makeLogRecord({"msg": text})
    written = logs.JSONFormatter().format(record)
    assert json.loads(written.encode().decode())["message"] == text


def test_an_exception_is_part_of_its_line():
    try:
        raise RuntimeError("why")
    except RuntimeError as error:
        found = line(
            "failed", level=logging.ERROR, exc_info=(RuntimeError, error, error.__traceback__)
        )
    assert found["exception"].startswith("Traceback (most recent call last)")
    assert found["exception"].endswith("RuntimeError: why")


def test_a_failed_download_is_logged_without_its_token(
    anonymous: APIClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    def broken(token: str, name: str) -> str:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr("exports.downloads.target_of", broken)
    anonymous.raise_request_exception = False
    response = anonymous.get("/files/the-signed-token/clip.mp4")
    assert response.status_code == 500
    assert response.json()["code"] == "internal_error"
    assert "files/<str:token>/<str:name>" in caplog.text
    assert "the-signed-token" not in caplog.text
    formatted = "".join(logs.JSONFormatter().format(record) for record in caplog.records)
    assert "a fault of ours" in formatted
    assert "the-signed-token" not in formatted

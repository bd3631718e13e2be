"""Budgets of a warm request: calls of functions, Python's and C's, from the server's call to the last byte.

Where a layer is added to every request, this says so; time cannot be asserted, and SQL and round
trips are budgeted in `test_budgets.py`.
"""

from __future__ import annotations

import gc
import io
import logging
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from clipforge.common.cache.backend import default_cache
from clipforge.devtools.testing.factories import (
    make_api_key,
    make_export,
    make_grant,
    make_moment,
    make_project,
)
from clipforge.wsgi import application

pytestmark = pytest.mark.django_db(transaction=True)

# What a request of each took when its budget was set, and a tenth of room at most. Lists have ten rows.
BUDGETS = {
    "credits/balance": 940,
    "me": 1_080,
    "pricing": 885,
    "projects/{project}": 940,
    "projects/{project}/moments": 940,
    "projects": 940,
    "exports": 940,
}
# The same of lists of which no page is kept.
ANEW = {
    "projects/{project}/moments": 3_540,
    "projects": 4_470,
    "exports": 5_760,
}


def ask(path: str, key: str) -> bytes:
    """The body of a GET, asked as gunicorn asks. 200 or the test fails."""
    answered: list[str] = []

    def start(status: str, _headers: Any, _error: Any = None, /) -> Any:
        answered.append(status)

    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "SCRIPT_NAME": "",
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "localhost",
        "HTTP_AUTHORIZATION": f"Bearer {key}",
        "HTTP_ACCEPT": "*/*",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.input": io.BytesIO(),
        "wsgi.url_scheme": "http",
    }
    response: Any = application(environ, start)
    body = b"".join(response)
    response.close()
    assert answered == ["200 OK"], body
    return body


@contextmanager
def without_the_tests_own_calls() -> Iterator[None]:
    """Only the product is at work: no handler of the tests hears its logs, no garbage is collected.

    The search for leaks compares each line with every secret of the run so far, and the garbage of
    other tests may have finalizers: both would count more, the more tests ran before.
    """
    root = logging.getLogger()
    ours = [
        handler
        for handler in root.handlers
        if type(handler).__module__.startswith(("_pytest.", "clipforge.devtools."))
    ]
    for handler in ours:
        root.removeHandler(handler)
    # What an earlier test captured may be closed: each line would end in a traceback, and so would
    # `setStream`, which flushes.
    streams = {
        handler: handler.stream
        for handler in root.handlers
        if isinstance(handler, logging.StreamHandler)
    }
    for handler in streams:
        handler.stream = io.StringIO()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        for handler, stream in streams.items():
            handler.stream = stream
        for handler in ours:
            root.addHandler(handler)


def calls(path: str, key: str) -> Counter[str]:
    """The calls of functions that a request makes, by the name of the function."""
    made: Counter[str] = Counter()

    def note(frame: Any, event: str, argument: Any) -> None:
        if event == "call":
            made[f"{frame.f_code.co_filename}:{frame.f_code.co_name}"] += 1
        elif event == "c_call":
            made[argument.__qualname__] += 1

    with without_the_tests_own_calls():
        sys.setprofile(note)
        try:
            ask(path, key)
        finally:
            sys.setprofile(None)
    return made


@pytest.fixture
def project(organization: Any) -> Any:
    """One of ten, with ten moments and ten exports."""
    make_grant(organization, 20)
    project = make_project(organization)
    for _ in range(10):
        make_moment(project)
        make_export(project)
    for _ in range(9):
        make_project(organization)
    return project


@pytest.mark.parametrize("path", BUDGETS)
def test_a_warm_request_calls_no_more_functions_than_its_budget(project: Any, path: str):
    key = make_api_key(project.org).secret
    address = f"/api/v1/{path.format(project=project.pk)}"
    for _ in range(3):
        ask(address, key)
    made = calls(address, key)
    assert made.total() <= BUDGETS[path], made.most_common(20)


@pytest.mark.parametrize("path", ANEW)
def test_a_page_that_is_not_kept_calls_no_more_functions_than_its_budget(project: Any, path: str):
    key = make_api_key(project.org).secret
    address = f"/api/v1/{path.format(project=project.pk)}"
    for _ in range(3):
        ask(address, key)
    redis = default_cache().redis
    redis.delete(*redis.scan_iter(match="*:pages"))
    made = calls(address, key)
    assert made.total() <= ANEW[path], made.most_common(20)

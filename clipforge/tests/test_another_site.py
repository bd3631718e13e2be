"""A page of another site uses the API: in Chromium, against a running service."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import httpx
import pytest

from clipforge.devtools.testing.browser import chromium
from clipforge.devtools.testing.service import Service, running_service

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PATIENCE = 120
PREPARE = """
from clipforge.devtools.testing.factories import make_api_key, make_organization, make_project
org = make_organization(tier="ENTERPRISE")
make_project(org, title="Seen from another site")
print(make_api_key(org).secret)
"""

# Ask, and tell what a script is allowed to see of the answer.
ASK = """
async ([url, options]) => {
  try {
    const answer = await fetch(url, options);
    return [answer.status, answer.headers.get("ETag"), await answer.text()];
  } catch (error) {
    return [0, null, String(error)];
  }
}
"""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>another site</title>")

    def log_message(self, *_: object) -> None:
        """Not a word."""


class Site(NamedTuple):
    origin: str
    page: Any

    def ask(self, url: str, token: str = "", **options: Any) -> list[Any]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        headers |= options.pop("headers", {})
        asked: list[Any] = self.page.evaluate(ASK, [url, {"headers": headers, **options}])
        return asked


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with running_service() as running:
        yield running


@pytest.fixture(scope="module")
def key(service: Service) -> str:
    return service.manage("shell", "-c", PREPARE).splitlines()[-1]


@pytest.fixture
def site() -> Iterator[Site]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server, chromium() as browser:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        page = browser.new_page()
        origin = f"http://127.0.0.1:{server.server_port}"
        page.goto(origin)
        yield Site(origin, page)
        server.shutdown()
        thread.join()


def test_a_page_of_an_allowed_origin_reads_and_writes_with_a_token_and_no_other_does(
    service: Service, key: str, site: Site
):
    api = f"{service.url}/api/v1"
    secret = {"Authorization": f"Bearer {key}"}

    def call(method: str, path: str, body: Any) -> Any:
        return httpx.request(
            method, f"{api}{path}", json=body, headers=secret, timeout=PATIENCE
        ).json()

    # Nobody is allowed yet: only what is for all may be read.
    assert site.ask(f"{api}/pricing")[0] == 200
    assert site.ask(f"{api}/me")[0] == 401
    token = call("POST", "/tokens", {"scope": "write"})["token"]
    assert site.ask(f"{api}/me", token)[0] == 0

    assert call("PUT", "/origins", {"origins": [site.origin]}) == {"origins": [site.origin]}
    status, etag, text = site.ask(f"{api}/projects", token)
    assert (status, "Seen from another site" in text) == (200, True)
    assert site.ask(f"{api}/projects", token, headers={"If-None-Match": etag})[0] in {200, 304}
    quoted = site.ask(
        f"{api}/quotes",
        token,
        method="POST",
        body='{"export_seconds": 60}',
        headers={"Content-Type": "application/json", "Idempotency-Key": "from a page"},
    )
    assert (quoted[0], '"credits":1' in quoted[2]) == (200, True)
    refused = site.ask(f"{api}/tokens", token, method="POST")
    assert (refused[0], "scope_missing" in refused[2]) == (403, True)

    call("PUT", "/origins", {"origins": ["https://app.example.com"]})
    assert site.ask(f"{api}/projects", token)[0] == 0

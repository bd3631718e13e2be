"""The browser audit reports the faults of a page, and nothing on a good one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from clipforge.devtools.testing.browser import Visitor, chromium, faults_of

pytestmark = pytest.mark.browser

POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:"
# The content of a page, and the fault to report; none for a good one.
PAGES = {
    "<p>fine</p>": "",
    "<script>window.a = 1</script>": "script-src-elem",
    "<p style='color: red'>a</p>": "style-src-attr",
    "<button onclick='a()'>a</button>": "has a script in onclick",
    "<a href=' JavaScript:a()'>a</a>": "has a script in href",
    "<script src='/eval.js'></script>": "script-src",
    "<script src='/throws.js'></script>": "script failed",
    "<img src='/nothing.png' alt='a'>": "status 404",
    "<img src='http://127.0.0.1:1/a.png' alt='a'>": "request to another host",
    "<p class='faint'>a</p>": "contrast",
    "<p class='wide'>a</p>": "wide, of 1280",
    "<button></button>": "has no name",
}
FILES = {
    "/eval.js": ("text/javascript", "try { eval('1'); } catch {}"),
    "/throws.js": ("text/javascript", "throw new Error('on purpose');"),
    "/looks.css": ("text/css", ".faint { color: #ccc; } .wide { width: 3000px; }"),
}
HEAD = "<title>t</title><link rel='icon' href='data:,'><link rel='stylesheet' href='/looks.css'>"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        page = self.path.removeprefix("/page/")
        kind, text = FILES.get(self.path, ("text/html", ""))
        if page.isdecimal():
            text = f"<!doctype html><html lang=en>{HEAD}<h1>t</h1>{list(PAGES)[int(page)]}"
        self.send_response(200 if text else 404)
        for name, value in {"Content-Type": kind, "Content-Security-Policy": POLICY}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Not a word."""


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_visitor_sees_what_is_wrong_with_a_page(url):
    with chromium() as browser:
        visitor = Visitor(browser, url)
        for number, (content, expected) in enumerate(PAGES.items()):
            visitor.go(f"/page/{number}")
            said = "\n".join(faults_of(visitor))
            assert expected in said, content
            assert bool(said) is bool(expected), said
        visitor.close()
